"""Which rows count where several sources lie side by side: one source an architecture and data set, never a mix."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import natsdb
from natsdb.ingest import ingest
from natsdb.schema.errors import NatsdbError
from sources import add_run, add_table

MEAN = (
    "select accuracy, seeds, source from mean_final "
    "where arch = 11 and hp = '12' and dataset = 'cifar100' and split = 'ori-test'"
)
BEST = "select accuracy, seeds, source from best('cifar100', 'ori-test', '12') where arch = 11"


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "db"


def _rows(statement: str, home: Path, **options: Any) -> list[tuple[Any, ...]]:
    return natsdb.query(statement, home, **options).rows()


def test_a_regenerated_run_of_a_new_seed_changes_no_official_mean(official: dict[str, Path], home: Path) -> None:
    ingest([official["tss"]], home)
    asked = [
        MEAN,
        BEST,
        "from leaderboard order by all",
        "from more_info('tss', 11, 'cifar100', '12')",
        "from curve('tss', 11, 'cifar100', '12')",
        "from mean_cost order by all",
        "from runs order by all",
        "from full_accuracy order by all",
        "from mean_by_source where source = 'official' order by all",
        "from simulated('tss', 'cifar100', '12', 11) order by all",
    ]
    before = [_rows(ask, home) for ask in asked]
    add_run(home, images=512)
    add_run(home, seed=1, accuracy=99.0)
    assert [_rows(ask, home) for ask in asked] == before
    assert before[0][0][2] == "official"


def test_any_source_can_be_asked_for(official: dict[str, Path], home: Path) -> None:
    ingest([official["tss"]], home)
    add_run(home)
    for ask in (MEAN, BEST):
        assert _rows(ask, home, source="regenerated") == [(25.0, 1, "regenerated")]
        assert _rows(ask, home, source="official")[0][1:] == (1, "official")
    with natsdb.connect(home, source="regenerated") as connection:
        for view in ("runs", "curves", "mean_final", "mean_cost", "leaderboard", "full_accuracy"):
            assert connection.sql(f"select distinct source from {view}").fetchall() == [("regenerated",)], view
    with pytest.raises(NatsdbError, match="there are no rows of source 'offical'; did you mean official"):
        natsdb.query(MEAN, home, source="offical")


def test_the_users_own_records_then_regenerated_then_published_then_reduced_ones_then_synthetic(home: Path) -> None:
    add_run(home, accuracy=1.0, source="synthetic")
    assert _rows(MEAN, home) == [(1.0, 1, "synthetic")]
    add_run(home, accuracy=2.0, source="a", epochs=3)
    assert _rows(MEAN, home) == [(2.0, 1, "a")]
    add_table(home)
    assert _rows(MEAN, home) == [(99.0, 1, "published")]
    add_run(home, accuracy=3.0)
    assert _rows(MEAN, home) == [(3.0, 1, "regenerated")]
    add_run(home, accuracy=4.0, source="zoe")
    assert _rows(MEAN, home) == [(4.0, 1, "zoe")]
    add_run(home, accuracy=5.0, source="ann")
    assert _rows(MEAN, home) == [(5.0, 1, "ann")]
    # A full run of the source itself stands before its reduced one.
    add_run(home, accuracy=6.0, source="a", seed=1)
    assert _rows(MEAN, home) == [(6.0, 1, "a")]
    by_source = "select source, accuracy from mean_by_source where split = 'ori-test' order by all"
    assert _rows(by_source, home) == [
        ("a", 6.0), ("ann", 5.0), ("published", 99.0), ("regenerated", 3.0), ("synthetic", 1.0), ("zoe", 4.0)
    ]  # fmt: skip


def test_each_data_set_has_a_source_of_its_own(home: Path) -> None:
    add_run(home)
    add_run(home, dataset="cifar10", accuracy=30.0, source="mine")
    ask = "select dataset, accuracy, source from mean_final where split = 'ori-test' order by dataset"
    assert _rows(ask, home) == [("cifar10", 30.0, "mine"), ("cifar100", 25.0, "regenerated")]


def test_a_published_result_does_not_hide_a_curve(home: Path) -> None:
    add_run(home, images=512)
    add_table(home)
    assert _rows(MEAN, home) == [(99.0, 1, "published")]
    curve = "select epoch, ori_test_accuracy, source from curve('tss', 11, 'cifar100', '12')"
    assert _rows(curve, home) == [(epoch, 25.0 - (epoch < 11), "regenerated") for epoch in range(12)]
    inner = """select "valtest-accuracy" from more_info('tss', 11, 'cifar100', '12', iepoch := {})"""
    assert _rows(inner.format(5), home) == [(24.0,)]
    # At the last epoch the general choice counts.
    assert _rows(inner.format(11), home) == _rows(inner.format("null"), home) == [(99.0,)]
    assert _rows("select arch, accuracy, source from simulated('tss', 'cifar100', '12', 5)", home) == [
        (11, 24.0, "regenerated")
    ]


def test_a_published_mean_counts_only_where_there_are_no_seeds_of_its_split(home: Path) -> None:
    rows = [(777, "ori-test", 60.0), (888, "ori-test", 70.0), (0, "ori-test", 1.0), (0, "x-test", 50.0)]
    seed, split, accuracy = (list(column) for column in zip(*rows, strict=True))
    same = {"space": ["tss"] * 4, "hp": ["12"] * 4, "arch": [11] * 4, "dataset": ["cifar100"] * 4}
    add_table(home, **same, seed=seed, split=split, accuracy=accuracy)
    for ask in (
        "select split, accuracy, seeds, source from mean_final order by split",
        "select split, accuracy, seeds, source from mean_by_source order by split",
    ):
        assert _rows(ask, home) == [("ori-test", 65.0, 2, "published"), ("x-test", 50.0, 1, "published")]
    assert _rows("select seeds from mean_cost", home) == [(2,)]
    add_run(home, arch=12)
    assert _rows(MEAN, home) == [(65.0, 2, "published")]


def test_every_view_of_measured_values_says_its_source(official: dict[str, Path], home: Path) -> None:
    ingest([official["tss"]], home)
    views = ("runs", "curves", "mean_final", "mean_cost", "leaderboard", "mean_by_source", "full_accuracy")
    macros = (
        "best('cifar100', 'x-test', '12')",
        "pareto('cifar100', 'x-test', '12', 'flops')",
        "curve('tss', 11, 'cifar100', '12')",
        "simulated('tss', 'cifar100', '12', 11)",
    )
    for name in (*views, *macros):
        assert set(natsdb.query(f"select source from {name}", home)["source"]) == {"official"}, name
