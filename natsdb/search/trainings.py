"""What searches are told: accuracy and cost of the trainings that the database holds, read once for all runs."""

from __future__ import annotations

import itertools
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from natsdb.schema.datasets import DATASETS, check_searched
from natsdb.schema.errors import NatsdbError
from natsdb.schema.schedules import epochs_of
from natsdb.schema.spaces import SPACES, space_of
from natsdb.search.measures import (
    Several,
    WarmUp,
    checked_limit,
    checked_warm_up,
    read_over,
    read_several,
    read_warm_up,
)
from natsdb.store.locations import located


@dataclass(frozen=True)
class Trainings:
    """Accuracies and costs of all runs at a schedule, at some of its epochs.

    `start`: where an architecture's runs start, and the end (so as many plus one); `accuracy` (percent) and `seconds`
    (training up to the epoch and one pass over the validation images), by epoch, a value a run; `nearest`: for each
    architecture the one that answers for it, itself where the database holds it. `sources`: of the rows. `over`: for
    each architecture by how much the one that answers for it exceeds a limit (infinitely where its value is not known),
    so that those of at most 0 are feasible; None without a limit. `warm_up`: None without one. `several`: None where
    accuracy is the only objective; architectures that lack a value are infeasible. `lacking`: called with an
    architecture that is asked for, to train it where its run is not there yet (see `natsdb.search.trained`).
    """

    space: str
    dataset: str
    hp: str
    start: list[int]
    accuracy: dict[int, list[float]]
    seconds: dict[int, list[float]]
    nearest: list[int] | None
    sources: str
    over: list[float] | None = None
    warm_up: WarmUp | None = None
    several: Several | None = None
    lacking: Callable[[int], None] | None = None

    @cached_property
    def passes(self) -> np.ndarray:
        """Seconds of one pass over the validation images, a value a run; nothing where only one epoch was read.

        The database says what training up to an epoch and one pass cost; two epochs tell them apart.
        """
        first, last = min(self.seconds), max(self.seconds)
        early, late = np.array(self.seconds[first]), np.array(self.seconds[last])
        if first == last:
            return np.zeros_like(early)
        return np.maximum(early - (late - early) / (last - first) * (first + 1), 0)

    @property
    def held(self) -> int:
        """Number of architectures that the database holds."""
        return sum(b > a for a, b in itertools.pairwise(self.start))


def read_trainings(
    space: str,
    dataset: str,
    hp: str = "12",
    db: str | os.PathLike[str] | None = None,
    epochs: Sequence[int] = (),
    source: str | None = None,
    *,
    cost: str | None = None,
    at_most: float | None = None,
    warm_up: str | None = None,
    of: int | None = None,
    objectives: str | Sequence[str] = (),
) -> Trainings:
    """Read what a search on a data set needs: x-valid accuracies after the last epoch of `hp`, and at `epochs`.

    Args:
        dataset: cifar10 (its half that is named cifar10-valid), cifar100 or ImageNet16-120.
        hp: schedule of the runs that are asked.
        epochs: other epochs that will be asked for, from 0.
        source: of this source only; by default of the one that counts for each architecture.
        cost, at_most: a measure, as in the view `measure`, and its highest value; architectures above it, or without a
            value, are infeasible.
        warm_up, of: a measure, and of how many random architectures the best by it are a search's first ones (1,000).
        objectives: accuracy and one or two measures, as of `natsdb.pareto`; accuracy alone if none.

    Raises:
        NatsdbError: there is no such space, data set, schedule, measure or list of objectives; the database has no such
            runs, not at these epochs, or does not say what they cost; no architecture is feasible.
    """
    import natsdb

    limit, warm = checked_limit(cost, at_most), checked_warm_up(warm_up, of)

    size = space_of(space).size
    check_searched(dataset)
    last = epochs_of(hp) - 1
    where, trained = str(located(db)), DATASETS[dataset].validated
    accuracy, seconds, starts, sources = {}, {}, None, ""
    with natsdb.connect(db, source=source) as connection:
        for epoch in sorted({last, *epochs}, reverse=True):
            rows = connection.execute(
                "select arch, accuracy, seconds, source from simulated(?, ?, ?, ?) order by arch, seed, source",
                [space, trained, hp, epoch],
            ).fetchnumpy()
            if not len(rows["arch"]) and starts is None:
                have = connection.execute(
                    "select distinct hp, dataset from final where space = ? and split = 'x-valid' order by all",
                    [space],
                ).fetchall()
                said = ", ".join(f"{name} at hp {schedule}" for schedule, name in have) or f"nothing of {space}"
                raise NatsdbError(
                    f"it has no x-valid accuracy of {space} on {trained}, hp {hp}, epoch {epoch}",
                    where=where,
                    remedy=f"it has {said} after the last epoch: choose among these, or add rows with `natsdb ingest`",
                )
            if np.ma.is_masked(rows["seconds"]):
                raise NatsdbError(
                    f"it does not say how long {space} took on {trained}, so no time can be simulated",
                    where=where,
                    remedy="ingest rows that have seconds too, such as those of hp 200",
                )
            if not (np.isfinite(rows["seconds"]) & (rows["seconds"] > 0)).all():
                raise NatsdbError(
                    f"a training of {space} on {trained} at hp {hp} lasts no time, so a search would never end",
                    where=where,
                    remedy="ingest rows with the seconds of an epoch",
                )
            found = np.searchsorted(rows["arch"], np.arange(size + 1)).tolist()
            if starts is not None and found != starts:
                raise NatsdbError(
                    f"not all runs of {space} on {trained}, hp {hp}, have x-valid accuracies at epoch {epoch}",
                    where=where,
                    remedy=f"ingest an archive that has every epoch, as {space_of(space).base_name}-full, or choose a "
                    "search that asks at the last epoch only, as bohb does with --min_budget 12",
                )
            starts, sources = found, ", ".join(sorted(set(rows["source"].tolist())))
            accuracy[epoch], seconds[epoch] = rows["accuracy"].tolist(), rows["seconds"].tolist()
        assert starts is not None
        nearest = _nearest(space, starts)
        over = read_over(connection, space, trained, limit, starts, nearest, where) if limit is not None else None
        first = read_warm_up(connection, space, trained, warm, where) if warm is not None else None
        several = None
        if objectives:
            several, over = read_several(connection, objectives, space, trained, hp, nearest, limit, over, where)
    return Trainings(space, dataset, hp, starts, accuracy, seconds, nearest, sources, over, first, several)


def published_budget(space: str, dataset: str) -> float:
    """Simulated seconds of the published runs (NATS-Bench, section 5; the authors' scripts).

    Raises:
        NatsdbError: there is no such space.
    """
    return space_of(space).budgets.get(dataset, DATASETS[dataset].budget if dataset in DATASETS else 20_000.0)


def _nearest(space: str, starts: list[int]) -> list[int] | None:
    """For each architecture the one that differs in the fewest choices, of those that are there; the lowest index of
    equally near ones. None where all are there."""
    held = np.flatnonzero(np.diff(starts))
    if len(held) == SPACES[space].size:
        return None
    every = np.array(SPACES[space].numbers, np.int8)
    # 15,625 × 1,000 × 6 bytes at a time.
    nearest = [
        held[np.argmin((part[:, None, :] != every[held][None]).sum(axis=2), axis=1)]
        for part in np.array_split(every, max(1, len(held) * len(every) // 4_000_000))
    ]
    return np.concatenate(nearest).tolist()
