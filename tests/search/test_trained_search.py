"""Searches that train what the database lacks: never twice, and through kills."""

from __future__ import annotations

import json
import math
import os
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'natsdb[training]'")

import natsdb  # noqa: E402
from natsdb.ingest import collect  # noqa: E402
from natsdb.schema.errors import NatsdbError  # noqa: E402
from natsdb.schema.spaces import SPACES  # noqa: E402
from natsdb.search import TrainingOptions, read_trainings, search_and_train  # noqa: E402
from natsdb.search.running import ALGORITHMS, Steps, play  # noqa: E402
from natsdb.store.versions import log  # noqa: E402
from natsdb.training.run import train  # noqa: E402
from natsdb.training.run_files import runs_of  # noqa: E402


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def pictures(test_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A few of the real pictures, of all classes."""
    folder = tmp_path_factory.mktemp("pictures")
    for part in ("train", "test"):
        every = pq.read_table(test_data / "images" / f"cifar10_jpeg_{part}.parquet")
        pq.write_table(every.take(list(range(0, len(every), len(every) // 40))), folder / f"{part}.parquet")
    return folder


def _evolved(home: Path, pictures: Path, trainings: int = 6, **more: Any) -> Any:
    progress = more.pop("progress", None)
    return search_and_train(
        "regularized_ea",
        "sss",
        "cifar10",
        home,
        training=TrainingOptions(pictures, device="cpu", images=more.pop("images", 20), progress=progress),
        **{"trainings": trainings, "hp": "01", "options": {"ea_population": 3, "ea_sample_size": 2}, **more},
    )


def _steps(home: Path) -> list[tuple[Any, ...]]:
    return natsdb.query("select arch, epoch, accuracy from search_step order by search, run, step", home).rows()


def _replayed(home: Path, options: dict[str, int], most: int) -> Steps:
    """The same search on what the database holds, where all that it asks for is there."""
    answers = read_trainings("sss", "cifar10", "01", home)
    return play(ALGORITHMS["regularized_ea"], answers, math.inf, 0, 0, options, most=most)


def test_what_it_asks_for_is_trained_once_and_kept(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, trained = tmp_path / "db", []
    # Not after each training: this is kept now and then, and at the end; the search is a version of its own.
    monkeypatch.setattr("natsdb.search.trained._PATIENCE", 1e9)
    done = _evolved(home, pictures, progress=lambda one: trained.append(one.run.arch))
    assert [one.command.partition(" ")[0] for one in log(home)] == ["search", "collect"]
    steps = _steps(home)
    archs = [arch for arch, _, _ in steps]
    assert len(steps) == 6
    assert trained == list(dict.fromkeys(archs))
    assert done.notes == (f"{len(trained)} architectures were trained now, 0 were there",)
    # Each is a run like any other, and what the search was told is what the database says.
    rows = natsdb.query("select arch, accuracy from final where split = 'x-valid' and hp = '01'", home)
    told = {arch: accuracy for arch, _, accuracy in steps}
    assert dict(rows.rows()) == told
    seconds = natsdb.query("select seconds from search_step order by step", home)["seconds"].to_list()
    again = _replayed(home, {"ea_population": 3, "ea_sample_size": 2}, 6)
    assert (again.arch, again.accuracy, again.seconds) == (archs, [told[arch] for arch in archs], seconds)
    # Another time, longer: only what is new is trained, and the first steps are the same.
    before = _steps(home)
    assert not _evolved(home, pictures, progress=lambda one: pytest.fail("it trained again")).changed
    assert _steps(home) == before
    more: list[int] = []
    _evolved(home, pictures, 8, progress=lambda one: more.append(one.run.arch), budget=1e9)
    assert not set(more) & set(trained)
    assert len(natsdb.query("select distinct arch from seed", home)) == len(trained) + len(more)


def test_rows_that_the_database_has_answer(pictures: Path, tmp_path: Path) -> None:
    home = tmp_path / "db"
    chance = random.Random("0 random sss cifar10 0")  # as a run of this search has it
    number = SPACES["sss"].by_numbers[tuple(int(chance.random() * 8) for _ in range(5))]
    train(
        runs_of("sss", [number], "01", ["cifar10-valid"], [888]), tmp_path / "runs", pictures, device="cpu", images=20
    )
    collect(tmp_path / "runs", home, source="mine")
    trained: list[int] = []
    training = TrainingOptions(pictures, device="cpu", images=20, progress=lambda one: trained.append(one.run.arch))
    (done,) = natsdb.search.run("random", "sss", "cifar10", home, training=training, trainings=2, hp="01").reports
    assert done.runs == 1
    assert _steps(home)[0][0] == number
    assert number not in trained
    assert (len(trained), done.notes) == (1, ("1 architectures were trained now, 1 were there",))
    # What it trains has the first of the official seeds.
    assert natsdb.query("select source, seed from seed order by seed", home).rows() == [
        ("regenerated", 777),
        ("mine", 888),
    ]


def test_interrupted_it_goes_on_to_the_same_steps(pictures: Path, tmp_path: Path) -> None:
    count = 0

    def interrupt(done: Any) -> None:
        nonlocal count
        count += 1
        if count == 3:
            raise KeyboardInterrupt

    home = tmp_path / "db"
    with pytest.raises(KeyboardInterrupt):
        _evolved(home, pictures, 5, progress=interrupt)
    # What was trained before is in the database already.
    assert natsdb.query("select count(distinct arch) from seed", home).item() == 2
    _evolved(home, pictures, 5, progress=interrupt)
    _evolved(tmp_path / "other", pictures, 5)
    assert _steps(home) == _steps(tmp_path / "other")


def test_successive_halving_looks_at_trainings_on_the_way(pictures: Path, tmp_path: Path) -> None:
    home = tmp_path / "db"
    training = TrainingOptions(pictures, device="cpu", images=20)
    search_and_train(
        "successive_halving", "sss", "cifar10", home, training=training, trainings=5, hp="3", options={"eta": 3}
    )
    rows = natsdb.query(
        "select step.arch, step.epoch, step.accuracy = metric.accuracy as same from search_step as step "
        "inner join metric on metric.arch = step.arch and metric.epoch = step.epoch and metric.split = 'x-valid'",
        home,
    )
    assert (len(rows), rows["same"].all(), set(rows["epoch"]) >= {0}) == (5, True, True)
    assert natsdb.query("select bool_and(seconds > 0) from search_step", home).item()
    # Of the next bracket, which `trainings` cut off, nobody was trained for nothing.
    assert natsdb.query("select count(distinct arch) from seed", home).item() == len(set(rows["arch"]))


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"trainings": None}, "needs an end; say --trainings 100, or --budget SECONDS"),
        ({"budget": 0.0}, "the budget is no number of seconds above 0"),
        ({"hp": "1"}, "there is no schedule '1'"),
        ({"seed": 1 << 31}, "the seed 2147483648 is outside 0 to 2147483647"),
        ({"options": {"population": 3}}, "has no option --population"),
    ],
)
def test_what_cannot_be_is_said_before_anything_is_trained(
    more: dict[str, Any], said: str, pictures: Path, tmp_path: Path
) -> None:
    with pytest.raises(NatsdbError, match=said):
        _evolved(tmp_path / "db", pictures, **more)
    assert not (tmp_path / "db-runs").exists()


@pytest.mark.parametrize(
    ("algorithm", "more", "said"),
    [
        ("random", {"objectives": "accuracy,flops"}, "random has no option --objectives"),
        ("random", {"best_of_all_epochs": True}, "random has no option --best_of_all_epochs"),
        ("darts-v1", {}, "darts-v1 has no option --train"),
    ],
)
def test_options_that_it_does_not_heed_are_refused(
    algorithm: str, more: dict[str, Any], said: str, pictures: Path, tmp_path: Path
) -> None:
    with pytest.raises(NatsdbError, match=said):
        natsdb.search.run(
            algorithm, "tss", "cifar10", tmp_path / "db", training=TrainingOptions(pictures), trainings=2, **more
        )


def test_searches_without_a_budget_are_told_apart_by_their_seeds(pictures: Path, tmp_path: Path) -> None:
    for seed in (0, 1):
        _evolved(tmp_path / "db", pictures, trainings=1, seed=seed)
    labels = natsdb.query("select label from search_about order by label", tmp_path / "db")["label"].to_list()
    assert labels[1] == f"{labels[0]} seed 1"


def test_it_needs_images(tmp_path: Path) -> None:
    with pytest.raises(NatsdbError, match="a search that trains needs images; name their folder with --data DIR"):
        search_and_train("random", "sss", "cifar10", tmp_path / "db", training=TrainingOptions(), trainings=1, hp="01")


def test_shared_weights_are_searched_on_cifar10_where_no_data_set_is_named(tmp_path: Path) -> None:
    # The only search that was asked for fails, so its error is raised.
    with pytest.raises(NatsdbError, match="CIFAR10 is not here"):
        natsdb.search.run("gdas", "tss", db=tmp_path / "db", data=tmp_path / "nowhere", device="cpu")


def test_each_search_with_shared_weights_that_fails_is_listed_where_several_are_asked_for(tmp_path: Path) -> None:
    asked: dict[str, Any] = {"db": tmp_path / "db", "data": tmp_path / "nowhere", "device": "cpu"}
    done = natsdb.search.run("gdas", "tss", ["cifar10", "cifar100"], seeds=[1, 2], **asked)
    assert [name for name, _ in done.failures] == [
        f"gdas, {dataset}, seed {seed}" for dataset in ("cifar10", "cifar100") for seed in (1, 2)
    ]
    assert all("is not here" in why for _, why in done.failures)
    assert not done.reports


@pytest.mark.slow
def test_evolution_over_twenty_trainings_is_killed_and_resumed(pictures: Path, tmp_path: Path) -> None:
    home = tmp_path / "db"
    command = [sys.executable, "-c", "from natsdb.cli import app; app()", "search", "regularized_ea", "--space", "sss"]
    command += ["--dataset", "cifar10", "--train", "--data", str(pictures), "--db", str(home), "--epochs", "1"]
    command += ["--trainings", "20", "--ea_population", "5", "--images", "40", "--device", "cpu"]
    pipes: dict[str, Any] = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    pipes["env"] = {**os.environ, "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(command, **pipes)
    assert process.stderr is not None
    first = [process.stderr.readline() for _ in range(7)]
    process.kill()
    process.communicate()
    assert process.returncode == -9
    assert all(line.startswith("trained sss ") for line in first), first
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / "db-runs").glob("*/*/*.json")}
    # The seventh says so after its epoch, and is finished a moment later.
    assert len(before) >= 6
    done = subprocess.run(
        command, **{name: of for name, of in pipes.items() if name == "env"}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before
    steps = _steps(home)
    archs = {arch for arch, _, _ in steps}
    assert len(steps) == 20
    runs = [json.loads(path.read_text()) for path in (tmp_path / "db-runs").glob("*/*/*.json")]
    assert sorted(run["arch"] for run in runs) == sorted(archs)
    # One that was killed after its epoch is finished from its checkpoint, without another epoch.
    assert len(archs) - len(before) - done.stderr.count("trained sss ") in (0, 1)
    again = _replayed(home, {"ea_population": 5}, 20)
    assert [(arch, accuracy) for arch, _, accuracy in steps] == list(zip(again.arch, again.accuracy, strict=True))
    # Every run counts as any other: reduced, as it saw a few images only.
    assert natsdb.query("select count(*), bool_and(reduced) from seed where source = 'regenerated'", home).row(0) == (
        len(archs),
        True,
    )
