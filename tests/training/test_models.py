"""From a row to a network: kept and fresh weights, files of three kinds, and kept weights on images."""

from __future__ import annotations

import subprocess
import sys
from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'natsdb[training]'")

from typer.testing import CliRunner  # noqa: E402

import archives  # noqa: E402
import natsdb  # noqa: E402
import natsdb.training  # noqa: E402
from natsdb.cli import app  # noqa: E402
from natsdb.evaluating import evaluate  # noqa: E402
from natsdb.ingest import collect, ingest  # noqa: E402
from natsdb.schema.datasets import DATASETS, DataSet  # noqa: E402
from natsdb.schema.encodings import index_of  # noqa: E402
from natsdb.schema.errors import Missing, NatsdbError  # noqa: E402
from natsdb.training.data import load  # noqa: E402
from natsdb.training.models import Model, find_model, save_model  # noqa: E402
from natsdb.training.recipe import evaluate as passed  # noqa: E402
from natsdb.training.recipe import start  # noqa: E402
from natsdb.training.run import train  # noqa: E402
from natsdb.training.run_files import runs_of  # noqa: E402
from pictures import write_parquet  # noqa: E402

# Each operation, no operation at all, no path from input to output; widths that change and that do not.
ALL_OPERATIONS = "|none~0|+|skip_connect~0|nor_conv_1x1~1|+|nor_conv_3x3~0|avg_pool_3x3~1|nor_conv_3x3~2|"
NOTHING = "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|"
NO_PATH = "|nor_conv_3x3~0|+|none~0|none~1|+|none~0|none~1|skip_connect~2|"
FEW = [("tss", ALL_OPERATIONS), ("tss", NOTHING), ("tss", NO_PATH), ("sss", "8:64:24:8:8"), ("sss", "16:16:16:16:16")]


def fresh(space: str, arch: Any, dataset: str = "cifar10") -> Model:
    return find_model(space, int(index_of(space, arch)), dataset, fresh=3)


def outputs(net: Any, images: Any) -> list[Any]:
    with torch.no_grad():
        return list(net(images))


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_parquet(tmp_path_factory.mktemp("images"), 40, 30)


@pytest.fixture(scope="module")
def home(images: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of runs trained here, with their weights. Read only."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("models")
    runs = [*runs_of("sss", [1], "12", ["cifar10-valid"], [777, 888]), *runs_of("sss", [1], "01", ["cifar10"], [777])]
    assert not train(runs, folder / "runs", images, device="cpu", epochs=1, images=16, keep_weights=True).failed
    collect(folder / "runs", folder / "db")
    return folder / "db"


def test_fresh_weights_are_those_that_training_begins_with(images: Path) -> None:
    data = load("cifar10", images)
    torch.manual_seed(5)
    before = torch.get_rng_state()
    net = natsdb.training.model("tss", ALL_OPERATIONS, "cifar10", fresh=777)
    assert torch.equal(torch.get_rng_state(), before)
    begun = start("tss", int(index_of("tss", ALL_OPERATIONS)), 777, data).net
    assert not net.training
    assert list(net.state_dict()) == list(begun.state_dict())
    assert all(torch.equal(mine, theirs) for mine, theirs in zip(net.parameters(), begun.parameters(), strict=True))


@pytest.mark.parametrize(("space", "arch"), FEW)
def test_the_source_is_the_network_and_needs_nothing_of_natsdb(space: str, arch: str, tmp_path: Path) -> None:
    made = fresh(space, arch, "cifar100")
    assert save_model(made, tmp_path / "net.pt") is None
    assert save_model(made, tmp_path / "net.py") is None
    text = (tmp_path / "net.py").read_text()
    assert "natsdb." not in text
    names: dict[str, Any] = {"__name__": "net"}
    exec(compile(text, "net.py", "exec"), names)
    net = names["load"](tmp_path / "net.pt")
    assert list(net.state_dict()) == list(made.net.state_dict())
    for mine, theirs in zip(outputs(net, made.images), outputs(made.net, made.images), strict=True):
        assert torch.equal(mine, theirs)


def test_the_source_runs_where_there_is_no_natsdb(tmp_path: Path) -> None:
    save_model(fresh("tss", ALL_OPERATIONS), tmp_path / "net.py")
    ran = subprocess.run([sys.executable, "-I", "-S", "-c", _ALONE, str(tmp_path / "net.py")], capture_output=True)
    assert ran.stdout.decode().split() == ["(1,", "64)", "(1,", "10)", "587386"], ran.stderr


# Python's own folders and torch's alone.
_ALONE = f"""
import sys
sys.path += [{str(Path(torch.__file__).parents[1])!r}]
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("natsdb", "duckdb", "polars"):
            raise ImportError(name)
sys.meta_path.insert(0, Refuse())
import runpy
runpy.run_path(sys.argv[1], run_name="__main__")
"""


@pytest.mark.parametrize(("space", "arch"), FEW)
def test_onnx_gives_what_torch_gives(space: str, arch: str, tmp_path: Path) -> None:
    onnx, runtime = pytest.importorskip("onnx"), pytest.importorskip("onnxruntime")
    made = fresh(space, arch, "ImageNet16-120")
    error = save_model(made, tmp_path / "net.onnx")
    assert error is not None
    assert error <= 1e-5
    session = runtime.InferenceSession(tmp_path / "net.onnx")
    some = torch.randn(3, 3, 16, 16, generator=torch.Generator().manual_seed(1))
    for mine, theirs in zip(outputs(made.net, some), session.run(None, {"images": some.numpy()}), strict=True):
        torch.testing.assert_close(mine, torch.from_numpy(theirs), rtol=1e-5, atol=1e-5 * float(mine.abs().max()))
    said = {one.key: one.value for one in onnx.load(tmp_path / "net.onnx").metadata_props}
    assert (said["natsdb.arch"], said["natsdb.space"]) == (str(made.arch), f'"{space}"')


@pytest.mark.slow
@pytest.mark.parametrize("space", ["tss", "sss"])
def test_onnx_of_fifty_architectures(space: str, tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    size = {"tss": 15_625, "sss": 32_768}[space]
    for arch in range(0, size, size // 49):
        error = save_model(fresh(space, arch), tmp_path / "net.onnx")
        assert error is not None
        assert error <= 1e-5, arch


def test_an_onnx_file_that_differs_is_not_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnx")
    pytest.importorskip("onnxruntime")
    monkeypatch.setattr("natsdb.training.models.ONNX_TOLERANCE", -1.0)
    with pytest.raises(NatsdbError, match=r"differ from torch's by .*; write \.pt instead"):
        save_model(fresh("sss", 0), tmp_path / "net.onnx")
    assert not list(tmp_path.iterdir())


def test_what_was_trained_here_scores_what_is_stored(home: Path, images: Path) -> None:
    found = evaluate("sss/1", images, home, dataset="cifar10-valid")
    assert found.of == "sss/1 for cifar10-valid, weights of cifar10-valid, hp 12, seed 777 (regenerated)"
    assert found.rows["split"].to_list() == ["ori-test", "x-valid"]
    assert found.rows["images"].to_list() == [16, 16]
    assert found.rows["same"].all()
    assert found.rows["accuracy"].to_list() == found.rows["stored_accuracy"].to_list()
    assert not found.note
    other = evaluate("sss/1", images, home, dataset="cifar10-valid", seed=888)
    assert other.rows["same"].all()
    assert other.rows["loss"].to_list() != found.rows["loss"].to_list()


def test_other_images_are_said(home: Path, images: Path, tmp_path: Path) -> None:
    found = evaluate("sss/1", write_parquet(tmp_path, 44, 33), home, dataset="cifar10-valid")
    assert "it was trained on other images" in found.note
    more = evaluate("sss/1", images, home, dataset="cifar10-valid", images=20)
    assert more.note == "at most 20 images a split"
    assert not more.rows["same"].any()


def test_which_run_is_chosen_and_what_is_said_where_there_is_none(home: Path) -> None:
    assert str(find_model("sss", 1, "cifar10", db=home).kept) == "cifar10, hp 01, seed 777 (regenerated)"
    with pytest.raises(
        Missing, match=r"no weights of sss/1 are kept for cifar10-valid, seed 999; there are those of .*888"
    ):
        find_model("sss", 1, "cifar10-valid", db=home, seed=999)
    with pytest.raises(Missing, match="no weights of tss/5 are kept for cifar10; ingest a full archive with --weights"):
        find_model("tss", 5, "cifar10", db=home)


def test_weights_of_an_official_archive(images: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    state = find_model("sss", 20, "cifar10", fresh=777).net.state_dict()
    arrays = OrderedDict((name, value.numpy()) for name, value in state.items())
    monkeypatch.setattr(archives, "weights_of", lambda *_: arrays)
    # In torch's old form, as the official full archives are.
    archives.write_full_folder(tmp_path / "NATS-sss-full", "sss", [20], ["12"])
    ingest([tmp_path / "NATS-sss-full"], tmp_path / "db", weights=True)
    found = evaluate("sss/20", images, tmp_path / "db")
    net = find_model("sss", 20, "cifar10", fresh=777).net.to(memory_format=torch.channels_last)
    expected = passed(net, load("cifar10", images), "ori-test", "float32")
    assert found.rows.filter(split="ori-test").select("loss", "accuracy").rows() == [(expected.loss, expected.accuracy)]
    assert found.rows["stored_accuracy"].null_count() == 0


def test_the_commands(home: Path, images: Path, tmp_path: Path) -> None:
    def run(*words: str) -> tuple[int, str, str]:
        done = CliRunner().invoke(app, list(words))
        return done.exit_code, done.stdout, done.stderr

    code, out, _ = run("model", "sss/1", "--dataset", "cifar10-valid", "--db", str(home), "-o", str(tmp_path / "a.pt"))
    assert (code, out.splitlines()[-1]) == (0, str(tmp_path / "a.pt"))
    kept = torch.load(tmp_path / "a.pt", weights_only=True)
    assert kept["weights"] == {"source": "regenerated", "hp": "12", "dataset": "cifar10-valid", "seed": 777}
    code, out, _ = run("evaluate", "sss/1", "--dataset", "cifar10-valid", "--data", str(images), "--db", str(home))
    assert code == 0
    assert "True" in out
    for words, said in (
        (
            ["model", "sss/1", "--fresh", "1", "-o", str(tmp_path / "a.doc")],
            "cannot write a .doc; use .pt, .onnx or .py",
        ),
        (["model", "9930"], "'9930' names no space; write tss/9930 or sss/9930"),
        (["model", "tss/9930", "--dataset", "cifar"], "there is no data set 'cifar'; did you mean cifar10?"),
    ):
        code, _, err = run(*words)
        assert code == 1
        assert said in err


def test_a_data_set_whose_images_are_of_no_known_size(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As those that records of others bring: their weights have a network, which nothing can be put through."""
    of = DataSet("gestures", "gestures", 18, None, {}, (0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    monkeypatch.setitem(DATASETS, "gestures", of)
    home, net = ["--dataset", "gestures", "--db", str(tmp_path / "db")], tmp_path / "net"
    for words in (
        ["model", "tss/0", "--fresh", "1", "-o", f"{net}.py"],
        ["model", "tss/0", "--fresh", "1", "-o", f"{net}.onnx"],
        ["measure", "tss/0"],
    ):
        done = CliRunner().invoke(app, [*words, *home])
        assert done.exit_code == 1, words
        assert done.stderr.startswith("natsdb: the size of the images of gestures is not known; "), done.stderr
        assert done.stderr.count("\n") == 1
    assert not list(tmp_path.iterdir())
    done = CliRunner().invoke(app, ["model", "tss/0", "--fresh", "1", "-o", f"{net}.pt", *home])
    assert done.exit_code == 0
    assert "multiply-adds" not in done.stdout
    assert torch.load(f"{net}.pt", weights_only=True)["classes"] == 18
