"""`NASBench201API`: scripts written for `nas_201_api` (2.1 and older), answered from NAS-Bench-201's own data, or from
NATS-Bench's topology space."""

from __future__ import annotations

import os
import warnings
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, MutableMapping
from pathlib import Path
from typing import Any

import numpy as np

from natsdb.api import nas_201_results as api_utils
from natsdb.api import opening
from natsdb.api.api_topology import NATStopology
from natsdb.api.handle import no_hp
from natsdb.api.nas_201_results import ArchResults, ResultsCount, print_information
from natsdb.api.nas_201_versions import OMITTED, VERSION
from natsdb.ingest.archive.records import NAS_201_HPS, with_hps
from natsdb.ingest.archive.torch_file import is_torch
from natsdb.schema.datasets import DATASETS, OF_NATS_BENCH, searched
from natsdb.schema.errors import Missing
from natsdb.store.choice import NAS_201
from natsdb.store.manifest import NAME
from natsdb.store.snapshot import read_manifest

NAS_BENCH_201_API_VERSION = "v2.0"
DIFFERENCES = (
    "NAS-Bench-201 scripts are answered from NATS-Bench's topology data: the same architectures, indexes and hps; but "
    "some 2,400 topologies have other runs or numbers, and times and latencies were calibrated anew (all seeds alike)"
)
_warned = False

__all__ = ["NAS_BENCH_201_API_VERSION", "ArchResults", "NASBench201API", "ResultsCount", "api_utils", "test_api"]


class _OfHp(MutableMapping[int, Any]):
    """Results by architecture at one hp: `arch2infos_less` and `arch2infos_full` of 1.x.

    What is dropped here, to free memory as scripts do, is not read for it.
    """

    def __init__(self, api: NASBench201API, hp: str) -> None:
        self._api, self._hp = api, hp
        self._dropped: set[int] = set()

    def __getitem__(self, index: int) -> Any:
        if index in self._dropped:
            raise KeyError(index)
        return self._api.arch2infos_dict[index][self._hp]

    def __setitem__(self, index: int, results: Any) -> None:
        self._dropped.discard(index)
        infos = self._api.arch2infos_dict
        infos.setdefault(index, {})[self._hp] = results

    def __delitem__(self, index: int) -> None:
        if index not in self:
            raise KeyError(index)
        self._dropped.add(index)

    def __contains__(self, index: object) -> bool:
        return index in self._api.arch2infos_dict and index not in self._dropped

    def __iter__(self) -> Iterator[int]:
        return (index for index in list(self._api.arch2infos_dict) if index not in self._dropped)

    def __len__(self) -> int:
        return len(self._api.arch2infos_dict) - len(self._dropped)

    def clear(self) -> None:
        self._dropped.update(self._api.arch2infos_dict)


def _of_1x(hp: str, name: str) -> property:
    def get(self: NASBench201API) -> Any:
        VERSION.saw(1, name)
        return self._of_hps().setdefault(hp, _OfHp(self, hp))

    def put(self: NASBench201API, results: Any) -> None:
        VERSION.saw(1, name)
        self._of_hps()[hp] = results

    return property(get, put, doc=f"Results by architecture at hp {hp} (1.x).")


class NASBench201API(NATStopology):
    """NAS-Bench-201. A database's rows of source `nas-bench-201` answer, where it has some, and no others; else all
    that it has of the topology space, and what NATS-Bench's data differs in is said once, in a warning.

    Where a call names no schedule, `natsdb.api.nas_201_versions` says which it is.

    Args:
        file_path_or_dict: a natsdb database, an official archive of NAS-Bench-201 or NATS-Bench, or a loaded
            dictionary, as `torch.load("NAS-Bench-201-….pth")` gives it. The path of a `.pth` file stands for the
            default database, if that has rows of `nas-bench-201`; else the file is read, if it is there. Any other path
            that is none stands for the default database.
        verbose: print what is called.

    Raises:
        Missing: there is no default database.
        ValueError, NatsdbError: as `NATStopology`.
    """

    _print_information = staticmethod(print_information)
    _results_kind = ArchResults
    _remembers = True

    arch2infos_less = _of_1x("12", "arch2infos_less")
    arch2infos_full = _of_1x("200", "arch2infos_full")

    def __init__(self, file_path_or_dict: Any = None, verbose: bool = True) -> None:
        given = os.fspath(file_path_or_dict) if isinstance(file_path_or_dict, os.PathLike) else file_path_or_dict
        if isinstance(given, dict):
            super().__init__(_with_hps(given), False, False)
            self._avaliable_hps = set(NAS_201_HPS.values())
        else:
            stands = given is None or (isinstance(given, str) and (given.endswith(".pth") or not os.path.exists(given)))
            opened = _by_default(self, given) if stands else given
            source = NAS_201 if isinstance(opened, str) and _has_201(opened) else None
            if source is None and not (isinstance(opened, str) and os.path.isfile(opened) and is_torch(opened)):
                _warn()
            if given is None:
                print(f"Try to use the default NAS-Bench-201 path from {opened}.")
            if verbose:
                print(f"try to create the NAS-Bench-201 api from {given or opened}")
            super().__init__(opened, isinstance(opened, str) and os.path.isdir(opened), False, source=source)
            self.filename = os.path.basename(given or opened)
        self.verbose = verbose

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "arch2infos_full" in state:  # pickled by 1.x
            less, full = ({**state.pop(f"arch2infos_{name}")} for name in NAS_201_HPS)
            by_hp = ((arch, {"12": less, "200": full}) for arch in sorted(less.keys() | full.keys()))
            infos = OrderedDict(
                (arch, OrderedDict((hp, of[arch]) for hp, of in each.items() if arch in of)) for arch, each in by_hp
            )
            state = {**state, "arch2infos_dict": infos, "_avaliable_hps": set(NAS_201_HPS.values())}
        super().__setstate__(state)

    def _loader(self, root: str) -> tuple[Callable[[], Iterable[int]], Callable[[int], Any]]:
        def from_file(idx: int) -> Any:
            from natsdb.api.backends import results_of
            from natsdb.ingest.archive.sources import record_in

            path = os.path.join(root, f"{idx:06d}-FULL.pth")
            assert os.path.isfile(path), f"invalid data path : {path}"
            with open(path, "rb") as file:
                return results_of(with_hps(record_in(file.read(), path)), self._results_kind)

        pth = os.path.isdir(root) and any(name.endswith("-FULL.pth") for name in os.listdir(root))
        return (lambda: range(len(self)), from_file) if pth else super()._loader(root)

    def _of_hps(self) -> dict[str, Any]:
        found: dict[str, Any] = self.__dict__.setdefault("_by_hp", {})
        return found

    @property
    def verbose(self) -> bool:
        """Whether to print what is called; 1.x never does."""
        return self._verbose and not VERSION.first

    @verbose.setter
    def verbose(self, verbose: bool) -> None:
        self._verbose = verbose

    @property
    def evaluated_indexes(self) -> Any:
        """Architectures that there are results of: a list, ascending."""
        return sorted(self._evaluated_set())

    @evaluated_indexes.setter
    def evaluated_indexes(self, indexes: Any) -> None:
        self._evaluated = set(indexes)

    def _say(self, text: str) -> None:
        # Nothing is prepared in this package.
        if self.verbose and not text.startswith("Call _prepare_info"):
            print(text)

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
        hp: Any = OMITTED,
        is_random: bool | int = True,
        use_12epochs_result: bool | None = None,
    ) -> dict[str, Any]:
        """As `NATStopology.get_more_info`, without a comment."""
        hp = VERSION.hp("get_more_info", hp, use_12epochs_result)
        info = super().get_more_info(index, dataset, iepoch, hp, is_random)
        info.pop("comment", None)
        return info

    def simulate_train_eval(  # type: ignore[override]
        self, arch: Any, dataset: str, hp: Any = "12", account_time: bool = True
    ) -> tuple[float, float, float, float]:
        """As `NATStopology.simulate_train_eval` at the last epoch; the latency is that of hp 12. New in 2.0.

        Raises:
            AssertionError: there is no such data set.
        """
        VERSION.saw(2, "simulate_train_eval")
        index = self.query_index_by_arch(arch)
        assert dataset in searched(), f"Invalid dataset name : {dataset} vs {searched()}"
        info = self.get_more_info(index, DATASETS[dataset].validated, None, hp, True)
        cost = info["train-all-time"] + info["valid-per-time"]
        latency = self.get_latency(index, dataset, "12")
        if account_time:
            self._used_time += cost
        return info["valid-accuracy"], latency, cost, self._used_time

    def find_best(
        self,
        dataset: str,
        metric_on_set: str,
        FLOP_max: float | None = None,
        Param_max: float | None = None,
        hp: Any = OMITTED,
        use_12epochs_result: bool | None = None,
    ) -> tuple[int, float | None]:
        """As `NATStopology.find_best`."""
        hp = VERSION.hp("find_best", hp, use_12epochs_result)
        best, accuracy = super().find_best(dataset, metric_on_set, FLOP_max, Param_max, hp)
        return best, None if accuracy is None else np.float64(accuracy)

    def query_by_arch(self, arch: Any, hp: Any = OMITTED, use_12epochs_result: bool | None = None) -> str | None:
        """The same as `query_info_str_by_arch`; the schedule may be left out in 1.x only."""
        if hp is OMITTED and use_12epochs_result is None:
            VERSION.saw(1, "query_by_arch without a schedule")
        return self._text_of(arch, VERSION.hp("query_by_arch", hp, use_12epochs_result))

    def query_info_str_by_arch(self, arch: Any, hp: str = "12") -> str | None:
        """Costs, losses and accuracies of an architecture as text; None where there are none. New in 2.0.

        Raises:
            ValueError: the architecture was not trained with this hp.
        """
        VERSION.saw(2, "query_info_str_by_arch")
        return self._text_of(arch, hp)

    def _text_of(self, arch: Any, hp: str) -> str | None:
        self._say(f"Call query_info_str_by_arch with arch={arch} and hp={hp}")
        return self._query_info_str_by_arch(arch, hp, self._print_information)

    def _query_info_str_by_arch(self, arch: Any, hp: str = "12", print_information: Any = None) -> str | None:
        index = self.query_index_by_arch(arch)
        if index >= 0:
            self._prepare_info(index)
        if not self._holds(index):
            if index != -1 or not VERSION.first:
                print(f"Find this arch-index : {index}, but this arch is not evaluated.")
            return None
        results = self._results(index)
        if hp not in results:
            raise ValueError(no_hp(index, results, hp))
        return "\n".join(print_information(results[hp], f"arch-index={index}"))

    def query_meta_info_by_index(
        self, arch_index: int, hp: Any = OMITTED, use_12epochs_result: bool | None = None
    ) -> Any:
        """As `NATStopology.query_meta_info_by_index`."""
        hp = VERSION.hp("query_meta_info_by_index", hp, use_12epochs_result)
        return super().query_meta_info_by_index(arch_index, hp)

    def query_by_index(
        self,
        arch_index: int,
        dataname: str | None = None,
        hp: Any = OMITTED,
        use_12epochs_result: bool | None = None,
    ) -> Any:
        """As `NATStopology.query_by_index`."""
        hp = VERSION.hp("query_by_index", hp, use_12epochs_result)
        return super().query_by_index(arch_index, dataname, hp)

    def get_net_param(
        self,
        index: int,
        dataset: str,
        seed: int | None,
        hp: Any = OMITTED,
        use_12epochs_result: bool | None = None,
    ) -> Any:
        """As `NATStopology.get_net_param`."""
        return super().get_net_param(index, dataset, seed, VERSION.hp("get_net_param", hp, use_12epochs_result))

    def get_cost_info(
        self, index: int, dataset: str, hp: Any = OMITTED, use_12epochs_result: bool | None = None
    ) -> dict[str, float]:
        """As `NATStopology.get_cost_info`."""
        return super().get_cost_info(index, dataset, VERSION.hp("get_cost_info", hp, use_12epochs_result))

    def get_latency(
        self, index: int, dataset: str, hp: Any = OMITTED, use_12epochs_result: bool | None = None
    ) -> float:
        """As `NATStopology.get_latency`."""
        return super().get_latency(index, dataset, VERSION.hp("get_latency", hp, use_12epochs_result))

    def clear_params(self, index: int, hp: Any = None, use_12epochs_result: bool | None = None) -> None:
        """As `NATStopology.clear_params`."""
        named = isinstance(hp, bool) or use_12epochs_result is not None
        super().clear_params(index, VERSION.hp("clear_params", hp, use_12epochs_result) if named else hp)

    def statistics(self, dataset: str, hp: Any = OMITTED, use_12epochs_result: bool | None = None) -> dict[int, int]:
        """As `NATStopology.statistics`."""
        return super().statistics(dataset, VERSION.hp("statistics", hp, use_12epochs_result))

    def _shown(self, index: int) -> list[Any]:
        return super()._shown(index)[:: -1 if VERSION.first else 1]


def _with_hps(given: dict[str, Any]) -> dict[str, Any]:
    """A loaded dictionary with the names of schedules that NATS-Bench has."""
    for key in ("meta_archs", "arch2infos", "evaluated_indexes"):
        assert key in given, f"Can not find key[{key}] in the dict"
    infos = {arch: with_hps(by_hp) for arch, by_hp in given["arch2infos"].items()}
    return {**given, "arch2infos": infos}


def _warn() -> None:
    global _warned
    if not _warned:
        _warned = True
        warnings.warn(DIFFERENCES, stacklevel=3)


def _has_201(path: str) -> bool:
    """Whether a database has rows of NAS-Bench-201's own."""
    if not os.path.isfile(os.path.join(path, NAME)):
        return False
    return any(part.source == NAS_201 for part in read_manifest(Path(path)).parts)


def _by_default(api: NASBench201API, given: str | None) -> str:
    """What stands for a file of NAS-Bench-201: the default database, if it has such rows, else the file itself, else
    the default database all the same, or NATS-Bench's archive in its default place.

    Raises:
        Missing: there is none of these.
    """
    if given and os.path.isfile(given) and is_torch(given):
        mine = opening.database_of_the_user(api)
        return mine if mine is not None and _has_201(mine) else given
    found = opening.database_by_default(api) or opening.archive_by_default(api)
    if found is None:
        raise Missing(
            ("there is no such file" if given else "no file is named") + ", and no natsdb database that stands for it",
            where=given or "",
            remedy="make one with `natsdb ingest SOURCE --db DIR` from NAS-Bench-201's file or NATS-Bench's topology "
            "archive, and let $NATSDB_HOME name it",
        )
    return found


def test_api(path: Any) -> None:
    """Print what some architectures of a database or archive have."""
    api = NASBench201API(path)
    for index in sorted(api.evaluated_indexes)[:4]:
        print(f"\n--- index={index} ---")
        api.show(index)
        for dataset in OF_NATS_BENCH:
            for seed, run in api.query_by_index(index, dataset, "12").items():
                print(f"{dataset}, {seed}: {run.get_train()} {[run.get_eval(split) for split in run.eval_names]}")
            print(f"config={api.get_net_config(index, dataset)}")


test_api.__test__ = False  # type: ignore[attr-defined]  # pytest takes no part in it
