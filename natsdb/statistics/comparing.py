"""Which runs of which searches are compared, and what statistics say of them."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from natsdb.schema.datasets import check_searched, searched
from natsdb.schema.errors import NatsdbError
from natsdb.schema.names import did_you_mean
from natsdb.schema.spaces import space_of
from natsdb.statistics.significance import (
    a12,
    bootstrapped,
    critical_difference,
    friedman,
    magnitude,
    mean_ranks,
    pairs,
    scipy_stats,
)

if TYPE_CHECKING:
    import polars as pl

    from natsdb.statistics.significance import Array

# What is compared, and whether more of it is better.
MEASURES = {"accuracy": True, "regret": False, "area": False}
ROLES = ("test", "valid", "both")
RESAMPLES = 2000
# The data set of what counts on all of them.
ALL = "all"

# A row is a run at its budget.
_RUNS = """
select label, search, algorithm, dataset, budget, run, accuracy, regret, area, coverage
from search_regret
where space = $space and role = $role and moment = 12 and foremost
order by label, dataset, run
"""
_COUNTS = "select label, dataset, runs, budget from search_about where space = $space"


@dataclass(frozen=True)
class Comparison:
    """Searches compared, the one of the lowest mean rank first.

    Attributes:
        space, role, by: what was asked.
        labels: the searches, as the view `search_about` calls them.
        datasets: those on which all of them are.
        blocks: runs × data sets, in each of which the searches are ranked.
        ranks: a row a label: `mean_rank` over the blocks, 1 is best.
        results: a row a label and data set: `runs`, `mean_rank` of the data set, `mean`, `std` (population), the
            interval `low` to `high` of the mean, `median`, its interval `median_low` to `median_high`, and whether it
            is `best`: has the best mean on the data set, or does not differ significantly from the search that has it.
            Units: percent; regret and area in percentage points.
        pairs: a row a data set (`all`: all blocks) and pair of labels `a`, `b`: in how many blocks a is better, equal
            or worse; `p`, `p_holm` of Wilcoxon's signed-rank test without and with Holm's correction for all pairs of
            the data set; `a12`: the probability that a run of a is better than one of b, mean over data sets;
            `magnitude` of that.
        friedman: chi-squared and p over all blocks; None of two searches, or of equal ones.
        critical_difference: of mean ranks, by Nemenyi's test.
        confidence: of intervals; 1 - confidence is the level of the tests.
        notes: what was left out, and why: a sentence each.
    """

    space: str
    role: str
    by: str
    labels: list[str]
    datasets: list[str]
    blocks: int
    ranks: pl.DataFrame
    results: pl.DataFrame
    pairs: pl.DataFrame
    friedman: tuple[float, float] | None
    critical_difference: float
    confidence: float
    notes: list[str]


def compare_searches(
    space: str,
    datasets: str | Sequence[str] = (),
    db: str | os.PathLike[str] | None = None,
    *,
    searches: str | Sequence[str] = (),
    role: str = "test",
    by: str = "accuracy",
    confidence: float = 0.95,
    resamples: int = RESAMPLES,
    seed: int = 0,
    source: str | None = None,
) -> Comparison:
    """Compare searches by what their runs hold at the budget, judged at full training: see the view `search_regret`.

    Args:
        space: tss or sss.
        datasets: one or several; by default all on which every search is that is compared.
        db: the database's folder; the default one if None.
        searches: labels, or algorithms: all labels of one that is no label itself. By default all that spend the budget
            which most of them spend.
        role: test, valid or both, as in the view `full_accuracy`.
        by: accuracy or regret (equal ranks), or area: that under the curve of regret over the logarithm of
            time.
        confidence: of the intervals, between 0 and 1; 1 - confidence is the level of the tests.
        resamples: of the bootstrap; `seed`: where its draws come from, so that the same question has the same answer.
        source: the only one whose accuracies count; chosen as everywhere if None.

    Raises:
        NatsdbError: SciPy is not installed; an argument has no such value; fewer than two searches, or fewer than two
            blocks, have anything in common.
    """
    import numpy as np
    import polars as pl

    import natsdb

    for name, value, known in (("role", role, ROLES), ("measure", by, tuple(MEASURES))):
        if value not in known:
            raise NatsdbError(f"there is no {name} {value!r}", remedy=f"choose {', '.join(known)}")
    if not 0 < confidence < 1:
        raise NatsdbError(f"a confidence of {confidence:g} is none", remedy="choose one between 0 and 1, as in 0.95")
    if resamples < 1:
        raise NatsdbError("a bootstrap needs at least one resample", remedy=f"choose more, as in {RESAMPLES}")
    space_of(space)
    scipy_stats()
    asked = list(dict.fromkeys((datasets,) if isinstance(datasets, str) else datasets))
    for dataset in asked:
        check_searched(dataset)
    with natsdb.connect(db, source=source) as connection:
        rows = connection.sql(_RUNS, params={"space": space, "role": role}).pl()
        counts = connection.sql(_COUNTS, params={"space": space}).fetchall()
    if not len(rows):
        there = f"there is no search of {space} that is judged on {role} images"
        raise NatsdbError(there, remedy=f"run one first, as in `natsdb search all --space {space}`")
    notes: list[str] = []
    rows = _chosen(rows, (searches,) if isinstance(searches, str) else searches, notes)
    labels, chosen = _in_common(rows, asked, notes)
    rows = rows.filter(rows["label"].is_in(labels) & rows["dataset"].is_in(chosen))
    _note_budgets(rows, notes)
    _note_unjudged(rows, counts, role, notes)
    tables = {dataset: _blocks(rows.filter(rows["dataset"] == dataset), labels, by, notes) for dataset in chosen}
    # Where no run is in common a note says so.
    chosen = [dataset for dataset in chosen if len(tables[dataset])]
    tables = {dataset: tables[dataset] for dataset in chosen}
    every = np.concatenate(list(tables.values())) if tables else np.empty((0, len(labels)))
    if len(every) < 2:
        raise NatsdbError(
            f"{listed(labels)} have too few runs in common to compare: {len(every)}",
            remedy="search with more --runs, or name others with --search",
        )
    sign = -1.0 if MEASURES[by] else 1.0
    ranks = mean_ranks(sign * every)
    order = sorted(range(len(labels)), key=lambda number: (ranks[number], labels[number]))
    labels, every = [labels[number] for number in order], every[:, order]
    tables = {dataset: table[:, order] for dataset, table in tables.items()}
    tested = friedman(sign * every)
    if tested is None:
        why = "is of three searches or more" if len(labels) < 3 else "has nothing to rank: all are equal in each block"
        notes.append(f"Friedman's test {why}")
    if len(chosen) == 1 and len(labels) > 2:
        notes.append(f"blocks are the runs on {chosen[0]} alone: tests say nothing of other data sets")
    two = {dataset: pairs(sign * table) for dataset, table in tables.items()}
    results, level = [], 1 - confidence
    for dataset, table in tables.items():
        results += _results(dataset, table, labels, sign, two[dataset], confidence, resamples, seed)
    tested_pairs = {ALL: pairs(sign * every)} | (two if len(chosen) > 1 else {})
    effects = {dataset: _effects(sign * table) for dataset, table in tables.items()}
    effects[ALL] = {key: float(np.mean([effects[one][key] for one in chosen])) for key in effects[chosen[0]]}
    found = [
        {
            "dataset": dataset,
            "a": labels[one.a],
            "b": labels[one.b],
            "better": one.better,
            "equal": one.equal,
            "worse": one.worse,
            "p": one.p,
            "p_holm": one.p_holm,
            "a12": effects[dataset][one.a, one.b],
            "magnitude": magnitude(effects[dataset][one.a, one.b]),
        }
        for dataset, tests in tested_pairs.items()
        for one in tests
    ]
    return Comparison(
        space,
        role,
        by,
        labels,
        chosen,
        len(every),
        pl.DataFrame({"label": labels, "mean_rank": ranks[order]}),
        pl.DataFrame(results),
        pl.DataFrame(found),
        tested,
        critical_difference(len(labels), len(every), level),
        confidence,
        notes,
    )


def _chosen(rows: pl.DataFrame, names: Sequence[str], notes: list[str]) -> pl.DataFrame:
    """The rows of the searches that are named, or of those that are compared by default."""
    if names:
        labels, algorithms = rows["label"].unique().to_list(), rows["algorithm"].unique().to_list()
        for name in names:
            if name not in labels and name not in algorithms:
                remedy = did_you_mean(name, tuple(sorted({*labels, *algorithms})))
                raise NatsdbError(f"there is no search {name!r} that is judged", remedy=remedy)
        others = [name for name in names if name not in labels]
        return rows.filter(rows["label"].is_in(names) | rows["algorithm"].is_in(others))
    timed = rows.filter(rows["budget"].is_not_null())
    if left := sorted({*rows["label"]} - {*timed["label"]}):
        notes.append(f"{listed(left)} left out, without a simulated budget (--search names them)")
    kept = []
    for dataset in timed["dataset"].unique().sort():
        own = timed.filter(timed["dataset"] == dataset)
        spent = Counter(own.unique(["label"])["budget"].to_list())
        most = max(spent, key=lambda budget: (spent[budget], budget))
        if left := sorted({*own.filter(own["budget"] != most)["label"]}):
            notes.append(f"{listed(left)} left out on {dataset}: most spend {most:,.0f} s (--search names them)")
        kept.append(own.filter(own["budget"] == most))
    import polars as pl

    return pl.concat(kept) if kept else timed


def _in_common(rows: pl.DataFrame, asked: list[str], notes: list[str]) -> tuple[list[str], list[str]]:
    """The labels, and the data sets on which all of them are; of data sets that are asked for, the labels on all."""
    where = {label: {*rows.filter(rows["label"] == label)["dataset"]} for label in sorted({*rows["label"]})}
    there = [name for name in searched() if any(name in names for names in where.values())]
    if asked:
        for label, names in where.items():
            if missing := [name for name in asked if name not in names]:
                notes.append(f"{label} left out: it is not judged on {listed(missing)}")
        labels = [label for label, names in where.items() if names >= {*asked}]
        datasets = [name for name in searched() if name in asked]
    else:
        labels = list(where)
        datasets = [name for name in there if all(name in names for names in where.values())]
        for name in there:
            if name not in datasets and datasets:
                without = [label for label, names in where.items() if name not in names]
                notes.append(
                    f"{name} left out: {listed(without)} {'are' if len(without) > 1 else 'is'} not judged on it"
                )
    if len(labels) < 2:
        only = f"only {labels[0]} is" if labels else "no search is"
        where_to = f" on {listed(asked)}" if asked else ""
        raise NatsdbError(f"{only} there to compare{where_to}", remedy="search with another algorithm, or name others")
    if not datasets:
        raise NatsdbError(
            f"there is no data set on which all of {listed(labels)} are judged",
            remedy="name searches with --search, or data sets with --dataset",
        )
    return labels, datasets


def _note_budgets(rows: pl.DataFrame, notes: list[str]) -> None:
    for dataset in rows["dataset"].unique().sort():
        own = rows.filter(rows["dataset"] == dataset)
        if own["budget"].n_unique() > 1:
            notes.append(f"searches of {dataset} have other budgets: each is judged at its own")


def _note_unjudged(rows: pl.DataFrame, counts: Iterable[tuple[Any, ...]], role: str, notes: list[str]) -> None:
    """Say where the database lacks accuracies: of what runs found, or of the space whose best is looked for."""
    judged = Counter(zip(rows["label"], rows["dataset"], strict=True))
    most: dict[tuple[str, str], int] = {}
    for label, dataset, runs, _ in counts:
        most[label, dataset] = max(most.get((label, dataset), 0), runs)
    for key, runs in sorted(judged.items()):
        if runs < most[key]:
            notes.append(f"{key[0]}, {key[1]}: {runs:,} of {most[key]:,} runs can be judged")
    for dataset, coverage in rows.select("dataset", "coverage").unique().sort("dataset").rows():
        held, _, of = coverage.partition(" of ")
        if held != of:
            notes.append(f"{dataset}: {coverage} architectures have {role} accuracies")


def _blocks(rows: pl.DataFrame, labels: list[str], by: str, notes: list[str]) -> Array:
    """Results of a data set: a row a run that all labels have, a column a label."""
    import numpy as np

    rows = rows.filter(rows[by].is_not_null())
    own = {label: dict(rows.filter(rows["label"] == label).select("run", by).iter_rows()) for label in labels}
    common = sorted(set.intersection(*({*runs} for runs in own.values())))
    fewest, most = min(map(len, own.values())), max(map(len, own.values()))
    if len(common) < most:
        few = [label for label, runs in own.items() if len(runs) == fewest]
        dataset = rows["dataset"][0] if len(rows) else ""
        notes.append(f"{dataset}: {len(common):,} runs are compared, of up to {most:,}: {listed(few)} has no more")
    return np.array([[own[label][run] for label in labels] for run in common], dtype=np.float64).reshape(
        -1, len(labels)
    )


def _effects(results: Array) -> dict[tuple[int, int], float]:
    count = results.shape[1]
    return {(a, b): a12(results[:, a], results[:, b]) for a in range(count) for b in range(a + 1, count)}


def _results(
    dataset: str,
    table: Array,
    labels: list[str],
    sign: float,
    tests: list[Any],
    confidence: float,
    resamples: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Rows of `Comparison.results` of a data set."""
    import numpy as np

    ranks, means = mean_ranks(sign * table), table.mean(axis=0)
    of_means, of_medians = bootstrapped(table, confidence, resamples, seed)
    differ = {frozenset((one.a, one.b)) for one in tests if one.p_holm < 1 - confidence}
    first = int(np.argmin(sign * means))
    return [
        {
            "label": label,
            "dataset": dataset,
            "runs": len(table),
            "mean_rank": float(ranks[number]),
            "mean": float(means[number]),
            "std": float(table[:, number].std()),
            "low": float(of_means[0, number]),
            "high": float(of_means[1, number]),
            "median": float(np.median(table[:, number])),
            "median_low": float(of_medians[0, number]),
            "median_high": float(of_medians[1, number]),
            "best": frozenset((first, number)) not in differ,
        }
        for number, label in enumerate(labels)
    ]


def listed(names: Sequence[str]) -> str:
    """Names as in: a, b and c."""
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))
