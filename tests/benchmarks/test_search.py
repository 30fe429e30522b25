"""Searches: 4 algorithms × 3 data sets × 500 runs, and five runs of each that ask `nats_bench` for the same records."""

from __future__ import annotations

import os
import random
import shutil
import time
from pathlib import Path
from typing import Any

import nats_bench
import pytest

from full_scale import ARCHIVES, Results
from natsdb.schema.datasets import searched
from natsdb.schema.spaces import SPACES
from natsdb.search import ALGORITHMS, Benchmark, published_budget, read_trainings, search
from natsdb.search.running import play

pytestmark = pytest.mark.slow
RUNS = 500


def test_all_multi_trial_searches_of_tss(database: Path, tmp_path: Path, results: Results, benchmark: Any) -> None:
    # Files are replaced, never written to: links serve for a copy.
    home = Path(shutil.copytree(database, tmp_path / "db", copy_function=os.link))

    def every() -> None:
        for name in ALGORITHMS:
            for dataset in searched():
                search(name, "tss", dataset, home, runs=RUNS)

    benchmark.pedantic(every, rounds=1)
    spent = benchmark.stats.stats.max
    results.add(f"4 algorithms × 3 data sets × {RUNS} runs, tss", f"{spent:.0f} s on {os.cpu_count()} cores", "≤ 120 s")


@pytest.mark.parametrize("name", list(ALGORITHMS))
def test_a_run_that_asks_nats_bench(
    database: Path, folders: list[Path], results: Results, name: str, benchmark: Any
) -> None:
    """The same search, run by run in turn, told by `simulate_train_eval` and by natsdb."""
    algorithm, budget = ALGORITHMS[name], published_budget("tss", "cifar100")
    answers = read_trainings("tss", "cifar100", "12", database, algorithm.epochs(12, {}))
    api = nats_bench.create(str(folders[0]), "tss", fast_mode=True, verbose=False)
    official, mine = [], []
    for run in range(5):
        began = time.perf_counter()
        _ask_official(api, algorithm.propose, answers, budget, run)
        official.append(time.perf_counter() - began)
        api.reset_time()
        began = time.perf_counter()
        play(algorithm, answers, budget, 0, run)
        mine.append(time.perf_counter() - began)
    benchmark.pedantic(play, (algorithm, answers, budget, 0, 5), rounds=3)
    theirs, ours = sorted(official)[2], sorted(mine)[2]
    figures = f"{theirs * 1e3:.0f}, {ours * 1e3:.1f} ms (1/{theirs / ours:.0f})"
    results.add(f"a run of {name}, tss cifar100: nats_bench, natsdb", figures, "–")


def _ask_official(api: Any, propose: Any, answers: Any, budget: float, run: int) -> None:
    index, size = SPACES["tss"].by_numbers, min(ARCHIVES, SPACES["tss"].size)
    proposals = propose(Benchmark(answers, budget, random.Random(run)), random.Random(run))
    told, spent = None, 0.0
    while spent < budget:
        proposal = proposals.send(told)
        choices, epoch = proposal if len(proposal) == 2 else (proposal, None)
        told, _, _, spent = api.simulate_train_eval(index[choices] % size, "cifar100", iepoch=epoch, hp="12")
