"""Searches with several objectives: what they are told, what their fronts are worth, pictures of these."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from typer.testing import CliRunner

import natsdb
import natsdb.search
from databases import contents
from natsdb import plot
from natsdb.cli import app
from natsdb.ingest.attached import keep_attached
from natsdb.objectives import Objective
from natsdb.schema.errors import NatsdbError
from natsdb.schema.spaces import SPACES
from natsdb.search import Benchmark, read_trainings, search
from natsdb.search.measures import Several
from natsdb.search.running import load_algorithm, play
from natsdb.search.trainings import Trainings
from natsdb.store.manifest import Attached, Measure
from sources import add_table

ASKED = "accuracy,mine.ms"
SEARCHES = ("random", "optuna:NSGAIISampler", "optuna:RandomSampler")


def _ms(arch: int) -> float:
    return arch * 7919 % 101 / 4


@pytest.fixture(scope="module")
def measured(made_up_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """70 made-up architectures, of which every tenth lacks the measure `mine.ms`. Read only."""
    home = Path(shutil.copytree(made_up_db, tmp_path_factory.mktemp("measured") / "db"))
    archs = [arch for n, arch in enumerate(range(0, 1400, 20)) if n % 10]
    columns = {
        "space": ["tss"] * 63,
        "arch": pa.array(archs, pa.int32()),
        "ms": [arch * 7919 % 101 / 4 for arch in archs],
    }
    about = Attached("mine", ("space", "arch"), (Measure("ms", "DOUBLE", "latency", "ms"),), 0)
    keep_attached(home, about, pa.table(columns))
    return home


@pytest.fixture
def db(measured: Path, tmp_path: Path) -> Path:
    """The same, to write to."""
    return Path(shutil.copytree(measured, tmp_path / "db"))


@pytest.fixture(scope="module")
def searched(measured: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with three searches of two objectives, 4 runs each. Read only."""
    home = Path(shutil.copytree(measured, tmp_path_factory.mktemp("searched") / "db"))
    for name in SEARCHES:
        search(name, "tss", "cifar100", home, runs=4, budget=12_000.0, objectives=ASKED, jobs=1)
    return home


def _run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def _beats(a: Any, b: Any) -> bool:
    return a[0] >= b[0] and a[1] <= b[1]


def _hypervolume(points: list[tuple[float, float]], ideal: Any, reference: Any) -> float:
    """Share of the box below (accuracy, cost) points, a rectangle a step of the stairs."""
    area, top = 0.0, reference[0]
    for accuracy, cost in sorted(points, key=lambda point: (point[1], -point[0])):
        if accuracy > top:
            area += (accuracy - top) * (reference[1] - cost)
            top = accuracy
    return area / (ideal[0] - reference[0]) / (reference[1] - ideal[1])


def test_rows_of_a_front_are_what_comparing_all_evaluations_gives(searched: Path) -> None:
    cost = dict(natsdb.query("select arch, ms from mine", searched).rows())
    judged = dict(
        natsdb.query(
            "select arch, accuracy from full_accuracy where space = 'tss' and dataset = 'cifar100' and role = 'test'",
            searched,
        ).rows()
    )
    held = [(judged[arch], cost[arch]) for arch in judged if arch in cost]
    ideal = max(a for a, _ in held), min(c for _, c in held)
    reference = min(a for a, _ in held), max(c for _, c in held)
    exact = [one for one in held if not any(other != one and _beats(other, one) for other in held)]
    rows = natsdb.query("from search_front where role = 'test' order by search, run, step", searched)
    assert set(natsdb.query("select distinct role from search_front", searched)["role"]) == {"valid", "test", "both"}
    steps = natsdb.query("from search_step order by search, run, step", searched)
    assert len(steps) > 150
    for (name, run), own in steps.group_by(["search", "run"]):
        seen = [(accuracy, cost[arch]) for accuracy, arch in own.select("accuracy", "arch").rows()]
        found = rows.filter((rows["search"] == name) & (rows["run"] == run)).to_dicts()
        for row in found:
            step = row["step"]
            before = seen[: step + 1]
            front = {
                n
                for n, one in enumerate(before)
                if not any(_beats(other, one) and (other != one or m < n) for m, other in enumerate(before) if m != n)
            }
            assert step in front
            assert row["size"] == len(front)
            points = [(judged[own["arch"][n]], cost[own["arch"][n]]) for n in front]
            assert row["hypervolume"] == pytest.approx(_hypervolume(points, ideal, reference), abs=1e-12)
            away = [
                min(
                    np.hypot(
                        max(a - mine[0], 0) / (ideal[0] - reference[0]), max(mine[1] - c, 0) / (reference[1] - ideal[1])
                    )
                    for mine in points
                )
                for a, c in set(exact)
            ]
            assert row["igd_plus"] == pytest.approx(np.mean(away), abs=1e-12)
            assert row["seen"] == [*seen[step]]
            assert row["judged"] == [judged[row["arch"]], cost[row["arch"]]]
            beaten = [n for n, one in enumerate(seen) if n > step and _beats(one, seen[step]) and one != seen[step]]
            assert row["until"] == (beaten[0] if beaten else None)
            assert (row["ideal"], row["reference"]) == ([*ideal], [*reference])
            assert row["exact_hypervolume"] == pytest.approx(_hypervolume(exact, ideal, reference))
        final = {
            n
            for n, one in enumerate(seen)
            if not any(_beats(other, one) and (other != one or m < n) for m, other in enumerate(seen) if m != n)
        }
        assert {row["step"] for row in found if row["until"] is None} == final


def test_what_lacks_a_value_is_not_trained(searched: Path) -> None:
    lacking = natsdb.query("select count(*) from search_step where arch % 200 = 0", searched).item()
    assert lacking == 0
    # Without objectives it is.
    assert 0 in play(load_algorithm("random"), read_trainings("tss", "cifar100", db=searched), 1e5, 0, 0).arch


def test_results_are_the_last_fronts_and_trajectories_those_in_time(searched: Path) -> None:
    rows = natsdb.query("from search_front join search_step using (search, run, step)", searched)
    results = natsdb.query("from multi_objective_result", searched)
    assert len(results) == 3 * 4 * 3
    assert set(results["label"]) == {f"{name} objectives: {ASKED} budget 12000" for name in SEARCHES}
    for one in results.to_dicts():
        own = rows.filter(pl.all_horizontal(pl.col(name) == one[name] for name in ("search", "run", "role")))
        last = own.sort("step").to_dicts()[-1]
        assert {name: one[name] for name in ("hypervolume", "igd_plus", "size", "objectives")} == {
            name: last[name] for name in ("hypervolume", "igd_plus", "size", "objectives")
        }
        assert 0 < one["of_exact"] == pytest.approx(one["hypervolume"] / last["exact_hypervolume"])
    moments = natsdb.query("from front_trajectory where role = 'test' order by search, moment", searched)
    assert len(moments) == 3 * 150
    for one in moments.filter(moments["moment"].is_in([1, 40, 150])).to_dicts():
        held = []
        for run in range(4):
            mask = (rows["search"] == one["search"]) & (rows["run"] == run) & (rows["role"] == "test")
            own = rows.filter(mask & (rows["seconds"] <= one["moment"] * 12_000 / 150)).sort("step")
            held.append(own["hypervolume"][-1] if len(own) else 0.0)
        assert one["runs"] == 4
        assert one["hypervolume"] == pytest.approx(np.mean(held))
        assert one["hypervolume_std"] == pytest.approx(np.std(held), abs=1e-12)


def test_any_number_of_processes_gives_the_same_files(measured: Path, tmp_path: Path) -> None:
    name = "optuna:NSGAIISampler"
    homes = [Path(shutil.copytree(measured, tmp_path / one)) for one in ("one", "two")]
    for home, jobs in zip(homes, (1, 2), strict=True):
        search(name, "tss", "cifar100", home, runs=30, budget=3000.0, jobs=jobs, objectives=ASKED)
    assert contents(homes[0]) == contents(homes[1])
    assert not search(name, "tss", "cifar100", homes[0], runs=30, budget=3000.0, objectives=ASKED).changed
    # Its own rows in place of those before.
    assert search(name, "tss", "cifar100", homes[0], runs=31, budget=3000.0, objectives=ASKED).changed
    ask = "select count(distinct run), count(distinct search) from search_front"
    assert natsdb.query(ask, homes[0]).rows() == [(31, 1)]


@pytest.mark.parametrize("name", ["optuna:NSGAIISampler", "pymoo:NSGA2", "pymoo:SMSEMOA"])
@pytest.mark.parametrize("sign", [1, -1])
def test_others_heed_the_direction_of_each_objective(name: str, sign: int) -> None:
    pytest.importorskip(name.partition(":")[0], reason="an extra is not installed")
    size, numbers = SPACES["tss"].size, SPACES["tss"].numbers
    # Accuracy wants high numbers at the first three positions, the cost, or the gain, high or low ones at the others.
    accuracy, other = ([float(sum(choices[part])) for choices in numbers] for part in (slice(0, 3), slice(3, 6)))
    objectives = (Objective("mine.x", "mine.x", sign), Objective("accuracy", "accuracy", -1))
    answers = Trainings(
        "tss",
        "cifar10",
        "12",
        list(range(size + 1)),
        {11: accuracy},
        {11: [1.0] * size},
        None,
        "made up",
        several=Several(objectives, [other, None]),
    )
    options = {"population_size": 15} if "NSGAII" in name else {"pop_size": 15} if name.startswith("pymoo") else {}
    steps = play(load_algorithm(name), answers, 150.0, 3, 0, options)
    early, late = (
        [np.mean([values[arch] for arch in steps.arch[part]]) for values in (accuracy, other)]
        for part in (slice(0, 15), slice(120, 150))
    )
    assert late[0] > early[0] + 0.7
    assert sign * late[1] < sign * early[1] - 0.7


def test_a_search_of_ones_own_is_told_all_objectives_in_their_order(db: Path) -> None:
    told: list[Any] = []

    def own(benchmark: Benchmark, chance: Any) -> Iterator[Any]:
        assert benchmark.signs == (1, -1)
        for arch in (20, 40, 0):
            told.append((yield arch))

    search(own, "tss", "cifar100", db, runs=1, objectives=["mine.ms", "accuracy"])
    answers = read_trainings("tss", "cifar100", db=db)
    first, second = (answers.accuracy[11][answers.start[arch] : answers.start[arch + 1]] for arch in (20, 40))
    assert told[0][0] == _ms(20)
    assert told[0][1] in first
    assert told[1][1] in second


@pytest.mark.parametrize(
    ("algorithm", "objectives", "said"),
    [
        ("random", "accuracy,mine.mss", "there is no measure mine.mss; did you mean mine.ms"),
        ("random", "accuracy", "a front is of two or three objectives"),
        ("random", "flops,mine.ms", "lack accuracy; name it too, as in accuracy,flops,mine.ms"),
        ("regularized_ea", ASKED, "regularized_ea heeds one objective only"),
        ("optuna:CmaEsSampler", ASKED, "optuna:CmaEsSampler heeds one objective only"),
    ],
)
def test_what_cannot_be_searched_is_said_in_a_sentence(
    measured: Path, algorithm: str, objectives: str, said: str
) -> None:
    asked = ("--space", "tss", "--dataset", "cifar100", "--objectives", objectives, "--runs", 1, "--db", measured)
    code, out, error = _run("search", algorithm, *asked)
    assert (code, out) == (1, "")
    assert said in error
    assert error.count("\n") == 1
    with pytest.raises(NatsdbError, match="darts-v1 has no option --objectives"):
        natsdb.search.run("darts-v1", "tss", "cifar10", measured, objectives=objectives)


def test_objectives_that_no_architecture_within_a_limit_has_are_said_to_be_so(db: Path) -> None:
    archs = list(range(0, 1400, 20))
    # Of these `ms` is known of every architecture but each tenth, `few` of each tenth only, `many` of the others, and
    # `near` is somewhat above 2 where `ms` is known.
    columns = {
        "space": ["tss"] * 70,
        "arch": pa.array(archs, pa.int32()),
        "few": [None if n % 10 else 1.0 for n in range(70)],
        "many": [1.0 if n % 10 else None for n in range(70)],
        "near": [2.5 if n % 10 else 2.0 for n in range(70)],
    }
    measures = tuple(Measure(name, "DOUBLE") for name in ("few", "many", "near"))
    keep_attached(db, Attached("other", ("space", "arch"), measures, 0), pa.table(columns))
    for objectives, more, said in (
        ("accuracy,other.few,other.many", {}, "has other.few and other.many on cifar100; choose other objectives$"),
        (
            "accuracy,mine.ms",
            {"cost": "other.few", "at_most": 2.0},
            "has mine.ms and other.few of at most 2 on cifar100; choose other objectives or another limit$",
        ),
        ("accuracy,mine.ms", {"cost": "other.near", "at_most": 2.0}, "has mine.ms and other.near of at most 2 on "),
    ):
        for name in ("random", "optuna:NSGAIISampler"):
            with pytest.raises(NatsdbError, match=f"no architecture of tss that it holds {said}"):
                search(name, "tss", "cifar100", db, runs=1, budget=3000.0, objectives=objectives, **more)
    # Of both there are some.
    both = search(
        "random", "tss", "cifar100", db, runs=1, budget=3000.0, objectives=ASKED, cost="other.many", at_most=2
    )
    assert both.changed


def test_without_moocore_it_is_said_before_anything_runs(db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "moocore", None)
    with pytest.raises(NatsdbError, match=r"need moocore; pip install 'natsdb\[objectives\]'"):
        search("random", "tss", "cifar100", db, runs=1, objectives=ASKED)


def test_the_command_says_the_reference_point_and_draws(searched: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(searched, tmp_path / "db"))
    asked = ("--space", "tss", "--dataset", "cifar100", "--objectives", ASKED, "--runs", 2, "--budget", 12000)
    code, _, error = _run("search", "random", *asked, "--seed", 3, "--db", home)
    assert code == 0
    ((reference, ideal),) = natsdb.query(
        "select distinct reference, ideal from search_front where role = 'test'", home
    ).rows()
    assert f"test: the reference point of hypervolume is the worst of the space, accuracy {reference[0]:.4g}, " in error
    assert f"the best is accuracy {ideal[0]:.4g}, mine.ms {ideal[1]:.4g}" in error
    for name, more in {
        "front.png": ("front", "--dataset", "cifar100"),
        "hv.svg": ("search", "--metric", "hypervolume"),
    }.items():
        code, _, error = _run("plot", *more, "--space", "tss", "--db", home, "-o", tmp_path / name)
        assert (code, error) == (0, "")
        assert (tmp_path / name).stat().st_size > 5000


def test_pictures_show_what_the_views_hold(searched: Path) -> None:
    with natsdb.connect(searched) as connection:
        chart = plot.fronts(connection, "tss", "cifar100")
        said = json.dumps(chart.to_dict())
        assert "4 runs each" in said
        assert "the exact front of 63 architectures" in said
        (panel,) = chart.hconcat
        frames = [pl.read_csv(layer.data["values"].encode()) for layer in panel.layer]
        exact = natsdb.query(
            "select count(*) from nondominated((select list({'id': arch, 'a': -accuracy, 'b': ms, 'c': 0}) "
            "from mine join full_accuracy using (space, arch) where dataset = 'cifar100' and role = 'test'))",
            searched,
        ).item()
        assert {63, exact} < {len(one) for one in frames}
        drawn = plot.hypervolumes(connection, "tss", "valid").to_dict()
        assert drawn["hconcat"][0]["title"] == {"text": "tss, cifar100: 4 runs", "subtitle": "accuracy, mine.ms"}
        assert {row["label"] for row in drawn["data"]["values"]} == {f"{name} budget 12000" for name in SEARCHES}
        with pytest.raises(NatsdbError, match="no search of sss with several objectives to draw"):
            plot.fronts(connection, "sss", "cifar100")
        with pytest.raises(NatsdbError, match=r"with objectives accuracy,mine\.m; there is accuracy,mine\.ms"):
            plot.fronts(connection, "tss", "cifar100", "accuracy,mine.m")
        with pytest.raises(NatsdbError, match="there is no metric 'hypervolum'; did you mean hypervolume"):
            plot.hypervolumes(connection, "tss", metric="hypervolum")


def test_equal_figures_of_other_rows_are_not_taken_for_them(db: Path) -> None:
    asked = {"runs": 2, "budget": 3000.0, "objectives": ASKED}
    assert search("random", "tss", "cifar100", db, **asked).changed
    answers = read_trainings("tss", "cifar100", db=db, objectives=ASKED)
    assert answers.several is not None
    assert replace(answers, several=None) != answers
    table = pa.table(
        {"space": ["tss"] * 70, "arch": pa.array(range(0, 1400, 20), pa.int32()), "ms": [1.0] * 69 + [2.0]}
    )
    keep_attached(db, Attached("mine", ("space", "arch"), (Measure("ms", "DOUBLE"),), 0), table, replacing=True)
    assert search("random", "tss", "cifar100", db, **asked).changed
    assert natsdb.query("select distinct reference[2] from search_front", db).rows() == [(2.0,)]


def test_what_no_search_can_ask_for_is_no_point_of_the_space(tmp_path: Path) -> None:
    # Of architecture 2 there is the accuracy that judges, and no training that a search could be told.
    home = tmp_path / "db"
    add_table(home, arch=[0, 1], split="x-valid", accuracy=[50.0, 60.0], train_all_time=1200.0)
    add_table(home, arch=[0, 1, 2], hp="200", split="x-test", accuracy=[60.0, 70.0, 99.0])
    search("random", "tss", "cifar100", home, runs=1, budget=3000.0, objectives="accuracy,params")
    rows = natsdb.query("select distinct role, ideal[1], reference[1] from search_front", home).rows()
    assert rows == [("test", 70.0, 60.0)]
