"""Many architectures at once: the runs of one data set as arrays, and means over seeds to the last bit."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from natsdb.api.results import ArchResults, mean, superseded
from natsdb.ingest.archive.stored import StoredForm
from natsdb.schema.schedules import epochs_of
from natsdb.schema.tables import BLOCK

if TYPE_CHECKING:
    from natsdb.api.backends import DatabaseBackend
    from natsdb.ingest.archive.rebuild import StoredBlock

SPLITS = ("train", "x-valid", "x-test", "ori-test")


@dataclass
class Runs:
    """Runs on one data set at one hp and epoch, sorted by (arch, seed); columns are read when they are asked for.

    `arch`, `seed`, `epoch` (from 0): a value a run. `start`: where an architecture's runs start, and the end.
    """

    arch: np.ndarray
    seed: np.ndarray
    epoch: np.ndarray
    start: np.ndarray
    _parts: list[tuple[StoredBlock, np.ndarray]]
    _order: np.ndarray
    _iepoch: int | None
    # NAS-Bench-201's means are NumPy's, which adds a few numbers up as they come, and takes costs as they are.
    _plain: bool
    _columns: dict[tuple[str, str], np.ndarray] = field(default_factory=dict)

    @property
    def archs(self) -> np.ndarray:
        """The architectures, ascending."""
        return self.arch[self.start[:-1]]

    def measured(self, name: str, split: str) -> np.ndarray:
        """Accuracy (percent) or loss (nats) of a split, NaN where it was not evaluated at this epoch."""
        return self._column((name, split), lambda block, chosen: _measured(block, chosen, name, split, self._iepoch))

    def cost(self, name: str) -> np.ndarray:
        """A column of the table `cost`, NaN where there is none."""
        return self._column((name, ""), lambda block, chosen: block.costs(name)[chosen])

    def seconds(self, split: str) -> np.ndarray:
        """Seconds of an epoch's pass over a split."""
        return self.cost(f"{split.replace('-', '_')}_seconds")

    def _column(self, key: tuple[str, str], of: Callable[[StoredBlock, np.ndarray], np.ndarray]) -> np.ndarray:
        if key not in self._columns:
            self._columns[key] = np.concatenate([of(*part) for part in self._parts])[self._order]
        return self._columns[key]

    def of_arch(self, values: np.ndarray) -> list[list[Any]]:
        """A column as a list an architecture, of its runs' values in order of seeds."""
        listed = values.tolist()
        return [listed[a:b] for a, b in pairwise(self.start.tolist())]

    def means(self, values: np.ndarray) -> np.ndarray:
        """Means over the runs of each architecture, as Python's `sum` makes them; NaN where a run has none."""
        start, count = self.start[:-1], np.diff(self.start)
        found = np.empty(len(count))
        for runs in set(count.tolist()):
            same = count == runs
            found[same] = _sums([values[start[same] + n] for n in range(runs)], self._plain) / runs
        return found


def _sums(columns: list[np.ndarray], plain: bool) -> np.ndarray:
    """Sums over columns to the bits of Python's `sum`, which since 3.12 adds up what rounding lost (Neumaier).

    If `plain`, to those of NumPy.
    """
    total = columns[0] + 0.0
    lost = np.zeros(len(total))
    for each in columns[1:]:
        new = total + each
        lost += np.where(np.abs(total) >= np.abs(each), (total - new) + each, (each - new) + total)
        total = new
    return total + lost if sys.version_info >= (3, 12) and not plain else total


def runs_of(
    database: DatabaseBackend,
    hp: str,
    dataset: str,
    archs: np.ndarray | None = None,
    iepoch: int | None = None,
    *,
    timed: bool = True,
) -> Runs | None:
    """Runs on a data set, of some architectures or of all; None where a record is not as regular as nearly all are.

    Args:
        archs: architectures, sorted and without doubles; those without runs are left out.
        iepoch: epoch from 0; the last of each run when None.
        timed: whether times will be asked for.

    Raises:
        NatsdbError: the last epoch is asked for, and a published table's result counts.
    """
    numbers = database.numbers(hp)
    if archs is not None:
        wanted = set(np.unique(archs // BLOCK).tolist())
        numbers = [number for number in numbers if number in wanted]
    parts: list[tuple[StoredBlock, np.ndarray]] = []
    for number in numbers:
        for _, block, own, hidden, by in database.blocks(hp, number):
            if dataset not in block.datasets:
                continue
            chosen = np.flatnonzero(block.dataset == block.datasets.index(dataset))
            if archs is not None:
                chosen = chosen[np.isin(block.arch[chosen], archs)]
            if own is not None:
                chosen = chosen[own[chosen]]
            if hidden is not None and hidden[chosen].any() and iepoch in (None, epochs_of(hp) - 1):
                first = int(block.arch[chosen][hidden[chosen]][0])
                raise superseded(database.space, first, dataset, hp, by)
            if not _all_regular(block, chosen, iepoch, timed):
                return None
            parts.append((block, chosen))
    if not sum(len(chosen) for _, chosen in parts):
        return None
    arch = np.concatenate([block.arch[chosen] for block, chosen in parts])
    seed = np.concatenate([block.seed[chosen] for block, chosen in parts])
    last = np.concatenate([_epochs(block)[block.form_of[chosen]] - 1 for block, chosen in parts])
    order = np.lexsort([seed, arch])
    arch = arch[order]
    return Runs(
        arch=arch,
        seed=seed[order],
        epoch=last[order] if iepoch is None else np.full(len(arch), iepoch),
        start=np.append(np.flatnonzero(np.r_[True, arch[1:] != arch[:-1]]), len(arch)),
        _parts=parts,
        _order=order,
        _iepoch=iepoch,
        _plain=database.kind is not ArchResults,
    )


def _epochs(block: StoredBlock) -> np.ndarray:
    return np.array([form.epochs for form in block.forms])


def _all_regular(block: StoredBlock, chosen: np.ndarray, iepoch: int | None, timed: bool) -> bool:
    used = [block.forms[n] for n in set(block.form_of[chosen].tolist())]
    in_range = iepoch is None or all(0 <= iepoch < form.epochs for form in used)
    return in_range and all(_regular(form) for form in used) and not (timed and block.any_varying)


def _regular(form: StoredForm) -> bool:
    """Whether numbers of a run may be taken from the columns as they are."""
    listed: Sequence[Any] = form.dataset_seed[1]
    return (
        form.splits <= form.steady
        and form.splits <= set(form.spans)
        and form.fields["latency"][0] in ("f", "d")
        and form.fields["flop"][0] in ("f", "d")
        and form.fields["params"][0] in ("f", "d")
        and all(list(seeds) == sorted(seeds) for _, seeds in listed)
    )


def _measured(block: StoredBlock, chosen: np.ndarray, name: str, split: str, iepoch: int | None) -> np.ndarray:
    form_of = block.form_of[chosen]
    if iepoch is not None and (_epochs(block)[form_of] - 1 == iepoch).all():
        iepoch = None
    place = np.full(len(block.forms), -1)
    for n, form in enumerate(block.forms):
        span = form.spans.get(split)
        if iepoch is None:
            place[n] = form.last.get(split, -1)
        elif span is not None and span.first <= iepoch < span.end:
            place[n] = span.offset + iepoch - span.first
    there = place[form_of] >= 0
    start = (block.last if iepoch is None else block.rows)[chosen]
    rows = (start + place[form_of])[there]
    values = np.full(len(chosen), np.nan)
    if len(rows):
        values[there] = block.at_last(name)[rows] if iepoch is None else block.gathered(name, rows)
    return values


def agreed(runs: Runs, name: str) -> np.ndarray:
    """FLOPs or parameters of each architecture: means, but of seed 888 where runs differ at five decimals.

    Raises:
        ValueError: they differ, and there is no seed 888.
    """
    column = runs.cost(name)
    means = runs.means(column)
    if runs._plain:
        return means
    for place, (values, seeds) in enumerate(zip(runs.of_arch(column), runs.of_arch(runs.seed), strict=True)):
        if any(value != values[0] for value in values) and len({f"{value:.5f}" for value in values}) > 1:
            means[place] = mean([values[seeds.index(888)]])
    return means
