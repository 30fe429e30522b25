"""Many architectures at once: the runs of one data set as arrays, and means over seeds to the last bit."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from natsdb.api.results import mean
from natsdb.ingest.forms import Form
from natsdb.schema.tables import BLOCK

if TYPE_CHECKING:
    from natsdb.api.shelf import Database
    from natsdb.ingest.official import Block

SPLITS = ("train", "x-valid", "x-test", "ori-test")
_COSTS = ("flops", "params", "latency")


@dataclass(frozen=True)
class Runs:
    """Runs on one data set at one hp and epoch, sorted by (arch, seed).

    `arch`, `seed`, `epoch` (from 0): a value a run; `loss` (nats), `accuracy` (percent), `seconds` (an epoch) by split,
    NaN where the split was not evaluated at this epoch; `cost`: flops, params (millions), latency (seconds).
    `start`: where an architecture's runs start, and the end.
    """

    arch: np.ndarray
    seed: np.ndarray
    epoch: np.ndarray
    loss: dict[str, np.ndarray]
    accuracy: dict[str, np.ndarray]
    seconds: dict[str, np.ndarray]
    cost: dict[str, np.ndarray]
    start: np.ndarray

    @property
    def archs(self) -> np.ndarray:
        """The architectures, ascending."""
        return self.arch[self.start[:-1]]

    def of_arch(self, values: np.ndarray) -> list[list[Any]]:
        """A column as a list an architecture, of its runs' values in order of seeds."""
        listed = values.tolist()
        start = self.start.tolist()
        return [listed[a:b] for a, b in pairwise(start)]

    def means(self, values: np.ndarray) -> np.ndarray:
        """Means over the runs of each architecture, as Python's `sum` makes them; NaN where a run has none."""
        return np.array([mean(each) for each in self.of_arch(values)])


def runs_of(
    database: Database, hp: str, dataset: str, archs: np.ndarray | None = None, iepoch: int | None = None
) -> Runs | None:
    """Runs on a data set, of some architectures or of all; None where a record is not as regular as nearly all are.

    Args:
        archs: architectures, sorted and without doubles; those without runs are left out.
        iepoch: epoch from 0; the last of each run when None.
    """
    columns: list[dict[str, np.ndarray]] = []
    numbers = database.numbers(hp)
    if archs is not None:
        wanted = set(np.unique(archs // BLOCK).tolist())
        numbers = [number for number in numbers if number in wanted]
    for number in numbers:
        seen = np.zeros(0, np.int64)
        for _, block in database.blocks(hp, number):
            if dataset not in block.datasets:
                continue
            chosen = np.flatnonzero(block.dataset == block.datasets.index(dataset))
            if archs is not None:
                chosen = chosen[np.isin(block.arch[chosen], archs)]
            key = block.arch[chosen].astype(np.int64) << 32 | block.seed[chosen]
            if len(seen):
                chosen, key = chosen[~np.isin(key, seen)], key[~np.isin(key, seen)]
            seen = np.concatenate([seen, key])
            part = _columns(block, chosen, iepoch)
            if part is None:
                return None
            columns.append(part)
    if not columns:
        return None
    whole = {name: np.concatenate([part[name] for part in columns]) for name in columns[0]}
    order = np.lexsort([whole["seed"], whole["arch"]])
    whole = {name: values[order] for name, values in whole.items()}
    arch = whole["arch"]
    return Runs(
        arch=arch,
        seed=whole["seed"],
        epoch=whole["epoch"],
        loss={split: whole[f"loss {split}"] for split in SPLITS},
        accuracy={split: whole[f"accuracy {split}"] for split in SPLITS},
        seconds={split: whole[f"seconds {split}"] for split in SPLITS},
        cost={name: whole[name] for name in _COSTS},
        start=np.append(np.flatnonzero(np.r_[True, arch[1:] != arch[:-1]]), len(arch)),
    )


def _columns(block: Block, chosen: np.ndarray, iepoch: int | None) -> dict[str, np.ndarray] | None:
    form_of = block.form_of[chosen]
    used = set(form_of.tolist())
    if not all(_regular(block.forms[n]) for n in used) or block.any_varying:
        return None
    epochs = np.array([form.epochs for form in block.forms])[form_of]
    epoch = epochs - 1 if iepoch is None else np.full(len(chosen), iepoch)
    if len(epoch) and not ((epoch >= 0) & (epoch < epochs)).all():
        return None
    found = {"arch": block.arch[chosen], "seed": block.seed[chosen], "epoch": epoch}
    found |= {name: block.costs(name)[chosen] for name in _COSTS}
    at_end = iepoch is None or bool((epoch == epochs - 1).all())
    for split in SPLITS:
        there, rows = _rows(block, form_of, chosen, split, None if at_end else iepoch)
        for name in ("loss", "accuracy"):
            values = np.full(len(chosen), np.nan)
            values[there] = block.at_last(name)[rows] if at_end else block.gathered(name, rows)
            found[f"{name} {split}"] = values
        found[f"seconds {split}"] = block.costs(f"{split.replace('-', '_')}_seconds")[chosen]
    return found


def _rows(
    block: Block, form_of: np.ndarray, chosen: np.ndarray, split: str, iepoch: int | None
) -> tuple[np.ndarray, np.ndarray]:
    """Which runs have a split at an epoch, and the rows of these in `final` (last epoch) or in `metric`."""
    place = np.full(len(block.forms), -1)
    for n, form in enumerate(block.forms):
        span = form.spans.get(split)
        if iepoch is None:
            place[n] = form.last.get(split, -1)
        elif span is not None and span.first <= iepoch < span.end:
            place[n] = span.offset + iepoch - span.first
    there = place[form_of] >= 0
    start = (block.last if iepoch is None else block.rows)[chosen]
    return there, (start + place[form_of])[there]


def _regular(form: Form) -> bool:
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


def agreed(runs: Runs, name: str) -> np.ndarray:
    """FLOPs or parameters of each architecture: means, but of seed 888 where runs differ at five decimals.

    Raises:
        ValueError: they differ, and there is no seed 888.
    """
    means = runs.means(runs.cost[name])
    for place, (values, seeds) in enumerate(zip(runs.of_arch(runs.cost[name]), runs.of_arch(runs.seed), strict=True)):
        if any(value != values[0] for value in values) and len({f"{value:.5f}" for value in values}) > 1:
            means[place] = mean([values[seeds.index(888)]])
    return means
