"""Searches compared: statistics against SciPy, scikit-posthocs and counting; tables; what is left out is said."""

from __future__ import annotations

import csv
import io
import itertools
import json
import random
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from scipy import stats
from typer.testing import CliRunner

import natsdb
from databases import keep_made_up_search
from natsdb.cli import app
from natsdb.plot.critical_difference import groups
from natsdb.schema.errors import NatsdbError
from natsdb.statistics import Comparison, compare_searches, printed, printed_pairs, significance

ARCHS = list(range(0, 1400, 20))


def _made_up(blocks: int, treatments: int, seed: int = 0) -> Any:
    """Results with ties and with differences."""
    chance = np.random.default_rng(seed)
    return (chance.normal(size=(blocks, treatments)) + 0.15 * np.arange(treatments)).round(1)


def test_mean_ranks_are_those_that_counting_gives() -> None:
    results = _made_up(40, 5)
    counted = [
        [sum(other < one for other in row) + (sum(other == one for other in row) + 1) / 2 for one in row]
        for row in results.tolist()
    ]
    assert significance.mean_ranks(results) == pytest.approx(np.mean(counted, axis=0))


def test_friedman_wilcoxon_and_holm_are_those_of_the_libraries() -> None:
    posthocs = pytest.importorskip("scikit_posthocs")
    results = _made_up(60, 5)
    frame = {number: results[:, number] for number in range(5)}
    statistic, p = significance.friedman(results) or (0, 0)
    assert (statistic, p) == pytest.approx(tuple(stats.friedmanchisquare(*results.T)))
    corrected = posthocs.posthoc_wilcoxon(list(frame.values()), p_adjust="holm")
    for one in significance.pairs(results):
        assert one.p == pytest.approx(stats.wilcoxon(frame[one.a], frame[one.b]).pvalue)
        assert one.p_holm == pytest.approx(corrected.iloc[one.a, one.b])
        a, b = frame[one.a], frame[one.b]
        assert (one.better, one.equal, one.worse) == ((a < b).sum(), (a == b).sum(), (a > b).sum())
    assert any(one.equal for one in significance.pairs(results))


def test_holm_multiplies_the_least_by_all_and_never_falls() -> None:
    assert significance.holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert significance.holm([0.6, 0.9]) == [1.0, 1.0]
    assert significance.holm([]) == []


def test_the_critical_difference_parts_what_nemenyi_parts() -> None:
    posthocs = pytest.importorskip("scikit_posthocs")
    # Demšar 2006, table 5a: 2.569 for four treatments at 0.05; with 14 blocks 1.25.
    assert significance.critical_difference(4, 14, 0.05) == pytest.approx(2.569 * (20 / 84) ** 0.5, abs=1e-3)
    parted = set()
    for seed in range(4):
        results = _made_up(30, 6, seed)
        p = posthocs.posthoc_nemenyi_friedman(results).to_numpy()
        ranks = significance.mean_ranks(results)
        distance = significance.critical_difference(6, 30, 0.05)
        for a, b in itertools.combinations(range(6), 2):
            parted.add(bool(p[a, b] < 0.05))
            assert (abs(ranks[a] - ranks[b]) > distance) == (p[a, b] < 0.05)
    assert parted == {True, False}


def test_the_effect_size_counts_pairs_of_runs() -> None:
    a, b = _made_up(30, 1)[:, 0], _made_up(21, 1, 1)[:, 0] + 0.5
    counted = np.mean([(x < y) + (x == y) / 2 for x in a for y in b])
    assert significance.a12(a, b) == pytest.approx(counted)
    assert significance.a12(b, a) == pytest.approx(1 - counted)
    assert significance.a12(np.array([1.0]), np.array([2.0])) == 1.0
    sizes = [(0.5, "negligible"), (0.56, "small"), (0.44, "small"), (0.64, "medium"), (0.71, "large"), (0.0, "large")]
    assert [significance.magnitude(size) for size, _ in sizes] == [name for _, name in sizes]


@pytest.mark.parametrize("runs", [24, 25])
def test_intervals_are_those_of_scipy(runs: int) -> None:
    results = _made_up(runs, 3)
    means, medians = significance.bootstrapped(results, 0.9, 200, 7)
    for column in range(3):
        for found, of in ((means, np.mean), (medians, np.median)):
            expected = stats.bootstrap(
                (np.sort(results[:, column]),),
                of,
                n_resamples=200,
                confidence_level=0.9,
                method="percentile",
                random_state=np.random.default_rng(7),
            ).confidence_interval
            assert tuple(found[:, column]) == pytest.approx(tuple(expected))


def test_bars_join_the_longest_runs_within_the_difference() -> None:
    assert groups([1.0, 1.4, 1.8, 3.0, 3.2], 0.5) == [(0, 1), (1, 2), (3, 4)]
    assert groups([1.0, 1.4, 1.8, 3.0, 3.2], 1.0) == [(0, 2), (3, 4)]
    assert groups([1.0, 2.0], 1.0) == []


def _held(chance: random.Random, budget: float, runs: int, among: list[int]) -> dict[int, list[tuple[float, int]]]:
    return {run: [(budget * at, chance.choice(among)) for at in (0.01, 0.1, 0.5, 1.1)] for run in range(runs)}


@pytest.fixture(scope="module")
def searched(made_up_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three algorithms on two data sets, 12 runs each, the last of 9; others that are not compared unless named."""
    home = Path(shutil.copytree(made_up_db, tmp_path_factory.mktemp("searched") / "db"))
    chance = random.Random(5)
    best = natsdb.query(
        "from full_accuracy where space = 'tss' and dataset = 'cifar100' and role = 'test' order by accuracy desc", home
    )["arch"].to_list()
    for dataset, budget in (("cifar10", 20_000.0), ("cifar100", 40_000.0)):
        for name, runs, among in (("good", 12, best[:6]), ("fair", 12, best[:9]), ("few_runs", 9, ARCHS)):
            steps = _held(chance, budget, runs, among)
            keep_made_up_search(home, f"{name}{dataset}", name, steps, dataset=dataset, budget=budget)
    keep_made_up_search(home, "short", "good", _held(chance, 500.0, 2, ARCHS), budget=500.0)
    keep_made_up_search(home, "shared", "gdas", {0: [(5.0, 20)]}, budget=None, hp=None)
    return home


@pytest.fixture(scope="module")
def compared(searched: Path) -> Comparison:
    return compare_searches("tss", db=searched)


def _values(searched: Path, dataset: str, labels: list[str], runs: int, column: str = "accuracy") -> Any:
    rows = natsdb.query(
        "select label, run, accuracy, regret, area from search_regret where moment = 12 and role = 'test' "
        f"and dataset = '{dataset}' order by run",
        searched,
    )
    return np.array([rows.filter(rows["label"] == label)[column].to_list()[:runs] for label in labels]).T


def test_a_comparison_is_of_the_blocks_that_all_searches_have(searched: Path, compared: Comparison) -> None:
    assert sorted(compared.labels) == ["fair", "few_runs", "good"]
    assert (compared.datasets, compared.blocks) == (["cifar10", "cifar100"], 18)
    tables = {name: _values(searched, name, compared.labels, 9) for name in compared.datasets}
    every = np.concatenate(list(tables.values()))
    ranks = stats.rankdata(-every, axis=1).mean(axis=0)
    assert compared.ranks["mean_rank"].to_list() == pytest.approx(sorted(ranks))
    assert compared.friedman == pytest.approx(tuple(stats.friedmanchisquare(*every.T)))
    for row in compared.results.to_dicts():
        own = tables[row["dataset"]][:, compared.labels.index(row["label"])]
        assert (row["runs"], row["mean"], row["std"]) == pytest.approx((9, own.mean(), own.std()))
        assert row["median"] == pytest.approx(np.median(own))
        assert row["low"] <= row["mean"] <= row["high"]
        assert row["median_low"] <= row["median"] <= row["median_high"]
    rows = compared.pairs.to_dicts()
    assert [row["dataset"] for row in rows] == ["all"] * 3 + ["cifar10"] * 3 + ["cifar100"] * 3
    for row in rows:
        a, b = compared.labels.index(row["a"]), compared.labels.index(row["b"])
        own = every if row["dataset"] == "all" else tables[row["dataset"]]
        assert row["p"] == pytest.approx(stats.wilcoxon(own[:, a], own[:, b]).pvalue)
        assert (row["better"], row["worse"]) == ((own[:, a] > own[:, b]).sum(), (own[:, a] < own[:, b]).sum())
        effects = [
            np.mean([(x > y) + (x == y) / 2 for x in table[:, a] for y in table[:, b]])
            for name, table in tables.items()
            if row["dataset"] in ("all", name)
        ]
        assert row["a12"] == pytest.approx(np.mean(effects))


def test_what_is_left_out_is_said(searched: Path, compared: Comparison) -> None:
    assert compared.notes == [
        "gdas left out, without a simulated budget (--search names them)",
        "good budget 500 left out on cifar100: most spend 40,000 s (--search names them)",
        "cifar10: 70 of 15,625 architectures have test accuracies",
        "cifar100: 70 of 15,625 architectures have test accuracies",
        "cifar10: 9 runs are compared, of up to 12: few_runs has no more",
        "cifar100: 9 runs are compared, of up to 12: few_runs has no more",
    ]
    named = compare_searches("tss", db=searched, searches=["good budget 500", "fair"])
    assert (named.datasets, named.blocks, named.friedman) == (["cifar100"], 2, None)
    said = " | ".join(named.notes)
    assert "cifar10 left out: good budget 500 is not judged on it" in said
    assert "searches of cifar100 have other budgets: each is judged at its own" in said
    assert "Friedman's test is of three searches or more" in said
    # A label is that search alone, though it is the name of the algorithm of another one too.
    assert compare_searches("tss", "cifar100", db=searched, searches=["good", "fair"]).labels == ["good", "fair"]
    four = ["good", "good budget 500", "fair", "few_runs"]
    asked = compare_searches("tss", "cifar10", db=searched, searches=four)
    assert (len(asked.labels), asked.datasets) == (3, ["cifar10"])
    assert "good budget 500 left out: it is not judged on cifar10" in asked.notes
    assert "blocks are the runs on cifar10 alone: tests say nothing of other data sets" in asked.notes


def test_regret_and_area_are_less_the_better(searched: Path, compared: Comparison) -> None:
    regret = compare_searches("tss", db=searched, by="regret")
    assert regret.ranks.equals(compared.ranks)
    assert regret.results["best"].to_list() == compared.results["best"].to_list()
    area = compare_searches("tss", db=searched, by="area")
    values = np.concatenate([_values(searched, name, area.labels, 9, "area") for name in area.datasets])
    assert area.ranks["mean_rank"].to_list() == pytest.approx(stats.rankdata(values, axis=1).mean(axis=0))


def test_the_best_and_what_does_not_differ_are_marked(searched: Path, compared: Comparison) -> None:
    marked = set()
    for dataset in compared.datasets:
        rows = {row["label"]: row for row in compared.results.to_dicts() if row["dataset"] == dataset}
        first = max(rows.values(), key=lambda row: row["mean"])["label"]
        assert rows[first]["best"]
        for row in compared.pairs.filter(compared.pairs["dataset"] == dataset).to_dicts():
            if first in (row["a"], row["b"]):
                other = row["b"] if row["a"] == first else row["a"]
                assert rows[other]["best"] == (row["p_holm"] >= 0.05)
                marked.add(rows[other]["best"])
    assert marked == {True, False}


def test_equal_searches_have_equal_ranks_and_do_not_differ(made_up_db: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(made_up_db, tmp_path / "db"))
    for name in ("a", "b", "c"):
        keep_made_up_search(home, name, name, _held(random.Random(1), 40_000.0, 4, ARCHS))
    found = compare_searches("tss", db=home)
    assert found.labels == ["a", "b", "c"]
    assert found.ranks["mean_rank"].to_list() == [2.0] * 3
    assert found.pairs["p_holm"].to_list() == [1.0] * 3
    assert found.pairs["a12"].to_list() == [0.5] * 3
    assert found.results["best"].all()
    assert found.friedman is None
    assert "Friedman's test has nothing to rank: all are equal in each block" in found.notes


def test_tables_show_the_same_numbers(compared: Comparison) -> None:
    best = compared.results.filter(compared.results["label"] == compared.labels[0]).to_dicts()
    cells = [f"{row['mean']:.2f} ± {row['std']:.2f}" for row in best]
    rank = f"{compared.ranks['mean_rank'][0]:.2f}"
    name = compared.labels[0]
    assert [row["best"] for row in best] == [True, True]
    text = printed(compared)
    assert " ".join(text.splitlines()[2].split()) == " ".join([name, rank, *(f"*{cell}" for cell in cells)])
    markdown = printed(compared, "markdown").splitlines()
    assert markdown[0] == "| search | mean rank | cifar10 | cifar100 |"
    assert markdown[1] == "| --- | ---: | ---: | ---: |"
    assert markdown[2] == f"| {name} | {rank} | **{cells[0]}** | **{cells[1]}** |"
    latex = printed(compared, "latex")
    bold = [f"\\textbf{{{cell.replace('±', '$' + chr(92) + 'pm$')}}}" for cell in cells]
    assert f"    {name} & {rank} & {bold[0]} & {bold[1]} \\\\\n" in latex
    assert "few\\_runs & " in latex
    assert "±" not in latex
    assert latex.count("{") == latex.count("}")
    rows = list(csv.DictReader(io.StringIO(printed(compared, "csv"))))
    assert len(rows) == 6
    assert float(rows[0]["mean"]) == best[0]["mean"]
    assert float(rows[0]["mean_rank_of_all"]) == compared.ranks["mean_rank"][0]
    for cell, low, high in (("mean", "low", "high"), ("median", "median_low", "median_high")):
        shown = f"{best[0][cell]:.2f} [{best[0][low]:.2f}, {best[0][high]:.2f}]"
        assert shown in printed(compared, cell=cell)
    pairs = printed_pairs(compared)
    (row,) = compared.pairs[:1].to_dicts()
    assert " ".join(pairs.splitlines()[2].split()).startswith(f"{row['a']} {row['b']} {row['better']} {row['equal']} ")
    assert len(list(csv.DictReader(io.StringIO(printed_pairs(compared, "csv"))))) == 9
    assert len(pairs.split("\n\n")[0].splitlines()) == 5  # of all blocks only
    for note in compared.notes:
        assert note in text


def test_what_latex_and_markdown_would_read_as_theirs_is_written_out(compared: Comparison) -> None:
    odd = pl.DataFrame({"label": ["a_b|{c}%&#$~^\\*"], "mean_rank": [1.0]})
    results = compared.results[:1].with_columns(label=odd["label"], dataset=pl.lit("cifar10"))
    one = Comparison(**{**vars(compared), "ranks": odd, "results": results, "datasets": ["cifar10"], "notes": []})
    assert "a\\_b|\\{c\\}\\%\\&\\#\\$\\textasciitilde{}\\textasciicircum{}\\textbackslash{}*" in printed(one, "latex")
    assert "a\\_b\\|{c}%&#$~^\\\\\\*" in printed(one, "markdown")


def _run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


def test_the_command_writes_what_the_files_name_says_and_repeats_to_the_byte(searched: Path, tmp_path: Path) -> None:
    command = ("compare-searches", "--space", "tss", "--db", searched)
    compared = compare_searches("tss", db=searched)
    for suffix, format in ((".tex", "latex"), (".csv", "csv")):
        out = tmp_path / f"table{suffix}"
        code, shown, said = _run(*command, "-o", out)
        assert (code, shown) == (0, f"{out}\n")
        assert out.read_text(encoding="utf-8") == printed(compared, format)
        assert said == ("".join(f"natsdb: {note}\n" for note in compared.notes) if format == "csv" else "")
    named = compare_searches("tss", db=searched, searches=["good", "few_runs"])
    shown = _run(*command, "--pairs", "--search", "good", "--search", "few_runs", "--format", "markdown")
    assert shown == (0, printed_pairs(named, "markdown"), "")


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--space", "sss"], "there is no search of sss that is judged on test images; run one first, as in"),
        (["--space", "tsss"], "there is no space 'tsss'"),
        (["--role", "train"], "there is no role 'train'; choose test, valid, both"),
        (["--by", "rank"], "there is no measure 'rank'; choose accuracy, regret, area"),
        (["--cell", "mode"], "there is no cell 'mode'; choose std, mean, median"),
        (["--dataset", "cifar1"], "there is no data set 'cifar1' to search on; did you mean cifar10?"),
        (["--search", "goood"], "there is no search 'goood' that is judged; did you mean good?"),
        (["--search", "good budget 500"], "only good budget 500 is there to compare; search with another algorithm"),
        (["--dataset", "ImageNet16-120"], "no search is there to compare on ImageNet16-120"),
        (["--search", "gdas", "--search", "good budget 500"], "too few runs in common to compare: 1"),
        (["--confidence", "95"], "a confidence of 95 is none; choose one between 0 and 1, as in 0.95"),
        (["--resamples", "0"], "a bootstrap needs at least one resample"),
    ],
)
def test_what_cannot_be_compared_is_said_in_one_sentence(searched: Path, arguments: list[str], said: str) -> None:
    space = [] if "--space" in arguments else ["--space", "tss"]
    code, shown, wrong = _run("compare-searches", "--db", searched, *space, *arguments)
    assert (code, shown) == (1, "")
    assert said in wrong
    assert wrong.count("\n") == 1


def test_without_scipy_the_extra_is_named(searched: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(__import__("sys").modules, "scipy", None)
    with pytest.raises(NatsdbError, match=r"statistics need SciPy; pip install 'natsdb\[statistics\]'"):
        compare_searches("tss", db=searched)


def test_the_diagram_has_each_search_at_its_mean_rank(searched: Path, compared: Comparison, tmp_path: Path) -> None:
    code, shown, said = _run("plot", "ranks", "--space", "tss", "--db", searched, "-o", tmp_path / "ranks.svg")
    assert (code, shown) == (0, f"{tmp_path / 'ranks.svg'}\n"), said
    both = _run(
        "compare-searches", "--space", "tss", "--db", searched, "--plot", tmp_path / "both.svg", "--format", "csv"
    )
    assert (tmp_path / "both.svg").read_text(encoding="utf-8") == (tmp_path / "ranks.svg").read_text(encoding="utf-8")
    assert str(tmp_path) not in both[1]
    from natsdb.plot import ranks

    drawn = json.dumps(ranks(compared).to_dict())
    drawing = (tmp_path / "ranks.svg").read_text(encoding="utf-8")
    for label, place in compared.ranks.rows():
        assert f"{label} ({place:.2f})" in drawing
        assert f'"x": {place}' in drawn
    assert f"CD {compared.critical_difference:.2f}" in drawing
    assert "few_runs has no more" in said
