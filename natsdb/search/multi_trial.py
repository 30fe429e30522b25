"""Searches that train one architecture at a time: random search, regularized evolution, REINFORCE.

A search is a generator function of a benchmark and a source of chance: it yields what it proposes, an architecture's
choices, and is told the accuracy (percent). BOHB, which also proposes an epoch, has a file of its own.
"""

from __future__ import annotations

import bisect
import itertools
import random
from collections import deque
from collections.abc import Generator
from typing import Any

import numpy as np

from natsdb.schema.space import Choices
from natsdb.schema.spaces import SPACES
from natsdb.search.benchmark import Benchmark

# What is yielded: an architecture (choices, index or official string), or an architecture and an epoch.
Search = Generator[Any, float, None]


def random_search(benchmark: Benchmark, chance: random.Random) -> Search:
    """Uniformly random architectures, with replacement."""
    while True:
        yield benchmark.random(chance)


def regularized_ea(
    benchmark: Benchmark,
    chance: random.Random,
    *,
    ea_population: int = 10,
    ea_sample_size: int = 3,
    ea_cycles: int | None = None,
) -> Search:
    """Regularized evolution (Real et al., AAAI 2019): the child of a tournament's winner replaces the oldest.

    Args:
        ea_population: how many live at a time; the first ones are random.
        ea_sample_size: drawn for a tournament, with replacement; the most accurate is the parent, the first of equals.
        ea_cycles: at most so many children; only the budget ends it if None, as in the published runs, whose
            `--ea_cycles 200` had no effect.
    """
    population: deque[tuple[float, Choices]] = deque()
    for _ in range(ea_population):
        first = benchmark.random(chance)
        population.append(((yield first), first))
    for _ in itertools.repeat(None) if ea_cycles is None else range(ea_cycles):
        sample = [population[int(chance.random() * ea_population)] for _ in range(ea_sample_size)]
        parent = max(sample, key=lambda member: member[0])
        child = mutated(benchmark, parent[1], chance)
        population.append(((yield child), child))
        population.popleft()


def mutated(benchmark: Benchmark, choices: Choices, chance: random.Random) -> Choices:
    """A neighbour, by the space's own rule. tss: a node, then one of its edges, each uniformly, gets another operation.
    sss: a layer gets a uniform width, which may be the one that it has. Under a limit a feasible one."""
    space = SPACES[benchmark.space]
    return benchmark.drawn(lambda: space.mutated(space, choices, chance), chance)


def reinforce(
    benchmark: Benchmark, chance: random.Random, *, learning_rate: float = 0.01, EMA_momentum: float = 0.9
) -> Search:
    """REINFORCE (Williams 1992): a categorical distribution a position, moved by Adam along the policy gradient.

    The reward is the accuracy in percent; the baseline its exponential mean, corrected for its start and updated before
    it is used, so that the first step changes nothing.

    Args:
        learning_rate: Adam's; betas 0.9 and 0.999, no weight decay.
        EMA_momentum: of the baseline.
    """
    positions, values = benchmark.positions, benchmark.values
    logits = np.array([[1e-3 * chance.gauss(0, 1) for _ in range(values)] for _ in range(positions)])
    first, second = np.zeros_like(logits), np.zeros_like(logits)
    rows = np.arange(positions)
    first_ones = iter(benchmark.first(benchmark.STARTS))
    total = weight = 0.0
    for step in itertools.count(1):
        # NumPy's own `max`, `sum` and `cumsum` take longer to start than to compute so little.
        odds = np.exp(logits - np.maximum.reduce(logits, 1, keepdims=True))
        odds /= np.add.reduce(odds, 1, keepdims=True)
        below = np.add.accumulate(odds, 1).tolist()

        def sample(below: list[list[float]] = below) -> Choices:
            # Rounding may leave a sum below a draw.
            return tuple([min(bisect.bisect_left(row, chance.random()), values - 1) for row in below])

        chosen = next(first_ones, None) or benchmark.drawn(sample, chance)
        reward = yield chosen
        total = EMA_momentum * total + (1 - EMA_momentum) * reward
        weight = EMA_momentum * weight + (1 - EMA_momentum)
        # The gradient of -log p is the odds, less one at what was chosen.
        gradient = odds
        gradient[rows, chosen] -= 1
        gradient *= reward - total / weight
        first = 0.9 * first + 0.1 * gradient
        second = 0.999 * second + 0.001 * gradient**2
        change = first / (1 - 0.9**step) / (np.sqrt(second / (1 - 0.999**step)) + 1e-8)
        logits -= learning_rate * change
