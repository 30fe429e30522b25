"""Statistics of results by block and treatment: a block is a run of a number on a data set, a treatment a search.

Results are arrays of shape (blocks, treatments) in which less is better.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from natsdb.schema.errors import NatsdbError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[np.float64]

# From which distance of A12 to 1/2 an effect is called so (Vargha and Delaney 2000, page 106).
_MAGNITUDES = ((0.21, "large"), (0.14, "medium"), (0.06, "small"))


def scipy_stats() -> Any:
    """The module scipy.stats.

    Raises:
        NatsdbError: SciPy is not installed.
    """
    try:
        from scipy import stats
    except ImportError as error:
        raise NatsdbError("statistics need SciPy", remedy="pip install 'natsdb[statistics]'") from error
    return stats


def mean_ranks(results: Array) -> Array:
    """Mean over blocks of the ranks in each, 1 for the least; equal results share the mean of their ranks."""
    ranks: Array = scipy_stats().rankdata(results, axis=1).mean(axis=0)
    return ranks


def friedman(results: Array) -> tuple[float, float] | None:
    """Friedman's chi-squared, corrected for ties, and its p; None where it says nothing: of fewer than three
    treatments, or where all are equal in each block."""
    if results.shape[1] < 3 or (results == results[:, :1]).all():
        return None
    statistic, p = scipy_stats().friedmanchisquare(*results.T)
    return float(statistic), float(p)


def critical_difference(treatments: int, blocks: int, alpha: float) -> float:
    """The difference of mean ranks from which two treatments differ by Nemenyi's test (Demšar 2006, section 3.2.2)."""
    q = scipy_stats().studentized_range.ppf(1 - alpha, treatments, float("inf"))
    return float(q * (treatments * (treatments + 1) / (12 * blocks)) ** 0.5)


@dataclass(frozen=True)
class Pair:
    """Two treatments, by their numbers: in how many blocks a is better, equal and worse; p of Wilcoxon's signed-rank
    test, two-sided, without the blocks in which both are equal; p_holm: corrected by Holm's method for all pairs
    tested."""

    a: int
    b: int
    better: int
    equal: int
    worse: int
    p: float
    p_holm: float


def pairs(results: Array) -> list[Pair]:
    """Every two treatments compared."""
    found = []
    treatments = results.shape[1]
    for a in range(treatments):
        for b in range(a + 1, treatments):
            differences = results[:, a] - results[:, b]
            better, worse = int((differences < 0).sum()), int((differences > 0).sum())
            # Of equal results alone the test has nothing to rank.
            p = float(scipy_stats().wilcoxon(differences).pvalue) if better + worse else 1.0
            found.append((a, b, better, len(differences) - better - worse, worse, p))
    corrected = holm([one[-1] for one in found])
    return [Pair(*one, p_holm) for one, p_holm in zip(found, corrected, strict=True)]


def holm(ps: list[float]) -> list[float]:
    """p values corrected by Holm's step-down method (Holm 1979), in their order."""
    corrected, highest = [0.0] * len(ps), 0.0
    for place, number in enumerate(sorted(range(len(ps)), key=ps.__getitem__)):
        highest = max(highest, min(1.0, (len(ps) - place) * ps[number]))
        corrected[number] = highest
    return corrected


def a12(a: Array, b: Array) -> float:
    """Vargha and Delaney's A: the probability that a run of a is better than one of b, equal ones counting half.

    The runs are independent: any number of each. 1/2: no effect; 1: every run of a is better.
    """
    import numpy as np

    ordered = np.sort(b)
    below, not_above = np.searchsorted(ordered, a, "left"), np.searchsorted(ordered, a, "right")
    return float(1 - (below + not_above).mean() / (2 * len(b)))


def magnitude(a12: float) -> str:
    """What an effect of this size is called: large, medium, small or negligible."""
    # A tolerance: 0.71 is 0.21 from 1/2 in decimals, not in binary numbers.
    return next((name for least, name in _MAGNITUDES if abs(a12 - 0.5) >= least - 1e-12), "negligible")


def bootstrapped(results: Array, confidence: float, resamples: int, seed: int) -> tuple[Array, Array]:
    """Bootstrap percentile intervals (Efron and Tibshirani 1993, chapter 13) of each column's mean and of its median,
    both of shape (2, columns).

    Of each sorted column the same places are drawn: what `scipy.stats.bootstrap` draws with `default_rng(seed)`,
    column by column, is drawn once for all.
    """
    import numpy as np

    ordered = np.sort(results, axis=0)
    count = len(ordered)
    places = np.random.default_rng(seed).integers(0, count, (resamples, count))
    # How often each place is drawn: a mean is a product with it.
    cells = places + np.arange(resamples)[:, None] * count
    times = np.bincount(cells.ravel(), minlength=resamples * count).reshape(resamples, count)
    means = times @ ordered / count
    middle = [(count - 1) // 2, count // 2]
    # In a sorted column, of which places are drawn, the median is at the middle of the places.
    low, high = np.partition(places, sorted(set(middle)), axis=1)[:, middle].T
    medians = (ordered[low] + ordered[high]) / 2
    ends = [(1 - confidence) / 2, (1 + confidence) / 2]
    return np.quantile(means, ends, axis=0), np.quantile(medians, ends, axis=0)
