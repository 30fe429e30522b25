"""Answers about one architecture, made once from its results and remembered.

They are what `ArchResults` says, so they equal the official ones to the last bit; what is remembered is bounded.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from natsdb.schema.datasets import DATASETS
from natsdb.schema.errors import NatsdbError

if TYPE_CHECKING:
    from natsdb.api.backends import Backend
    from natsdb.api.columns import Runs
    from natsdb.api.results import ArchResults

# Methods that others call: a subclass that defines one of them gets no remembered answers.
INNER = (
    "get_more_info",
    "get_cost_info",
    "get_latency",
    "query_meta_info_by_index",
    "query_index_by_arch",
    "_prepare_info",
    "reload",
)
_COMMENT = (
    "In this dict, train-loss/accuracy/time is the metric on the {} of CIFAR-10. The test-loss/accuracy/time is the "
    "performance of the CIFAR-10 test set after training on the {} by {} epochs. The per-time and total-time indicate "
    "the per epoch and total time costs, respectively."
)
_COMMENTED = {"cifar10-valid": "train set", "cifar10": "train+valid sets"}


def eval_splits(dataset: str) -> dict[str, str]:
    """The split that each name in the keys of `get_more_info` stands for, in their order."""
    if dataset in DATASETS and not DATASETS[dataset].halved:
        return {"valid": "x-valid", "test": "ori-test"}
    return {"valid": "x-valid", "test": "x-test", "valtest": "ori-test"}


def more_info(results: ArchResults, dataset: str, iepoch: int | None, hp: Any, is_random: bool | int) -> dict[str, Any]:
    """What `get_more_info` answers, from an architecture's results at an hp."""
    train = results.get_metrics(dataset, "train", iepoch=iepoch, is_random=is_random)
    total = train["iepoch"] + 1

    def times(info: dict[str, Any]) -> tuple[Any, Any]:
        spent = info["all_time"]
        return None if spent is None else spent / total, spent

    per, whole = times(train)
    found: dict[str, Any] = {
        "train-loss": train["loss"],
        "train-accuracy": train["accuracy"],
        "train-per-time": per,
        "train-all-time": whole,
    }
    if dataset in _COMMENTED:
        found["comment"] = _COMMENT.format(_COMMENTED[dataset], _COMMENTED[dataset], hp)
    for name, split in eval_splits(dataset).items():
        needed = (dataset, name) == ("cifar10-valid", "valid")
        if not needed and any(run._lacks(split, iepoch) for run in results.query(dataset).values()):
            continue
        try:
            info = results.get_metrics(dataset, split, iepoch=iepoch, is_random=is_random)
        except NatsdbError:
            raise  # a damaged file is no missing split
        except Exception:
            # Not evaluated at this epoch: its keys are left out. Only x-valid of cifar10-valid must be there.
            if needed:
                raise
            continue
        per, whole = times(info)
        found[f"{name}-loss"], found[f"{name}-accuracy"] = info["loss"], info["accuracy"]
        found[f"{name}-per-time"], found[f"{name}-all-time"] = per, whole
    return found


class Simulation(NamedTuple):
    """What `simulate_train_eval` may answer: by seed, accuracy (percent) and cost (seconds), and the latency (seconds).

    Where x-valid was not evaluated at the epoch, `passes` has the seconds of one pass over it by seed: these are of
    another run, drawn anew, and not in the cost yet.
    """

    seeds: list[int]
    runs: dict[int, tuple[Any, Any]]
    passes: dict[int, Any] | None
    latency: Any

    def drawn(self, choice: Callable[[list[int]], int]) -> tuple[Any, Any]:
        """Accuracy and cost of a run that `choice` draws."""
        accuracy, cost = self.runs[choice(self.seeds)]
        return accuracy, cost if self.passes is None else cost + self.passes[choice(self.seeds)]


@dataclass(frozen=True, eq=False)
class Accuracies:
    """Mean accuracy (percent) by architecture, ascending; FLOPs and parameters (millions) where they were asked for."""

    arch: np.ndarray
    accuracy: np.ndarray
    flops: np.ndarray | None = None
    params: np.ndarray | None = None

    def best(
        self, archs: list[int], flop_max: float | None, param_max: float | None
    ) -> tuple[int, float | None] | None:
        """The first of the most accurate ones of some architectures within limits, (-1, None) where there is none.

        None where one of them has no accuracy here.
        """
        wanted = np.array(archs, np.int64)
        place = np.searchsorted(self.arch, wanted)
        if not len(self.arch) or not np.array_equal(self.arch[np.minimum(place, len(self.arch) - 1)], wanted):
            return None
        for values, most in ((self.flops, flop_max), (self.params, param_max)):
            if most is not None and values is not None:
                place = place[~(values[place] > most)]
        if not len(place):
            return -1, None
        first = place[np.argmax(self.accuracy[place])]
        return int(self.arch[first]), float(self.accuracy[first])

    @cached_property
    def by_arch(self) -> dict[int, tuple[Any, Any, float]]:
        """FLOPs, parameters and accuracy of each."""
        none = [None] * len(self.arch)
        flops, params = (none if values is None else values.tolist() for values in (self.flops, self.params))
        every = zip(flops, params, self.accuracy.tolist(), strict=True)
        return dict(zip(self.arch.tolist(), every, strict=True))


class Answers:
    """Remembered answers of a backend. Threads may share it: what is remembered never changes."""

    def __init__(self, backend: Backend) -> None:
        # Nothing here refers back to this object, so that it goes as soon as its handle does.
        asked = _Questions(backend)
        # An answer takes some 1.3 kB, a simulation 0.5 kB. Types are told apart: 0 is a seed, False asks for means.
        self.more_info = lru_cache(maxsize=1 << 14, typed=True)(asked.more_info)
        self.simulation = lru_cache(maxsize=1 << 16, typed=True)(asked.simulation)
        self.costs = lru_cache(maxsize=1 << 14, typed=True)(asked.costs)
        self.seeds = lru_cache(maxsize=1 << 16, typed=True)(asked.seeds)
        self.accuracies = lru_cache(maxsize=32, typed=True)(asked.accuracies)


class _Questions:
    """What is asked once."""

    def __init__(self, backend: Backend) -> None:
        self._backend = backend
        # Made for these answers alone: nobody else ever holds, and so changes, these results.
        self._result = lru_cache(maxsize=64)(backend.result)

    def _at(self, index: int, hp: str) -> ArchResults:
        results = self._result(index, hp)
        if results is None:
            if not self._backend.has(index):
                raise ValueError(f"Did not find {index} from arch2infos_dict.")
            raise KeyError(hp)
        return results

    def seeds(self, index: int, dataset: str, hp: str) -> list[int]:
        return self._at(index, hp).get_dataset_seeds(dataset)

    def more_info(self, index: int, dataset: str, iepoch: int | None, hp: str, is_random: bool | int) -> dict[str, Any]:
        return more_info(self._at(index, hp), dataset, iepoch, hp, is_random)

    def costs(self, index: int, dataset: str, hp: str) -> dict[str, Any]:
        return self._at(index, hp).get_compute_costs(dataset)

    def simulation(self, index: int, dataset: str, iepoch: int | None, hp: str) -> Simulation:
        results = self._at(index, hp)
        trained = DATASETS[dataset].validated
        seeds = results.get_dataset_seeds(trained)
        infos = {seed: more_info(results, trained, iepoch, hp, seed) for seed in seeds}
        latency = results.get_compute_costs(dataset)["latency"]
        if all("valid-accuracy" in info for info in infos.values()):
            runs = {
                seed: (info["valid-accuracy"], info["train-all-time"] + info["valid-per-time"])
                for seed, info in infos.items()
            }
            return Simulation(seeds, runs, None, latency)
        runs = {seed: (info["valtest-accuracy"], info["train-all-time"]) for seed, info in infos.items()}
        passes = {seed: more_info(results, dataset, None, hp, seed)["valid-per-time"] for seed in seeds}
        return Simulation(seeds, runs, passes, latency)

    def accuracies(self, dataset: str, split: str, hp: Any, limited: bool) -> Accuracies | None:
        """FLOPs, parameters (both only if `limited`) and mean accuracy at the last epoch by architecture.

        Architectures that lack a number are left out; None where the backend has no columns for the question.
        """
        from natsdb.api.backends import DatabaseBackend
        from natsdb.api.columns import SPLITS, runs_of

        backend = self._backend
        if not isinstance(backend, DatabaseBackend) or type(hp) is not str or split not in SPLITS:
            return None
        return _accuracies(runs_of(backend, hp, dataset, timed=False), split, limited)


def _accuracies(runs: Runs | None, split: str, limited: bool) -> Accuracies | None:
    from natsdb.api.columns import agreed

    if runs is None:
        return None
    accuracy = runs.means(runs.measured("accuracy", split))
    there = accuracy == accuracy
    if not limited:
        return Accuracies(runs.archs[there], accuracy[there])
    try:
        flops, params = agreed(runs, "flops"), agreed(runs, "params")
    except ValueError:
        return None
    return Accuracies(runs.archs[there], accuracy[there], flops[there], params[there])
