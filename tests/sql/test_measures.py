"""Measures of attached tables in SQL: limits, fronts and rank correlations, against SciPy and brute force."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from scipy.stats import kendalltau, spearmanr

import natsdb
from natsdb.connection import Connection
from natsdb.ingest.attached import keep_attached
from natsdb.schema.errors import NatsdbError
from natsdb.sql.attached import measure_of
from natsdb.store.locations import BUILTIN
from natsdb.store.manifest import NAME, Attached, Measure

ARCHS = list(range(0, 1400, 20))
ASKED = "'cifar100', 'x-valid', '200'"


def _scores() -> dict[str, list[float | None]]:
    """Measures of the made-up architectures; `top`, `hp` and `split` have the names of macros' parameters."""
    spread = [float(arch * 7919 % 1009) for arch in ARCHS]
    return {
        "top": list(spread),
        "hp": [None if n % 3 == 0 else value // 100 for n, value in enumerate(spread)],
        "split": [(math.nan, -math.inf, -1e8)[n] if n < 3 else value for n, value in enumerate(spread)],
        "same": [1.0] * len(ARCHS),
    }


@pytest.fixture(scope="module")
def con(made_up_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Connection:
    home = tmp_path_factory.mktemp("measured") / "db"
    shutil.copytree(made_up_db, home)
    columns = _scores()
    measures = tuple(Measure(name, "DOUBLE") for name in columns)
    keys = {"space": ["tss"] * len(ARCHS), "arch": pa.array(ARCHS, pa.int32())}
    keep_attached(home, Attached("mine", ("space", "arch"), measures, 0), pa.table({**keys, **columns}))
    by_device = Attached(
        "board", ("space", "arch", "dataset", "device"), (Measure("ms", "DOUBLE"),), 0, others=("VARCHAR",)
    )
    twice = {"space": ["tss"] * 140, "arch": pa.array(ARCHS * 2, pa.int32()), "dataset": ["cifar100"] * 140}
    rows = {"device": ["a"] * 70 + ["b"] * 70, "ms": [float(arch) for arch in ARCHS] + [float(-a) for a in ARCHS]}
    keep_attached(home, by_device, pa.table({**twice, **rows}))
    return natsdb.connect(home)


@pytest.fixture(scope="module")
def builtin() -> Connection:
    if not (BUILTIN / NAME).exists():
        pytest.skip("natsdb's own database is not made: make builtin")
    return natsdb.connect(BUILTIN)


def _accuracies(con: Connection) -> list[float]:
    rows = con.sql(
        "select accuracy from mean_final where space = 'tss' and hp = '200' and dataset = 'cifar100' "
        "and split = 'x-valid' order by arch"
    )
    return [value for (value,) in rows.fetchall()]


def _expected(values: list[float | None], accuracies: list[float], top: float = 1.0) -> tuple[Any, ...]:
    both = [(v, a) for v, a in zip(values, accuracies, strict=True) if v is not None and not math.isnan(v)]
    best = sorted(both, key=lambda pair: -pair[1])[: int(top * len(both) + 0.5)]
    a, b = np.array(best).T
    return len(best), pytest.approx(spearmanr(a, b)[0], abs=1e-9), pytest.approx(kendalltau(a, b)[0], abs=1e-9)


@pytest.mark.parametrize("name", ["top", "hp", "split"])
@pytest.mark.parametrize("top", [1.0, 0.5, 0.1])
def test_correlation_is_scipys(con: Connection, name: str, top: float) -> None:
    found = con.sql(f"from correlation('mine.{name}', {ASKED}, top := {top})").fetchall()
    assert found == [_expected(_scores()[name], _accuracies(con), top)]


def test_correlations_has_what_correlation_has_of_every_measure(con: Connection) -> None:
    found = {row[0]: row[1:] for row in con.sql(f"from correlations({ASKED}, top := 0.5)").fetchall()}
    assert {"flops", "params", "mine.top", "mine.same", "board.ms.a", "board.ms.b"} <= found.keys()
    for name, (archs, spearman) in found.items():
        (one,) = con.sql(f"select archs, spearman from correlation('{name}', {ASKED}, top := 0.5)").fetchall()
        assert one == (archs, spearman if spearman is None else pytest.approx(spearman, abs=1e-9))
    strength = [round(abs(row[1] or 0), 9) for row in found.values()]
    assert strength == sorted(strength, reverse=True)
    assert found["board.ms.a"][1] == pytest.approx(-found["board.ms.b"][1])
    mine = con.sql(f"select measure from correlations({ASKED}, of := 'mine')").fetchall()
    assert {name for (name,) in mine} == {f"mine.{name}" for name in _scores()}


def test_what_ranks_nothing_has_no_correlation(con: Connection) -> None:
    assert con.sql(f"from correlation('mine.same', {ASKED})").fetchall() == [(70, None, None)]
    assert con.sql(f"select * from correlations({ASKED}, of := 'mine.same')").fetchall() == [("mine.same", 70, None)]


def test_all_that_equal_the_last_of_the_best_are_among_them(made_up_db: Path) -> None:
    connection = natsdb.connect(made_up_db, unlocked=True)
    connection.execute("create table coarse as select * replace (round(accuracy / 5) as accuracy) from mean_final")
    connection.execute("create or replace view mean_final as select * from coarse")
    values = sorted((value for (value,) in connection.execute(_ACCURACIES).fetchall()), reverse=True)
    expected = sum(value >= values[6] for value in values)
    assert expected > 7
    for macro in (f"correlation('flops', {ASKED}, top := 0.1)", f"correlations({ASKED}, top := 0.1, of := 'flops')"):
        assert connection.execute(f"select archs from {macro}").fetchall() == [(expected,)]


_ACCURACIES = (
    "select accuracy from mean_final where space = 'tss' and hp = '200' and dataset = 'cifar100' and split = 'x-valid'"
)


@pytest.mark.parametrize("name", ["mine.hp", "mine.split", "board.ms.b", "flops"])
def test_no_architecture_beats_one_on_the_front_of_a_measure(con: Connection, name: str) -> None:
    rows = con.sql(
        f"select found.value, result.accuracy, result.arch from ({_ACCURACIES.replace('accuracy', '*', 1)}) as result "
        f"join measured('{name}') as found using (space, arch, dataset) where not isnan(found.value)"
    ).fetchall()
    expected = sorted(
        (cost, accuracy)
        for cost, accuracy, _ in rows
        if not any((c <= cost and a > accuracy) or (c < cost and a >= accuracy) for c, a, _ in rows)
    )
    assert con.sql(f"select cost, accuracy from pareto({ASKED}, '{name}')").fetchall() == expected


def test_best_under_a_limit(con: Connection) -> None:
    every = list(zip(_scores()["hp"], _accuracies(con), ARCHS, strict=True))
    expected = sorted(((v, a, n) for v, a, n in every if v is not None and v <= 4), key=lambda row: -row[1])
    found = con.sql(
        f"select measured, accuracy, arch from best({ASKED}, k := 100, measure := 'mine.hp', at_most := 4)"
    ).fetchall()
    assert found == expected
    assert 5 < len(found) < 50
    shown = con.sql(f"select arch, measured from best({ASKED}, k := 100, measure := 'mine.hp')").fetchall()
    assert dict(shown) == {n: v for v, _, n in every}
    assert con.sql(f"select distinct measured from best({ASKED})").fetchall() == [(None,)]


def test_a_measure_is_known_by_the_name_that_the_view_gives_it() -> None:
    """As axes of pictures say it: its meaning, and its unit."""
    columns = Measure("kind", "VARCHAR"), Measure("ms", "DOUBLE", "latency", "ms"), Measure("mj", "DOUBLE", "energy")
    board = Attached("board", ("space", "arch"), columns, 0)
    phone = Attached("phone", ("space", "arch", "core"), (Measure("ms", "DOUBLE", "time", "ms"),), 0, ("VARCHAR",))
    for name, meaning, unit in (
        ("board.ms", "latency", "ms"),
        ("board.mj", "energy", ""),
        ("phone.ms.big", "time, big", "ms"),
    ):
        assert measure_of(name, [board, phone]) == Measure(name, "DOUBLE", meaning, unit)
    for name in ("board.kind", "board.m", "board.ms.big", "phone.ms", "other.ms"):
        assert measure_of(name, [board, phone]) is None


@pytest.mark.parametrize(
    ("query", "said"),
    [
        (f"from pareto({ASKED}, 'flop')", "there is no measure flop"),
        (f"from best({ASKED}, measure := 'mine.nope')", "there is no measure mine.nope"),
        (f"from correlation('board.ms', {ASKED})", "there is no measure board.ms"),
        ("from measured('mine.nope') where value > 1e9", "there is no measure mine.nope"),
        (f"from best({ASKED}, at_most := 4)", "at_most is of a measure"),
        (f"from correlation('flops', {ASKED}, top := 1.5)", "top is a share"),
        (f"from correlations({ASKED}, top := 0)", "top is a share"),
    ],
)
def test_what_cannot_be_asked_is_refused(con: Connection, query: str, said: str) -> None:
    with pytest.raises(NatsdbError, match=said):
        con.sql(query).fetchall()


@pytest.mark.parametrize(
    ("dataset", "split", "accuracy"),
    [
        ("cifar10-valid", "x-valid", 91.61),
        ("cifar10", "ori-test", 94.37),
        ("cifar100", "x-valid", 73.49),
        ("cifar100", "x-test", 73.51),
        ("ImageNet16-120", "x-valid", 46.73),
        ("ImageNet16-120", "x-test", 47.31),
    ],
)
def test_the_optimum_is_that_of_the_paper(builtin: Connection, dataset: str, split: str, accuracy: float) -> None:
    found = builtin.sql(f"select round(accuracy, 2), coverage from best('{dataset}', '{split}', '200', k := 1)")
    assert found.fetchall() == [(accuracy, "15,625 of 15,625")]


def test_proxies_correlate_as_computed_elsewhere(builtin: Connection) -> None:
    found = dict(
        builtin.sql(
            "select measure, round(spearman, 3) from correlations('cifar10-valid', 'x-valid', '200', of := 'zero_cost')"
        ).fetchall()
    )
    assert len(found) == 13
    expected = {"jacov": 0.830, "epe_nas": 0.797, "nwot": 0.795, "synflow": 0.735}
    assert {name: found[f"zero_cost.{name}"] for name in expected} == expected
    # What a proxy took is a measure as well, which ranks nothing unless it is asked for.
    asked = "from correlations('cifar100', 'x-test', '200', of := 'zero_cost.zen_seconds')"
    assert [row[:2] for row in builtin.sql(asked).fetchall()] == [("zero_cost.zen_seconds", 15_625)]
    # −1e8 stands for what could not be computed.
    values, accuracies = np.array(
        builtin.sql(
            "select value, accuracy from mean_final join measured('zero_cost.nwot') using (space, arch, dataset) "
            "where dataset = 'cifar100' and hp = '200' and split = 'x-valid'"
        ).fetchall()
    ).T
    asked = "correlation('zero_cost.nwot', 'cifar100', 'x-valid', '200')"
    assert builtin.sql(f"from {asked}").fetchall() == [
        (725, pytest.approx(spearmanr(values, accuracies)[0]), pytest.approx(kendalltau(values, accuracies)[0]))
    ]


def test_a_front_by_energy_and_the_best_under_a_latency(builtin: Connection) -> None:
    front = builtin.sql(
        "select arch, cost, accuracy from pareto('cifar100', 'x-test', '200', 'hw_nas_bench.edgegpu_energy')"
    ).fetchall()
    assert (front[-1][0], round(front[-1][2], 2)) == (9930, 73.51)
    assert [cost for _, cost, _ in front] == sorted(cost for _, cost, _ in front)
    (found,) = builtin.sql(
        "select arch, round(accuracy, 2), measured <= 10 from best('cifar100', 'x-test', '200', k := 1, "
        "measure := 'hw_nas_bench.raspi4_latency', at_most := 10)"
    ).fetchall()
    assert found == (11653, 67.49, True)
