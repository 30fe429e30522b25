"""`natsdb train`: rows in the database; kills, failures and other settings."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import nats_bench
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'natsdb[training]'")

from safetensors.numpy import load_file  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

import natsdb  # noqa: E402
import natsdb.api  # noqa: E402
from databases import weights_path  # noqa: E402
from natsdb.cli import app  # noqa: E402
from natsdb.ingest import collect  # noqa: E402
from natsdb.schema.costs import costs  # noqa: E402
from natsdb.schema.errors import NatsdbError  # noqa: E402
from natsdb.training import recipe  # noqa: E402
from natsdb.training.data import load  # noqa: E402
from natsdb.training.networks import network  # noqa: E402
from natsdb.training.run import train  # noqa: E402
from natsdb.training.run_files import runs_of  # noqa: E402
from pictures import write_parquet  # noqa: E402

COMMAND = [sys.executable, "-c", "from natsdb.cli import app; app()"]


def _train(home: Path, pictures: Path, *more: str) -> list[str]:
    where = ["--data", str(pictures), "--db", str(home), "--device", "cpu"]
    return ["train", "--space", "sss", "--archs", "0,3", "--hp", "12", "--dataset", "cifar10-valid", *where, *more]


def _run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


@pytest.mark.parametrize("wrong", [{"epochs": 0}, {"epochs": 32768}, {"images": 0}])
def test_a_run_has_images_and_as_many_epochs_as_a_table_can_tell(tmp_path: Path, wrong: dict[str, Any]) -> None:
    runs = runs_of("sss", [0], "12", ["cifar10-valid"], [777])
    with pytest.raises(NatsdbError, match=r"an image at least and 1 to 32,767 epochs; leave --images and --epochs out"):
        train(runs, tmp_path / "runs", tmp_path, device="cpu", **wrong)


def test_rows_arrive_with_their_provenance(pictures: Path, tmp_path: Path) -> None:
    code, out, err = _run(*_train(tmp_path / "db", pictures, "--seeds", "777,888", "--epochs", "2", "--keep-weights"))
    assert code == 0
    assert "4 runs finished, 0 were before" in out
    assert err.count("\n") == 8  # a line an epoch
    assert "run 2 of 4: sss 0, hp 12, cifar10-valid, seed 888: epoch 2 of 2: train" in err
    assert err.rstrip().endswith("0:00:00 left")
    metric = natsdb.query("select * from metric order by all", tmp_path / "db")
    assert len(metric) == 2 * 2 * 2 * 3  # architectures, seeds, epochs, splits
    assert set(metric["source"]) == {"regenerated"}
    assert metric["top5"].null_count() == 16  # only of training, as in the official files
    assert metric["accuracy"].is_between(0, 100).all()
    seed = natsdb.query("select * from seed order by all", tmp_path / "db")
    told = json.loads(seed["code"][0])
    assert told["torch"] == torch.__version__
    assert (told["precision"], told["epochs"], told["images"]) == ("float32", 2, None)
    assert told["data"].startswith("parquet ")
    assert len(told["training"]) == 12
    assert seed["device"][0].startswith("cpu (")
    cost = natsdb.query("select * from cost order by all", tmp_path / "db")
    flops, params = costs("sss", "cifar10-valid")
    assert cost["flops"].to_list() == [flops[0], flops[0], flops[3], flops[3]]
    assert cost["params"].to_list() == [params[0], params[0], params[3], params[3]]
    assert (cost["train_seconds"] > 0).all()
    assert cost["seconds"].null_count() == 4
    # The weights are those of the measured network.
    kept = load_file(weights_path(tmp_path / "db", "regenerated", "sss", 3))
    net = network("sss", 3, 10)
    prefix = "12/cifar10-valid/888/"
    state = {name.removeprefix(prefix): torch.from_numpy(v) for name, v in kept.items() if name.startswith(prefix)}
    net.load_state_dict(state, strict=True)
    data = load("cifar10-valid", pictures)
    again = recipe.evaluate(net, data, "x-valid", "float32")
    last = metric.filter(arch=3, seed=888, split="x-valid", epoch=1).row(0, named=True)
    assert (again.loss, again.accuracy) == (last["loss"], last["accuracy"])
    code, out, _ = _run(*_train(tmp_path / "db", pictures, "--seeds", "777,888", "--epochs", "2"))
    assert (code, "0 runs finished, 4 were before" in out, "(no change)" in out) == (0, True, True)


def _numbers(home: Path) -> list[object]:
    """All rows that training decides: measurements, costs but for the seconds, and weights."""
    tables = ("select * from metric order by all", "select * from final order by all")
    costs = "select source, space, hp, arch, dataset, seed, flops, params from cost order by all"
    rows = [natsdb.query(statement, home).rows() for statement in (*tables, costs)]
    files = sorted((home / "weights").rglob("*.safetensors"))
    return [*rows, [file.read_bytes() for file in files]]


def _killed(command: list[str], runs: Path, wait: float, until: int) -> int:
    """Start a command, kill it so many seconds after it has made `until` checkpoints; its return code."""
    # As many threads as this process has: with others a run begins again.
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    pipes: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.PIPE, "text": True, "env": environment}
    process = subprocess.Popen([*COMMAND, *command], **pipes)
    assert process.stderr is not None
    seen = 0
    while seen < until and process.stderr.readline():
        seen += 1  # it says so after each epoch
    time.sleep(wait)
    process.kill()
    process.stderr.close()
    return process.wait()


@pytest.mark.slow
def test_killed_and_started_again_it_gives_the_same_rows(pictures: Path, tmp_path: Path) -> None:
    command = _train(tmp_path / "killed", pictures, "--keep-weights", "--archs", "3")
    assert _killed(command, tmp_path / "killed-runs", 0.03, until=3) == -9
    assert not (tmp_path / "killed" / "natsdb.json").exists()
    assert len(list((tmp_path / "killed-runs").glob("sss/12/*.checkpoint"))) == 1
    code, _, err = _run(*command)
    assert code == 0
    assert 4 < err.count("\n") < 10  # it did not begin again
    assert _run(*_train(tmp_path / "whole", pictures, "--keep-weights", "--archs", "3"))[0] == 0
    assert _numbers(tmp_path / "killed") == _numbers(tmp_path / "whole")
    assert sorted(path.suffix for path in (tmp_path / "killed-runs").rglob("*.*")) == [".json", ".npz"]


@pytest.mark.parametrize(("space", "arch"), [("sss", 3), pytest.param("tss", 1462, marks=pytest.mark.slow)])
def test_rows_of_a_killed_and_resumed_run_are_the_same_in_sql_the_facade_and_the_official_package(
    space: str, arch: int, pictures: Path, tmp_path: Path
) -> None:
    home, runs = tmp_path / "db", tmp_path / "db-runs"
    which = ("--space", space, "--archs", str(arch), "--dataset", "cifar10-valid,cifar10", "--seeds", "777,888")
    command = _train(home, pictures, *which, "--epochs", "3")
    assert _killed(command, runs, 0.0, until=2) == -9
    assert _run(*command)[0] == 0
    assert _run("collect", str(runs), "--db", str(home))[0] == 0
    out = tmp_path / "official"
    assert _run("export", "--space", space, "--source", "regenerated", "--db", str(home), str(out))[0] == 0
    official = nats_bench.create(str(out), space, fast_mode=True, verbose=False)
    facade = natsdb.api.create(str(home), space, verbose=False)
    files = sorted(runs.rglob("*.json"))
    assert len(files) == 4
    for path in files:
        run = json.loads(path.read_text())
        dataset, seed = run["dataset"], run["seed"]
        split = "x-valid" if dataset == "cifar10-valid" else "ori-test"
        expected = list(zip(run["measured"][split]["accuracy"], run["measured"][split]["loss"], strict=True))
        where = f"dataset = '{dataset}' and seed = {seed} and split = '{split}'"
        ask = f"select accuracy, loss from metric where {where} order by epoch"
        code, told, _ = _run("sql", ask, "--db", str(home), "--format", "csv")
        assert (code, told.splitlines()[1:]) == (0, [f"{accuracy},{loss}" for accuracy, loss in expected])
        for api in (facade, official):
            found = api.query_by_index(arch, dataset, hp="12")[seed]
            evals = [found.get_eval(split, epoch) for epoch in range(3)]
            assert [(one["accuracy"], one["loss"]) for one in evals] == expected
            more = api.get_more_info(arch, dataset, hp="12", is_random=seed)
            assert more["valid-accuracy" if split == "x-valid" else "test-accuracy"] == expected[-1][0]


@pytest.mark.slow
def test_killed_ten_times_at_random_it_gives_the_same_rows(pictures: Path, tmp_path: Path) -> None:
    draw = random.Random(10)
    more = ("--keep-weights", "--seeds", "777,888", "--archs", "0,3,5")
    kills = 0
    for _ in range(10):
        command = _train(tmp_path / "killed", pictures, *more)
        kills += _killed(command, tmp_path / "killed-runs", draw.uniform(0, 0.15), draw.randrange(1, 12)) == -9
    assert kills >= 5
    assert _run(*_train(tmp_path / "killed", pictures, *more))[0] == 0
    assert _run(*_train(tmp_path / "whole", pictures, *more))[0] == 0
    assert _numbers(tmp_path / "killed") == _numbers(tmp_path / "whole")


def test_other_settings_are_refused(pictures: Path, tmp_path: Path) -> None:
    assert _run(*_train(tmp_path / "db", pictures, "--epochs", "1"))[0] == 0
    code, _, err = _run(*_train(tmp_path / "db", pictures, "--epochs", "2"))
    assert (code, err.count("\n")) == (1, 1)
    assert "was trained with epochs 1, not 2; name another folder with --runs" in err
    code, _, err = _run(*_train(tmp_path / "db", pictures, "--epochs", "1", "--images", "7"))
    assert "was trained with images None, not 7" in err


def test_a_checkpoint_of_other_settings_is_not_taken_up(pictures: Path, tmp_path: Path) -> None:
    runs = runs_of("sss", [0], "12", ["cifar10"], [777])

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    for images in (30, 40):
        with pytest.raises(KeyboardInterrupt):
            train(runs, tmp_path / "runs", pictures, device="cpu", epochs=3, images=images, progress=stop)
    assert len(list((tmp_path / "runs").rglob("*.checkpoint"))) == 2
    epochs = []
    train(
        runs, tmp_path / "runs", pictures, device="cpu", epochs=3, images=40, progress=lambda p: epochs.append(p.epoch)
    )
    assert epochs == [1, 2]
    assert [path.suffix for path in (tmp_path / "runs").rglob("*.*")] == [".json"]


def test_a_run_that_fails_is_noted_and_the_others_go_on(pictures: Path, tmp_path: Path) -> None:
    command = _train(tmp_path / "db", pictures, "--epochs", "2")
    runs = runs_of("sss", [0], "12", ["cifar10-valid"], [777])

    def stop(_: object) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(runs, tmp_path / "db-runs", pictures, device="cpu", epochs=2, progress=stop)
    (checkpoint,) = (tmp_path / "db-runs").rglob("*.checkpoint")
    checkpoint.write_bytes(checkpoint.read_bytes()[:1000])
    code, out, err = _run(*command)
    assert code == 1
    assert "1 runs finished" in out
    assert "1 runs failed" in err
    note = json.loads((checkpoint.parent / "000000-cifar10-valid-777.failed.json").read_text())
    assert "the checkpoint is damaged; remove it to start over" in note["reason"]
    assert natsdb.query("select distinct arch from seed", tmp_path / "db")["arch"].to_list() == [3]
    code, _, err = _run("collect", str(tmp_path / "db-runs"), "--db", str(tmp_path / "db"))
    assert (code, "1 runs failed" in err) == (1, True)
    checkpoint.unlink()
    assert _run(*command)[0] == 0
    assert not list((tmp_path / "db-runs").rglob("*.failed.json"))
    assert natsdb.query("select count(distinct arch) from seed", tmp_path / "db").item() == 2


def test_divergence_is_a_failure_with_its_epoch(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "schedule", lambda epoch, epochs: 0.1 if epoch == 0 else 1e25)
    runs = runs_of("sss", [0], "12", ["cifar10"], [777])
    report = train(runs, tmp_path, pictures, device="cpu", epochs=3)
    assert (report.finished, len(report.failed)) == (0, 1)
    assert report.failed[0][1].startswith(("diverged: the train loss of epoch 1 is", "diverged: the ori-test loss"))
    with pytest.raises(NatsdbError, match="no finished run in it; the first of 1 that failed: diverged"):
        collect(tmp_path, tmp_path / "db")


_OUT_OF_MEMORY = """
import resource, sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from natsdb.training.data import load  # noqa: E402
from natsdb.training.run_files import runs_of
from natsdb.training.run import train

pictures, folder = map(Path, sys.argv[1:])
def limit(_):
    held = int(Path("/proc/self/statm").read_text().split()[0]) * 4096
    resource.setrlimit(resource.RLIMIT_AS, (held + 300_000_000, -1))
report = train(runs_of("sss", [0, 32767, 1], "01", ["cifar10"], [777]), folder, pictures, device="cpu", progress=limit)
print(report.finished, len(report.failed), report.failed[0][0].arch, report.failed[0][1], sep="|")
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits a process's memory by Linux's means")
def test_out_of_memory_is_a_failure_and_the_others_go_on(tmp_path: Path) -> None:
    pictures = write_parquet(tmp_path / "pictures", 256, 20)
    command = [sys.executable, "-c", _OUT_OF_MEMORY, str(pictures), str(tmp_path / "runs")]
    out = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    finished, failed, arch, reason = out.strip().split("|", 3)
    assert (finished, failed, arch) == ("2", "1", "32767")
    assert reason.startswith("out of memory: ")


def test_wrong_options_are_one_sentence(pictures: Path, tmp_path: Path) -> None:
    for option, value, message in (
        ("--space", "nas", "there is no space 'nas'"),
        ("--archs", "3-x", "'3-x' is no index or range; write architectures as in 0-99,1462"),
        ("--hp", "1", "there is no schedule '1'; did you mean 01? there are 01, 12, 90, 200"),
        ("--dataset", "mnist", "there is no data set 'mnist'"),
        ("--seeds", "a", "'a' are no seeds"),
        ("--device", "abacus", "there is no device 'abacus'"),
        ("--precision", "float8", "there is no precision 'float8'; did you mean float32? there are float32, "),
        ("--data", str(tmp_path / "none"), "is not here or damaged"),
    ):
        code, _, err = _run(*_train(tmp_path / "db", pictures, option, value))
        assert (code, err.count("\n"), message in err) == (1, 1, True), err
    assert not (tmp_path / "db").exists()


def test_training_imports_neither_duckdb_nor_polars() -> None:
    names = "sys.modules & {'duckdb', 'polars', 'typer', 'rich', 'platformdirs', 'safetensors', 'ray'}"
    script = f"import sys, natsdb.training.run; print(*{names.replace('sys.modules', 'sys.modules.keys()')})"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == ""
