"""A pymoo problem made from the database: an architecture is a vector of numbers of choices, objectives are metrics."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import Any

import numpy as np
from pymoo.core.problem import Problem as PymooProblem
from pymoo.core.variable import Choice, Integer, Variable
from pymoo.operators.crossover.sbx import SBX
from pymoo.operators.crossover.ux import UX
from pymoo.operators.mutation.pm import PM
from pymoo.operators.mutation.rm import ChoiceRandomMutation
from pymoo.operators.repair.rounding import RoundingRepair
from pymoo.operators.sampling.rnd import IntegerRandomSampling

from natsdb.adapters.metrics import Metrics, read_metrics
from natsdb.schema.space import Choices
from natsdb.schema.spaces import SPACES, space_of


def variables(space: str) -> dict[str, Variable]:
    """The positions of a space, each with the number of its choice: without order (tss) or ascending (sss).

    Raises:
        NatsdbError: there is no such space.
    """
    of = space_of(space)
    last = len(of.choices) - 1
    if of.numeric:
        return {name: Integer(bounds=(0, last)) for name in of.positions}
    return {name: Choice(options=list(range(last + 1))) for name in of.positions}


def bounds(space: str) -> dict[str, np.ndarray]:
    """The least and the greatest number at each position."""
    of = space_of(space)
    return {
        "xl": np.zeros(len(of.positions), int),
        "xu": np.full(len(of.positions), len(of.choices) - 1),
    }


def operators(space: str, first: Sequence[Choices] = ()) -> dict[str, Any]:
    """pymoo's operators for these vectors, as arguments of its genetic algorithms.

    Random numbers to start with; choices without order cross over uniformly and mutate to a random one, ascending ones
    do so as pymoo's integers do, by SBX and polynomial mutation, rounded.

    Args:
        first: architectures that the first generation starts with.
    """
    numeric = SPACES[space].numeric
    rounded: dict[str, Any] = {"vtype": float, "repair": RoundingRepair()}
    return {
        "sampling": _First(first),
        "crossover": SBX(**rounded) if numeric else UX(),
        "mutation": PM(**rounded) if numeric else ChoiceRandomMutation(),
    }


class _First(IntegerRandomSampling):
    """Random vectors behind some that are given."""

    def __init__(self, first: Sequence[Choices]) -> None:
        super().__init__()
        self._given = np.array(first, int)

    def _do(self, problem: PymooProblem, n_samples: int, *args: Any, **kwargs: Any) -> np.ndarray:
        drawn = super()._do(problem, n_samples, *args, **kwargs)
        given = self._given[:n_samples]
        drawn[: len(given)] = given.reshape(len(given), drawn.shape[1])
        return drawn


class Problem(PymooProblem):
    """Objectives of all architectures of a space, each the mean over its runs; those to be maximized are negated.

    `metrics`: what was read of them; `arch_of(x)`: index of the architecture of a vector. For pymoo's genetic
    algorithms give `operators(space)` too.
    """

    def __init__(
        self,
        dataset: str,
        metric_names: Sequence[str] | None = None,
        *,
        space: str = "tss",
        hp: str | None = None,
        db: str | os.PathLike[str] | None = None,
    ) -> None:
        """Read metrics from a database; see `natsdb.adapters.metrics.read_metrics` for the arguments.

        Raises:
            NatsdbError: no such space, data set, schedule or metric, or the database has no values of it.
        """
        self.metrics: Metrics = read_metrics(space, dataset, metric_names, hp, db)
        sign = np.where(np.array(self.metrics.maximized), -1.0, 1.0)
        self._means = self.metrics.means() * sign
        super().__init__(vars=variables(space), n_obj=len(sign), **bounds(space))

    def arch_of(self, x: Any) -> int:
        """Index of the architecture of a vector of numbers."""
        return SPACES[self.metrics.space].by_numbers[tuple(int(value) for value in x)]

    def _evaluate(self, x: np.ndarray, out: dict[str, Any], *args: Any, **kwargs: Any) -> None:
        out["F"] = self._means[[self.arch_of(one) for one in x]]
