"""Many architectures in one call: arrays in, a polars frame out, with the numbers and draws of a loop of calls.

A million simulations take about a second, most of it Python's `random` (`tests/benchmarks/test_api.py`).
"""

from __future__ import annotations

import random
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from natsdb.api.answers import eval_splits
from natsdb.api.backends import DatabaseBackend
from natsdb.api.columns import Runs, runs_of
from natsdb.api.results import ArchResults, mean, summed
from natsdb.schema.datasets import DATASETS, searched

if TYPE_CHECKING:
    import polars as pl

    from natsdb.api.backends import Backend

_KINDS = ("loss", "accuracy", "per-time", "all-time")


class Handle(Protocol):
    """What is asked of a handle: single calls, for what arrays do not answer."""

    verbose: bool
    _used_time: Any
    _backend: Backend | None

    def __len__(self) -> int:
        """Architectures of the space."""

    @property
    def _results_kind(self) -> type[ArchResults]:
        """Whose means these are."""

    @property
    def used_time(self) -> float:
        """Seconds that were accounted for."""

    @property
    def search_space_name(self) -> str:
        """`topology` or `size`."""

    def _unread(self, index: Any) -> bool:
        """Whether nobody holds results of an architecture as objects."""

    def query_index_by_arch(self, arch: Any) -> int:
        """Index of an architecture."""

    def get_more_info(
        self, index: int, dataset: str, iepoch: int | None = None, hp: Any = "12", is_random: Any = True
    ) -> dict[str, Any]:
        """Losses, accuracies and times."""

    def simulate_train_eval(
        self, arch: Any, dataset: str, iepoch: int | None = None, hp: Any = "12", account_time: bool = True
    ) -> tuple[Any, Any, Any, Any]:
        """Accuracy, latency, seconds, and seconds so far."""


def simulate_many(
    api: Handle, archs: Iterable[Any], dataset: str, iepoch: int | None, hp: Any, account_time: bool
) -> pl.DataFrame:
    """`simulate_train_eval` of each architecture, in order.

    Args:
        archs: indexes, strings or objects with `tostr()`; an array of indexes is quickest. Doubles are as many calls.
        dataset: cifar10, cifar100 or ImageNet16-120.
        iepoch: epoch from 0; the last when None.
        hp: schedule.
        account_time: add the costs to the handle's `used_time`.

    Returns:
        A row a call: `arch`, `accuracy` (percent), `latency` (seconds), `time` (seconds), `used_time` (seconds, after
        the call). The draws are those of a loop of calls: the same `random.seed` gives the same rows.

    Raises:
        ValueError, KeyError: as `simulate_train_eval`, for the first architecture that has no answer.
    """
    import polars as pl

    indexes = _indexes(api, archs)
    every, place = np.unique(indexes, return_inverse=True)
    known = _simulations(api, every, dataset, iepoch, str(hp))
    columns: dict[str, Any]
    if known is None:
        rows = [api.simulate_train_eval(int(arch), dataset, iepoch, hp, account_time) for arch in indexes]
        names = ("accuracy", "latency", "time", "used_time")
        columns = dict(zip(names, zip(*rows, strict=True) if rows else [()] * 4, strict=True))
    else:
        choice, seeds = random.choice, known.seeds
        passes = known.passes is not None
        drawn = [choice(seeds[n]) for n in place.tolist() for _ in range(2 if passes else 1)]
        first = known.start[place] + np.array(drawn[:: 2 if passes else 1], np.int64)
        cost = known.cost[first]
        if known.passes is not None:
            cost = cost + known.passes[known.start[place] + np.array(drawn[1::2], np.int64)]
        # One by one, as a loop adds them up.
        used = (
            np.cumsum(np.concatenate([[api.used_time], cost]))[1:]
            if account_time
            else np.full(len(cost), api.used_time)
        )
        columns = {"accuracy": known.accuracy[first], "latency": known.latency[place], "time": cost, "used_time": used}
        if account_time and len(used):
            api._used_time = float(used[-1])
    return pl.DataFrame(
        {
            "arch": indexes.astype(np.int32),
            **{name: pl.Series(name, values, pl.Float64) for name, values in columns.items()},
        }
    )


def get_many(
    api: Handle, archs: Iterable[Any], dataset: str, iepoch: int | None, hp: Any, is_random: bool | int
) -> pl.DataFrame:
    """`get_more_info` of each architecture, in order.

    Args:
        archs: indexes, strings or objects with `tostr()`; an array of indexes is quickest.
        dataset: cifar10-valid, cifar10, cifar100 or ImageNet16-120.
        iepoch: epoch from 0; the last when None.
        hp: schedule.
        is_random: True: of a run drawn with Python's `random`; False: means over all runs; a seed: of that run.

    Returns:
        A row an architecture: `arch`, and the keys of `get_more_info` as columns (no `comment`), else null.

    Raises:
        ValueError, KeyError: as `get_more_info`, for the first architecture that has no answer.
    """
    import polars as pl

    indexes = _indexes(api, archs)
    every, place = np.unique(indexes, return_inverse=True)
    columns = _many(api, every, place, dataset, iepoch, str(hp), is_random)
    if columns is None:
        infos = [api.get_more_info(int(arch), dataset, iepoch, hp, is_random) for arch in indexes]
        names = list(dict.fromkeys(name for info in infos for name in info if name != "comment"))
        columns = {name: ([info.get(name) for info in infos], None) for name in names}
    frame = pl.DataFrame({"arch": indexes.astype(np.int32)})
    for name, (values, there) in columns.items():
        series = pl.Series(name, values, pl.Float64)
        frame = frame.with_columns(series if there is None else series.set(pl.Series(~there), None))
    return frame


def _indexes(api: Handle, archs: Iterable[Any]) -> np.ndarray:
    array = np.asarray(archs) if hasattr(archs, "__array__") else None
    if array is not None and (array.ndim != 1 or array.dtype.kind not in "iuUTO"):
        raise ValueError(f"archs: expected indexes or strings in a row, found {array.ndim} dimensions of {array.dtype}")
    if array is not None and array.dtype.kind in "iu":
        wrong = np.flatnonzero((array < 0) | (array >= len(api)))
        if len(wrong):
            api.query_index_by_arch(int(array[wrong[0]]))  # raises
        return array.astype(np.int64)
    found = []
    for arch in archs:
        found.append(api.query_index_by_arch(arch))
        if found[-1] == -1:
            raise ValueError(f"{arch!r} is no architecture of the {api.search_space_name} space")
    return np.array(found, np.int64)


def _runs(api: Handle, every: np.ndarray, dataset: str, iepoch: int | None, hp: str) -> Runs | None:
    """Runs of all these architectures; None where single calls must answer (or say what is wrong)."""
    if not isinstance(api._backend, DatabaseBackend) or api.verbose or not (iepoch is None or type(iepoch) is int):
        return None
    if not len(every) or not all(api._unread(arch) for arch in every.tolist()):
        return None
    runs = runs_of(api._backend, hp, dataset, every, iepoch)
    return runs if runs is not None and len(runs.archs) == len(every) else None


class _Simulations:
    """Answers by run: `start` of each architecture's runs, `accuracy`, `cost`, `passes`; by architecture: `latency`.

    `seeds` are the places of an architecture's runs among themselves: a choice from them is one from its seeds.
    """

    def __init__(self, runs: Runs, latency: np.ndarray) -> None:
        self.start, self.latency = runs.start[:-1], latency
        self.seeds = [range(count) for count in np.diff(runs.start).tolist()]
        train = _sums(runs.seconds("train"), runs.epoch)
        valid = runs.measured("accuracy", "x-valid")
        if not np.isnan(valid).any():
            self.accuracy = valid
            self.cost = train + _sums(runs.seconds("x-valid"), runs.epoch) / (runs.epoch + 1)
            self.passes = None
        else:
            self.accuracy, self.cost, self.passes = runs.measured("accuracy", "ori-test"), train, np.zeros(0)


def _simulations(api: Handle, every: np.ndarray, dataset: str, iepoch: int | None, hp: str) -> _Simulations | None:
    if dataset not in searched():
        return None
    trained = DATASETS[dataset].validated
    runs = _runs(api, every, trained, iepoch, hp)
    if runs is None:
        return None
    timed = runs if dataset == trained else _runs(api, every, dataset, None, hp)
    if timed is None:
        return None
    # The mean of the latencies that were measured.
    measured = [[value for value in values if value > 0] for values in timed.of_arch(timed.cost("latency"))]
    if not all(measured):
        return None
    found = _Simulations(runs, np.array([api._results_kind._mean(values) for values in measured]))
    if found.passes is not None:
        last = _runs(api, every, dataset, None, hp)
        missing = np.isnan(runs.measured("accuracy", "x-valid"))
        if dataset != trained or last is None or not missing.all() or np.isnan(found.accuracy).any():
            return None
        found.passes = _sums(last.seconds("x-valid"), last.epoch) / (last.epoch + 1)
        if np.isnan(last.measured("accuracy", "x-valid")).any():
            return None
    return found


def _sums(seconds: np.ndarray, epoch: np.ndarray) -> np.ndarray:
    """Seconds of all epochs up to each run's, added up one by one."""
    return np.array([summed(each, last + 1) for each, last in zip(seconds.tolist(), epoch.tolist(), strict=True)])


def _many(
    api: Handle,
    every: np.ndarray,
    place: np.ndarray,
    dataset: str,
    iepoch: int | None,
    hp: str,
    is_random: bool | int,
) -> dict[str, Any] | None:
    """Columns by name: values, and where there are any."""
    runs = _runs(api, every, dataset, iepoch, hp)
    if runs is None or (dataset == "cifar10-valid" and np.isnan(runs.measured("accuracy", "x-valid")).any()):
        return None
    if isinstance(is_random, bool):
        chosen = None
        if is_random:
            counts = np.diff(runs.start).tolist()
            drawn = [random.choice(range(counts[n])) for n in place.tolist()]
            chosen = runs.start[:-1][place] + np.array(drawn, np.int64)
    elif isinstance(is_random, int):
        found = np.flatnonzero(runs.seed == is_random)
        if len(found) != len(every):
            return None
        chosen = found[place]
    else:
        return None
    splits = {"train": "train", **eval_splits(dataset)}
    total = runs.epoch + 1
    columns: dict[str, Any] = {}
    for name, split in splits.items():
        there = ~np.isnan(runs.measured("accuracy", split))
        # A split that only some of an architecture's runs evaluated has no key in any.
        whole = np.array([all(each) for each in runs.of_arch(there)])
        if not whole.any():
            continue
        spent = _sums(runs.seconds(split), runs.epoch)
        measured = {kind: runs.measured(kind, split) for kind in ("loss", "accuracy")}
        for kind, values in {**measured, "all-time": spent}.items():
            by_arch = runs.means(values)[place] if chosen is None else values[chosen]
            columns[f"{name}-{kind}"] = by_arch, whole[place]
        epochs = np.array([mean(each) for each in runs.of_arch(total)])[place] if chosen is None else total[chosen]
        columns[f"{name}-per-time"] = columns[f"{name}-all-time"][0] / epochs, whole[place]
    return {name: columns[name] for split in splits for kind in _KINDS if (name := f"{split}-{kind}") in columns}
