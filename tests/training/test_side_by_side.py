"""`natsdb train --stack`: rows against those of the same runs alone; kills, and members that leave."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from itertools import combinations
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'natsdb[training]'")

from typer.testing import CliRunner  # noqa: E402

import natsdb  # noqa: E402
from natsdb.cli import app  # noqa: E402
from natsdb.training import recipe  # noqa: E402
from natsdb.training.run import stacks, train  # noqa: E402
from natsdb.training.run_files import TrainingRun, runs_of  # noqa: E402

SEEDS = [777, 888, 999]
RUNS = runs_of("sss", [0], "12", ["cifar10-valid"], SEEDS)


@pytest.fixture
def _gentle(monkeypatch: pytest.MonkeyPatch) -> None:
    """A learning rate at which steps on few images do not magnify rounding."""
    monkeypatch.setattr(recipe, "schedule", lambda epoch, epochs: 1e-4 / (1 + epoch))


def _rows(run: TrainingRun, folder: Path) -> list[float]:
    measured = json.loads(run.path(folder, ".json").read_text())["measured"]
    return [value for split in measured.values() for name in ("loss", "accuracy", "top5") for value in split[name]]


def _provenance(run: TrainingRun, folder: Path) -> dict[str, Any]:
    return json.loads(run.path(folder, ".json").read_text())["provenance"]


def _stop_after(epochs: int) -> Any:
    seen: list[object] = []

    def stop(done: object) -> None:
        seen.append(done)
        if len(seen) == epochs:
            raise KeyboardInterrupt

    return stop


def test_runs_that_can_go_together_do() -> None:
    runs = runs_of("sss", [5, 9], "12", ["cifar10", "cifar100"], SEEDS)
    assert [[(run.dataset, run.arch, run.seed) for run in one] for one in stacks(runs, 2)][:3] == [
        [("cifar10", 5, 777), ("cifar10", 5, 888)],
        [("cifar10", 5, 999), ("cifar10", 9, 777)],
        [("cifar10", 9, 888), ("cifar10", 9, 999)],
    ]
    assert len(stacks(runs, 7)) == 2
    assert len(stacks(runs_of("tss", range(9), "12", ["cifar10"], SEEDS), 27)) == 1
    assert [one[0] for one in stacks(runs, 1)] == runs


@pytest.mark.usefixtures("_gentle")
def test_rows_are_those_of_the_runs_alone(pictures: Path, tmp_path: Path) -> None:
    told = []
    how: dict[str, Any] = {"device": "cpu", "precision": "float64", "epochs": 2}
    train(RUNS, tmp_path / "alone", pictures, **how)
    report = train(RUNS, tmp_path / "stack", pictures, stack=8, progress=told.append, **how)
    assert (report.finished, report.failed) == (3, [])
    assert [(done.number, done.epoch) for done in told] == [(1, 0), (2, 0), (3, 0), (1, 1), (2, 1), (3, 1)]
    assert told[-1].seconds_left == 0
    for run in RUNS:
        assert _rows(run, tmp_path / "stack") == pytest.approx(_rows(run, tmp_path / "alone"), rel=1e-9, abs=1e-9)
        assert _provenance(run, tmp_path / "stack") == _provenance(run, tmp_path / "alone") | {"stack": 3}
    assert not list((tmp_path / "stack").rglob("*.checkpoint"))


@pytest.mark.usefixtures("_gentle")
@pytest.mark.parametrize("stack", [1, 2])
def test_interrupted_it_goes_on_with_another_number(pictures: Path, tmp_path: Path, stack: int) -> None:
    how: dict[str, Any] = {"device": "cpu", "precision": "float64", "epochs": 3}
    train(RUNS, tmp_path / "alone", pictures, **how)
    with pytest.raises(KeyboardInterrupt):
        train(RUNS, tmp_path / "stack", pictures, stack=3, progress=_stop_after(5), **how)
    for folder, number in (("stack", 3), ("one", 1)):
        if folder == "one":
            with pytest.raises(KeyboardInterrupt):
                train(RUNS[:1], tmp_path / "one", pictures, progress=_stop_after(2), **how)
        found = list((tmp_path / folder).rglob("*-777.*.checkpoint"))
        states = torch.load(found[0], weights_only=True)
        assert (len(found), states["epoch"], states["stack"]) == (1, 2, number)
        if folder == "stack":
            beside = states
    _assert_near(beside | {"stack": 1, "curves": {}}, states | {"curves": {}})
    told = []
    train(RUNS, tmp_path / "stack", pictures, stack=stack, progress=told.append, **how)
    assert [done.epoch for done in told] == [2, 2, 2]
    for run in RUNS:
        assert _rows(run, tmp_path / "stack") == pytest.approx(_rows(run, tmp_path / "alone"), rel=1e-9, abs=1e-9)
        assert _provenance(run, tmp_path / "stack")["stack"] == 3


def _assert_near(one: Any, other: Any) -> None:
    """The same keys, types and sizes all the way down, numbers to 1e-9."""
    assert type(one) is type(other)
    if isinstance(one, dict):
        assert list(one) == list(other)
        for key in one:
            _assert_near(one[key], other[key])
    elif isinstance(one, list):
        assert len(one) == len(other)
        for pair in zip(one, other, strict=True):
            _assert_near(*pair)
    elif isinstance(one, torch.Tensor):
        torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9, check_stride=True)
    else:
        assert one == other


@pytest.mark.usefixtures("_gentle")
def test_members_behind_catch_up_first(pictures: Path, tmp_path: Path) -> None:
    how: dict[str, Any] = {"device": "cpu", "precision": "float64", "epochs": 3}
    train(RUNS, tmp_path / "alone", pictures, **how)
    with pytest.raises(KeyboardInterrupt):  # as a kill between two checkpoints leaves them
        train(RUNS[1:2], tmp_path / "stack", pictures, progress=_stop_after(2), **how)
    told = []
    train(RUNS, tmp_path / "stack", pictures, stack=3, progress=told.append, **how)
    assert [(done.run.seed, done.epoch) for done in told] == [
        *((seed, epoch) for epoch in (0, 1) for seed in (777, 999)),
        *((seed, 2) for seed in SEEDS),
    ]
    for run in RUNS:
        assert _rows(run, tmp_path / "stack") == pytest.approx(_rows(run, tmp_path / "alone"), rel=1e-9, abs=1e-9)


_GENTLE = """
import sys
from pathlib import Path
import torch
torch.set_num_threads(1)
from natsdb.training import recipe
from natsdb.training.run_files import runs_of
from natsdb.training.run import train

recipe.schedule = lambda epoch, epochs: 1e-4 / (1 + epoch)
pictures, folder = map(Path, sys.argv[1:])
runs = runs_of("sss", [0], "12", ["cifar10-valid"], [777, 888, 999])
tell = lambda done: print(done.epoch, flush=True)
train(runs, folder, pictures, device="cpu", precision="float64", epochs=4, stack=3, progress=tell)
"""


@pytest.mark.slow
@pytest.mark.usefixtures("_gentle")
def test_killed_and_started_again_it_gives_the_same_rows(pictures: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", _GENTLE, str(pictures), str(tmp_path / "stack")]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    assert process.stdout is not None
    for _ in range(4):
        process.stdout.readline()
    process.kill()
    process.stdout.close()
    assert process.wait() == -9
    how: dict[str, Any] = {"device": "cpu", "precision": "float64", "epochs": 4}
    train(RUNS, tmp_path / "alone", pictures, **how)
    told = []
    train(RUNS, tmp_path / "stack", pictures, stack=2, progress=told.append, **how)
    assert 0 < len(told) < 9  # it did not begin again
    for run in RUNS:
        assert _rows(run, tmp_path / "stack") == pytest.approx(_rows(run, tmp_path / "alone"), rel=1e-9, abs=1e-9)


@pytest.mark.usefixtures("_gentle")
def test_a_member_that_diverges_leaves_and_the_others_go_on(pictures: Path, tmp_path: Path) -> None:
    how: dict[str, Any] = {"device": "cpu", "precision": "float64", "epochs": 3}
    train(RUNS, tmp_path / "alone", pictures, **how)
    with pytest.raises(KeyboardInterrupt):
        train(RUNS, tmp_path / "stack", pictures, stack=3, progress=_stop_after(3), **how)
    (spoilt,) = (tmp_path / "stack").rglob("*-888.*.checkpoint")
    state = torch.load(spoilt, weights_only=True)
    state["network"]["stem.0.weight"].fill_(float("nan"))
    torch.save(state, spoilt)
    report = train(RUNS, tmp_path / "stack", pictures, stack=3, **how)
    assert (report.finished, [run.seed for run, _ in report.failed]) == (2, [888])
    assert report.failed[0][1].startswith("diverged: the train loss of epoch 1 is")
    assert RUNS[1].path(tmp_path / "stack", ".failed.json").exists()
    for run in (RUNS[0], RUNS[2]):
        assert _rows(run, tmp_path / "stack") == pytest.approx(_rows(run, tmp_path / "alone"), rel=1e-9, abs=1e-9)


def test_a_damaged_checkpoint_is_the_failure_of_its_run_alone(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt):
        train(RUNS, tmp_path, pictures, device="cpu", epochs=2, stack=3, progress=_stop_after(3))
    (damaged,) = tmp_path.rglob("*-999.*.checkpoint")
    damaged.write_bytes(damaged.read_bytes()[:1000])
    report = train(RUNS, tmp_path, pictures, device="cpu", epochs=2, stack=3)
    assert (report.finished, [run.seed for run, _ in report.failed]) == (2, [999])


@pytest.mark.slow
def test_at_the_official_rate_it_is_nearer_than_another_seed(pictures: Path, tmp_path: Path) -> None:
    train(RUNS, tmp_path / "alone", pictures, device="cpu")
    train(RUNS, tmp_path / "stack", pictures, device="cpu", stack=3)

    def apart(one: list[float], other: list[float]) -> float:
        return fmean(abs(a - b) for a, b in zip(one, other, strict=True))

    alone = [_rows(run, tmp_path / "alone") for run in RUNS]
    noise = fmean(apart(one, other) for one, other in combinations(alone, 2))
    beside = fmean(apart(_rows(run, tmp_path / "stack"), one) for run, one in zip(RUNS, alone, strict=True))
    assert beside < noise / 2


def test_the_command_stacks_and_says_so(pictures: Path, tmp_path: Path) -> None:
    command = [
        "train",
        "--space",
        "tss",
        "--archs",
        "0,1462,9000",
        "--hp",
        "12",
        "--dataset",
        "cifar10",
        "--epochs",
        "1",
    ]
    where = ["--data", str(pictures), "--db", str(tmp_path / "db"), "--device", "cpu", "--images", "16"]
    result = CliRunner().invoke(app, [*command, *where, "--stack", "2"])
    assert result.exit_code == 0
    assert "3 runs finished" in result.stdout
    code = natsdb.query("select arch, code from seed order by arch", tmp_path / "db")
    assert [json.loads(text)["stack"] for text in code["code"]] == [2, 2, 1]
