"""Data sets of one's own: from pictures to rows, in this process and in others."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'natsdb[training]'")

import nats_bench  # noqa: E402
from PIL import Image  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

import natsdb  # noqa: E402
from natsdb.api import create  # noqa: E402
from natsdb.cli import app  # noqa: E402
from natsdb.evaluating import evaluate  # noqa: E402
from natsdb.ingest import collect, export, ingest, verify  # noqa: E402
from natsdb.schema import datasets  # noqa: E402
from natsdb.schema.costs import costs  # noqa: E402
from natsdb.schema.datasets import DATASETS, of_plain, to_plain  # noqa: E402
from natsdb.schema.errors import NatsdbError  # noqa: E402
from natsdb.store.snapshot import read_manifest  # noqa: E402
from natsdb.training.data import load  # noqa: E402
from natsdb.training.images import fingerprint  # noqa: E402
from natsdb.training.own_data import own_data  # noqa: E402
from natsdb.training.recipe import Recipe  # noqa: E402
from natsdb.training.run import settings_of  # noqa: E402
from natsdb.training.run_files import runs_of  # noqa: E402
from natsdb.training.splits import cut_by_rule, halves_by_rule  # noqa: E402
from pictures import made_up_pixels, png  # noqa: E402

CLASSES = ("cat", "dog", "eel")


@pytest.fixture(autouse=True)
def _forget() -> Iterator[None]:
    """Data sets that a test lets natsdb know go with it."""
    torch.set_num_threads(1)
    known = set(DATASETS)
    yield
    for name in set(DATASETS) - known:
        del DATASETS[name]
    datasets.searched.cache_clear()


def _folders(
    folder: Path, images: int = 30, height: int = 16, seed: int = 0, classes: tuple[str, ...] = CLASSES
) -> Path:
    """A folder with a folder of pictures for each class, and nothing else."""
    pixels, labels = made_up_pixels(images, len(classes), height, seed)
    for number, (one, label) in enumerate(zip(pixels, labels, strict=True)):
        (folder / classes[label]).mkdir(parents=True, exist_ok=True)
        (folder / classes[label] / f"{number:03d}.png").write_bytes(png(one))
    return folder


def _run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def _train(home: Path, data_set: str, *more: str) -> list[str]:
    return [
        "train",
        "--space",
        "sss",
        "--archs",
        "0",
        "--dataset",
        data_set,
        "--db",
        str(home),
        "--device",
        "cpu",
        *more,
    ]


def test_pictures_become_a_data_set_with_its_splits_and_their_digests(tmp_path: Path) -> None:
    for seed, part in enumerate(("train", "test")):
        _folders(tmp_path / part, 30 - 12 * seed, seed=seed)
    (tmp_path / "train" / ".trash").mkdir()
    found = own_data("pets", tmp_path)
    of = found.dataset
    assert (of.name, of.short, of.classes, of.image_size) == ("pets", "pets", 3, 16)
    assert {split: one.images for split, one in of.splits.items()} == {
        "train": 30,
        "x-valid": 9,
        "x-test": 9,
        "ori-test": 18,
    }
    assert found.train.labels.tolist() == [0] * 10 + [1] * 10 + [2] * 10
    at = [n for label in range(3) for n in range(label, 30, 3)]
    pixels, _ = made_up_pixels(30, 3, 16, 0)
    assert (found.train.pixels == pixels[at]).all()
    assert of.mean == pytest.approx(pixels.mean(axis=(0, 2, 3)), abs=1e-4)
    assert of.std == pytest.approx(pixels.std(axis=(0, 2, 3)), abs=1e-4)
    assert of.splits["train"].digest == fingerprint(found.train)
    assert of.splits["ori-test"].digest == fingerprint(found.test)
    assert len({split.digest for split in of.splits.values()}) == 4
    assert "pets" in datasets.searched()
    assert to_plain(of_plain(json.loads(json.dumps(to_plain(of))))) == to_plain(of)
    # As it is trained on.
    data = load("pets", tmp_path, own=found)
    valid, rest = halves_by_rule(18)
    assert (data.evals["x-valid"].pixels.numpy() == found.test.pixels[valid]).all()
    assert (data.evals["x-test"].pixels.numpy() == found.test.pixels[rest]).all()
    assert (data.classes, data.padding, data.fingerprint[:9]) == (3, 2, "pictures ")
    assert data.mean.flatten().tolist() == pytest.approx([value / 255 for value in of.mean])


def test_folders_of_classes_alone_are_cut_by_a_rule(tmp_path: Path) -> None:
    found = own_data("pets", _folders(tmp_path, 32))
    assert np.bincount(found.train.labels).tolist() == [9, 9, 8]
    assert np.bincount(found.test.labels).tolist() == [2, 2, 2]
    assert found.kind == "pictures, cut 80 to 20"
    train, test = cut_by_rule([0] * 11 + [1] * 11 + [2] * 10)
    assert sorted(train + test) == list(range(32))
    assert own_data("pets", tmp_path).dataset.splits == found.dataset.splits
    # Each class by itself: what another one has does not move it.
    assert cut_by_rule([0] * 11)[1] == [n for n in test if n < 11]
    assert cut_by_rule([0, 0, 1]) == ([1, 2], [0])
    assert cut_by_rule([0] * 11)[1] == [8, 10]


@pytest.mark.parametrize("form", ["file", "single", "split", "parts", "shards"])
def test_parquet_is_the_same_data_set_in_any_form(form: str, tmp_path: Path) -> None:
    pixels, labels = made_up_pixels(40, 2, 8, 3)
    names = np.array(["ash", "elm"])[labels]
    table = pa.table({"image": [{"bytes": png(one), "path": "x"} for one in pixels], "label": names})
    train, test = cut_by_rule(labels.tolist())
    if form in ("file", "single"):
        pq.write_table(table, tmp_path / "trees.parquet")
    elif form == "split":
        pq.write_table(
            table.append_column("split", pa.array(["test" if n in test else "train" for n in range(40)])),
            tmp_path / "trees.parquet",
        )
    elif form == "parts":
        pq.write_table(table.take(train), tmp_path / "train.parquet")
        pq.write_table(table.take(test), tmp_path / "test.parquet")
    else:
        pq.write_table(table.take(train[:5]), tmp_path / "train-0.parquet")
        pq.write_table(table.take(train[5:]), tmp_path / "train-1.parquet")
        pq.write_table(table.take(test), tmp_path / "test-0.parquet")
    found = own_data("trees", tmp_path / "trees.parquet" if form == "file" else tmp_path)
    assert (found.train.pixels == pixels[train]).all()
    assert (found.test.labels == labels[test]).all()


def test_pictures_of_several_sizes_are_scaled_where_that_is_asked_for(tmp_path: Path) -> None:
    _folders(tmp_path, 30)
    draw = np.random.default_rng(0).integers(0, 255, (70, 40, 3)).astype(np.uint8)
    Image.fromarray(draw).save(tmp_path / "cat" / "000.png")
    with pytest.raises(NatsdbError, match=r"several sizes .*--image-size 32"):
        own_data("pets", tmp_path)
    found = own_data("pets", tmp_path, 8)
    square = Image.fromarray(draw[15:55]).resize((8, 8), Image.Resampling.BILINEAR)
    every = [*found.train.pixels, *found.test.pixels]
    assert any((one == np.asarray(square).transpose(2, 0, 1)).all() for one in every)
    # A mean over all pixels that fall into one, not a few of them.
    means = draw[15:55].reshape(8, 5, 8, 5, 3).mean(axis=(1, 3))
    assert np.abs(np.asarray(square).astype(float) - means)[1:-1, 1:-1].mean() < 12
    # Known once, it has its size.
    assert load("pets", tmp_path).train.pixels.shape[1:] == (3, 8, 8)


def _spoil(name: str, folder: Path) -> None:
    if name == "another picture":
        (folder / "cat" / "new.png").write_bytes((folder / "cat" / "000.png").read_bytes())
    elif name == "a class is renamed":
        (folder / "eel").rename(folder / "ape")
    else:
        (folder / "cat" / "000.png").write_bytes((folder / "dog" / "001.png").read_bytes())


@pytest.mark.parametrize("change", ["another picture", "a class is renamed", "another content"])
def test_a_folder_that_changed_is_refused(change: str, tmp_path: Path) -> None:
    folder = _folders(tmp_path)
    own_data("pets", folder)
    _spoil(change, folder)
    for read in (lambda: own_data("pets", folder), lambda: load("pets", folder)):
        with pytest.raises(
            NatsdbError, match=r"not those that the data set 'pets' had .*another name: --dataset pets-2="
        ):
            read()
    assert own_data("pets-2", folder).dataset.classes == 3


def _broken(case: str, folder: Path) -> Path:
    if case == "train alone":
        return _folders(folder / "train").parent
    if case == "strange class":
        _folders(folder / "train")
        return _folders(folder / "test", classes=("cat", "fox", "eel")).parent
    if case == "empty class":
        (_folders(folder) / "gnu").mkdir()
    elif case == "one class":
        _folders(folder, classes=("cat",))
    elif case == "odd size":
        _folders(folder, height=18)
    elif case == "one test image":
        _folders(folder, 2, classes=("cat", "dog"))
    elif case == "damaged":
        (_folders(folder) / "cat" / "000.png").write_bytes(b"x")
    elif case == "no labels":
        pq.write_table(pa.table({"png": [b"x"]}), folder / "a.parquet")
    return folder


@pytest.mark.parametrize(
    ("case", "said"),
    [
        ("train alone", "it has one of `train` and `test` only"),
        ("strange class", r"test.fox.*no training picture of its class 'fox'"),
        ("empty class", r"gnu: the folder of a class has no pictures"),
        ("one class", "not labelled with two classes"),
        ("odd size", r"have 18×18 pixels; .*--image-size 32"),
        ("one test image", "less than two test images"),
        ("damaged", r"000.png: the picture cannot be read"),
        ("no labels", "no column `label`"),
        ("empty folder", "no folders of classes"),
    ],
)
def test_what_is_no_data_set_is_said_in_a_sentence(case: str, said: str, tmp_path: Path) -> None:
    folder = _broken(case, tmp_path)
    with pytest.raises(NatsdbError, match=said) as error:
        own_data("pets", folder)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "said"),
    [("cifar10", "a data set 'cifar10' already"), ("a/b", "no name of a data set"), ("3d", "no name of a data set")],
)
def test_names_that_cannot_be(name: str, said: str, tmp_path: Path) -> None:
    with pytest.raises(NatsdbError, match=said):
        own_data(name, _folders(tmp_path))


def test_two_classes_have_a_top_5_accuracy_of_100(tmp_path: Path) -> None:
    folder = _folders(tmp_path / "two", 20, 8, classes=("ash", "elm"))
    code, _, err = _run(*_train(tmp_path / "db", f"trees={folder}", "--epochs", "1"))
    assert code == 0, err
    assert set(natsdb.query("select top5 from metric where split = 'train'", tmp_path / "db")["top5"]) == {100.0}


def test_rows_of_a_data_set_and_schedule_of_ones_own(tmp_path: Path) -> None:
    folder, home = _folders(tmp_path / "pets", 40), tmp_path / "db"
    code, out, err = _run(*_train(home, f"pets={folder}", "--epochs", "2", "--keep-weights"))
    assert (code, "1 runs finished" in out) == (0, True), err
    row = natsdb.query("select hp, epochs, dataset, reduced, source from seed", home).row(0)
    assert row == ("2", 2, "pets", False, "regenerated")
    said = natsdb.query("select split, classes, image_size, images, meaning from dataset where dataset = 'pets'", home)
    assert said["images"].sum() == 31 + 2 * 9
    assert all(text.endswith(f"SHA-256 {text[-12:]}") for text in said["meaning"])
    rates = natsdb.query("select epoch, learning_rate from epoch where space = 'sss' and hp = '2' order by 1", home)
    assert rates.rows() == [(0, 0.1), (1, pytest.approx(0.05))]
    flops, params = costs("sss", "pets")
    assert natsdb.query("select flops, params from cost", home).row(0) == (flops[0], params[0])
    best = natsdb.query("select arch, coverage from best('pets', 'x-test', '2', space := 'sss')", home)
    assert best.row(0) == (0, "1 of 32,768")
    told = create(home, "sss", verbose=False).get_more_info(0, "pets", hp="2", is_random=False)
    final = natsdb.query("select accuracy from final where split = 'x-valid'", home).item()
    assert told["valid-accuracy"] == final
    # A process that has never heard of it: the database says what it is, and so does the folder of runs.
    del DATASETS["pets"]
    assert natsdb.query("select count(*) from final", home).item() == 4
    known = DATASETS.pop("pets")
    assert known.classes == 3
    collect(tmp_path / "db-runs", tmp_path / "other")
    assert to_plain(read_manifest(tmp_path / "other").datasets[0]) == to_plain(known)
    # Kept weights on these images give the stored numbers.
    del DATASETS["pets"]
    told = evaluate("sss/0", folder, home, dataset="pets").rows
    assert told["same"].to_list() == [True] * 3
    # The same command again, and one that names the folder as other data sets' are named.
    del DATASETS["pets"]
    assert "0 runs finished, 1 were before" in _run(*_train(home, f"pets={folder}", "--epochs", "2"))[1]
    del DATASETS["pets"]
    more = _train(home, "pets", "--epochs", "2", "--seeds", "888", "--data", str(folder))
    assert "1 runs finished, 0 were before" in _run(*more)[1]
    _spoil("another picture", folder)
    for command in (_train(home, f"pets={folder}", "--epochs", "2"), more):
        DATASETS.pop("pets", None)
        code, _, err = _run(*command)
        assert (code, err.count("\n"), "its images are not those that the data set 'pets' had" in err) == (1, 1, True)


def test_an_archive_of_a_schedule_of_ones_own_comes_back(tmp_path: Path) -> None:
    home = tmp_path / "db"
    assert _run(*_train(home, f"pets={_folders(tmp_path / 'pets', 40)}", "--epochs", "2"))[0] == 0
    rows = "select * exclude (source) from metric order by all"
    for single in (False, True):
        out = export(tmp_path / f"archive-{single}", "sss", home, source="regenerated", single=single)
        back = tmp_path / f"back-{single}"
        ingest([out], back, source="mine")
        assert natsdb.query(rows, back).rows() == natsdb.query(rows, home).rows()
        # The schedule is in the catalogue, as are those of runs that natsdb trains.
        assert len(natsdb.query("select * from epoch where space = 'sss' and hp = '2'", back)) == 2
        assert verify(out, back, name="mine").count == 0
        accuracy = natsdb.query("select accuracy from final where split = 'x-test'", home).item()
        for opened in (create, nats_bench.create):
            api = opened(str(out), "sss", fast_mode=not single, verbose=False)
            assert api.query_by_index(0, "pets", hp="2")[777].get_eval("x-test")["accuracy"] == accuracy


@pytest.mark.skipif(importlib.util.find_spec("ray") is None, reason="Ray is not installed")
def test_a_ray_task_knows_nothing_of_the_data_set_but_what_it_is_given(tmp_path: Path) -> None:
    from natsdb.training.cluster import _work

    own = own_data("pets", _folders(tmp_path / "pets", 40))
    by = Recipe(batch=8)
    data = load("pets", tmp_path, own=own, flip=by.flip, crop=by.crop)
    del DATASETS["pets"]  # as on a node
    settings = settings_of(data, "float32", "eager", None, by)
    runs = tuple(runs_of("sss", [0], "2", ["cifar10"], [777]))
    runs = tuple(replace(run, dataset="pets") for run in runs)
    news = list(_work(runs, data, settings, 2, False, "cpu", 1, "home", {}))
    told = json.loads(next(file for name, file in news[-1].files.items() if name.endswith(".json")))
    assert (told["data_set"], told["provenance"]["recipe"]["batch"]) == (to_plain(own.dataset), 8)


def test_a_run_whose_data_set_is_another_one_is_refused(tmp_path: Path) -> None:
    folder = _folders(tmp_path / "pets", 40)
    assert _run(*_train(tmp_path / "db", f"pets={folder}", "--epochs", "1"))[0] == 0
    path = next((tmp_path / "db-runs").glob("*/*/*.json"))
    run: dict[str, Any] = json.loads(path.read_text())
    run["data_set"]["classes"] = 4
    path.write_text(json.dumps(run))
    code, _, err = _run("collect", str(tmp_path / "db-runs"), "--db", str(tmp_path / "db"))
    assert (code, path.name in err, "'pets' is another one than" in err) == (1, True, True)


def test_a_schedule_beside_epochs_is_still_a_reduced_run(tmp_path: Path) -> None:
    folder, home = _folders(tmp_path / "pets", 40), tmp_path / "db"
    assert _run(*_train(home, f"pets={folder}", "--hp", "12", "--epochs", "1"))[0] == 0
    assert _run(*_train(home, f"pets={folder}", "--hp", "3"))[0] == 0
    assert _run(*_train(home, f"pets={folder}", "--epochs", "3", "--seeds", "888", "--images", "9"))[0] == 0
    rows = natsdb.query("select hp, seed, epochs, reduced from seed order by all", home).rows()
    assert rows == [("12", 777, 1, True), ("3", 777, 3, False), ("3", 888, 3, True)]
    # The full run counts, not the one of fewer images.
    assert set(natsdb.query("select seed from chosen_final where hp = '3'", home)["seed"]) == {777}
    code, _, err = _run(*_train(home, f"pets={folder}"))
    assert (code, "say --hp 12, or --epochs 600" in err) == (1, True)
    code, _, err = _run(*_train(home, f"pets={folder}", "--epochs", "40000"))
    assert (code, "there is no schedule '40000'" in err) == (1, True)
    code, _, err = _run(*_train(home, "cifar10", "--epochs", "1", "--image-size", "32"))
    assert (code, "--image-size is for your own pictures" in err) == (1, True)
