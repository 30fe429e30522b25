"""Published accuracies of topologies after 12 epochs, from the database in the package, read by PyArrow alone."""

from __future__ import annotations

from functools import cache

import numpy as np
import pyarrow.compute as pc
import pyarrow.parquet as pq

from natsdb.store.locations import BUILTIN

# CIFAR-10: trained on all 50,000 images, tested on 10,000.
DATASET, SPLIT = "cifar10", "ori-test"
# Percent: below are those that learn nothing, 10 % by chance, which have no order; the least of the others is 30 %.
CHANCE = 15.0


@cache
def published() -> dict[int, float]:
    """Accuracy in percent on CIFAR-10's test images by architecture, a mean over seeds."""
    folder = BUILTIN / "final" / "source=published" / "space=tss" / "hp=12"
    found: dict[int, float] = {}
    for path in sorted(folder.glob("block=*/*.parquet")):
        table = pq.ParquetFile(path).read(columns=["arch", "dataset", "split", "accuracy"])
        table = table.filter(pc.and_(pc.equal(table["dataset"], DATASET), pc.equal(table["split"], SPLIT)))
        found |= dict(zip(table["arch"].to_pylist(), table["accuracy"].to_pylist(), strict=True))
    return found


def spread(count: int) -> list[int]:
    """Architectures that learn, their published accuracies evenly over the range; the first of more are those of fewer.

    The accuracies wanted halve the gaps that earlier ones left (van der Corput's sequence); each takes the architecture
    that is nearest and not taken.
    """
    of = published()
    archs = sorted((arch for arch in of if of[arch] > CHANCE), key=lambda arch: (of[arch], arch))
    accuracies = np.array([of[arch] for arch in archs])
    low, high = accuracies[0], accuracies[-1]
    taken: list[int] = []
    for number in range(1, count + 1):
        distance = np.abs(accuracies - (low + (high - low) * _halving(number)))
        distance[taken] = np.inf
        taken.append(int(distance.argmin()))
    return [archs[at] for at in taken]


def _halving(number: int) -> float:
    """The bits of a number behind the point, mirrored: 1/2, 1/4, 3/4, 1/8, …"""
    fraction, part = 0.0, 0.5
    while number:
        fraction += part * (number & 1)
        number, part = number >> 1, part / 2
    return fraction


def spearman(a: list[float], b: list[float]) -> float:
    """Rank correlation; equal values share the mean of their ranks. NaN where it is not defined."""
    first, second = _ranks(a), _ranks(b)
    if len(a) < 2 or not np.ptp(first) or not np.ptp(second):
        return float("nan")
    return float(np.corrcoef(first, second)[0, 1])


def _ranks(values: list[float]) -> np.ndarray:
    _, which, counts = np.unique(np.asarray(values), return_inverse=True, return_counts=True)
    ranks: np.ndarray = np.cumsum(counts) - (counts - 1) / 2
    return ranks[which]
