"""`natsdb train --ray`: rows of a cluster are those of the same runs alone; lost nodes, kills and failures."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'natsdb[training]'")
ray = pytest.importorskip("ray", reason="ray is not installed: pip install 'natsdb[ray]'")

import psutil  # noqa: E402
from ray.cluster_utils import Cluster  # noqa: E402
from typer.testing import CliRunner  # noqa: E402

import natsdb  # noqa: E402
from natsdb.cli import app  # noqa: E402
from natsdb.schema.errors import NatsdbError  # noqa: E402
from natsdb.training.cluster import train_on_cluster  # noqa: E402
from natsdb.training.run import Progress, train  # noqa: E402
from natsdb.training.run_files import TrainingRun, runs_of  # noqa: E402

COMMAND = [sys.executable, "-c", "from natsdb.cli import app; app()"]
# A node process of one CPU. 80 MB are about the least that Ray's object store accepts.
NODE: dict[str, Any] = {
    "num_cpus": 1,
    "node_ip_address": "127.0.0.1",
    "object_store_memory": 80_000_000,
    "include_dashboard": False,
}


@pytest.fixture(scope="module")
def cluster() -> Iterator[Cluster]:
    """One node process; a test adds another."""
    # That a node is gone is noticed in two seconds, not in fifteen.
    often = {"health_check_period_ms": 500, "health_check_failure_threshold": 4}
    started = Cluster(initialize_head=True, head_node_args={**NODE, "_system_config": often})
    yield started
    started.shutdown()


def _run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def _train(home: Path, pictures: Path, *more: str) -> list[str]:
    runs = ["--space", "sss", "--archs", "0,3", "--hp", "12", "--dataset", "cifar10-valid", "--epochs", "3"]
    return ["train", *runs, "--data", str(pictures), "--db", str(home), *more]


def _files(folder: Path) -> dict[str, Any]:
    """All files of runs by name: finished runs without their seconds, provenance and all; bytes of others."""
    files: dict[str, Any] = {}
    for path in folder.rglob("*.*"):
        files[path.name] = path.read_bytes()
        if path.suffix == ".json":
            files[path.name] = json.loads(files[path.name])
            for measured in files[path.name].get("measured", {}).values():
                assert all(seconds > 0 for seconds in measured.pop("seconds"))
    return files


def _begun(runs: list[TrainingRun], folder: Path, pictures: Path) -> Path:
    """The checkpoint of one run that `train` left after the first of 3 epochs."""

    def stop(_: Progress) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        train(runs, folder, pictures, device="cpu", epochs=3, progress=stop)
    (checkpoint,) = runs[0].path(folder, "").parent.glob(f"{runs[0].path(folder, '').name}.*")
    return checkpoint


def test_rows_of_a_cluster_are_those_of_the_runs_alone_and_failures_are_noted(
    cluster: Cluster, pictures: Path, tmp_path: Path
) -> None:
    alone, spread, runs = tmp_path / "alone", tmp_path / "spread", tmp_path / "spread-runs"
    more = ("--seeds", "777,888", "--keep-weights")
    assert _run(*_train(alone, pictures, *more, "--device", "cpu"))[0] == 0
    # Of four runs, one goes on from a checkpoint of `train`, one diverges, one finds a damaged checkpoint.
    _begun(runs_of("sss", [0], "12", ["cifar10-valid"], [777]), runs, pictures)
    diverging = _begun(runs_of("sss", [0], "12", ["cifar10-valid"], [888]), runs, pictures)
    state = torch.load(diverging, weights_only=True)
    next(iter(state["network"].values())).fill_(float("nan"))
    torch.save(state, diverging)
    damaged = _begun(runs_of("sss", [3], "12", ["cifar10-valid"], [777]), runs, pictures)
    damaged.write_bytes(damaged.read_bytes()[:1000])
    code, out, err = _run(*_train(spread, pictures, *more, "--ray", cluster.address))
    assert code == 1
    assert "2 runs finished, 0 were before" in out
    assert "2 runs failed" in err
    told = [line for line in err.splitlines() if line.startswith("run ")]
    assert len(told) == 2 + 3
    assert told[0].startswith("run 1 of 4: sss 0, hp 12, cifar10-valid, seed 777: epoch 2 of 3: train")
    assert told[-1].endswith("0:00:00 left")
    reasons = {}
    for checkpoint in (diverging, damaged):
        note = json.loads((runs / "sss" / "12" / f"{checkpoint.name.split('.')[0]}.failed.json").read_text())
        reasons[checkpoint] = note["reason"]
        assert note["provenance"]["device"].endswith("1 threads)")
    assert reasons[diverging] == "diverged: the train loss of epoch 1 is nan"
    assert reasons[damaged] == f"{damaged}: the checkpoint is damaged; remove it to start over"
    diverging.unlink()
    damaged.unlink()
    code, out, _ = _run(*_train(spread, pictures, *more, "--ray", cluster.address))
    assert (code, "2 runs finished, 2 were before" in out) == (0, True)
    assert _files(runs) == _files(tmp_path / "alone-runs")
    query = "select * from metric order by all"
    assert natsdb.query(query, spread).equals(natsdb.query(query, alone))
    assert not ray.is_initialized()


@pytest.mark.slow
def test_a_lost_nodes_runs_are_redone_to_the_same_rows(cluster: Cluster, pictures: Path, tmp_path: Path) -> None:
    runs = runs_of("sss", [0, 3], "12", ["cifar10-valid"], [777, 888])
    options: dict[str, Any] = {"epochs": 20, "keep_weights": True}
    assert train(runs, tmp_path / "alone", pictures, device="cpu", **options).finished == 4
    node = cluster.add_node(**NODE)
    (raylet,) = node.all_processes["raylet"]
    at: dict[TrainingRun, int] = {}
    killed: dict[TrainingRun, int] = {}
    epochs: list[tuple[TrainingRun, int]] = []

    def kill(progress: Progress) -> None:
        at[progress.run] = progress.epoch
        epochs.append((progress.run, progress.epoch))
        if progress.epoch == 19:
            del at[progress.run]
        if len(at) == 2 and not killed and min(at.values()) > 2:
            killed.update(at)  # both are in the middle, one of them on the node that goes
            # As if the machine were gone: the node's process and all that it started, the training worker among them.
            family = [process := psutil.Process(raylet.process.pid), *process.children(recursive=True)]
            for one in family:
                one.kill()

    trainer = partial(train_on_cluster, address=cluster.address)
    report = train(runs, tmp_path / "spread", pictures, trainer=trainer, progress=kill, **options)
    assert len(killed) == 2
    assert (report.finished, report.failed) == (4, [])
    assert len(epochs) == len(set(epochs)) == 4 * 20  # nothing was trained twice that the driver had
    assert _files(tmp_path / "spread") == _files(tmp_path / "alone")


@pytest.mark.slow
def test_the_driver_killed_and_started_again_it_gives_the_same_rows(
    cluster: Cluster, pictures: Path, tmp_path: Path
) -> None:
    more = ("--archs", "3", "--epochs", "30")
    assert _run(*_train(tmp_path / "alone", pictures, *more, "--device", "cpu"))[0] == 0
    command = _train(tmp_path / "killed", pictures, *more, "--ray", cluster.address)
    with subprocess.Popen([*COMMAND, *command], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as driver:
        assert driver.stderr is not None
        for line in driver.stderr:
            if "epoch 5 of 30" in line:
                driver.kill()
    assert driver.returncode == -9
    assert len(list((tmp_path / "killed-runs").rglob("*.checkpoint"))) == 1
    code, _, err = _run(*command)
    assert code == 0
    assert 2 < err.count("\n") < 26  # it did not begin again
    assert _files(tmp_path / "killed-runs") == _files(tmp_path / "alone-runs")


@pytest.mark.slow
def test_a_stack_goes_to_a_node_as_one_and_a_member_that_fails_leaves(
    cluster: Cluster, pictures: Path, tmp_path: Path
) -> None:
    more = ("--seeds", "777,888,999", "--archs", "3", "--stack", "3", "--keep-weights")
    damaged = {}
    for name, where in (("alone", ("--device", "cpu")), ("spread", ("--ray", cluster.address))):
        folder = tmp_path / f"{name}-runs"
        damaged[name] = _begun(runs_of("sss", [3], "12", ["cifar10-valid"], [888]), folder, pictures)
        damaged[name].write_bytes(b"")
        code, out, err = _run(*_train(tmp_path / name, pictures, *more, *where))
        assert (code, "2 runs finished" in out, "1 runs failed" in err) == (1, True, True)
    found, expected = _files(tmp_path / "spread-runs"), _files(tmp_path / "alone-runs")
    note = found.pop("000003-cifar10-valid-888.failed.json")
    assert note["reason"].startswith(f"{damaged['spread']}: ")
    del expected["000003-cifar10-valid-888.failed.json"]
    assert found == expected
    assert found["000003-cifar10-valid-777.json"]["provenance"]["stack"] == 2


@pytest.mark.slow
def test_interrupted_it_leaves_no_task_behind_and_the_same_call_goes_on(
    cluster: Cluster, pictures: Path, tmp_path: Path
) -> None:
    runs = runs_of("sss", [0, 3], "12", ["cifar10-valid"], [777])
    assert train(runs, tmp_path / "alone", pictures, device="cpu", epochs=30).finished == 2
    seen: list[int] = []

    def stop(at: Progress) -> None:
        seen.append(at.epoch)
        if len(seen) == 35:
            raise KeyboardInterrupt

    # Connected before, so that the end of the connection does not end the tasks.
    ray.init(cluster.address, log_to_driver=False)
    try:
        trainer = partial(train_on_cluster, address=cluster.address)
        with pytest.raises(KeyboardInterrupt):
            train(runs, tmp_path / "spread", pictures, trainer=trainer, epochs=30, progress=stop)
        assert len(list((tmp_path / "spread").rglob("*.checkpoint"))) == 1
        train(runs, tmp_path / "spread", pictures, trainer=trainer, epochs=30, progress=stop)
        assert ray.is_initialized()
    finally:
        ray.shutdown()
    assert seen[35:] == list(range(5, 30))
    assert _files(tmp_path / "spread") == _files(tmp_path / "alone")


@pytest.mark.slow
def test_a_run_that_kills_its_worker_fails_and_the_others_go_on(
    cluster: Cluster, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def dies(runs: tuple[TrainingRun, ...], *rest: Any) -> Iterator[Any]:
        if runs[0].arch == 3:
            os._exit(1)
        from natsdb.training.cluster import _work

        yield from _work(runs, *rest)

    monkeypatch.setattr("natsdb.training.cluster._work", dies)
    dies.__module__ = "__main__"  # sent by value: the nodes know no module of this test
    runs = runs_of("sss", [3, 0], "12", ["cifar10-valid"], [777])
    report = train(runs, tmp_path, pictures, epochs=1, trainer=partial(train_on_cluster, address=cluster.address))
    assert report.finished == 1
    ((run, reason),) = report.failed
    assert (run.arch, reason.startswith("its worker was lost 4 times in a row")) == (3, True)
    assert json.loads(run.path(tmp_path, ".failed.json").read_text())["reason"] == reason


@pytest.mark.slow
@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine's GPU can be used")
def test_a_node_that_cannot_use_its_gpu_fails_its_runs_with_the_reason(
    cluster: Cluster, pictures: Path, tmp_path: Path
) -> None:
    node = cluster.add_node(**NODE, num_gpus=1)
    try:
        runs = runs_of("sss", [0, 3], "12", ["cifar10-valid"], [777])
        trainer = partial(train_on_cluster, address=cluster.address, gpus_per_run=0.25)
        report = train(runs, tmp_path, pictures, trainer=trainer)
    finally:
        cluster.remove_node(node)
    assert (report.finished, [run for run, _ in report.failed]) == (0, runs)
    for run, reason in report.failed:
        assert "NVIDIA" in reason
        note = json.loads(run.path(tmp_path, ".failed.json").read_text())
        assert (note["reason"], note["provenance"]["device"]) == (reason, "cuda")


def test_a_cluster_without_a_gpu_is_told_in_one_sentence(cluster: Cluster, pictures: Path, tmp_path: Path) -> None:
    code, _, err = _run(*_train(tmp_path / "db", pictures, "--ray", cluster.address, "--gpus-per-run", "0.5"))
    assert (code, err.count("\n")) == (1, 1)
    assert "no node of the Ray cluster has the 1 CPUs and 0.5 GPUs of a run; add one" in err
    assert not ray.is_initialized()


def test_wrong_options_are_one_sentence(pictures: Path, tmp_path: Path) -> None:
    for more, message in (
        (("--ray", "ray://127.0.0.1:10001"), "start the command on a machine of the cluster, with --ray auto"),
        (("--ray", "127.0.0.1:9"), "127.0.0.1:9: there is no Ray cluster here"),
        (
            ("--ray", "auto", "--device", "cuda"),
            "the device cuda is this machine's, and runs are to be trained elsewhere",
        ),
        (("--gpus-per-run", "0.25"), "--cpus-per-run and --gpus-per-run are for a Ray cluster; say --ray auto"),
        (("--ray", "auto", "--graph"), "a run on CPUs has no CUDA graphs; leave --graph out, or say --gpus-per-run"),
        (("--ray", "auto", "--data", str(tmp_path / "none")), "is not here or damaged"),
    ):
        code, _, err = _run(*_train(tmp_path / "db", pictures, *more))
        assert (code, err.count("\n"), message in err) == (1, 1, True), err
    with pytest.raises(NatsdbError, match="one GPU at most"):
        next(train_on_cluster([], tmp_path, address="auto", gpus_per_run=2))


def test_a_missing_ray_is_one_sentence(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "natsdb.training.cluster")
    monkeypatch.setitem(sys.modules, "ray", None)  # as Python has it: not to be imported
    code, _, err = _run(*_train(tmp_path / "db", pictures, "--ray", "auto"))
    assert (code, err.count("\n")) == (1, 1)
    assert err.startswith("natsdb: --ray needs Ray (")
    assert err.endswith("; pip install 'natsdb[ray]'\n")
