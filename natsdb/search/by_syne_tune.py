"""Syne Tune's schedulers as searches: one worker, on natsdb's own account of time."""

from __future__ import annotations

import datetime
import inspect
import random
from collections.abc import Sequence
from functools import partial
from typing import Any

from syne_tune.backend.trial_status import Trial
from syne_tune.optimizer import baselines
from syne_tune.optimizer.scheduler import SchedulerDecision, TrialScheduler

from natsdb.adapters.syne_tune import configuration_space
from natsdb.schema.spaces import SPACES
from natsdb.search.algorithm import Algorithm
from natsdb.search.benchmark import Benchmark
from natsdb.search.multi_trial import Search
from natsdb.search.others import alone, plain_options

_METRIC, _EPOCH = "accuracy", "epoch"
# What the driver gives.
_GIVEN = ("config_space", "metric", "metrics", "do_minimize", "time_attr", "max_t", "random_seed")
# Not of one objective.
_WITHOUT = ("EHVI",)


def optimizers() -> dict[str, type[TrialScheduler]]:
    """Syne Tune's baselines of one objective, by name."""
    found = {name: getattr(baselines, name) for name in dir(baselines) if name not in _WITHOUT}
    return {
        name: one
        for name, one in found.items()
        if isinstance(one, type) and issubclass(one, TrialScheduler) and one.__module__ == baselines.__name__
    }


def algorithm(name: str, scheduler: type[TrialScheduler]) -> Algorithm:
    """A scheduler as a search of that name; one that looks at epochs looks at each."""
    looks = "max_t" in inspect.signature(scheduler).parameters

    def epochs(of: int, options: dict[str, Any]) -> Sequence[int]:
        return range(of) if looks else ()

    search, takes = partial(_search, scheduler, looks), plain_options(scheduler, _GIVEN)
    return Algorithm(name, search, epochs, takes=takes, packages=("syne-tune",), extra="syne-tune")


def _search(
    scheduler: type[TrialScheduler], looks: bool, benchmark: Benchmark, chance: random.Random, **options: Any
) -> Search:
    """A trial after the other, each told at the last epoch, or at every epoch until the scheduler stops it.

    Under a limit an infeasible trial is told 0.
    """
    of = SPACES[benchmark.space]
    seed = chance.getrandbits(31)
    several = "metrics" in inspect.signature(scheduler).parameters
    told: dict[str, Any] = {"metrics": [_METRIC]} if several else {"metric": _METRIC}
    if looks:
        told |= {"time_attr": _EPOCH, "max_t": benchmark.epochs}
    first = [
        {name: of.choices[choice] for name, choice in zip(of.positions, one, strict=True)}
        for one in benchmark.first(benchmark.STARTS)
    ]
    with alone(seed, "syne_tune"):
        asked = scheduler(
            configuration_space(benchmark.space),
            do_minimize=False,
            random_seed=seed,
            points_to_evaluate=first or None,
            **told,
            **options,
        )
        number = 0
        while (suggestion := asked.suggest()) is not None:
            trial = Trial(number, suggestion.config, datetime.datetime(2000, 1, 1))
            number += 1
            asked.on_trial_add(trial)
            choices = tuple([of.choices.index(suggestion.config[name]) for name in of.positions])
            if not looks:
                asked.on_trial_complete(trial, {_METRIC: (yield choices)})
                continue
            training = benchmark.training(choices)
            # What is infeasible is not trained, so it is looked at once.
            for epoch in range(benchmark.epochs if benchmark.feasible(choices) else 1):
                result = {_METRIC: (yield training, epoch), _EPOCH: epoch + 1}
                if asked.on_trial_result(trial, result) != SchedulerDecision.CONTINUE:
                    break
            asked.on_trial_remove(trial)
