"""The views search_regret and search_rank against the same figures in plain Python."""

from __future__ import annotations

import itertools
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from scipy import stats

import natsdb
from databases import keep_made_up_search

ARCHS = list(range(0, 1400, 20))
# By search: algorithm, data set, runs. Of `ea` the first search is the smaller.
SEARCHES = {
    "a": ("random", "cifar10", 5),
    "b": ("random", "cifar100", 5),
    "c": ("ea", "cifar100", 3),
    "d": ("ea", "cifar100", 4),
    "e": ("ea", "cifar10", 5),
    "f": ("only_here", "cifar100", 5),
}
BUDGETS = {"cifar10": 20_000.0, "cifar100": 40_000.0}


def _steps(chance: random.Random, budget: float) -> list[tuple[float, int]]:
    """A run that begins late, keeps architectures for a while, and ends after the budget."""
    at, held = 0.0, []
    while at < budget:
        at += chance.uniform(0.002, 0.2) * budget
        held.append((at, chance.choice(ARCHS[:4] if chance.random() < 0.5 else ARCHS)))
    return held


@pytest.fixture(scope="module")
def steps() -> dict[str, dict[int, list[tuple[float, int]]]]:
    chance = random.Random(3)
    return {
        search: {run: _steps(chance, BUDGETS[dataset]) for run in range(runs)}
        for search, (_, dataset, runs) in SEARCHES.items()
    }


@pytest.fixture(scope="module")
def searched(made_up_db: Path, tmp_path_factory: pytest.TempPathFactory, steps: Any) -> Path:
    home = Path(shutil.copytree(made_up_db, tmp_path_factory.mktemp("searched") / "db"))
    for search, (algorithm, dataset, _) in SEARCHES.items():
        keep_made_up_search(home, search, algorithm, steps[search], dataset=dataset, budget=BUDGETS[dataset])
    return home


@pytest.fixture(scope="module")
def full(searched: Path) -> dict[tuple[str, str, int], float]:
    rows = natsdb.query("select dataset, role, arch, accuracy from full_accuracy where space = 'tss'", searched).rows()
    return {(dataset, role, arch): accuracy for dataset, role, arch, accuracy in rows}


def _curve(held: list[tuple[float, int]], budget: float) -> list[tuple[float, int]]:
    """What a run holds at each of the 12 moments."""
    times = [budget * 10 ** (-2 + 2 * n / 11) for n in range(12)]
    return [(at, ([arch for seconds, arch in held if seconds <= at] or [held[0][1]])[-1]) for at in times]


def _expected(steps: Any, full: Any) -> dict[tuple[str, int, str, int], dict[str, Any]]:
    rows = {}
    for search, (_, dataset, _) in SEARCHES.items():
        for role in ("valid", "test", "both")[: 3 if dataset == "cifar100" else 2]:
            optimum = max(value for key, value in full.items() if key[:2] == (dataset, role))
            for run, held in steps[search].items():
                regrets = []
                for moment, (seconds, arch) in enumerate(_curve(held, BUDGETS[dataset]), 1):
                    regrets.append(optimum - full[dataset, role, arch])
                    between = [(x + y) / 2 for x, y in itertools.pairwise(regrets)]
                    rows[search, run, role, moment] = {
                        "seconds": seconds,
                        "arch": arch,
                        "accuracy": full[dataset, role, arch],
                        "optimum": optimum,
                        "regret": regrets[-1],
                        "area": sum(between) / len(between) if between else regrets[0],
                    }
    return rows


def test_regret_is_that_of_what_a_run_holds_at_each_moment(searched: Path, steps: Any, full: Any) -> None:
    expected = _expected(steps, full)
    rows = natsdb.query("from search_regret", searched).to_dicts()
    assert len(rows) == len(expected)
    assert {(row["search"], row["run"], row["role"], row["moment"]) for row in rows} == expected.keys()
    for row in rows:
        for name, value in expected[row["search"], row["run"], row["role"], row["moment"]].items():
            assert row[name] == pytest.approx(value, abs=1e-9), name
        assert row["coverage"] == "70 of 15,625"
        assert row["foremost"] == (row["search"] != "c")
        assert (row["label"], row["dataset"]) == SEARCHES[row["search"]][:2]
    last = [row["seconds"] for row in rows if row["moment"] == 12]
    assert {*last} == {*BUDGETS.values()}  # to the last digit: the step at the budget counts
    # The made-up runs hold something only after the first moments: what they evaluate first stands there.
    late = [row for row in rows if row["moment"] == 1 and steps[row["search"]][row["run"]][0][0] > row["seconds"]]
    assert late


def test_ranks_are_means_over_the_blocks_that_all_have(searched: Path, steps: Any, full: Any) -> None:
    expected, found = _expected(steps, full), {}
    on = {"cifar10": ("a", "e"), "cifar100": ("b", "d", "f")}
    everywhere = {"cifar10": ("a", "e"), "cifar100": ("b", "d")}
    for role, moment, what in itertools.product(("valid", "test", "both"), range(1, 13), ("regret", "area")):
        for name, members in (("cifar10", on), ("cifar100", on), ("all", everywhere)):
            own = {key: value for key, value in members.items() if name in (key, "all")}
            if role == "both":
                # Of this role cifar100 alone has accuracies, so all searches are on each of its data sets.
                own = {"cifar100": on["cifar100"]} if name != "cifar10" else {}
            places: dict[str, list[float]] = {}
            for searches in own.values():
                runs = min(SEARCHES[search][2] for search in searches)
                for run in range(runs):
                    values = [expected[search, run, role, moment][what] for search in searches]
                    for search, place in zip(searches, stats.rankdata(values), strict=True):
                        places.setdefault(SEARCHES[search][0], []).append(place)
            for label, ranks in places.items():
                found[name, role, label, moment, what] = (sum(ranks) / len(ranks), len(ranks), len(places))
    rows = natsdb.query("from search_rank", searched).to_dicts()
    assert len({(row["dataset"], row["role"], row["label"], row["moment"]) for row in rows}) == len(rows)
    assert 2 * len(rows) == len(found)
    for row in rows:
        key = (row["dataset"], row["role"], row["label"], row["moment"])
        assert (row["mean_rank"], row["runs"], row["searches"]) == pytest.approx(found[*key, "regret"])
        assert row["area_rank"] == pytest.approx(found[*key, "area"][0])
    ties = [row["mean_rank"] for row in rows if (2 * row["mean_rank"] * row["runs"]) % 2]
    assert ties  # the made-up searches hold the same architectures now and then


def test_weight_sharing_is_followed_to_its_own_end_and_has_no_rank(made_up_db: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(made_up_db, tmp_path / "db"))
    keep_made_up_search(home, "s", "gdas", {0: [(10.0, 20), (90.0, 40), (100.0, 60)]}, budget=None, hp=None)
    rows = natsdb.query("select seconds, arch from search_regret where role = 'test' order by moment", home).rows()
    assert rows[0] == (pytest.approx(1.0), 20)
    assert rows[-2:] == [(pytest.approx(100 ** (10 / 11)), 20), (100.0, 60)]
    assert not len(natsdb.query("from search_rank", home))


def test_what_cannot_be_judged_has_no_row_and_no_area_after(made_up_db: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(made_up_db, tmp_path / "db"))
    # Nothing is known of architecture 1, which the run holds from a tenth of the budget to a half.
    keep_made_up_search(home, "s", "random", {0: [(400.0, 20), (4_000.0, 1), (20_000.0, 40)]})
    rows = natsdb.query("select moment, area from search_regret where role = 'test' order by moment", home).rows()
    assert [moment for moment, _ in rows] == [1, 2, 3, 4, 5, 6, 11, 12]
    assert [area is None for _, area in rows] == [False] * 6 + [True] * 2
