"""Successive halving and Hyperband: many short trainings, of which the better go on."""

from __future__ import annotations

import itertools
import math
import random

from natsdb.search.benchmark import Benchmark
from natsdb.search.bohb import epochs_of_rungs
from natsdb.search.multi_trial import Search


def successive_halving(
    benchmark: Benchmark, chance: random.Random, *, eta: int = 3, min_budget: float = 1, resume: bool = True
) -> Search:
    """Successive halving (Jamieson and Talwalkar, AISTATS 2016), again and again.

    Of twelve epochs: nine random architectures are trained for 1.33, the best three of them for 4, the best for 12.

    Args:
        eta: one of so many goes on, and is trained so many times as long.
        min_budget: the least epochs of a training.
        resume: who goes on pays the further epochs and another pass over the validation images; else the whole training
            again, as in BOHB's published runs.
    """
    budgets = epochs_of_rungs(benchmark.epochs, min_budget, eta)
    while True:
        yield from _bracket(benchmark, chance, budgets, eta ** (len(budgets) - 1), eta, resume)


def hyperband(
    benchmark: Benchmark, chance: random.Random, *, eta: int = 3, min_budget: float = 1, resume: bool = True
) -> Search:
    """Hyperband (Li et al., JMLR 2018): brackets of successive halving, each from a longer first training than the one
    before, again and again.

    Of twelve epochs a bracket starts with nine architectures at 1.33, the next with five at 4, the last with three at
    12.

    Args:
        eta, min_budget, resume: as of successive halving.
    """
    budgets = epochs_of_rungs(benchmark.epochs, min_budget, eta)
    for first in itertools.cycle(range(len(budgets))):
        left = len(budgets) - first
        count = math.ceil(len(budgets) / left * eta ** (left - 1))
        yield from _bracket(benchmark, chance, budgets[first:], count, eta, resume)


def _bracket(
    benchmark: Benchmark, chance: random.Random, budgets: list[int], count: int, eta: int, resume: bool
) -> Search:
    """So many architectures at the first of these epochs, one of `eta` of them at the next."""
    group = [benchmark.random(chance) for _ in range(count)]
    trained = [benchmark.training(one) if resume else one for one in group]
    for rung, epoch in enumerate(budgets):
        seen = []
        for one in trained[: max(1, count // eta**rung)]:
            accuracy = yield one, epoch
            seen.append((accuracy, one))
        # The first seen of equals first.
        trained = [one for _, one in sorted(seen, key=lambda pair: -pair[0])]
