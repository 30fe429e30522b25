"""Local search: from a good start to better neighbours, until none is better; then from another start."""

from __future__ import annotations

import random

from natsdb.schema.space import Choices
from natsdb.search.benchmark import Benchmark
from natsdb.search.multi_trial import Search


def local_search(
    benchmark: Benchmark, chance: random.Random, *, num_init: int = 10, query_full_nbhd: bool = False
) -> Search:
    """Hill climbing (White et al., Local Search is State of the Art for NAS Benchmarks, 2021), with restarts.

    The best of `num_init` random architectures is the start. Its neighbours, which differ in one choice, are trained in
    random order until one is better; that is where the search goes on, and where none is better it starts again. No
    architecture is trained twice. Defaults are those of the authors' code (naszilla).

    Args:
        num_init: random architectures at each start.
        query_full_nbhd: train all neighbours and go on from the best of them, as the paper's plainest variant does,
            instead of from the first that is better.
    """
    seen: dict[Choices, float] = {}
    while True:
        starts = []
        for _ in range(num_init):
            first = unseen(benchmark, chance, seen)
            if first is None:
                return
            seen[first] = yield first
            starts.append(first)
        here, improved = max(starts, key=seen.__getitem__), True
        while improved:
            found = here
            for there in _neighbours(benchmark, here, chance):
                if there in seen or not benchmark.feasible(there):
                    continue
                seen[there] = yield there
                if seen[there] > seen[found]:
                    found = there
                    if not query_full_nbhd:
                        break
            here, improved = found, found != here


def unseen(benchmark: Benchmark, chance: random.Random, seen: dict[Choices, float]) -> Choices | None:
    """A random architecture that was not trained before; None where a thousand draws give none, as few are left."""
    for _ in range(benchmark.DRAWS):
        drawn = benchmark.random(chance)
        if drawn not in seen:
            return drawn
    return None


def _neighbours(benchmark: Benchmark, choices: Choices, chance: random.Random) -> list[Choices]:
    """All architectures that differ in one choice, in random order."""
    every = [
        (*choices[:at], value, *choices[at + 1 :])
        for at in range(benchmark.positions)
        for value in range(benchmark.values)
        if value != choices[at]
    ]
    chance.shuffle(every)
    return every
