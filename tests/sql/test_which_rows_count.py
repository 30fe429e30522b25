"""Which rows count where several sources lie side by side: one source an architecture and data set, never a mix."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import natsdb
import natsdb.api
from natsdb.ingest import collect, ingest
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


def test_archives_then_the_users_own_records_then_regenerated_then_published_then_reduced_ones_then_synthetic(
    home: Path,
) -> None:
    add_run(home, accuracy=1.0, source="synthetic")
    assert _rows(MEAN, home) == [(1.0, 1, "synthetic")]
    add_run(home, accuracy=2.0, source="a", epochs=3)
    assert _rows(MEAN, home) == [(2.0, 1, "a")]
    add_table(home)
    assert _rows(MEAN, home) == [(99.0, None, "published")]
    add_run(home, accuracy=3.0)
    assert _rows(MEAN, home) == [(3.0, 1, "regenerated")]
    add_run(home, accuracy=4.0, source="zoe")
    assert _rows(MEAN, home) == [(4.0, 1, "zoe")]
    add_run(home, accuracy=5.0, source="ann")
    assert _rows(MEAN, home) == [(5.0, 1, "ann")]
    # A full run of the source itself stands before its reduced one.
    add_run(home, accuracy=6.0, source="a", seed=1)
    assert _rows(MEAN, home) == [(6.0, 1, "a")]
    # Those of the archives, the one that counts most at last.
    for accuracy, source in enumerate(("hpobench", "nas-bench-201", "official"), 7):
        add_run(home, accuracy=float(accuracy), source=source)
        assert _rows(MEAN, home) == [(accuracy, 1, source)]
    by_source = "select source, accuracy from mean_by_source where split = 'ori-test' order by all"
    assert _rows(by_source, home) == [
        ("a", 6.0), ("ann", 5.0), ("hpobench", 7.0), ("nas-bench-201", 8.0), ("official", 9.0), ("published", 99.0),
        ("regenerated", 3.0), ("synthetic", 1.0), ("zoe", 4.0),
    ]  # fmt: skip


def test_each_data_set_has_a_source_of_its_own(home: Path) -> None:
    add_run(home)
    add_run(home, dataset="cifar10", accuracy=30.0, source="mine")
    ask = "select dataset, accuracy, source from mean_final where split = 'ori-test' order by dataset"
    assert _rows(ask, home) == [("cifar10", 30.0, "mine"), ("cifar100", 25.0, "regenerated")]


def test_a_published_result_does_not_hide_a_curve(home: Path) -> None:
    add_run(home, images=512)
    add_table(home)
    assert _rows(MEAN, home) == [(99.0, None, "published")]
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
    # Runs are of one table and means of another: in one table, seed 0 beside others is refused.
    add_table(home, seed=[777, 888], accuracy=[60.0, 70.0])
    add_table(home, seed=[0, 0], split=["ori-test", "x-test"], accuracy=[1.0, 50.0])
    for ask in (
        "select split, accuracy, seeds, source from mean_final order by split",
        "select split, accuracy, seeds, source from mean_by_source order by split",
    ):
        assert _rows(ask, home) == [("ori-test", 65.0, 2, "published"), ("x-test", 50.0, None, "published")]
    assert _rows("select seeds from mean_cost", home) == [(2,)]
    add_run(home, arch=12)
    assert _rows(MEAN, home) == [(65.0, 2, "published")]


def test_what_an_architecture_costs_is_the_mean_over_its_runs(home: Path) -> None:
    folder = add_run(home)
    (path,) = folder.rglob("run.json")
    run = json.loads(path.read_text()) | {"seed": 888, "flops": 52.0, "params": 0.75}
    run["measured"]["train"]["seconds"] = [3.0] * 12
    path.write_text(json.dumps(run))
    collect(folder, home, source="regenerated")
    costs = _rows("select flops, params, train_seconds, seeds from mean_cost", home)
    assert costs == [(51.0, 0.625, 2.5, 2)]


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


def test_full_training_is_the_longest_schedule_that_covers_enough(home: Path) -> None:
    archs = list(range(40))
    same = {"space": ["tss"] * 40, "arch": archs, "dataset": ["cifar100"] * 40, "split": ["x-test"] * 40}
    add_table(home, **same, hp=["12"] * 40, accuracy=[10.0 + arch for arch in archs])
    judged = "select distinct hp, coverage from full_accuracy"
    longer = {name: values[:19] for name, values in same.items()} | {"hp": ["200"] * 19}
    add_table(home, **longer, accuracy=[90.0] * 19)
    assert _rows(judged, home) == [("12", "40 of 15,625")]
    twentieth = {name: values[19:20] for name, values in same.items()} | {"hp": ["200"]}
    add_table(home, **twentieth, accuracy=[91.0])
    assert _rows(judged, home) == [("200", "20 of 15,625")]
    ask = "select label, cifar100_test, runs, coverage from search_table where label not in ('ResNet', 'largest')"
    assert _rows(ask, home) == [
        ("optimal", "91.00 (20 of 15,625)", 20, "20 of 15,625"),
        ("mean of the space", "90.05 ± 0.22 (20 of 15,625)", 20, "20 of 15,625"),
    ]


def test_rankings_say_how_much_of_the_space_they_cover(home: Path) -> None:
    for arch in (3, 5, 11):
        add_run(home, arch, accuracy=20.0 + arch)
    for ask in (
        "leaderboard where split = 'x-test'",
        "best('cifar100', 'x-test', '12', k := 1)",
        "pareto('cifar100', 'x-test', '12', 'params')",
    ):
        assert set(natsdb.query(f"select coverage from {ask}", home)["coverage"]) == {"3 of 15,625"}, ask


def test_nan_is_never_first(home: Path) -> None:
    add_run(home, 3, accuracy=float("nan"))
    add_run(home, 5, accuracy=20.0)
    add_run(home, 11, accuracy=30.0)
    assert _rows("select rank, arch from leaderboard where split = 'x-test' order by rank", home) == [
        (1, 11),
        (2, 5),
        (3, 3),
    ]
    assert _rows("select arch from best('cifar100', 'x-test', '12')", home) == [(11,), (5,), (3,)]
    assert 3 not in natsdb.query("from pareto('cifar100', 'x-test', '12', 'flops')", home)["arch"]
    assert _rows("select cifar100_test from search_table where label = 'optimal'", home) == [("30.00 (2 of 15,625)",)]


def test_pareto_without_a_cost_says_what_is_missing(home: Path) -> None:
    add_run(home)
    with pytest.raises(NatsdbError, match=r"pareto takes other arguments: dataset, split, hp, cost, space"):
        natsdb.query("from pareto('cifar100', 'x-test', '12')", home)
    with pytest.raises(NatsdbError, match="there is no measure watts"):
        natsdb.query("from pareto('cifar100', 'x-test', '12', 'watts')", home)
    with pytest.raises(NatsdbError, match="there is no table or macro 'nosuch'"):
        natsdb.query("from query_table('nosuch')", home)


def test_equal_accuracies_share_a_rank_and_the_lowest_index_comes_first(home: Path) -> None:
    accuracies = {9: 50.0, 3: 70.0, 7: 70.0, 5: 70.0, 11: 60.0}
    add_table(home, arch=list(accuracies), split="x-test", accuracy=list(accuracies.values()))
    ranks = "select rank, arch from leaderboard where split = 'x-test' order by rank, arch"
    assert _rows(ranks, home) == [(1, 3), (1, 5), (1, 7), (4, 11), (5, 9)]
    best = "select place, arch from best('cifar100', 'x-test', '12', k := {})"
    assert _rows(best.format(5), home) == [(1, 3), (2, 5), (3, 7), (4, 11), (5, 9)]
    assert _rows(best.format(2), home) == [(1, 3), (2, 5)]


def test_a_limit_is_kept_by_what_equals_it(home: Path) -> None:
    for arch, accuracy in ((3, 60.0), (5, 70.0)):
        add_run(home, arch, accuracy=accuracy)
    ((flops, params),) = _rows("select flops, params from mean_cost where arch = 5", home)
    ask = "select arch from best('cifar100', 'ori-test', '12', {})"
    for limit, value in (("max_flops", flops), ("max_params", params)):
        assert (5,) in _rows(ask.format(f"{limit} := {value!r}::double"), home)
        assert (5,) not in _rows(ask.format(f"{limit} := {value * (1 - 1e-15)!r}::double"), home)


def test_a_name_after_synthetic_in_the_alphabet_counts_before_it(home: Path) -> None:
    add_run(home, accuracy=2.0, source="zoe")
    add_run(home, accuracy=1.0, source="synthetic")
    assert _rows(MEAN, home) == [(2.0, 1, "zoe")]
    handle = natsdb.api.create(str(home), "tss", verbose=False)
    assert handle.get_more_info(11, "cifar100", hp="12")["valtest-accuracy"] == 2.0


def test_seeds_of_another_source_are_not_counted(home: Path) -> None:
    for seed, source in ((777, "mine"), (888, "mine"), (999, "regenerated"), (111, "synthetic")):
        add_run(home, seed=seed, source=source, accuracy=float(seed % 100))
    assert _rows(MEAN, home) == [(82.5, 2, "mine")]
    assert _rows("select seed from runs order by seed", home) == [(777,), (888,)]
    handle = natsdb.api.create(str(home), "tss", verbose=False)
    assert list(handle.query_by_index(11, "cifar100", hp="12")) == [777, 888]


def test_nas_bench_201_then_what_was_extracted_of_it_then_ones_own_whatever_the_names(home: Path) -> None:
    for number, source in enumerate(("ann", "hpobench", "nas-bench-201", "official")):
        add_run(home, accuracy=float(number), source=source)
        assert _rows(MEAN, home) == [(float(number), 1, source)]
    add_run(home, accuracy=9.0, source="nas-bench-201", arch=12, epochs=3)
    add_run(home, accuracy=8.0, source="zoe", arch=12)
    assert _rows(MEAN.replace("11", "12"), home) == [(8.0, 1, "zoe")]
