"""Searches: 4 algorithms × 3 data sets × 500 runs, five runs of each that ask `nats_bench` for the same records, local
search, and what natsdb adds to Optuna's TPE."""

from __future__ import annotations

import os
import random
import shutil
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import nats_bench
import pytest

from full_scale import ARCHIVES, Results
from natsdb.schema.datasets import searched
from natsdb.schema.spaces import SPACES
from natsdb.search import ALGORITHMS, Benchmark, published_budget, read_trainings, search
from natsdb.search.running import load_algorithm, play
from natsdb.store.locations import BUILTIN

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


def test_local_search_of_the_builtin_database(tmp_path: Path, results: Results, benchmark: Any) -> None:
    benchmark.pedantic(search, ("local_search", "tss", "cifar100", tmp_path / "db"), {"runs": RUNS}, rounds=1)
    spent = benchmark.stats.stats.max
    results.add(f"local_search, {RUNS} runs, tss cifar100", f"{spent:.1f} s on {os.cpu_count()} cores", "≤ 5 s")


def test_what_natsdb_adds_to_optunas_sampler(results: Results, benchmark: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """100 runs of 200 trials: the time outside of the study's `ask` and `tell`, beside the time in them."""
    optuna = pytest.importorskip("optuna", reason="the extra `optuna` is not installed")
    inside = 0.0

    def timed(call: Any) -> Any:
        def run(*arguments: Any, **options: Any) -> Any:
            nonlocal inside
            began = time.perf_counter()
            try:
                return call(*arguments, **options)
            finally:
                inside += time.perf_counter() - began

        return run

    for name in ("ask", "tell"):
        monkeypatch.setattr(optuna.Study, name, timed(getattr(optuna.Study, name)))
    answers = read_trainings("tss", "cifar100", "12", BUILTIN)
    # A second a training, so that a budget of 200 is 200 trials.
    answers = replace(answers, seconds={11: [1.0] * len(answers.seconds[11])})
    algorithm = load_algorithm("optuna:TPESampler")

    def every() -> None:
        for run in range(100):
            assert len(play(algorithm, answers, 200.0, 0, run).arch) == 200

    benchmark.pedantic(every, rounds=1)
    share = (benchmark.stats.stats.max - inside) / inside
    results.add("Optuna TPE, 100 runs × 200 trials: natsdb's share beside the sampler", f"{share:.1%}", "≤ 5 %")
    assert share < 0.05


def _ask_official(api: Any, propose: Any, answers: Any, budget: float, run: int) -> None:
    index, size = SPACES["tss"].by_numbers, min(ARCHIVES, SPACES["tss"].size)
    proposals = propose(Benchmark(answers, budget, random.Random(run)), random.Random(run))
    told, spent = None, 0.0
    while spent < budget:
        proposal = proposals.send(told)
        choices, epoch = proposal if len(proposal) == 2 else (proposal, None)
        told, _, _, spent = api.simulate_train_eval(index[choices] % size, "cifar100", iepoch=epoch, hp="12")
