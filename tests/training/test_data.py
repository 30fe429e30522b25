"""Data sets from disk, their splits, and what happens to a batch."""

from __future__ import annotations

import base64
import hashlib
import json
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'natsdb[training]'")

from torchvision.datasets import CIFAR10, CIFAR100  # noqa: E402
from torchvision.transforms import v2  # noqa: E402

from natsdb.schema.errors import NatsdbError  # noqa: E402
from natsdb.training import images as disk  # noqa: E402
from natsdb.training.data import augmented, draws, eval_batches, load, normalized, train_batches  # noqa: E402
from natsdb.training.splits import halves_by_rule, halves_of_test, some  # noqa: E402
from pictures import made_up_pixels, png, write_parquet  # noqa: E402


def test_the_split_of_cifar10_is_the_official_one() -> None:
    train, valid = halves_by_rule(50_000)
    assert sorted([*train, *valid]) == list(range(50_000))
    assert hashlib.sha256(repr((train, valid)).encode()).hexdigest() == (
        "782f62934c7aaf206ce6759f8ed21e9220250cf29ed03d08466f7f986c2ae8e3"
    )


@pytest.mark.parametrize(
    ("dataset", "images", "sums"),
    [("cifar100", 10_000, (25_109_591, 24_885_409)), ("ImageNet16-120", 6_000, (9_093_224, 8_903_776))],
)
def test_halves_of_the_test_sets_are_the_official_ones(dataset: str, images: int, sums: tuple[int, int]) -> None:
    valid, test = halves_of_test(dataset, images)
    assert (sum(valid), sum(test)) == sums
    assert sorted([*valid, *test]) == list(range(images))
    assert len(valid) == len(test)


def test_embedded_splits_equal_the_data_files(test_data: Path) -> None:
    for dataset in ("cifar100", "ImageNet16-120"):
        told = json.loads((test_data / "splits" / f"{dataset}-test.json").read_text())
        mask = base64.b64decode(told["x_valid_base64"])
        valid, _ = halves_of_test(dataset, told["images"])
        assert valid == [id for id in range(told["images"]) if mask[id // 8] >> (7 - id % 8) & 1]


def test_some_images_are_drawn_once_and_for_all() -> None:
    assert some(range(100), 5) == some(range(100), 5) == sorted(set(some(range(100), 5)))
    assert some([4, 2], 7) == [4, 2]


def test_the_real_pictures_load_with_the_official_split(test_data: Path) -> None:
    data = load("cifar10-valid", test_data / "images")
    assert (len(data.train), len(data.evals["x-valid"]), len(data.evals["ori-test"])) == (25_000, 25_000, 10_000)
    assert data.train.pixels.dtype == torch.uint8
    half, valid = halves_by_rule(50_000)
    # The file is sorted by class, 5,000 each.
    assert data.train.labels.tolist() == [id // 5000 for id in half]
    assert data.evals["x-valid"].labels.tolist() == [id // 5000 for id in valid]
    means = torch.cat([data.train.pixels, data.evals["x-valid"].pixels]).float().mean((0, 2, 3))
    # Means of CIFAR-10 as the recipe has them; the pictures are its JPEGs.
    assert (means / 255 - data.mean.flatten()).abs().max() < 0.002


def test_fewer_images_are_the_same_ones_of_the_same_data_set(tmp_path: Path) -> None:
    whole = load("cifar10-valid", write_parquet(tmp_path, 60, 20))
    few = load("cifar10-valid", tmp_path, images=12)
    assert (len(few.train), len(few.evals["x-valid"]), few.fingerprint) == (12, 12, whole.fingerprint)
    every = [image.tobytes() for image in whole.train.pixels.numpy()]
    assert all(image.tobytes() in every for image in few.train.pixels.numpy())


def test_flips_crops_and_normalization_equal_torchvision(tmp_path: Path) -> None:
    data = load("cifar10", write_parquet(tmp_path, 40, 10))
    pixels = data.train.pixels
    drawn = draws(5, 2, 40, 4)
    mine = normalized(augmented(pixels, drawn.flip, drawn.shift, 4), data)
    normalize = v2.Normalize([125.3 / 255, 123.0 / 255, 113.9 / 255], [63.0 / 255, 62.1 / 255, 66.7 / 255])
    for number, (flip, (top, left)) in enumerate(zip(drawn.flip.tolist(), drawn.shift.tolist(), strict=True)):
        image = pixels[number].flip(-1) if flip else pixels[number]
        image = v2.functional.crop(v2.functional.pad(image, [4]), top, left, 32, 32)
        assert torch.equal(mine[number], normalize(image.float().div(255)))
    assert len(set(drawn.flip.tolist())) == 2


def test_draws_are_uniform_and_depend_on_seed_and_epoch() -> None:
    drawn = draws(777, 0, 20_000, 4)
    assert sorted(drawn.order.tolist()) == list(range(20_000))
    assert drawn.flip.float().mean().item() == pytest.approx(0.5, abs=0.02)
    counts = torch.bincount(drawn.shift[:, 0] * 9 + drawn.shift[:, 1], minlength=81)
    assert (counts.min().item(), counts.max().item()) == pytest.approx((247, 247), abs=70)
    again = draws(777, 0, 20_000, 4)
    assert torch.equal(drawn.order, again.order)
    assert torch.equal(drawn.shift, again.shift)
    for other in (draws(777, 1, 20_000, 4), draws(778, 0, 20_000, 4)):
        assert not torch.equal(drawn.order, other.order)


def test_batches_hold_every_image_once(tmp_path: Path) -> None:
    data = load("cifar100", write_parquet(tmp_path, 300, 200, classes=100), images=None)
    labels = torch.cat([labels for _, labels in train_batches(data, 777, 0, 128)])
    assert sorted(labels.tolist()) == sorted(data.train.labels.tolist())
    assert not torch.equal(labels, data.train.labels)
    sizes = [len(labels) for _, labels in eval_batches(data, "x-test", 64)]
    assert sizes == [64, 36]
    first, _ = next(eval_batches(data, "x-valid", 64))
    assert torch.equal(first, normalized(data.evals["x-valid"].pixels[:64], data))


def test_one_parquet_file_with_a_column_of_splits_is_both_parts(tmp_path: Path) -> None:
    two = load("cifar10", write_parquet(tmp_path / "two", 30, 20))
    parts = [pq.read_table(tmp_path / "two" / f"{part}.parquet") for part in ("train", "test")]
    parts = [of.append_column("split", [[part] * len(of)]) for of, part in zip(parts, ("train", "test"), strict=True)]
    (tmp_path / "one").mkdir()
    # Rows of the parts take turns: a part's are in the file's order.
    turns = pa.concat_tables(parts).take(
        [*(row for pair in zip(range(20), range(30, 50), strict=True) for row in pair), *range(20, 30)]
    )
    pq.write_table(turns, tmp_path / "one" / "train-and-test.parquet")
    one = load("cifar10", tmp_path / "one")
    assert (len(one.train), len(one.evals["ori-test"]), one.fingerprint) == (30, 20, two.fingerprint)


def test_a_folder_of_pictures_is_a_data_set(tmp_path: Path) -> None:
    for part, count in (("train", 20), ("test", 10)):
        pixels, labels = made_up_pixels(count, 10, 32, 1)
        for number, (one, label) in enumerate(zip(pixels, labels, strict=True)):
            path = tmp_path / part / f"class-{label}" / f"{number:03d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(png(one))
    data = load("cifar10", tmp_path)
    assert data.train.labels.tolist() == [label for label in range(10) for _ in range(2)]
    expected, _ = made_up_pixels(20, 10, 32, 1)
    assert np.array_equal(data.train.pixels[1].numpy(), expected[10])


def _cifar(folder: Path, kind: Any, monkeypatch: pytest.MonkeyPatch) -> tuple[np.ndarray, np.ndarray]:
    """A CIFAR of few images in the official files, whose MD5s torchvision is told; returns the training images."""
    base = folder / kind.base_folder
    base.mkdir(parents=True)
    ten = kind.__name__ == "CIFAR10"
    made = []

    def write(name: str, value: Any) -> str:
        (base / name).write_bytes(pickle.dumps(value, protocol=2))
        return hashlib.md5((base / name).read_bytes()).hexdigest()

    for which in ("train_list", "test_list"):
        told = []
        for number, (name, _) in enumerate(getattr(kind, which)):
            pixels, labels = made_up_pixels(20 if ten else 100, 10 if ten else 100, 32, number)
            made.append((pixels, labels))
            key = "labels" if ten else "fine_labels"
            told.append([name, write(name, {"data": pixels.reshape(len(pixels), -1), key: labels.tolist()})])
        monkeypatch.setattr(kind, which, told)
    key = kind.meta["key"]
    md5 = write(kind.meta["filename"], {key: [str(n) for n in range(10 if ten else 100)]})
    monkeypatch.setattr(kind, "meta", {**kind.meta, "md5": md5})
    parts = made[:-1]
    return np.concatenate([pixels for pixels, _ in parts]), np.concatenate([labels for _, labels in parts])


@pytest.mark.parametrize("kind", [CIFAR10, CIFAR100])
def test_official_cifar_files_are_read_and_checked(kind: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = kind.__name__.lower()
    with pytest.raises(NatsdbError, match=r"is not here or damaged .* or fetch it with --download"):
        load(dataset, tmp_path)
    pixels, labels = _cifar(tmp_path, kind, monkeypatch)
    data = load(dataset, tmp_path)
    assert np.array_equal(data.train.pixels.numpy(), pixels)
    assert data.train.labels.tolist() == labels.tolist()
    assert data.fingerprint.startswith("torchvision ")
    damaged = next((tmp_path / kind.base_folder).glob("*batch_3" if dataset == "cifar10" else "train"))
    raw = bytearray(damaged.read_bytes())
    raw[len(raw) // 2] ^= 1
    damaged.write_bytes(raw)
    with pytest.raises(NatsdbError, match="is not here or damaged"):
        load(dataset, tmp_path)


def _write_imagenet16(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Batches of the official sizes as far as the first 120 classes go, with two more images of other classes each."""
    made = {}
    for name in (*disk.IMAGENET16_TRAIN, *disk.IMAGENET16_TEST):
        count = 15_170 if name.startswith("train") else 6_000
        labels = [121, *(1 + n % 120 for n in range(count)), 1000]
        data = np.zeros((count + 2, 768), np.uint8)
        data[:, 0] = np.arange(count + 2) % 251
        (folder / name).write_bytes(pickle.dumps({"data": data, "labels": labels, "mean": np.zeros(768)}, protocol=2))
        made[name] = hashlib.md5((folder / name).read_bytes()).hexdigest()
    monkeypatch.setattr(disk, "IMAGENET16_TRAIN", {name: made[name] for name in disk.IMAGENET16_TRAIN})
    monkeypatch.setattr(disk, "IMAGENET16_TEST", {"val_data": made["val_data"]})


def test_imagenet16_batches_are_read_and_checked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(NatsdbError, match="train_data_batch_1: the batch of ImageNet16-120 is not here"):
        load("ImageNet16-120", tmp_path)
    _write_imagenet16(tmp_path, monkeypatch)
    data = load("ImageNet16-120", tmp_path, images=2_000)
    assert {split: len(of) for split, of in data.evals.items()} == {"ori-test": 2000, "x-valid": 2000, "x-test": 2000}
    assert data.padding == 2
    chosen = some(range(151_700), 2_000)
    assert data.train.labels.tolist() == [id % 15_170 % 120 for id in chosen]
    assert data.train.pixels[:, 0, 0, 0].tolist() == [(id % 15_170 + 1) % 251 for id in chosen]
    last = tmp_path / "train_data_batch_10"
    last.write_bytes(last.read_bytes()[:-1] + b"!")
    with pytest.raises(NatsdbError, match="train_data_batch_10: its MD5 is"):
        load("ImageNet16-120", tmp_path)


class _Command:
    def __reduce__(self) -> Any:
        return os.system, ("true",)


@pytest.mark.parametrize(
    "batch",
    [
        {"data": _Command(), "labels": [1]},
        {"data": np.zeros((1, 768), np.float64), "labels": [1]},
        {"data": np.zeros((1, 5), np.uint8), "labels": [1]},
        {"labels": [1]},
        [1],
    ],
)
def test_a_hostile_or_damaged_batch_is_refused(batch: Any) -> None:
    for raw in (pickle.dumps(batch, protocol=2), pickle.dumps(batch, protocol=2)[:-5]):
        with pytest.raises(NatsdbError, match="no batch of ImageNet16"):
            disk.read_batch(raw, "somewhere")


def test_a_batch_written_by_python_2_is_read() -> None:
    pixels = np.arange(768, dtype=np.uint8).reshape(1, 768)
    # Python 2 writes str as raw bytes (opcode U or T), which latin1 maps one to one.
    state = pickle.dumps({"labels": [7]}, protocol=2)[:-1]  # leaves the dictionary on the stack
    raw = (
        state
        + b"U\x04datacnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\nK\x00\x85U\x01btR"
        + b"(K\x01K\x01M\x00\x03\x86cnumpy\ndtype\nU\x02u1K\x00K\x01\x87R"
        + b"(K\x03U\x01|NNNJ\xff\xff\xff\xffJ\xff\xff\xff\xffK\x00tb"
        + b"\x89T\x00\x03\x00\x00"
        + pixels.tobytes()
        + b"tbs."
    )
    batch = disk.read_batch(raw, "somewhere")
    assert np.array_equal(batch.pixels.reshape(1, 768), pixels)
    assert batch.labels.tolist() == [7]


def test_another_data_set_is_one_sentence(tmp_path: Path) -> None:
    write_parquet(tmp_path, 20, 10)
    with pytest.raises(NatsdbError, match="labels go from 0 to 9, cifar100 has 100 classes"):
        load("cifar100", tmp_path)
    with pytest.raises(NatsdbError, match="its images have 32×32 pixels, ImageNet16-120 has 16×16"):
        load("ImageNet16-120", tmp_path)
    with pytest.raises(NatsdbError, match="there is no data set 'mnist'; there are cifar10-valid, "):
        load("mnist", tmp_path)
    (tmp_path / "train-2.parquet").write_bytes(b"")
    with pytest.raises(NatsdbError, match="several Parquet files"):
        load("cifar10", tmp_path)


def test_damaged_pictures_are_named(tmp_path: Path) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    write_parquet(tmp_path, 20, 10)
    table = pq.read_table(tmp_path / "train.parquet")
    pictures = table["png"].to_pylist()
    pictures[3] = pictures[3][:20]
    pq.write_table(pa.table({"png": pictures, "label": table["label"]}), tmp_path / "train.parquet")
    with pytest.raises(NatsdbError, match=r"train\.parquet, row 3: the picture cannot be read"):
        load("cifar10", tmp_path)
    (tmp_path / "train.parquet").write_bytes(b"PAR1")
    with pytest.raises(NatsdbError, match="the Parquet file cannot be read"):
        load("cifar10", tmp_path)
