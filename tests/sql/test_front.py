"""Fronts of two and three objectives in SQL and Python, and their quality, against brute force and pymoo."""

from __future__ import annotations

import re
import shutil
from itertools import product
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

import natsdb
from natsdb.connection import Connection
from natsdb.ingest.attached import keep_attached
from natsdb.objectives import ExactFront
from natsdb.schema.errors import NatsdbError
from natsdb.store.manifest import Attached, Measure

ARCHS = list(range(0, 1400, 20))
ASKED = ("cifar100", "x-valid", "200")


@pytest.fixture(scope="module")
def home(made_up_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made-up database with a table `mine`: `ms` of every third architecture is null, `hp` and `name` have names of
    macros' parameters and columns."""
    home = Path(shutil.copytree(made_up_db, tmp_path_factory.mktemp("fronts") / "db"))
    spread = [float(arch * 7919 % 101 // 4) for arch in ARCHS]
    columns = {
        "ms": [None if n % 3 == 0 else value for n, value in enumerate(spread)],
        "hp": spread,
        "name": spread[::-1],
    }
    measures = tuple(Measure(name, "DOUBLE") for name in columns)
    keys = {"space": ["tss"] * len(ARCHS), "arch": pa.array(ARCHS, pa.int32())}
    keep_attached(home, Attached("mine", ("space", "arch"), measures, 0), pa.table({**keys, **columns}))
    return home


@pytest.fixture(scope="module")
def con(home: Path) -> Connection:
    return natsdb.connect(home)


def _beats(a: Any, b: Any) -> bool:
    return all(x <= y for x, y in zip(a, b, strict=True)) and any(x < y for x, y in zip(a, b, strict=True))


def _brute(points: list[Any]) -> list[int]:
    """Numbers of the points that no other beats, of equal ones the first."""
    return [
        n
        for n, point in enumerate(points)
        if not any(_beats(other, point) for other in points) and point not in points[:n]
    ]


@pytest.mark.parametrize(("kinds", "levels"), list(product((2, 3), (3, 12, 1000))))
def test_nondominated_is_what_comparing_all_pairs_gives(con: Connection, kinds: int, levels: int) -> None:
    chance = np.random.default_rng(levels)
    for count in (1, 2, 3, 5, 64, 65, 150):
        points = chance.integers(0, levels, (count, kinds)).tolist()
        listed = ", ".join(
            f"{{'id': {n}, 'a': {p[0]}.0, 'b': {p[1]}.0, 'c': {(*p, 0)[2]}.0}}" for n, p in enumerate(points)
        )
        found = con.sql(f"select id from nondominated([{listed}]) order by id").fetchall()
        assert [n for (n,) in found] == _brute(points)


def test_a_front_of_all_points_needs_no_pairs(con: Connection) -> None:
    # 20,000 points on a plane: pairs would be 400 million.
    points = (
        "select list({'id': i, 'a': i % 141, 'b': i // 141, 'c': -(i % 141) - i // 141}) from range(20000) as r (i)"
    )
    assert con.sql(f"select count(*) from nondominated(({points}))").fetchall() == [(20_000,)]


def test_points_without_a_value_are_none(con: Connection) -> None:
    listed = ", ".join(
        f"{{'id': {n}, 'a': {a}::double, 'b': {b}::double, 'c': 0}}"
        for n, (a, b) in enumerate(
            [("'nan'", "-1"), ("1", "null"), ("2", "'inf'"), ("'-inf'", "'inf'"), ("5", "'-inf'")]
        )
    )
    assert con.sql(f"select id from nondominated([{listed}]) order by id").fetchall() == [(3,), (4,)]


OBJECTIVES = (
    ("accuracy", "flops"),
    ("accuracy", "mine.ms"),
    ("flops", "accuracy:max"),
    ("mine.hp:max", "accuracy:min"),
    ("accuracy", "mine.hp", "mine.name"),
    ("accuracy", "mine.ms:max", "latency"),
    ("train_seconds", "mine.name:max", "params:min"),
)


@pytest.mark.parametrize("objectives", OBJECTIVES)
def test_no_architecture_beats_one_on_a_front(con: Connection, home: Path, objectives: tuple[str, ...]) -> None:
    dataset, split, hp = ASKED
    about = f"space = 'tss' and dataset = '{dataset}'"
    columns: dict[str, dict[int, float]] = {}
    for one in objectives:
        name = one.partition(":")[0]
        if name == "accuracy":
            query = f"select arch, accuracy from mean_final where {about} and hp = '{hp}' and split = '{split}'"
        elif name in ("flops", "params", "latency", "train_seconds"):
            query = f"select arch, {name} from mean_cost where {about} and hp = '{hp}'"
        else:
            query = f"select arch, {name.partition('.')[2]} from mine where arch in {tuple(ARCHS)}"
        columns[one] = {arch: value for arch, value in con.sql(query).fetchall() if value is not None}
    held = [arch for arch in ARCHS if all(arch in column for column in columns.values())]
    signs = [-1 if one in ("accuracy", "accuracy:max") or one.endswith(":max") else 1 for one in objectives]
    values = [tuple(columns[one][arch] for one in objectives) for arch in held]
    points = [tuple(sign * value for sign, value in zip(signs, row, strict=True)) for row in values]
    expected = {held[n]: values[n] for n in _brute(points)}
    assert 1 < len(expected) < 70
    frame = natsdb.pareto(list(objectives), *ASKED, home)
    named = [one.partition(":")[0] for one in objectives]
    assert frame.columns == ["arch", *named, "arch_str", "source", "coverage"]
    assert {row[0]: tuple(row[1 : 1 + len(named)]) for row in frame.rows()} == expected
    assert set(frame["coverage"]) == {f"{len(held)} of 15,625"}
    best_first = [signs[0] * value for value in frame[named[0]]]
    assert best_first == sorted(best_first)
    if objectives[0] == "accuracy" and len(objectives) == 2:
        rows = con.sql(f"select arch, accuracy, cost from pareto{(*ASKED, named[1])}").fetchall()
        assert {row[0]: row[1:] for row in rows} == expected


@pytest.mark.parametrize(
    ("cost", "read", "left"),
    [("flops", "cost/", "attached/"), ("mine.ms", "attached/", "cost/")],
)
@pytest.mark.skipif(duckdb.__version__.startswith("1."), reason="plans of DuckDB 1 name no files")
def test_a_front_reads_only_tables_that_have_its_measures(home: Path, cost: str, read: str, left: str) -> None:
    with natsdb.connect(home) as con:
        plan = str(con.execute(f"explain analyze from pareto('cifar100', 'x-valid', '200', '{cost}')").fetchall())
    # The names of files stand on lines of their own, cut where they are long; of many files the folder of a set.
    files = set(re.findall(r"natsdb://(\w+/)", plan))
    assert read in files
    assert left not in files


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ("accuracy", "a front is of two or three objectives"),
        ("accuracy,flops,params,latency", "a front is of two or three objectives"),
        ("accuracy,accuracy:min", "each once"),
        ("accuracy,flop", "there is no measure flop; did you mean flops"),
        ("accuracy,flops:up", "there is no measure flops:up; did you mean flops"),
    ],
)
def test_what_are_no_objectives_is_said_in_a_sentence(home: Path, asked: str, said: str) -> None:
    with pytest.raises(NatsdbError, match=said):
        natsdb.pareto(asked, *ASKED, home)


def test_sql_says_it_too(con: Connection) -> None:
    with pytest.raises(NatsdbError, match="a front is of two or three objectives"):
        con.sql(f"from front(['accuracy'], {', '.join(map(repr, ASKED))})").fetchall()
    with pytest.raises(NatsdbError, match=r"there is no measure mine\.m"):
        con.sql(f"from front(['accuracy', 'mine.m'], {', '.join(map(repr, ASKED))})").fetchall()


@pytest.mark.parametrize("kinds", [2, 3])
def test_hypervolume_and_igd_plus_are_those_of_pymoo_and_of_counting(kinds: int) -> None:
    igd_plus = pytest.importorskip("pymoo.indicators.igd_plus", reason="pymoo is not installed")
    hv = pytest.importorskip("pymoo.indicators.hv")
    chance = np.random.default_rng(kinds)
    # Scales and directions as different as percent and milliseconds are.
    points = chance.random((400, kinds)) ** 0.5 * [90.0, 0.003, 7.0][:kinds] - [100.0, 0.0, -5.0][:kinds]
    exact = ExactFront.of(points)
    low, high = points.min(axis=0), points.max(axis=0)
    assert (exact.ideal == low).all()
    assert (exact.reference == high).all()
    front = points[_brute(points.tolist())]
    some = points[chance.integers(0, 400, 25)]
    for chosen, of in ((front, 1.0), (some, exact.hypervolume)):
        scaled, quality = (chosen - low) / (high - low), exact.quality(chosen)
        assert quality.hypervolume == pytest.approx(hv.HV(ref_point=np.ones(kinds))(scaled), rel=1e-9)
        assert 0 < quality.hypervolume <= of
        best = (front - low) / (high - low)
        assert quality.igd_plus == pytest.approx(igd_plus.IGDPlus(best)(scaled), rel=1e-9, abs=1e-12)
        # By counting: the share of a grid that some point beats, and the distances one by one.
        grid = np.stack(np.meshgrid(*[(np.arange(60) + 0.5) / 60] * kinds), axis=-1).reshape(-1, kinds)
        counted = np.zeros(len(grid), bool)
        for point in scaled:
            counted |= (point <= grid).all(axis=1)
        assert quality.hypervolume == pytest.approx(counted.mean(), abs=0.02)
        away = [min(np.sqrt((np.maximum(point - one, 0) ** 2).sum()) for point in scaled) for one in best]
        assert quality.igd_plus == pytest.approx(np.mean(away), abs=1e-12)


def test_the_quality_of_architectures_is_beside_the_exact_front(con: Connection, home: Path) -> None:
    front = natsdb.pareto("accuracy,flops", *ASKED, home)["arch"].to_list()
    whole = natsdb.front_quality(front, "accuracy,flops", *ASKED, home)
    assert whole["hypervolume"] == pytest.approx(whole["exact_hypervolume"])
    assert whole["igd_plus"] == pytest.approx(0, abs=1e-12)
    ((low, high, most, least),) = con.sql(
        "select min(accuracy), max(accuracy), max(flops), min(flops) from mean_final join mean_cost using "
        "(space, hp, arch, dataset) where space = 'tss' and dataset = 'cifar100' and hp = '200' and split = 'x-valid'"
    ).fetchall()
    assert whole["reference"] == {"accuracy": low, "flops": most}
    assert whole["ideal"] == {"accuracy": high, "flops": least}
    part = natsdb.front_quality(front[:1], "accuracy,flops", *ASKED, home)
    assert part["hypervolume"] < whole["hypervolume"]
    assert part["igd_plus"] > 0
    assert natsdb.front_quality([], "accuracy,flops", *ASKED, home)["hypervolume"] == 0
    with pytest.raises(NatsdbError, match="architecture 7 of tss has no value"):
        natsdb.front_quality([7], "accuracy,flops", *ASKED, home)
