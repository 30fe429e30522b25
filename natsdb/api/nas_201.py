"""`NASBench201API`: scripts written for `nas_201_api` (2.1 and older), answered from NATS-Bench's topology space."""

from __future__ import annotations

import os
import warnings
from collections.abc import Iterator, Mapping
from typing import Any

from natsdb.api import api_utils
from natsdb.api.api_topology import NATStopology
from natsdb.api.printing import information_lines
from natsdb.api.results import ArchResults, ResultsCount

NAS_BENCH_201_API_VERSION = "v2.0"
DIFFERENCES = (
    "NAS-Bench-201 scripts are answered from NATS-Bench's topology data: the same architectures, indexes and hps; but "
    "some 2,400 topologies have other runs or numbers, and times and latencies were calibrated anew (all seeds alike)"
)
_DATASETS = ("cifar10", "cifar100", "ImageNet16-120")
_warned = False

__all__ = ["NAS_BENCH_201_API_VERSION", "ArchResults", "NASBench201API", "ResultsCount", "api_utils", "test_api"]


def print_information(information: ArchResults, extra_info: Any = None, show: bool = False) -> list[str]:
    """Lines about an architecture's results, as NAS-Bench-201 writes them."""
    lines = [
        line.replace(" & top1 = ", ", top1 = ") for line in information_lines(information, extra_info, False, _SHOWN)
    ]
    if show:
        print("\n".join(lines))
    return lines


_SHOWN: dict[str, tuple[str, ...]] = {"cifar10-valid": ("x-valid",)}


def _hp(hp: Any, use_12epochs_result: bool | None) -> Any:
    """The hp, which versions before 2 said by a yes or no in the same place."""
    if use_12epochs_result is None and isinstance(hp, bool):
        use_12epochs_result = hp
    return hp if use_12epochs_result is None else "12" if use_12epochs_result else "200"


class _OfHp(Mapping[int, ArchResults]):
    """Results by architecture at one hp: `arch2infos_less` and `arch2infos_full` of versions before 2."""

    def __init__(self, api: NASBench201API, hp: str) -> None:
        self._api, self._hp = api, hp

    def __getitem__(self, index: int) -> ArchResults:
        return self._api.arch2infos_dict[index][self._hp]

    def __iter__(self) -> Iterator[int]:
        return iter(self._api.arch2infos_dict)

    def __len__(self) -> int:
        return len(self._api.arch2infos_dict)


class NASBench201API(NATStopology):
    """The topology space under the names of NAS-Bench-201; what its data differs in is said once, in a warning.

    Args:
        file_path_or_dict: a natsdb database or an official NATS-Bench archive. Anything else, such as the path of a
            `NAS-Bench-201-….pth`, stands for the default database: such files are not read.
        verbose: print what is called.

    Raises:
        ValueError, NatsdbError: as `NATStopology`.
    """

    _print_information = staticmethod(print_information)
    _remembers = True

    def __init__(self, file_path_or_dict: Any = None, verbose: bool = True) -> None:
        global _warned
        if not _warned:
            _warned = True
            warnings.warn(DIFFERENCES, stacklevel=2)
        given = os.fspath(file_path_or_dict) if isinstance(file_path_or_dict, os.PathLike) else file_path_or_dict
        if isinstance(given, str) and (given.endswith(".pth") or not os.path.exists(given)):
            given = None
        super().__init__(given, isinstance(given, str) and os.path.isdir(given), False)
        self.verbose = verbose
        if verbose:
            print(f"try to create the NAS-Bench-201 api from {self.filename}")

    @property
    def evaluated_indexes(self) -> Any:
        """Architectures that there are results of: a list, ascending."""
        return sorted(self._evaluated_set())

    @evaluated_indexes.setter
    def evaluated_indexes(self, indexes: Any) -> None:
        self._evaluated = set(indexes)

    def _say(self, text: str) -> None:
        if self.verbose:
            print(text)

    @property
    def arch2infos_less(self) -> _OfHp:
        """Results at hp 12."""
        return _OfHp(self, "12")

    @property
    def arch2infos_full(self) -> _OfHp:
        """Results at hp 200."""
        return _OfHp(self, "200")

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({len(self.evaluated_indexes)}/{len(self.meta_archs)} architectures, "
            f"file={self.filename})"
        )

    def arch(self, index: int) -> Any:
        """String of an architecture.

        Raises:
            AssertionError: the index is outside the space.
        """
        if self.verbose:
            print(f"Call the arch function with index={index}")
        assert 0 <= index < len(self.meta_archs), f"invalid index : {index} vs. {len(self.meta_archs)}."
        return self[index]

    def get_more_info(
        self,
        index: Any,
        dataset: str,
        iepoch: int | None = None,
        hp: Any = "12",
        is_random: bool | int = True,
        use_12epochs_result: bool | None = None,
    ) -> dict[str, Any]:
        """As `NATStopology.get_more_info`, without a comment."""
        info = super().get_more_info(index, dataset, iepoch, _hp(hp, use_12epochs_result), is_random)
        info.pop("comment", None)
        return info

    def simulate_train_eval(  # type: ignore[override]
        self, arch: Any, dataset: str, hp: Any = "12", account_time: bool = True
    ) -> tuple[float, float, float, float]:
        """As `NATStopology.simulate_train_eval` at the last epoch; the latency is that of hp 12.

        Raises:
            AssertionError: there is no such data set.
        """
        index = self.query_index_by_arch(arch)
        assert dataset in _DATASETS, f"Invalid dataset name : {dataset} vs {_DATASETS}"
        info = self.get_more_info(index, "cifar10-valid" if dataset == "cifar10" else dataset, None, hp, True)
        cost = info["train-all-time"] + info["valid-per-time"]
        latency = self.get_latency(index, dataset)
        if account_time:
            self._used_time += cost
        return info["valid-accuracy"], latency, cost, self._used_time

    def find_best(  # type: ignore[override]
        self,
        dataset: str,
        metric_on_set: str,
        FLOP_max: float | None = None,
        Param_max: float | None = None,
        hp: str = "12",
    ) -> tuple[int, float | None]:
        """As `NATStopology.find_best`."""
        return super().find_best(dataset, metric_on_set, FLOP_max, Param_max, hp)

    def query_meta_info_by_index(
        self, arch_index: int, hp: Any = "12", use_12epochs_result: bool | None = None
    ) -> ArchResults:
        """As `NATStopology.query_meta_info_by_index`."""
        return super().query_meta_info_by_index(arch_index, _hp(hp, use_12epochs_result))

    def query_by_index(
        self, arch_index: int, dataname: str | None = None, hp: Any = "12", use_12epochs_result: bool | None = None
    ) -> Any:
        """As `NATStopology.query_by_index`."""
        return super().query_by_index(arch_index, dataname, _hp(hp, use_12epochs_result))

    def get_cost_info(
        self, index: int, dataset: str, hp: Any = "12", use_12epochs_result: bool | None = None
    ) -> dict[str, float]:
        """As `NATStopology.get_cost_info`."""
        return super().get_cost_info(index, dataset, _hp(hp, use_12epochs_result))

    def get_latency(self, index: int, dataset: str, hp: Any = "12", use_12epochs_result: bool | None = None) -> float:
        """As `NATStopology.get_latency`."""
        return super().get_latency(index, dataset, _hp(hp, use_12epochs_result))


def test_api(path: Any) -> None:
    """Print what some architectures of a database or archive have."""
    api = NASBench201API(path)
    for index in sorted(api.evaluated_indexes)[:4]:
        print(f"\n--- index={index} ---")
        api.show(index)
        for seed, run in api.query_by_index(index, "cifar100").items():
            print(f"{seed}: {run.get_train()} {run.get_eval('x-valid')} {run.get_eval('x-test')}")
        print(f"config={api.get_net_config(index, 'cifar10')}")


test_api.__test__ = False  # type: ignore[attr-defined]  # pytest takes no part in it
