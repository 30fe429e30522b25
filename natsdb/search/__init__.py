"""Search algorithms on the database: run them many times, keep every step in its tables, compare.

A search of one's own is a generator function that yields architectures and is told their accuracies:

    def hill_climb(benchmark, chance):
        best = benchmark.random(chance)
        accuracy = yield best
        while True:
            ...

    natsdb.search.search(hill_climb, "tss", "cifar100", runs=500)
"""

from __future__ import annotations

from natsdb.schema.space import Choices
from natsdb.search.algorithm import Algorithm
from natsdb.search.benchmark import Benchmark
from natsdb.search.kinds import SHARING, Done, run
from natsdb.search.multi_trial import Search, mutated
from natsdb.search.repeated import SearchReport, search
from natsdb.search.running import ALGORITHMS, LATER
from natsdb.search.trained import TrainingOptions, search_and_train
from natsdb.search.trainings import Trainings, published_budget, read_trainings

__all__ = [
    "ALGORITHMS",
    "LATER",
    "SHARING",
    "Algorithm",
    "Benchmark",
    "Choices",
    "Done",
    "Search",
    "SearchReport",
    "TrainingOptions",
    "Trainings",
    "mutated",
    "published_budget",
    "read_trainings",
    "run",
    "search",
    "search_and_train",
]
