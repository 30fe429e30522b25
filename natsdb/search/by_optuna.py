"""Optuna's samplers as searches: a study a run, which is asked for a trial and told its accuracy."""

from __future__ import annotations

import random
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import optuna

from natsdb.adapters.optuna import distributions
from natsdb.schema.errors import NatsdbError
from natsdb.schema.spaces import SPACES
from natsdb.search.algorithm import Algorithm
from natsdb.search.benchmark import Benchmark
from natsdb.search.multi_trial import Search
from natsdb.search.others import alone, plain_options

# They need another sampler, or the space as an argument.
_WITHOUT = ("BaseSampler", "BaseGASampler", "PartialFixedSampler", "GridSampler")
# Samplers that know no choices without order: operations have the numbers that the official package gives them.
_NUMBERS = ("CmaEsSampler", "QMCSampler")
# Of one objective only.
_SINGLE = ("CmaEsSampler",)


def optimizers() -> dict[str, type[optuna.samplers.BaseSampler]]:
    """Optuna's samplers by name."""
    found = {name: getattr(optuna.samplers, name) for name in dir(optuna.samplers) if name not in _WITHOUT}
    base = optuna.samplers.BaseSampler
    return {name: one for name, one in found.items() if isinstance(one, type) and issubclass(one, base)}


def algorithm(name: str, sampler: type[optuna.samplers.BaseSampler]) -> Algorithm:
    """A sampler as a search of that name; its options are those of its constructor but the seed."""
    takes = plain_options(sampler)
    # CMA-ES is a package of its own.
    packages = ("optuna", *(("cmaes",) if sampler.__name__ == "CmaEsSampler" else ()))
    takes_seed = "seed" in takes
    takes.pop("seed", None)
    search = partial(_search, sampler, takes_seed)
    return Algorithm(
        name,
        search,
        takes=takes,
        packages=packages,
        extra="optuna",
        seeded=takes_seed,
        several=sampler.__name__ not in _SINGLE,
    )


def _search(
    sampler: type[optuna.samplers.BaseSampler],
    takes_seed: bool,
    benchmark: Benchmark,
    chance: random.Random,
    **options: Any,
) -> Search:
    """Trials of one study. Under a limit an infeasible trial is pruned, and its excess a constraint, as by
    `natsdb.adapters.optuna.Objective`."""
    seed = chance.getrandbits(31)
    of, own = SPACES[benchmark.space], {"seed": seed} if takes_seed else {}
    with alone(seed, "optuna"), _one_thread(sampler.__name__):
        directions = ["maximize" if sign < 0 else "minimize" for sign in benchmark.signs or (-1,)]
        study = optuna.create_study(directions=directions, sampler=sampler(**own, **options))
        space = distributions(benchmark.space)
        number = {value: index for index, value in enumerate(of.choices)}
        if sampler.__name__ in _NUMBERS and not of.numeric:
            space = dict.fromkeys(of.positions, optuna.distributions.IntDistribution(0, len(of.choices) - 1))
            number = {index: index for index in range(len(of.choices))}
        values = {index: value for value, index in number.items()}
        for first in benchmark.first(benchmark.STARTS):
            study.enqueue_trial({name: values[choice] for name, choice in zip(of.positions, first, strict=True)})
        while True:
            trial = study.ask(space)
            choices = tuple([number[trial.params[name]] for name in of.positions])
            told = yield choices
            if benchmark.limited:
                over = benchmark.over(choices)
                trial.set_user_attr("over", over)
                if hasattr(trial, "set_constraint"):  # since Optuna 5
                    trial.set_constraint("over", over)
                if over > 0:
                    study.tell(trial, state=optuna.trial.TrialState.PRUNED)
                    continue
            study.tell(trial, told)


def _one_thread(sampler: str) -> AbstractContextManager[object]:
    """Gaussian processes compute in PyTorch: on any number of cores in one thread, for the same digits."""
    if sampler != "GPSampler":
        return nullcontext()
    try:
        from natsdb.training.recipe import threads
    except ImportError as error:
        raise NatsdbError("optuna:GPSampler needs PyTorch", remedy="pip install 'natsdb[training]'") from error
    return threads(1)
