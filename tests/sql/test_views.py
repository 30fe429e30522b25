"""Each view and macro against the same figures computed in plain Python from the records."""

from __future__ import annotations

import itertools
import re
import statistics
from pathlib import Path
from typing import Any

import nats_bench
import polars as pl
import pytest

import archives
import natsdb
from natsdb.connection import Connection
from natsdb.schema.errors import NatsdbError
from natsdb.schema.spaces import SPACES, arch_str
from natsdb.schema.topology import tss_ops
from natsdb.sql import MACROS, VIEWS, comment

ARCHS = list(range(0, 1400, 20))


@pytest.fixture(scope="module")
def con(made_up_db: Path) -> Connection:
    return natsdb.connect(made_up_db)


@pytest.fixture(scope="module")
def records() -> dict[tuple[str, int], Any]:
    return {(space, arch): archives.record(space, arch) for space in ("tss", "sss") for arch in ARCHS}


def _finals(records: Any, space: str, hp: str, dataset: str, split: str) -> dict[int, list[float]]:
    """Last accuracies of each architecture over its seeds, in order of seed."""
    found: dict[int, list[float]] = {}
    for (of, arch), record in records.items():
        if of == space:
            runs = sorted((s, run) for (d, s), run in record[hp]["all_results"].items() if d == dataset)
            found[arch] = [run["eval_acc1es"][f"{split}@{run['epochs'] - 1}"] for _, run in runs]
    return found


def test_metric_holds_every_number_of_every_record(con: Connection, records: Any) -> None:
    assert con.sql("select count(*) from metric").fetchall()[0] == (
        sum(
            run["epochs"] + len(run["eval_acc1es"])
            for record in records.values()
            for result in record.values()
            for run in result["all_results"].values()
        ),
    )


def test_curves_has_a_row_an_epoch_and_a_column_a_split(con: Connection, records: Any) -> None:
    run = records["tss", 40]["200"]["all_results"]["cifar100", 777]
    rows = con.sql(
        "select * from curves where space='tss' and arch=40 and hp='200' and dataset='cifar100' and seed=777"
    ).pl()
    rows = rows.sort("epoch")
    assert rows["train_accuracy"].to_list() == list(run["train_acc1es"].values())
    assert rows["ori_test_loss"].to_list() == [run["eval_losses"][f"ori-test@{epoch}"] for epoch in range(200)]
    assert rows["x_valid_accuracy"].to_list() == [None] * 199 + [run["eval_acc1es"]["x-valid@199"]]


def test_curve_is_curves_of_one_architecture(con: Connection) -> None:
    mine = con.sql("select * exclude (source) from curve('sss', 60, 'ImageNet16-120', 12)").pl()
    theirs = con.sql(
        "select * exclude (source, space, hp, arch, dataset) from curves where space = 'sss' and arch = 60 "
        "and hp = '12' and dataset = 'ImageNet16-120' order by seed, epoch"
    ).pl()
    assert mine.equals(theirs)
    assert len(mine) == 36


def test_runs_has_a_row_a_run_with_its_cost(con: Connection, records: Any) -> None:
    run = records["tss", 84 - 64]["200"]["all_results"]["cifar10", 888]
    row = con.sql(
        "select * from runs where space='tss' and arch=20 and hp='200' and dataset='cifar10' and seed=888"
    ).pl()
    assert row.select("flops", "params", "latency", "epochs", "classes").row(0) == (
        run["flop"],
        run["params"],
        run["latency"][0],
        200,
        10,
    )
    assert row["train_seconds"][0] == run["train_times"][0]
    assert row["train_all_seconds"][0] == pytest.approx(sum(run["train_times"].values()), rel=1e-12)
    assert row["x_valid_seconds"][0] is None
    counted = sum(len(result["all_results"]) for record in records.values() for result in record.values())
    assert con.sql("select count(*) from runs").fetchall()[0] == (counted,)


def test_mean_final_and_leaderboard(con: Connection, records: Any) -> None:
    finals = _finals(records, "tss", "200", "cifar100", "x-test")
    where = "where space='tss' and hp='200' and dataset='cifar100' and split='x-test'"
    for arch, accuracy, std, seeds in con.sql(
        f"select arch, accuracy, accuracy_std, seeds from mean_final {where}"
    ).fetchall():
        assert accuracy == pytest.approx(statistics.fmean(finals[arch]), rel=1e-14)
        assert std == pytest.approx(statistics.stdev(finals[arch]), rel=1e-9)
        assert seeds == len(finals[arch])
    means = {arch: statistics.fmean(values) for arch, values in finals.items()}
    board = con.sql(f"select rank, arch, arch_str from leaderboard {where} order by rank").fetchall()
    assert [arch for _, arch, _ in board] == sorted(means, key=lambda arch: -means[arch])
    assert [rank for rank, _, _ in board] == list(range(1, 71))
    assert board[0][2] == arch_str("tss", board[0][1])


def test_topology_and_size_hold_the_whole_spaces(con: Connection) -> None:
    cells = con.sql(
        "select edge_1_0, edge_2_0, edge_2_1, edge_3_0, edge_3_1, edge_3_2 from topology order by arch"
    ).fetchall()
    assert cells == list(tss_ops())
    assert con.sql("select layer_0, layer_1, layer_2, layer_3, layer_4 from size order by arch").fetchall() == list(
        SPACES["sss"].every
    )


def test_best_takes_limits(con: Connection, records: Any) -> None:
    means = {a: statistics.fmean(v) for a, v in _finals(records, "sss", "90", "cifar10", "ori-test").items()}
    flops = {arch: records["sss", arch]["90"]["all_results"]["cifar10", 777]["flop"] for arch in ARCHS}
    params = {arch: records["sss", arch]["90"]["all_results"]["cifar10", 777]["params"] for arch in ARCHS}
    limit, most = statistics.median(flops.values()), statistics.median(params.values())

    def best(**limits: Any) -> list[int]:
        given = "".join(f", {name} := {value}" for name, value in limits.items())
        query = f"select arch from best('cifar10', 'ori-test', '90', space := 'sss'{given})"
        return [arch for (arch,) in con.sql(query).fetchall()]

    ranked = sorted(ARCHS, key=lambda arch: -means[arch])
    assert best() == ranked[:10]
    assert best(k=3) == ranked[:3]
    assert best(max_flops=limit) == [arch for arch in ranked if flops[arch] <= limit][:10]
    assert best(max_params=most, max_flops=limit, k=70) == [
        arch for arch in ranked if flops[arch] <= limit and params[arch] <= most
    ]


@pytest.mark.parametrize("cost", ["flops", "params", "latency", "train_seconds"])
def test_no_architecture_beats_one_on_the_pareto_front(con: Connection, cost: str) -> None:
    front = con.sql(f"select arch, cost, accuracy from pareto('cifar100', 'x-valid', '200', '{cost}')").fetchall()
    every = con.sql(
        f"select arch, {cost}, accuracy from mean_final join mean_cost using (space, hp, arch, dataset) "
        "where space = 'tss' and dataset = 'cifar100' and split = 'x-valid' and hp = '200'"
    ).fetchall()
    expected = [
        (arch, price, accuracy)
        for arch, price, accuracy in sorted(every, key=lambda row: row[1])
        if not any(
            (p <= price and a >= accuracy and (p < price or a > accuracy))
            or (p == price and a == accuracy and o < arch)
            for o, p, a in every
        )
    ]
    assert front == expected
    assert 1 < len(front) < 70


def test_rankings_that_agree_wholly_or_not_at_all(made_up_db: Path) -> None:
    ask = "select archs, spearman, kendall from rank_agreement(?)"
    for b, expected in (
        ([1.0, 2.0, 3.0], (3, 1.0, 1.0)),
        ([3.0, 2.0, 1.0], (3, -1.0, -1.0)),
        ([2.0] * 3, (3, None, None)),
    ):
        pairs = [{"a": float(a), "b": one} for a, one in enumerate(b)]
        assert natsdb.query(ask, [pairs], made_up_db).rows() == [expected]


def _kendall(a: list[float], b: list[float]) -> float:
    score, ties_a, ties_b, pairs = 0, 0, 0, 0
    for (x, y), (u, v) in itertools.combinations(zip(a, b, strict=True), 2):
        pairs += 1
        ties_a += x == u
        ties_b += y == v
        score += ((x > u) - (x < u)) * ((y > v) - (y < v))
    return score / ((pairs - ties_a) * (pairs - ties_b)) ** 0.5


def _ranks(values: list[float]) -> list[float]:
    return [sum(other < value for other in values) + (values.count(value) + 1) / 2 for value in values]


@pytest.mark.parametrize("rounded", [False, True])
def test_rank_correlation_with_and_without_ties(made_up_db: Path, records: Any, rounded: bool) -> None:
    connection = natsdb.connect(made_up_db, unlocked=True)
    if rounded:  # many ties
        connection.execute("create table coarse as select * replace (round(accuracy / 5) as accuracy) from mean_final")
        connection.execute("create or replace view mean_final as select * from coarse")
    a, b = (
        [
            v
            for (v,) in connection.sql(
                f"select accuracy from mean_final where space='tss' and hp='{hp}' and dataset='cifar100' "
                "and split='x-valid' order by arch"
            ).fetchall()
        ]
        for hp in ("12", "200")
    )
    archs, spearman, kendall = connection.sql("from rank_correlation('cifar100', 12, 200)").fetchall()[0]
    assert archs == 70
    assert kendall == pytest.approx(_kendall(a, b), abs=1e-12)
    assert spearman == pytest.approx(statistics.correlation(_ranks(a), _ranks(b)), abs=1e-12)


@pytest.mark.parametrize(
    ("options", "other"),
    [
        ("dataset_b := 'cifar10'", ("cifar10", "ori-test")),
        ("dataset_b := 'ImageNet16-120'", ("ImageNet16-120", "x-valid")),
        ("dataset_b := 'ImageNet16-120', split := 'x-valid', split_b := 'x-test'", ("ImageNet16-120", "x-test")),
        ("split_b := 'x-test'", ("cifar100", "x-test")),
    ],
)
def test_rank_correlation_of_two_data_sets_or_splits(con: Connection, options: str, other: tuple[str, str]) -> None:
    a, b = (
        [
            value
            for (value,) in con.execute(
                "select accuracy from mean_final where space = 'tss' and hp = '200' and dataset = ? and split = ? "
                "order by arch",
                key,
            ).fetchall()
        ]
        for key in (("cifar100", "x-valid"), other)
    )
    asked = f"select archs, kendall from rank_correlation('cifar100', 200, 200, {options})"
    assert con.sql(asked).fetchall() == [(70, pytest.approx(_kendall(a, b), abs=1e-12))]


@pytest.mark.parametrize(
    ("space", "arch", "count"), [("tss", 0, 24), ("tss", 1462, 24), ("sss", 0, 35), ("sss", 11, 35)]
)
def test_neighbours_are_one_edit_away(con: Connection, space: str, arch: int, count: int) -> None:
    parts: Any = tss_ops() if space == "tss" else SPACES["sss"].every
    rows = con.sql(f"select arch, position, new_value from neighbours('{space}', {arch})").fetchall()
    assert len(rows) == count
    for other, position, value in rows:
        edits = [n for n in range(len(parts[arch])) if parts[arch][n] != parts[other][n]]
        assert edits == [position]
        assert str(parts[other][position]) == value


@pytest.mark.parametrize("iepoch", [None, 0, 5])
@pytest.mark.parametrize("dataset", ["cifar10-valid", "cifar10", "cifar100", "ImageNet16-120"])
@pytest.mark.parametrize(("space", "hp"), [("tss", "12"), ("tss", "200"), ("sss", "01"), ("sss", "12"), ("sss", "90")])
def test_more_info_is_the_official_dictionary(
    space: str, hp: str, dataset: str, iepoch: int | None, official: dict[str, Path], real_db: Path
) -> None:
    if hp == "01" and iepoch == 5:
        iepoch = None
    api = nats_bench.create(str(official[space]), space, fast_mode=True, verbose=False)
    expected = api.get_more_info(11, dataset, iepoch=iepoch, hp=hp, is_random=False)
    expected.pop("comment", None)
    given = "" if iepoch is None else f", iepoch := {iepoch}"
    row = natsdb.query(f"from more_info('{space}', 11, '{dataset}', '{hp}'{given})", real_db).row(0, named=True)
    found = {key: value for key, value in row.items() if value is not None}
    assert list(found) == list(expected)
    # Sums of times are added in another order: the last digit may differ.
    assert found == pytest.approx(expected, rel=1e-13)


def test_runs_that_judge_are_those_of_the_role_at_the_full_schedule(real_db: Path) -> None:
    rows = natsdb.query(
        "select seed, accuracy from judged_final "
        "where space = 'tss' and arch = 11 and dataset = 'cifar10' and role = 'valid' order by seed",
        real_db,
    )
    runs = natsdb.query(
        "select seed, accuracy from final where space = 'tss' and arch = 11 and hp = '200' "
        "and dataset = 'cifar10-valid' and split = 'x-valid' order by seed",
        real_db,
    )
    assert len(rows) > 1
    assert rows.equals(runs)
    mean = natsdb.query(
        "select accuracy, seeds from full_accuracy "
        "where space = 'tss' and arch = 11 and dataset = 'cifar10' and role = 'valid'",
        real_db,
    )
    assert mean.rows() == [(pytest.approx(runs["accuracy"].mean(), rel=1e-13), len(runs))]


def test_every_view_and_macro_says_what_a_row_is() -> None:
    for name in (*VIEWS, *MACROS):
        assert comment(name).startswith(f"{name}")
        text = (Path(natsdb.sql.__file__).parent / f"{name}.sql").read_text(encoding="utf-8")
        if "create or replace view" in text or ") as table" in text:
            assert re.search("(a|one) row|rows", comment(name))


@pytest.mark.usefixtures("alone")
def test_a_database_of_the_catalogue_alone_answers_with_no_rows(tmp_path: Path) -> None:
    from natsdb.store.manifest import Manifest
    from natsdb.store.staging import Staging, with_catalogue

    staging = Staging(tmp_path / "db", "test")
    staging.publish(with_catalogue(Manifest(), staging), "test")
    connection = natsdb.connect(tmp_path / "db")
    for name in ("metric", "final", "seed", "cost", "runs", "curves", "mean_final", "leaderboard"):
        assert connection.sql(f"select count(*) from {name}").fetchall()[0] == (0,)
    assert connection.sql("select count(*) from arch").fetchall()[0] == (48_393,)
    assert connection.sql("from curve('tss', 0, 'cifar10', '12')").fetchall() == []
    assert natsdb.scan("metric", tmp_path / "db").collect().schema["accuracy"] == pl.Float64


def test_a_question_s_own_names_are_no_part_of_views_and_macros(made_up_db: Path) -> None:
    """A question may call a step of its own as natsdb calls a view; what is temporary may not, as DuckDB takes that."""
    asked = {
        "best": "from best('cifar100', 'x-test', '200', k := 3)",
        "pareto": "from pareto('cifar100', 'x-test', '200', 'flops')",
        "curve": "from curve('tss', 20, 'cifar100', '200')",
        "neighbours": "from neighbours('tss', 20)",
        "correlation": "from correlation('flops', 'cifar100', 'x-test', '200')",
        "more_info": "from more_info('tss', 20, 'cifar100', '200')",
        "topology": "from topology where arch < 3 order by arch",
        "leaderboard": "from leaderboard where accuracy > 60 order by all",
        "encoding": "from encoding where arch = 3 order by all",
    }
    names = ["final", "metric", "cost", "seed", "arch", "arch_cost", "dataset", "mean_final", "mean_cost", "measure"]
    names += [
        "chosen_final",
        "chosen_metric",
        "chosen_cost",
        "dataset_role",
        "mean_by_source",
        "curves",
        "full_schedule",
    ]
    with natsdb.connect(made_up_db) as connection:
        expected = {name: connection.sql(statement).fetchall() for name, statement in asked.items()}
    steps = ", ".join(f"{name} as (select 5 as five)" for name in names)
    with natsdb.connect(made_up_db) as connection:
        for name, statement in asked.items():
            own = f"with {', '.join(s for s in steps.split(', ') if not s.startswith(f'{name} '))} {statement}"
            assert connection.sql(own).fetchall() == expected[name], name
    with natsdb.connect(made_up_db) as connection:
        for what in (
            "temp table {}",
            "temporary view {}",
            "or replace temp table temp.{}",
            "temp table if not exists {}",
            'temp table "{}"',
        ):
            with pytest.raises(
                NatsdbError, match="'Mean_Final' is a name of natsdb's own; give what is temporary another"
            ):
                connection.execute(f"create {what.format('Mean_Final')} as select 5 as five")
        connection.execute("create temp table of_mine as from mean_final limit 3")
        connection.execute('create temp table "best of 3" as from mean_final limit 3')
        assert len(connection.sql("from of_mine").fetchall()) == 3
