"""An Optuna objective that asks the database: accuracy in percent, to be maximized, and simulated time."""

from __future__ import annotations

import os
import random
from collections.abc import Sequence
from typing import Any

import optuna

from natsdb.adapters import arch_of, elapsed
from natsdb.schema.errors import NatsdbError
from natsdb.schema.schedules import epochs_of
from natsdb.schema.spaces import SPACES, space_of
from natsdb.search.trainings import Trainings, published_budget, read_trainings


def distributions(space: str) -> dict[str, optuna.distributions.BaseDistribution]:
    """The search space: an operation on each edge (tss), or channels of each layer (sss).

    Raises:
        NatsdbError: there is no such space.
    """
    of = space_of(space)
    low, high = of.choices[0], of.choices[-1]
    if not of.numeric:
        return {name: optuna.distributions.CategoricalDistribution(of.choices) for name in of.positions}
    step = of.choices[1] - low
    return {name: optuna.distributions.IntDistribution(low, high, step=step) for name in of.positions}


class Objective:
    """What `study.optimize` calls: one simulated training a trial, in one of the architecture's runs, drawn at random.

    Accuracies of x-valid are reported at each of `epochs` (counted from 0, the last of the schedule included), where
    the study's pruner may end the training. A trial has `arch`, `run` and `seconds` as user attributes. `spent`:
    simulated seconds of all trials; when they reach `budget`, the study is stopped.

    Under a limit a trial has `over` too, by how much its architecture exceeds it: one that does is pruned before it is
    trained, at no cost of time; so give `n_trials` to `optimize`. It is a constraint of the trial, which samplers heed;
    those of Optuna 4 where they are given `constraints`.
    """

    def __init__(self, answers: Trainings, budget: float, seed: int = 0) -> None:
        self.answers, self.budget, self.seed = answers, budget, seed
        self.epochs = tuple(sorted(answers.accuracy))
        self.spent = 0.0
        self._elapsed = elapsed(answers)

    def __call__(self, trial: optuna.Trial) -> float:
        """Accuracy in percent after the last epoch.

        Raises:
            optuna.TrialPruned: the architecture is infeasible, or the study's pruner ended the training, whose seconds
                are spent all the same.
        """
        answers = self.answers
        arch = arch_of(answers, _suggested(trial, answers.space))
        if answers.over is not None:
            trial.set_user_attr("over", answers.over[arch])
            if hasattr(trial, "set_constraint"):  # since Optuna 5
                trial.set_constraint("over", answers.over[arch])
            if answers.over[arch] > 0:
                trial.set_user_attr("arch", arch)
                raise optuna.TrialPruned
        first, end = answers.start[arch], answers.start[arch + 1]
        # A function of the trial's number: the same study, resumed or not, is told the same.
        run = random.Random(f"{self.seed} {trial.number}").randrange(first, end)
        for look, epoch in enumerate(self.epochs):
            accuracy, seconds = answers.accuracy[epoch][run], float(self._elapsed[run, look])
            trial.report(accuracy, epoch)
            pruned = epoch != self.epochs[-1] and trial.should_prune()
            if pruned:
                break
        self.spent += seconds
        for name, value in {"arch": arch, "run": run - first, "seconds": seconds}.items():
            trial.set_user_attr(name, value)
        if self.spent >= self.budget:
            trial.study.stop()
        if pruned:
            raise optuna.TrialPruned
        return accuracy


def constraints(trial: optuna.trial.FrozenTrial) -> tuple[float]:
    """By how much the architecture exceeds the limit, for Optuna 4's `TPESampler(constraints_func=constraints)`."""
    return (trial.user_attrs.get("over", 0.0),)


def _suggested(trial: optuna.Trial, space: str) -> dict[str, Any]:
    of = SPACES[space]
    low, high = of.choices[0], of.choices[-1]
    if not of.numeric:
        return {name: trial.suggest_categorical(name, of.choices) for name in of.positions}
    return {name: trial.suggest_int(name, low, high, step=of.choices[1] - low) for name in of.positions}


def objective(
    space: str,
    dataset: str,
    hp: str = "12",
    db: str | os.PathLike[str] | None = None,
    *,
    epochs: Sequence[int] = (),
    budget: float | None = None,
    seed: int = 0,
    cost: str | None = None,
    at_most: float | None = None,
) -> Objective:
    """An objective for `optuna.create_study(direction="maximize")`.

    Args:
        space, dataset: tss or sss; cifar10, cifar100 or ImageNet16-120.
        hp: schedule of the trainings that are simulated.
        db: folder or URL of the database.
        epochs: where accuracies are reported besides the last, from 0; for pruners.
        budget: simulated seconds of the study; those of the published searches if None.
        seed: the draws of runs come from it and the trial's number.
        cost, at_most: a measure, as in the view `measure`, and its highest value: architectures above it, or without a
            value, are infeasible.

    Raises:
        NatsdbError: no such space, data set, schedule, epoch or measure; the database lacks the rows; nothing is
            feasible.
    """
    last = epochs_of(hp) - 1
    outside = [epoch for epoch in epochs if not 0 <= epoch <= last]
    if outside:
        raise NatsdbError(f"there is no epoch {outside[0]} at hp {hp}", remedy=f"choose 0 to {last}")
    answers = read_trainings(space, dataset, hp, db, epochs, cost=cost, at_most=at_most)
    return Objective(answers, published_budget(space, dataset) if budget is None else budget, seed)
