"""Searches from the command line and Python: what stands in the tables, resumed work, views against plain Python."""

from __future__ import annotations

import json
import math
import os
import random
import shutil
import signal
import statistics
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import natsdb
import natsdb.search
from databases import contents, flip_in_page, keep_made_up_search
from natsdb import plot
from natsdb.cli import app
from natsdb.ingest import collect
from natsdb.ingest.attached import keep_attached
from natsdb.schema.errors import Damaged, NatsdbError
from natsdb.search import ALGORITHMS, Algorithm, Benchmark, read_trainings, search
from natsdb.search.running import play
from natsdb.store.locations import EMBEDDED
from natsdb.store.manifest import Attached, Measure
from natsdb.store.snapshot import read_manifest
from sources import add_run, add_table


@pytest.fixture
def db(made_up_db: Path, tmp_path: Path) -> Path:
    """A database of 70 made-up architectures of each space, to write to."""
    return Path(shutil.copytree(made_up_db, tmp_path / "db"))


@pytest.fixture(scope="module")
def searched(made_up_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with the four algorithms' searches, 6 runs each. Read only."""
    home = Path(shutil.copytree(made_up_db, tmp_path_factory.mktemp("searched") / "db"))
    for name in ALGORITHMS:
        for dataset in ("cifar10", "cifar100"):
            search(name, "tss", dataset, home, runs=6, budget=4000.0, jobs=1)
    return home


def _run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_every_step_of_every_run_stands_in_the_tables(searched: Path) -> None:
    answers = read_trainings("tss", "cifar100", "12", searched, [0, 3])
    for name, algorithm in ALGORITHMS.items():
        rows = natsdb.query(
            f"""select step.* from search_step as step join search_run using (search, run)
            where algorithm = '{name}' and dataset = 'cifar100' order by run, step""",
            searched,
        )
        for run in range(6):
            own = rows.filter(rows["run"] == run)
            assert own["step"].to_list() == list(range(len(own)))
            steps = play(algorithm, answers, 4000.0, 0, run)
            for column in steps._fields:
                assert own[column].to_list() == getattr(steps, column)
    runs = natsdb.query("from search_run order by search, run", searched)
    ends = natsdb.query(
        "select search, run, count(*) as steps, max(seconds) as seconds, max_by(best, step) as arch from search_step "
        "group by all order by all",
        searched,
    )
    assert runs.select("search", "run", "steps", "seconds", "arch").rows() == ends.rows()
    assert json.loads(runs["provenance"][0])["source"] == "synthetic"


def _full(searched: Path, dataset: str, split: str) -> dict[int, float]:
    rows = natsdb.query(
        f"select arch, accuracy from final where space='tss' and hp='200' and dataset='{dataset}' and split='{split}'",
        searched,
    ).rows()
    by_arch: dict[int, list[float]] = {}
    for arch, accuracy in rows:
        by_arch.setdefault(arch, []).append(accuracy)
    return {arch: statistics.fmean(values) for arch, values in by_arch.items()}


@pytest.mark.parametrize(
    ("dataset", "role", "trained", "split"),
    [
        ("cifar10", "valid", "cifar10-valid", "x-valid"),
        ("cifar10", "test", "cifar10", "ori-test"),
        ("cifar100", "test", "cifar100", "x-test"),
        ("cifar100", "both", "cifar100", "ori-test"),
    ],
)
def test_search_result_interpolates_the_full_accuracy_at_the_budget(
    searched: Path, dataset: str, role: str, trained: str, split: str
) -> None:
    full = _full(searched, trained, split)
    rows = natsdb.query(f"from search_result where dataset = '{dataset}' and role = '{role}'", searched).to_dicts()
    assert len(rows) == 4
    for row in rows:
        steps = natsdb.query(
            f"select run, seconds, best from search_step where search = '{row['search']}' order by run, step", searched
        ).rows()
        found = []
        for run in range(6):
            history = [(seconds, full[best]) for of, seconds, best in steps if of == run]
            (t1, a1), (t2, a2) = sorted(history, key=lambda point: abs(point[0] - 4000))[:2]
            found.append(a1 + (a2 - a1) * (4000 - t1) / (t2 - t1))
        assert row["accuracy"] == pytest.approx(statistics.fmean(found), abs=1e-9)
        assert row["accuracy_std"] == pytest.approx(statistics.pstdev(found), abs=1e-9)
        assert (row["runs"], row["hp"], row["budget"]) == (6, "200", 4000.0)


def test_a_search_without_a_budget_is_followed_over_its_own_seconds(made_up_db: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(made_up_db, tmp_path / "db"))
    keep_made_up_search(home, "s", "random", {0: [(30.0, 20), (300.0, 40)], 1: [(150.0, 20), (600.0, 40)]}, budget=None)
    rows = natsdb.query(
        "select moment, seconds, accuracy from trajectory where role = 'test' order by moment", home
    ).rows()
    assert [(moment, seconds) for moment, seconds, _ in rows] == [
        (moment, pytest.approx(450 * moment / 150)) for moment in range(1, 151)
    ]
    full = _full(home, "cifar100", "x-test")
    assert rows[0][2] == full[20]
    assert rows[-1][2] == full[40]
    assert natsdb.query("select accuracy from search_result where role = 'test'", home).item() == full[40]
    with natsdb.connect(home) as connection:
        drawn = plot.searches(connection, "tss", "test").to_json()
    assert "simulated time (seconds)" in drawn
    assert "epochs of the search" not in drawn


def test_the_search_of_a_label_that_counts_is_the_same_everywhere(made_up_db: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(made_up_db, tmp_path / "db"))
    keep_made_up_search(home, "few", "random", {0: [(300.0, 20)]})
    # Of architectures that the database does not hold, so that none of its runs can be judged.
    keep_made_up_search(home, "most", "random", {run: [(300.0, 21)] for run in range(2)})
    keep_made_up_search(home, "other", "bohb", {0: [(300.0, 40)]})
    for question in ("from search_table", "from search_cell where part = 1", "from search_rank"):
        assert set(natsdb.query(question, home)["label"]) & {"random", "bohb"} == {"bohb"}


def test_trajectory_lies_on_straight_lines_between_evaluations(searched: Path) -> None:
    full = _full(searched, "cifar100", "x-test")
    rows = natsdb.query(
        "from trajectory where dataset = 'cifar100' and role = 'test' and label = 'bohb budget 4000' order by moment",
        searched,
    ).to_dicts()
    assert [row["moment"] for row in rows] == list(range(1, 151))
    steps = natsdb.query(
        f"select run, seconds, best from search_step where search = '{rows[0]['search']}' order by run, step", searched
    ).rows()
    for row in rows:
        at, found = 4000 * row["moment"] / 150, []
        for run in range(6):
            history = [(seconds, full[best]) for of, seconds, best in steps if of == run]
            before = [point for point in history if point[0] <= at]
            after = [point for point in history if point[0] > at]
            if not before:
                found.append(after[0][1])
            elif not after:
                found.append(before[-1][1])
            else:
                (t1, a1), (t2, a2) = before[-1], after[0]
                found.append(a1 + (a2 - a1) * (at - t1) / (t2 - t1))
        assert row["seconds"] == pytest.approx(at)
        assert row["accuracy"] == pytest.approx(statistics.fmean(found), abs=1e-9)
        assert row["accuracy_std"] == pytest.approx(statistics.pstdev(found), abs=1e-9)


def test_a_search_with_shared_weights_is_followed_epoch_by_epoch(made_up_db: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(made_up_db, tmp_path / "db"))
    runs = {0: [(10.0, 20), (90.0, 40), (100.0, 60)], 1: [(30.0, 60), (50.0, 40), (120.0, 40)]}
    keep_made_up_search(home, "s", "gdas", runs, budget=None, hp=None)
    full = _full(home, "cifar100", "x-test")
    rows = natsdb.query("select moment, seconds, accuracy, runs from trajectory where role = 'test' order by 1", home)
    assert rows.rows() == [
        (epoch, seconds, pytest.approx((full[a] + full[b]) / 2), 2)
        for epoch, (seconds, a, b) in enumerate([(20.0, 20, 60), (70.0, 40, 40), (110.0, 60, 40)])
    ]


def test_runs_that_cannot_be_judged_at_a_moment_are_not_in_its_mean(made_up_db: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(made_up_db, tmp_path / "db"))
    # Nothing is known of architecture 1, which the first run holds from moment 60 to 90: at it no line ends or begins.
    runs = {0: [(300.0, 20), (600.0, 1), (900.0, 40)], 1: [(300.0, 60)]}
    keep_made_up_search(home, "s", "random", runs, budget=1500.0)
    full = _full(home, "cifar100", "x-test")
    rows = natsdb.query("select accuracy, runs from trajectory where role = 'test' order by moment", home).rows()
    assert rows == [
        (pytest.approx(full[60]), 1)
        if 30 <= moment < 90
        else (pytest.approx((full[20 if moment < 30 else 40] + full[60]) / 2), 2)
        for moment in range(1, 151)
    ]


def test_search_table_holds_results_against_the_space(searched: Path) -> None:
    rows = {row["label"]: row for row in natsdb.query("from search_table where space = 'tss'", searched).to_dicts()}
    names = [f"{name} budget 4000" for name in ("bohb", "random", "regularized_ea", "reinforce")]
    assert list(rows) == [*names, "optimal", "mean of the space"]
    full = _full(searched, "cifar100", "x-test").values()
    assert rows["optimal"]["cifar100_test"] == f"{max(full):.2f} (70 of 15,625)"
    mean = f"{statistics.fmean(full):.2f} ± {statistics.pstdev(full):.2f} (70 of 15,625)"
    assert rows["mean of the space"]["cifar100_test"] == mean
    (result,) = natsdb.query(
        "from search_result where algorithm = 'random' and dataset = 'cifar100' and role = 'test'", searched
    ).to_dicts()
    assert rows["random budget 4000"]["cifar100_test"] == f"{result['accuracy']:.2f} ± {result['accuracy_std']:.2f}"


def test_a_search_that_ends_before_its_budget_counts_as_it_ended(db: Path) -> None:
    def three(benchmark: Benchmark, chance: random.Random) -> Any:
        yield 20
        yield 40
        yield 60

    search(three, "tss", "cifar100", db, runs=2, budget=1e9)
    best = natsdb.query("select best from search_step where run = 0 order by step desc limit 1", db).item()
    expected = _full(db, "cifar100", "x-test")[best]
    (result,) = natsdb.query("from search_result where role = 'test'", db).to_dicts()
    assert (result["accuracy"], result["accuracy_std"]) == (pytest.approx(expected), pytest.approx(0, abs=1e-9))


def test_searches_of_other_budgets_and_seeds_have_rows_of_their_own(db: Path) -> None:
    for options in ({}, {"budget": 3000.0}, {"seed": 5}):
        search("random", "tss", "cifar10", db, runs=2, **options)  # type: ignore[arg-type]
    labels = natsdb.query("select label from search_table where space = 'tss'", db)["label"].to_list()
    assert labels[:3] == ["random", "random budget 3000", "random seed 5"]


def test_a_limit_is_in_label_and_identity_and_what_is_over_it_is_not_trained(db: Path) -> None:
    done = [
        search("regularized_ea", "tss", "cifar10", db, runs=2, cost="flops", at_most=at_most)
        for at_most in (30, 30.0, 60)
    ]
    assert [one.changed for one in done] == [True, False, True]
    assert done[0].search == done[1].search != done[2].search
    labels = natsdb.query("select label from search_table where space = 'tss'", db)["label"].to_list()
    assert labels[:2] == [f"regularized_ea at_most: {at_most}, cost: flops" for at_most in (30, 60)]
    costs = natsdb.query(
        f"""select max(flops) from search_step join arch_cost using (arch)
        where search = '{done[0].search}' and space = 'tss' and dataset = 'cifar10-valid'""",
        db,
    )
    assert 15 < costs.item() <= 30


def test_a_limit_of_an_attached_table_excludes_what_has_no_value(db: Path) -> None:
    archs = pa.array([20, 40, 60], pa.int32())
    table = pa.table({"space": ["tss"] * 3, "arch": archs, "ms": [3.0, None, 5.0]})
    keep_attached(db, Attached("mine", ("space", "arch"), (Measure("ms", "DOUBLE"),), 0), table)
    answers = read_trainings("tss", "cifar100", "12", db, cost="mine.ms", at_most=4)
    assert answers.over is not None
    assert (answers.over[20], answers.over[40], answers.over[60]) == (-1, math.inf, 1)
    # The nearest that is there answers for another one, for the limit too.
    assert {answers.nearest[arch] for arch, over in enumerate(answers.over) if over <= 0} == {20}  # type: ignore[index]
    done = search("random", "tss", "cifar100", db, runs=1, cost="mine.ms", at_most=4)
    assert natsdb.query(f"select distinct arch from search_step where search = '{done.search}'", db).rows() == [(20,)]
    # Other values, the same limit: searched anew.
    keep_attached(
        db,
        Attached("mine", ("space", "arch"), (Measure("ms", "DOUBLE"),), 0),
        table.set_column(2, "ms", pa.array([None, 1.0, 5.0])),
        replacing=True,
    )
    again = search("random", "tss", "cifar100", db, runs=1, cost="mine.ms", at_most=4)
    assert (again.search, again.changed) == (done.search, True)
    assert natsdb.query(f"select distinct arch from search_step where search = '{done.search}'", db).rows() == [(40,)]


def test_runs_that_cannot_be_judged_are_said(db: Path) -> None:
    # Full training is missing for what half of the runs find.
    def two(benchmark: Benchmark, chance: random.Random) -> Any:
        yield 20 if chance.random() < 0.5 else 40

    search(two, "tss", "cifar100", db, runs=30, budget=1.0)
    manifest = read_manifest(db)
    parts = []
    for part in manifest.parts:
        if (part.table, part.space, part.hp, part.block) == ("final", "tss", "200", 0):
            rows = pq.read_table(db / part.path, partitioning=None)
            pq.write_table(rows.filter(pc.not_equal(rows["arch"], 40)), db / part.path)
            part = replace(part, bytes=(db / part.path).stat().st_size, sha256="", footer="")
        parts.append(part)
    (db / "natsdb.json").write_text(replace(manifest, parts=tuple(parts)).to_json())
    (result,) = natsdb.query("from search_result where role = 'test'", db).to_dicts()
    assert 0 < result["judged"] < result["runs"] == 30
    said = natsdb.query("select cifar100_test from search_table where label = 'two budget 1'", db).item()
    assert said.endswith(f" ({result['judged']} of 30)")


def test_discovered_architectures_join_with_their_accuracies(searched: Path) -> None:
    rows = natsdb.query("from discovered order by all", searched)
    assert len(rows) == 25
    assert rows.filter(rows["arch"] == 1835)["arch_str"].unique().to_list() == [
        "|skip_connect~0|+|skip_connect~0|skip_connect~1|+|skip_connect~0|skip_connect~1|skip_connect~2|"
    ]
    joined = natsdb.query(
        "select count(*) from discovered join full_accuracy using (space, dataset, arch) where arch = 2057", searched
    )
    assert joined.item() == 0  # not among the 70 that are here


def test_the_same_search_again_changes_nothing_and_more_runs_extend_it(db: Path) -> None:
    first = search("random", "tss", "cifar10", db, runs=3, budget=2000.0)
    before = contents(db)
    assert not search("random", "tss", "cifar10", db, runs=3, budget=2000.0).changed
    assert not search("random", "tss", "cifar10", db, runs=2, budget=2000.0).changed
    assert contents(db) == before
    rows = natsdb.query("from search_step where run < 3 order by all", db)
    more = search("random", "tss", "cifar10", db, runs=5, budget=2000.0)
    assert (more.search, more.changed) == (first.search, True)
    assert natsdb.query("from search_step where run < 3 order by all", db).equals(rows)
    assert natsdb.query("select count(*) from search_run", db).item() == 5


def test_any_number_of_processes_gives_the_same_files(made_up_db: Path, tmp_path: Path) -> None:
    homes = [Path(shutil.copytree(made_up_db, tmp_path / name)) for name in ("one", "two")]
    for home, jobs in zip(homes, (1, 2), strict=True):
        search("regularized_ea", "sss", "cifar100", home, runs=60, budget=3000.0, jobs=jobs)
    assert contents(homes[0]) == contents(homes[1])


def test_a_killed_search_goes_on_where_it_was(made_up_db: Path, tmp_path: Path) -> None:
    whole, killed = (Path(shutil.copytree(made_up_db, tmp_path / name)) for name in ("whole", "killed"))
    arguments = ["search", "reinforce", "--space", "tss", "--dataset", "cifar10", "--runs", "75", "--budget", "100000"]
    assert _run(*arguments, "--db", whole, "-j", "1")[0] == 0
    process = subprocess.Popen(
        [sys.executable, "-c", "from natsdb.cli import app; app()", *arguments, "--db", str(killed), "-j", "1"],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    deadline = time.monotonic() + 60
    while not list(killed.glob(".ingest/*/steps-*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    done = len(list(killed.glob(".ingest/*/steps-*.parquet")))
    assert 0 < done < 3
    report = search("reinforce", "tss", "cifar10", killed, runs=75, budget=100_000.0, jobs=1)
    assert report.resumed == 25 * done
    assert contents(killed) == contents(whole)


def test_damaged_steps_of_an_interrupted_search_are_named(searched: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(searched, tmp_path / "db"))

    def interrupt(_: str, done: int, *__: int) -> None:
        if done > 25:
            raise KeyboardInterrupt

    asked = {"runs": 50, "budget": 2e5, "seed": 3, "jobs": 1}
    with pytest.raises(KeyboardInterrupt):
        search("random", "tss", "cifar10", home, **asked, progress=interrupt)
    (path,) = list(home.glob(".ingest/*/steps-*.parquet"))
    flip_in_page(path, "accuracy")
    with pytest.raises(
        Damaged, match=r"steps-000000-000025\.parquet: the file is damaged .*; remove it, .* makes it again"
    ):
        search("random", "tss", "cifar10", home, **asked)
    path.unlink()
    assert search("random", "tss", "cifar10", home, **asked).changed


def test_where_there_is_no_database_a_search_makes_it_and_natsdbs_own_answers(tmp_path: Path) -> None:
    home = tmp_path / "new"
    done = natsdb.search.run("random", "tss", db=home, runs=2, budget=3000.0, jobs=1)
    assert [(one.dataset, one.held) for one in done.reports] == [
        (name, 15_625) for name in ("cifar10", "cifar100", "ImageNet16-120")
    ]
    parts = read_manifest(home).parts
    assert {"search_run", "search_step"} < {part.table for part in parts}
    assert not any(part.space for part in parts)
    assert not search("random", "tss", "cifar100", home, runs=2, budget=3000.0, jobs=1).changed
    best = natsdb.query("select imagenet_test from search_table where space = 'tss' and label = 'optimal'", home)
    assert best.item() == "47.31"


def test_a_search_of_ones_own_competes_with_the_others(searched: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(searched, tmp_path / "db"))

    def sweep(benchmark: Benchmark, chance: random.Random, *, stride: int = 20) -> Any:
        for arch in range(0, 1400, stride):  # noqa: UP028 (`yield from` a range cannot be told anything)
            yield arch

    report = search(sweep, "tss", "cifar100", home, runs=2, budget=1e9, options={"stride": 40})
    assert report.algorithm == "sweep"
    labels = natsdb.query("select label from search_table where space = 'tss'", home)["label"].to_list()
    assert "sweep stride: 40 budget 1e+09" in labels
    path = tmp_path / "mine.py"
    path.write_text("def first(benchmark, chance, *, end=1):\n    for arch in range(end):\n        yield arch\n")
    code, out, _ = _run(
        "search",
        f"{path}:first",
        "--space",
        "tss",
        "--dataset",
        "cifar10",
        "--runs",
        2,
        "--db",
        home,
        "--option",
        "end=3",
    )
    assert code == 0
    assert "first end: 3" in out
    before = natsdb.query("select count(distinct search) from search_run", home).item()
    path.write_text("def first(benchmark, chance, *, end=1):\n    for arch in range(2, 2 + end):\n        yield arch\n")
    assert search(f"{path}:first", "tss", "cifar10", home, runs=2, options={"end": 3}).changed
    assert natsdb.query("select count(distinct search) from search_run", home).item() == before


def test_the_embedded_runs_serve_every_algorithm(tmp_path: Path) -> None:
    collect(EMBEDDED / "runs", tmp_path / "db")
    for space in ("tss", "sss"):
        code, out, said = _run("search", "all", "--space", space, "--runs", 3, "--db", tmp_path / "db")
        assert code == 0, said
        assert all(name in out for name in ALGORITHMS)
        assert "architectures are here: the nearest of them answers" in said
        code, out, _ = _run(
            "plot", "search", "--space", space, "-o", tmp_path / f"{space}.svg", "--db", tmp_path / "db"
        )
        assert code == 0
        svg = (tmp_path / f"{space}.svg").read_text()
        assert all(name in svg for name in ALGORITHMS)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["annealing"], "there is no algorithm 'annealing'; there are all, random, regularized_ea, reinforce, bohb, "),
        (["random", "--space", "nas"], "there is no space 'nas'; choose tss or sss"),
        (["random", "--dataset", "mnist"], "there is no data set 'mnist' to search on; there are cifar10, "),
        (
            ["random", "--hp", "90"],
            "it has no x-valid accuracy of tss on cifar10-valid, hp 90, epoch 89; it has ImageNet16-120 at hp 12, "
            "cifar10-valid at hp 12, cifar100 at hp 12, ImageNet16-120 at hp 200, ",
        ),
        (["random", "--hp", "x"], "there is no schedule 'x'"),
        (["random", "--budget", "inf"], "the budget is no number of seconds above 0"),
        (["random", "--seed", "3000000000"], "the seed 3000000000 is outside 0 to 2147483647"),
        (["random", "--best_of_all_epochs"], "random has no option --best_of_all_epochs; leave it out"),
        (["random", "--images", "3"], "random has no option --images; leave it out"),
        (["random", "--device", "cuda"], "random has no option --device; leave it out"),
        (["all", "--option", "nonsense=3"], "has an option --nonsense; leave it out"),
        (["reinforce", "--EMA_momentum", "1"], "(ZeroDivisionError: "),
        (["bohb", "--min_budget", "0.4"], "min_budget 0.4 is outside the schedule; choose 1 to 12"),
        (["random", "--learning_rate", "1"], "random has no option --learning_rate; there are none"),
        (["bohb", "--min_budget", "50"], "min_budget 50 is outside the schedule; choose 1 to 12"),
        (["random", "--cost", "flops"], "a limit without a highest value; name it with --at_most"),
        (["random", "--at_most", "3"], "a limit without a measure; name it with --cost"),
        (["random", "--cost", "flop", "--at_most", "3"], "there is no measure flop"),
        (
            ["random", "--cost", "flops", "--at_most", "1"],
            "no architecture of tss that it holds has a flops of at most 1 on cifar10-valid; the least is 7.78305: ",
        ),
        (["darts-v1", "--cost", "flops"], "darts-v1 has no option --cost; leave it out"),
        (["random", "--budget", "0"], "the budget is no number of seconds above 0; leave --budget out"),
    ],
)
def test_what_cannot_be_searched_is_said_in_one_sentence(made_up_db: Path, arguments: list[str], said: str) -> None:
    if "--space" not in arguments:
        arguments = [*arguments, "--space", "tss"]
    if "--dataset" not in arguments:
        arguments = [*arguments, "--dataset", "cifar10"]
    code, out, error = _run("search", *arguments, "--db", made_up_db)
    assert (code, out) == (1, "")
    assert error.count("\n") == 1
    assert said in error.replace("\n", " ")


def test_an_algorithm_and_its_name_search_alike(db: Path) -> None:
    asked: dict[str, Any] = {"runs": 1, "budget": 4000.0, "jobs": 1, "best_of_all_epochs": True}
    (named,) = natsdb.search.run("bohb", "tss", ["cifar10"], db, **asked).reports
    (given,) = natsdb.search.run(ALGORITHMS["bohb"], "tss", ["cifar10"], db, **asked).reports
    assert (given.search, given.algorithm) == (named.search, "bohb")


def test_what_fails_on_every_data_set_is_said_before_the_first(db: Path) -> None:
    def mine(benchmark: Benchmark, chance: random.Random, *, first: int = 0) -> Any:
        yield first
        raise KeyError(first)

    both, asked = ["cifar10", "cifar100"], {"db": db, "runs": 1, "budget": 1e9}
    with pytest.raises(NatsdbError, match="there is no data set 'digits' to search on; "):
        natsdb.search.run("random", "tss", "digits", **asked)
    with pytest.raises(NatsdbError, match="there is no data set 'digits' to search on; "):
        natsdb.search.run("random", "tss", ["cifar10", "digits"], **asked)
    with pytest.raises(NatsdbError, match="mine has no option --last; there is --first"):
        natsdb.search.run(mine, "tss", both, options={"last": 3}, **asked)
    with pytest.raises(NatsdbError, match="none of random, regularized_ea has an option --a; leave it out"):
        natsdb.search.run("random,regularized_ea", "tss", both, options={"b": 1, "a": 1}, **asked)
    failures = natsdb.search.run(mine, "tss", both, **asked).failures
    assert [name for name, _ in failures] == ["mine, cifar10", "mine, cifar100"]
    done = natsdb.search.run("random", "tss", "cifar10", db, runs=1, budget=300.0)
    assert [one.dataset for one in done.reports] == ["cifar10"]


def test_what_fails_on_one_data_set_goes_on_with_the_next(db: Path) -> None:
    def choosy(benchmark: Benchmark, chance: random.Random) -> Any:
        if benchmark.dataset == "cifar10":
            raise KeyError(benchmark.dataset)
        while True:
            yield chance.randrange(5 * 6)

    done = natsdb.search.run(choosy, "tss", ["cifar10", "cifar100"], db, runs=1, budget=300.0)
    assert [name for name, _ in done.failures] == ["choosy, cifar10"]
    assert [one.dataset for one in done.reports] == ["cifar100"]


def test_a_database_without_seconds_is_refused(tmp_path: Path) -> None:
    import polars as pl

    table = pl.DataFrame(
        {"space": "tss", "hp": "12", "arch": [0, 1], "dataset": "cifar100", "split": "x-valid", "accuracy": [1.0, 2.0]}
    )
    table.write_parquet(tmp_path / "table.parquet")
    from natsdb.ingest import ingest

    ingest([tmp_path / "table.parquet"], tmp_path / "db")
    with pytest.raises(NatsdbError, match="it does not say how long tss took on cifar100"):
        search("random", "tss", "cifar100", tmp_path / "db")


def test_trainings_that_last_no_time_are_refused_as_a_search_of_them_would_never_end(tmp_path: Path) -> None:
    folder = add_run(tmp_path / "other")
    (path,) = folder.rglob("run.json")
    run = json.loads(path.read_text())
    for of in run["measured"].values():
        of["seconds"] = [0.0] * 12
    path.write_text(json.dumps(run))
    collect(folder, tmp_path / "db", source="mine")
    with pytest.raises(NatsdbError, match="a training of tss on cifar100 at hp 12 lasts no time, so a search would"):
        read_trainings("tss", "cifar100", db=tmp_path / "db")


def test_unless_told_otherwise_a_search_has_as_many_runs_as_the_published_ones(tmp_path: Path) -> None:
    add_table(tmp_path / "db", split="x-valid", train_all_time=1200.0)

    def one(benchmark: Benchmark, chance: random.Random) -> Any:
        yield 11

    (done,) = natsdb.search.run(one, "tss", "cifar100", tmp_path / "db").reports
    assert done.runs == 500
    assert natsdb.query("select count(*) from search_run", tmp_path / "db").item() == 500


def test_a_function_that_has_the_name_of_an_algorithm_is_refused(db: Path) -> None:
    def bohb(benchmark: Benchmark, chance: random.Random) -> Any:
        yield 0

    with pytest.raises(NatsdbError, match="a search of your own is named bohb"):
        search(bohb, "tss", "cifar10", db)
    with pytest.raises(NatsdbError, match="is no search"):
        search(3, "tss", "cifar10", db)  # type: ignore[arg-type]
    assert Algorithm("own", bohb).options == {}


def test_a_search_that_fails_or_ends_at_once_is_said_in_one_sentence(db: Path) -> None:
    def fails(benchmark: Benchmark, chance: random.Random, *, needed: int) -> Any:
        yield 20
        raise KeyError(needed)

    def empty(benchmark: Benchmark, chance: random.Random) -> Any:
        yield from ()

    with pytest.raises(NatsdbError, match=r"the search fails failed in run 0 \(KeyError: 3\)"):
        search(fails, "tss", "cifar10", db, runs=1, options={"needed": 3})
    with pytest.raises(NatsdbError, match=r"the search fails failed in run 0 \(TypeError: .*'needed'"):
        search(fails, "tss", "cifar10", db, runs=1)
    with pytest.raises(NatsdbError, match="the search empty proposed nothing in run 0"):
        search(empty, "tss", "cifar10", db, runs=1)


def test_the_same_search_twice_at_once_is_refused_and_other_writers_are_waited_for(db: Path) -> None:
    import threading

    from natsdb.store.staging import STAGING
    from natsdb.store.writing import hold, only_writer

    report = search("random", "tss", "cifar10", db, runs=2)
    with (
        hold(db / STAGING / f".{report.search}.lock", "busy"),
        pytest.raises(NatsdbError, match="the same search is running already; wait until it is done"),
    ):
        search("random", "tss", "cifar10", db, runs=3)
    released = threading.Event()

    def write() -> None:
        with only_writer(db):
            released.wait(1.5)

    other = threading.Thread(target=write)
    other.start()
    time.sleep(0.3)
    assert search("random", "tss", "cifar10", db, runs=3).changed
    other.join()


def test_a_changed_function_is_told_from_what_it_was(db: Path) -> None:
    def make(first: int) -> Any:
        def own(benchmark: Benchmark, chance: random.Random) -> Any:
            for arch in (one * 20 for one in range(first, 3)):  # noqa: UP028 (it is told)
                yield arch

        return own

    assert search(make(0), "tss", "cifar10", db, runs=1).changed
    assert not search(make(0), "tss", "cifar10", db, runs=1).changed
    assert search(make(1), "tss", "cifar10", db, runs=1).changed
    assert natsdb.query("select count(*) from search_run", db).item() == 1


def test_a_function_that_yields_nothing_is_no_search(db: Path) -> None:
    def one(benchmark: Benchmark, chance: random.Random) -> int:
        return 7

    with pytest.raises(NatsdbError, match="the search one is no generator function; let it yield what it proposes"):
        search(one, "tss", "cifar10", db, runs=1)


def test_the_search_of_the_docs_is_the_one_of_its_file_and_runs(searched: Path, tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    file = root / "notebooks" / "hill_climb.py"
    shown = (root / "docs" / "search.md").read_text(encoding="utf-8").split("```python\n")[1].split("```")[0]
    assert shown in file.read_text(encoding="utf-8")
    home = Path(shutil.copytree(searched, tmp_path / "db"))
    assert search(f"{file}:hill_climb", "tss", "cifar100", home, runs=4, budget=4000.0).changed
    assert "hill_climb budget 4000" in natsdb.query("from search_table", home)["label"].to_list()
