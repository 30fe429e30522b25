"""pymoo's genetic algorithms as searches: generations that are asked for, trained and told."""

from __future__ import annotations

import random
from functools import partial
from typing import Any

import numpy as np
from pymoo.algorithms.base.genetic import GeneticAlgorithm
from pymoo.algorithms.moo.nsga2 import NSGA2
from pymoo.algorithms.moo.sms import SMSEMOA
from pymoo.algorithms.moo.spea2 import SPEA2
from pymoo.algorithms.soo.nonconvex.ga import GA
from pymoo.core.evaluator import Evaluator
from pymoo.core.problem import Problem
from pymoo.core.termination import NoTermination
from pymoo.problems.static import StaticProblem

from natsdb.adapters.pymoo import bounds, operators, variables
from natsdb.search.algorithm import Algorithm
from natsdb.search.benchmark import Benchmark
from natsdb.search.multi_trial import Search
from natsdb.search.others import alone, plain_options

# What the driver gives, and what is no search's business.
_GIVEN = ("sampling", "crossover", "mutation", "advance_after_initial_infill", "selection", "survival", "output")


def optimizers() -> dict[str, type[GeneticAlgorithm]]:
    """pymoo's genetic algorithms that need nothing but a problem, by name."""
    return {one.__name__: one for one in (GA, NSGA2, SPEA2, SMSEMOA)}


def algorithm(name: str, optimizer: type[GeneticAlgorithm]) -> Algorithm:
    """A genetic algorithm as a search of that name, with operators for choices (`natsdb.adapters.pymoo.operators`)."""
    takes = plain_options(GeneticAlgorithm, _GIVEN) | plain_options(optimizer, _GIVEN)
    search = partial(_search, optimizer)
    return Algorithm(name, search, takes=takes, packages=("pymoo",), extra="pymoo", several=optimizer is not GA)


def _search(optimizer: type[GeneticAlgorithm], benchmark: Benchmark, chance: random.Random, **options: Any) -> Search:
    """Generation after generation, until no new architecture can be made; an excess over a limit is a constraint."""
    space = benchmark.space
    signs, limits = benchmark.signs, int(benchmark.limited)
    problem = Problem(vars=variables(space), n_obj=max(len(signs), 1), n_ieq_constr=limits, **bounds(space))
    seed = chance.getrandbits(31)
    with alone(seed, "pymoo"):
        asked = optimizer(**operators(space, benchmark.first(benchmark.STARTS)), **options)
        asked.setup(problem, termination=NoTermination(), seed=seed, verbose=False)
        while asked.has_next():
            generation = asked.ask()
            if generation is None:
                break
            losses, over = [], []
            for choices in generation.get("X").tolist():
                told: Any = yield tuple(map(int, choices))
                losses.append(
                    [sign * value for sign, value in zip(signs, told, strict=True)] if signs else [100 - told]
                )
                over.append([benchmark.over(tuple(map(int, choices)))])
            answer = {"F": np.array(losses), **({"G": np.array(over)} if benchmark.limited else {})}
            Evaluator().eval(StaticProblem(problem, **answer), generation)
            asked.tell(infills=generation)
