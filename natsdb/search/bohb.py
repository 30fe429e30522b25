"""BOHB (Falkner et al., ICML 2018): Hyperband's brackets, whose newcomers come from a model of good and bad results.

Rules and figures are those of hpbandster 0.7.4, which the published runs used, for choices without order.
"""

from __future__ import annotations

import bisect
import math
import random

import numpy as np

from natsdb.schema.errors import NatsdbError
from natsdb.schema.space import Choices
from natsdb.search.benchmark import Benchmark
from natsdb.search.multi_trial import Search

_ETA = 3
_TOP_PERCENT = 15


def bohb(
    benchmark: Benchmark,
    chance: random.Random,
    *,
    num_samples: int = 4,
    random_fraction: float = 0.0,
    bandwidth_factor: float = 3,
    min_bandwidth: float = 0.3,
    max_bandwidth: float | None = None,
    min_budget: float = 1,
    n_iters: int = 300,
) -> Search:
    """Brackets of successive halving over epochs of the schedule, 1.33, 4 and 12 of twelve.

    A budget of b epochs asks at epoch int(b) - 1, counted from 0, of the schedule's own run.

    Args:
        num_samples: candidates drawn from the model for a proposal, of which the most promising is taken.
        random_fraction: share of proposals that are random all the same.
        bandwidth_factor: widens ordered choices' kernels; these spaces have none, so it changes nothing.
        min_bandwidth: kernels are at least so wide.
        max_bandwidth: kernels are at most so wide; without a limit, as published, they are often wider than 1, and then
            an equal value counts less than nothing.
        min_budget: the least epochs of a training; as many as the schedule has make it a search with the model alone.
        n_iters: brackets at most.
    """
    budgets = epochs_of_rungs(benchmark.epochs, min_budget)
    rungs = len(budgets)
    results = [_Results(benchmark.positions) for _ in budgets]
    widths = min_bandwidth, max_bandwidth
    for iteration in range(n_iters):
        first = iteration % rungs
        left = rungs - first
        count = rungs // left * _ETA ** (left - 1)
        group: list[Choices] = []
        for rung in range(first, rungs):
            seen = []
            for place in range(max(1, count // _ETA ** (rung - first))):
                if rung == first:
                    proposal = _proposal(benchmark, results, chance, num_samples, random_fraction, widths)
                else:
                    proposal = group[place]
                loss = 100 - (yield proposal, budgets[rung])
                results[rung].add(loss, proposal)
                seen.append((loss, proposal))
            # In order of loss, the first seen of equals first.
            group = [proposal for _, proposal in sorted(seen, key=lambda one: one[0])]


def epochs_of_rungs(epochs: int, min_budget: float = 1, eta: int = _ETA) -> list[int]:
    """The epochs, from 0, that are asked at: one `eta`th of the training each time, down to `min_budget`.

    Raises:
        NatsdbError: `min_budget` is outside the schedule, or `eta` is no whole number above 1.
    """
    if not isinstance(eta, int) or eta < 2:
        raise NatsdbError(f"eta {eta} is no whole number above 1", remedy="choose 3, as published")
    if not 1 <= min_budget <= epochs:
        raise NatsdbError(f"min_budget {min_budget:g} is outside the schedule", remedy=f"choose 1 to {epochs}")
    rungs = int(math.log(epochs / min_budget) / math.log(eta) + 1e-9) + 1
    return [int(epochs * eta ** -float(rungs - 1 - rung)) - 1 for rung in range(rungs)]


def _proposal(
    benchmark: Benchmark,
    results: list[_Results],
    chance: random.Random,
    num_samples: int,
    random_fraction: float,
    bandwidths: tuple[float, float | None],
) -> Choices:
    """An architecture that the model of the largest budget holds for promising, or a random one without a model."""
    model = next((one.model(bandwidths) for one in reversed(results) if one.enough), None)
    if model is None or (random_fraction and chance.random() < random_fraction):
        return benchmark.random(chance)
    good, bad = model
    return benchmark.drawn(lambda: _promising(benchmark, good, bad, chance, num_samples), chance)


def _promising(benchmark: Benchmark, good: Density, bad: Density, chance: random.Random, num_samples: int) -> Choices:
    """The candidate from around good results that is likeliest among these, compared with bad ones."""
    candidates = []
    keep, values, draw = good.keep.tolist(), benchmark.values, chance.random
    for _ in range(num_samples):
        origin = good.points[int(draw() * len(good.points))].tolist()
        candidates.append(
            tuple([value if draw() < kept else int(draw() * values) for value, kept in zip(origin, keep, strict=True)])
        )
    array = np.array(candidates)
    best, chosen = math.inf, None
    for candidate, likely, unlikely in zip(candidates, good.density(array), bad.density(array), strict=True):
        # A density is infinite, or no number, where the points know one value only and the candidate has another.
        ratio = max(1e-32, unlikely) / max(likely, 1e-32)
        if not math.isfinite(ratio) and math.isfinite(likely):
            return candidate
        if ratio < best:
            best, chosen = ratio, candidate
    return benchmark.random(chance) if chosen is None else chosen


class _Results:
    """Results on one budget, in order of loss, and the densities fitted to them when they are asked for."""

    def __init__(self, positions: int) -> None:
        self._least = positions + 1
        self._losses: list[float] = []
        self._points = np.empty((64, positions), int)
        self._good = self._bad = 0
        # Fitted to the good and the bad ones as they are now; None where these changed since.
        self._model: list[Density | None] = [None, None]

    def add(self, loss: float, point: Choices) -> None:
        count, place = len(self._losses), bisect.bisect_right(self._losses, loss)
        if count == len(self._points):
            self._points = np.concatenate([self._points, np.empty_like(self._points)])
        self._losses.insert(place, loss)
        self._points[place + 1 : count + 1] = self._points[place:count]
        self._points[place] = point
        good, self._good = self._good, max(self._least, _TOP_PERCENT * (count + 1) // 100)
        self._bad = max(self._least, (100 - _TOP_PERCENT) * (count + 1) // 100)
        # Most newcomers are not good, and leave these as they were.
        self._model = [self._model[0] if place >= good == self._good else None, None]

    @property
    def enough(self) -> bool:
        """Whether both the good and the bad ones are more than there are positions."""
        return len(self._losses) >= 2 * self._least

    def model(self, bandwidths: tuple[float, float | None]) -> tuple[Density, Density]:
        good, bad = self._model
        if good is None:
            good = Density(self._points[: self._good].copy(), *bandwidths)
        if bad is None:
            end = min(self._good + self._bad, len(self._losses))
            bad = Density(self._points[self._good : end].copy(), *bandwidths)
        self._model = [good, bad]
        return good, bad


class Density:
    """A product of Aitchison-Aitken kernels around points (N×positions) of choices without order.

    As statsmodels' `KDEMultivariate` has it: an equal value counts 1 - h, another one h / (c - 1), where c is the
    number of values that the points have there; h is 1.06 · standard deviation · n^(-1 / (4 + positions)), clipped to
    `min_bandwidth` and `max_bandwidth`.
    """

    def __init__(self, points: np.ndarray, min_bandwidth: float, max_bandwidth: float | None = None) -> None:
        self.points = points
        count, positions = points.shape
        # NumPy's own `std`, `clip`, `prod` and `mean` take longer to start than to compute so little.
        away = points - np.add.reduce(points, 0) / count
        away *= away
        rule = 1.06 * np.sqrt(np.add.reduce(away, 0) / count) * count ** (-1 / (4 + positions))
        widest = math.inf if max_bandwidth is None else max_bandwidth
        self.bandwidth = np.minimum(np.maximum(rule, min_bandwidth), widest)
        self.keep = 1 - self.bandwidth
        levels = np.array([len(set(column)) for column in points.T.tolist()])
        with np.errstate(divide="ignore"):
            self._other = self.bandwidth / (levels - 1)

    def density(self, candidates: np.ndarray) -> list[float]:
        """Density at each of the candidates (N×positions)."""
        weights = np.where(candidates[:, None, :] == self.points, self.keep, self._other)
        with np.errstate(invalid="ignore"):
            return (np.add.reduce(np.multiply.reduce(weights, 2), 1) / len(self.points)).tolist()
