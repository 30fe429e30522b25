"""The handle that scripts hold: what `NATStopology` and `NATSsize` have in common, as in nats_bench 1.8.

There are two ways to an answer. Most questions are about results that nobody has seen as objects, so nobody has
changed: their answers are made once from the backend and remembered. As soon as a script holds an architecture's
results (`arch2infos_dict[i]`), loads others (`reload`) or drops them, its questions go to these objects, as in the
official package. Both ways run the same code over `ArchResults`.

Measured on the real records (`tests/benchmarks/test_api.py`): a remembered answer takes 0.7 to 1 µs, one from the
backend some 0.2 ms.
"""

from __future__ import annotations

import abc
import copy
import os
import random
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from natsdb.api import builtin, opening
from natsdb.api.answers import INNER, Accuracies, Answers, more_info
from natsdb.api.files import PICKLE_EXT, nats_is_dir, nats_is_file, pickle_load, time_string
from natsdb.api.infos import LazyInfos
from natsdb.api.results import ArchResults
from natsdb.schema.datasets import DATASETS, searched
from natsdb.schema.errors import NatsdbError
from natsdb.store.snapshot import Snapshot


def remap_dataset_set_names(dataset: str, metric_on_set: str, verbose: bool = False) -> tuple[str, str]:
    """Data set and split that `valid`, `test` and `train` of a data set stand for."""
    if verbose:
        print(
            f"Call internal function _remap_dataset_set_names with dataset={dataset} and metric_on_set={metric_on_set}"
        )
    if dataset in searched() and metric_on_set in ("valid", "test"):
        dataset, metric_on_set = DATASETS[dataset].roles[metric_on_set]
    if verbose:
        print(f"  return dataset={dataset} and metric_on_set={metric_on_set}")
    return dataset, metric_on_set


class NASBenchMetaAPI(abc.ABC):
    """A benchmark: its architectures, and what training them gave.

    Where an argument is an architecture, an index or the official string does, and so does an object with `tostr()`.
    Accuracies are in percent, losses in nats, times in seconds, FLOPs and parameters in millions.
    """

    _all_base_names: list[str]
    _search_space_name: str
    _full_train_epochs: int
    _space: str
    _results_kind: type[ArchResults] = ArchResults
    # Its own versions of the methods in INNER are known to go with remembered answers.
    _remembers = True

    @abc.abstractmethod
    def __init__(
        self, file_path_or_dict: Any = None, fast_mode: bool = False, verbose: bool = True, *, source: str | None = None
    ) -> None:
        self._fast_mode = fast_mode
        self._archive_dir: Any = None
        self.filename: str | None = None
        self._infos: Any = None
        self._evaluated: Any = None
        self._hps: Any = None
        self._answers: Answers | None = None
        self.reset_time()
        opened = opening.open_benchmark(self, file_path_or_dict, fast_mode, verbose, source)
        self.verbose = verbose
        self.filename, self._archive_dir, self._backend = opened.filename, opened.archive_dir, opened.backend
        self.meta_archs: list[str] = opened.meta_archs
        if self._backend is None:
            self._infos, self._evaluated, self._hps = opened.infos, opened.evaluated, opened.hps
        self.archstr2index: dict[str, int] = {}
        for idx, arch in enumerate(self.meta_archs):
            if arch in self.archstr2index:
                raise ValueError(f"This [{idx}]-th arch {arch} already in the dict ({self.archstr2index[arch]}).")
            self.archstr2index[arch] = idx
        self._remember()
        if verbose:
            print(
                f"{time_string()} Create NATS-Bench ({self._search_space_name}) done with "
                f"{len(self.evaluated_indexes)}/{len(self.meta_archs)} architectures avaliable."
            )

    def _remember(self) -> None:
        # A subclass that answers for itself is asked, also by our own methods.
        base = next(kind for kind in type(self).__mro__ if "_remembers" in kind.__dict__)
        mine = all(getattr(type(self), name) is getattr(base, name) for name in INNER)
        self._answers = Answers(self._backend) if self._backend is not None and mine else None

    def __setattr__(self, name: str, value: Any) -> None:
        super().__setattr__(name, value)
        if name in INNER:
            self._answers = None  # a method that was put on this handle is asked

    def __getstate__(self) -> dict[str, Any]:
        return {name: value for name, value in self.__dict__.items() if name != "_answers"}

    def __setstate__(self, state: dict[str, Any]) -> None:
        if "_backend" not in state:
            # Pickled by the official package: with the results that it had loaded, and the folder of the others.
            missing = {"_fast_mode": False, "_archive_dir": None, "_used_time": 0, "filename": None}
            state = {**missing, "_backend": None, "_answers": None, **state}
        for name, value in state.items():
            if isinstance(getattr(type(self), name, None), property):
                setattr(self, name, value)
            else:
                self.__dict__[name] = value
        self._remember()

    # What there is.

    @property
    def arch2infos_dict(self) -> Any:
        """Results by architecture: {index: {hp: ArchResults}}."""
        if self._infos is None:
            assert self._backend is not None
            self._infos = LazyInfos(self._backend, self._backend.archs())
        return self._infos

    @arch2infos_dict.setter
    def arch2infos_dict(self, infos: Any) -> None:
        # Scripts set it to {} to free memory: what they ask for next is read again, in fast mode.
        empty = isinstance(infos, dict) and not infos
        self._infos = LazyInfos(self._backend, ()) if empty and self._backend is not None else infos

    def _evaluated_set(self) -> Any:
        if self._evaluated is None:
            assert self._backend is not None
            self._evaluated = set(self._backend.archs())
        return self._evaluated

    @property
    def evaluated_indexes(self) -> Any:
        """Architectures that there are results of: a set; all that a database holds."""
        return self._evaluated_set()

    @evaluated_indexes.setter
    def evaluated_indexes(self, indexes: Any) -> None:
        self._evaluated = indexes

    @property
    def _avaliable_hps(self) -> Any:
        if self._hps is None:
            assert self._backend is not None
            self._hps = self._backend.hps()
        return self._hps

    @_avaliable_hps.setter
    def _avaliable_hps(self, hps: Any) -> None:
        self._hps = hps

    def __getitem__(self, index: Any) -> Any:
        return copy.deepcopy(self.meta_archs[index])

    def __len__(self) -> int:
        return len(self.meta_archs)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({len(self.evaluated_indexes)}/{len(self.meta_archs)} architectures, "
            f"fast_mode={self.fast_mode}, file={self.filename})"
        )

    @property
    def avaliable_hps(self) -> list[str]:
        """Schedules by their official names, in any order."""
        return list(self._avaliable_hps)

    @property
    def used_time(self) -> float:
        """Seconds that `simulate_train_eval` has accounted for."""
        return self._used_time

    @property
    def search_space_name(self) -> str:
        """`topology` or `size`."""
        return self._search_space_name

    @property
    def fast_mode(self) -> bool:
        """Whether the handle was opened in fast mode."""
        return self._fast_mode

    @property
    def archive_dir(self) -> Any:
        """Folder that results are loaded from in fast mode, else None."""
        return self._archive_dir

    @property
    def full_train_epochs(self) -> int:
        """Epochs of the longest schedule: 200 (topology) or 90 (size)."""
        return self._full_train_epochs

    @property
    def full_epochs_in_paper(self) -> int:
        """The same number."""
        return self._full_train_epochs

    @property
    def is_size(self) -> bool:
        """Whether this is the size space."""
        return self._space == "sss"

    @property
    def is_topology(self) -> bool:
        """Whether this is the topology space."""
        return self._space == "tss"

    def reset_archive_dir(self, archive_dir: Any) -> None:
        """Load results from another folder from now on, in fast mode."""
        self._archive_dir = archive_dir

    def reset_fast_mode(self, fast_mode: bool) -> None:
        """Say whether missing results may be loaded."""
        self._fast_mode = fast_mode

    def reset_time(self) -> None:
        """Start accounting for time anew."""
        self._used_time: Any = 0

    def _say(self, text: str) -> None:
        if self.verbose:
            print(f"{time_string()} {text}")

    # Architectures.

    def arch(self, index: int) -> Any:
        """String of an architecture.

        Raises:
            ValueError: the index is outside the space.
        """
        if self.verbose:
            print(f"Call the arch function with index={index}")
        if index < 0 or index >= len(self.meta_archs):
            raise ValueError(f"invalid index : {index} vs. {len(self.meta_archs)}.")
        return copy.deepcopy(self.meta_archs[index])

    def random(self) -> int:
        """Index of an architecture drawn with Python's `random`."""
        return random.randint(0, len(self.meta_archs) - 1)

    def query_index_by_arch(self, arch: Any) -> int:
        """Index of an architecture, -1 when it is not in the space.

        Raises:
            ValueError: an index is outside the space.
        """
        self._say(f"Call query_index_by_arch with arch={arch}")
        if isinstance(arch, int):
            if 0 <= arch < len(self):
                return arch
            raise ValueError(f"Invalid architecture index {arch} vs [0, {len(self)}].")
        if not isinstance(arch, str):
            if not hasattr(arch, "tostr"):
                return -1
            arch = arch.tostr()
        return self.archstr2index.get(arch, -1)

    # Results, and where they are.

    def _unread(self, index: Any) -> bool:
        """Whether answers about an architecture may be remembered ones."""
        if self._answers is None or (self._evaluated is not None and index not in self._evaluated):
            return False
        infos = self._infos
        return infos is None or (infos.__class__ is LazyInfos and index in infos.unread)

    def _holds(self, index: Any) -> bool:
        if self._infos is None:
            assert self._backend is not None
            return self._backend.has(index)
        return index in self._infos

    def _results(self, index: Any) -> Any:
        """Results of an architecture by hp; those that nobody has seen yet stay unseen."""
        infos = self._infos
        if infos is None or (infos.__class__ is LazyInfos and index in infos.unread):
            assert self._backend is not None
            return self._backend.results(index)
        return infos[index]

    @property
    def _builtin(self) -> Snapshot | None:
        """natsdb's own database, where it is the one that answers."""
        snapshot = getattr(self._backend, "snapshot", None)
        return snapshot if snapshot is not None and snapshot.builtin else None

    def _prepare_info(self, index: Any) -> None:
        """Load an architecture's results, where they are not there and the mode allows it.

        Raises:
            ValueError: the index is outside the space, or was taken out of `evaluated_indexes`.
            Missing: natsdb's own database has no records of it.
        """
        if self._holds(index):
            if self._evaluated is not None and index not in self._evaluated:
                raise ValueError(
                    f"The index of {index} is not in self.evaluated_indexes, there must be something wrong."
                )
            self._say(f"Call _prepare_info with index={index} skip because it is in arch2infos_dict")
        elif self._builtin is not None and isinstance(index, int) and 0 <= index < len(self):
            raise builtin.lacks(self._space, index)
        elif self.fast_mode and self.archive_dir is not None:
            # What a database lacks cannot be loaded: the caller says so.
            mine = self._is_mine(self.archive_dir)
            if not (mine and isinstance(index, int) and 0 <= index < len(self) and not self._backend.has(index)):  # type: ignore[union-attr]
                self.reload(self.archive_dir, index)
        elif not self.fast_mode:
            self._say(f"Call _prepare_info with index={index} skip because it is notthe fast mode.")
        else:
            raise ValueError(f"Invalid status: fast_mode={self.fast_mode} and archive_dir={self.archive_dir}")

    def reload(self, archive_root: Any = None, index: int | None = None) -> None:
        """Take the results of an architecture, or of all, from a folder: an official archive or a natsdb database.

        Args:
            archive_root: the folder; `$TORCH_HOME/…-full` when None, else the one that the handle was opened on.
            index: architecture; all of the space when None.

        Raises:
            ValueError: there is no such folder, or the index is outside the space.
            AssertionError: the archive has no file of the architecture.
            NatsdbError: a file is damaged, or the database has no row of the architecture.
        """
        self._say(f"Call clear_params with archive_root={archive_root} and index={index}")
        if archive_root is None:
            archive_root = os.path.join(os.environ["TORCH_HOME"], f"{self._all_base_names[-1]}-full")
            if not nats_is_dir(archive_root):
                warnings.warn(
                    f"The input archive_root is None and the default archive_root path ({archive_root}) does not "
                    "exist, try to use self.archive_dir.",
                    stacklevel=1,
                )
                archive_root = self.archive_dir
        if archive_root is not None and self._is_mine(archive_root):
            archive_root = self._backend.home  # type: ignore[union-attr]
        if archive_root is None or not nats_is_dir(archive_root):
            raise ValueError(f"Invalid archive_root : {archive_root}")
        every, load = self._loader(str(archive_root))
        for idx in every() if index is None else [index]:
            if not 0 <= idx < len(self.meta_archs):
                raise ValueError(f"invalid index of {idx}")
            format(idx, "06d")  # the name of its file: officially, too, a ValueError where it is no whole number
            found = load(idx)
            self._evaluated_set().add(idx)
            if found is None:
                self.arch2infos_dict.put_back(idx)
            else:
                self._avaliable_hps.update(found)
                self.arch2infos_dict[idx] = found

    def _is_mine(self, root: Any) -> bool:
        """Whether a folder is the database that the handle was made on, also from another working directory."""
        from natsdb.api.backends import DatabaseBackend

        backend = self._backend
        return type(backend) is DatabaseBackend and (root == backend.path or os.path.abspath(root) == str(backend.home))

    def _loader(self, root: str) -> tuple[Callable[[], Iterable[int]], Callable[[int], Any]]:
        """What lists a folder's architectures, and what reads one's results (None: the handle's backend has them)."""
        from natsdb.api.backends import DatabaseBackend, is_database, results_of

        if is_database(root):
            own = self._backend if self._is_mine(root) and isinstance(self._infos, LazyInfos | None) else None
            # The handle keeps the version that it opened; to take results of a newer one is to load them.
            mine = isinstance(own, DatabaseBackend) and own.newest()
            backend = own if mine and own is not None else DatabaseBackend(root, self._space, kind=self._results_kind)

            def from_database(idx: int) -> Any:
                if not backend.has(idx):
                    raise NatsdbError(
                        f"it has no results of architecture {idx}",
                        where=root,
                        remedy=f"it has those of {len(backend.archs()):,} architectures of {self._space}",
                    )
                return None if mine else backend.results(idx)

            return backend.archs, from_database

        def from_archive(idx: int) -> Any:
            path = os.path.join(root, f"{idx:06d}.{PICKLE_EXT}")
            if not nats_is_file(path):
                path = os.path.join(root, f"{idx:d}.{PICKLE_EXT}")
            assert nats_is_file(path), f"invalid data path : {path}"
            record = pickle_load(path)
            assert isinstance(record, dict), f"invalid format of data in {path}"
            return results_of(record, self._results_kind)

        return lambda: range(len(self)), from_archive

    def clear_params(self, index: int, hp: Any = None) -> None:
        """Forget the trained weights of an architecture, at one hp or at all.

        Raises:
            ValueError: the architecture was not trained with this hp.
        """
        self._say(f"Call clear_params with index={index} and hp={hp}")
        if not self._holds(index):
            warnings.warn(
                f"The {index}-th architecture is not in the benchmark data yet, no need to clear params.", stacklevel=1
            )
            return
        results = self.arch2infos_dict[index]
        if hp is not None and str(hp) not in results:
            raise ValueError(no_hp(index, results, hp))
        for each in results.values() if hp is None else [results[str(hp)]]:
            each.clear_params()

    # Questions about one architecture.

    def get_more_info(
        self, index: Any, dataset: str, iepoch: int | None = None, hp: Any = "12", is_random: bool | int = True
    ) -> dict[str, Any]:
        """Loss, accuracy and times of an architecture on every split of a data set.

        Args:
            index: architecture.
            dataset: `cifar10-valid` (trained on one half of the training images), `cifar10`, `cifar100` or
                `ImageNet16-120` (trained on all of them).
            iepoch: epoch from 0; the last when None.
            hp: schedule: 12 or 200 (topology), 01, 12 or 90 (size).
            is_random: True: of a run drawn with Python's `random`; False: means over all runs; a seed: of that run.

        Returns:
            Keys `train-…`, `valid-…`, `test-…`, `valtest-…` with loss, accuracy, per-time and all-time, where the split
            was evaluated at that epoch; `natsdb info KEY` says what each is.

        Raises:
            ValueError, KeyError: there is no such architecture, data set, hp, epoch or seed.
        """
        if self.verbose or index.__class__ is not int or index < 0 or not self._unread(index):
            self._say(
                f"Call the get_more_info function with index={index}, dataset={dataset}, iepoch={iepoch}, hp={hp}, "
                f"and is_random={is_random}."
            )
            index = self.query_index_by_arch(index)
            self._prepare_info(index)
            if not self._holds(index):
                raise ValueError(f"Did not find {index} from arch2infos_dict.")
            if not self._unread(index):
                results = self._results(index)[str(hp)]
                if is_random is True:
                    is_random = random.choice(results.get_dataset_seeds(dataset))
                return more_info(results, dataset, iepoch, hp, is_random)
        elif index >= len(self.meta_archs):
            self.query_index_by_arch(index)  # raises
        answers = self._answers
        assert answers is not None
        hp = hp if hp.__class__ is str else str(hp)
        if is_random is True:
            is_random = random.choice(answers.seeds(index, dataset, hp))
        try:
            return answers.more_info(index, dataset, iepoch, hp, is_random).copy()
        except TypeError:  # what cannot be a key: the results say what is wrong with it
            return more_info(self._results(index)[hp], dataset, iepoch, hp, is_random)

    def simulate_train_eval(
        self, arch: Any, dataset: str, iepoch: int | None = None, hp: Any = "12", account_time: bool = True
    ) -> tuple[float, float, float, float]:
        """Pretend to train an architecture up to an epoch and to evaluate it once.

        A run is drawn with Python's `random`. On CIFAR-10 the accuracy is that of `cifar10-valid`; where x-valid was
        not evaluated at the epoch, it is that of ori-test.

        Returns:
            Validation accuracy (percent), latency (seconds), cost (seconds of training and of one pass over x-valid),
            and the sum of costs since `reset_time`.

        Raises:
            ValueError, KeyError: there is no such architecture, data set, hp or epoch.
        """
        index = arch
        if self.verbose or arch.__class__ is not int or not 0 <= arch < len(self.meta_archs):
            index = self.query_index_by_arch(arch)
        if dataset not in searched():
            raise ValueError(f"Invalid dataset name : {dataset} vs {searched()}")
        if not self.verbose and self._unread(index):
            assert self._answers is not None
            try:
                found = self._answers.simulation(index, dataset, iepoch, hp if hp.__class__ is str else str(hp))
            except (ValueError, KeyError, TypeError):
                found = None  # what is wrong is said, and random numbers drawn, by the long way
            if found is not None:
                accuracy, cost = found.drawn(random.choice)
                if account_time:
                    self._used_time += cost
                return accuracy, found.latency, cost, self._used_time
        trained = DATASETS[dataset].validated
        info = self.get_more_info(index, trained, iepoch=iepoch, hp=hp, is_random=True)
        if "valid-accuracy" in info:
            accuracy, cost = info["valid-accuracy"], info["train-all-time"] + info["valid-per-time"]
        else:
            accuracy = info["valtest-accuracy"]
            last = self.get_more_info(index, dataset, iepoch=None, hp=hp, is_random=True)
            cost = info["train-all-time"] + last["valid-per-time"]
        latency = self.get_latency(index, dataset, hp=hp)
        if account_time:
            self._used_time += cost
        return accuracy, latency, cost, self._used_time

    def get_cost_info(self, index: int, dataset: str, hp: Any = "12") -> dict[str, float]:
        """FLOPs and parameters (millions), latency and times (seconds) of an architecture, means over its runs.

        Raises:
            ValueError, KeyError: there is no such architecture, data set or hp.
        """
        self._say(f"Call the get_cost_info function with index={index}, dataset={dataset}, and hp={hp}.")
        if not self.verbose and index.__class__ is int and self._unread(index):
            assert self._answers is not None
            try:
                return self._answers.costs(index, dataset, hp if hp.__class__ is str else str(hp)).copy()
            except (KeyError, ValueError):
                pass  # the long way says what is missing
        self._prepare_info(index)
        return self.query_meta_info_by_index(index, hp).get_compute_costs(dataset)

    def get_latency(self, index: int, dataset: str, hp: Any = "12") -> float:
        """Latency of a batch of 256 images in seconds, a mean over runs; None where none was measured.

        Raises:
            ValueError, KeyError: there is no such architecture, data set or hp.
        """
        self._say(f"Call the get_latency function with index={index}, dataset={dataset}, and hp={hp}.")
        return self.get_cost_info(index, dataset, hp)["latency"]

    def query_meta_info_by_index(self, arch_index: int, hp: Any = "12") -> ArchResults:
        """A copy of an architecture's results at an hp.

        Raises:
            ValueError: there are none.
        """
        if self.verbose:
            print(f"Call query_meta_info_by_index with arch_index={arch_index}, hp={hp}")
        self._prepare_info(arch_index)
        if not self._holds(arch_index):
            raise ValueError(f"arch_index [{arch_index}] does not in arch2infos")
        results = self._results(arch_index)
        if str(hp) not in results:
            raise ValueError(no_hp(arch_index, results, hp))
        # What nobody has seen was made for this call.
        return results[str(hp)] if self._unread(arch_index) else copy.deepcopy(results[str(hp)])

    def query_by_index(self, arch_index: int, dataname: str | None = None, hp: Any = "12") -> Any:
        """A copy of an architecture's results at an hp, or of its runs on a data set, by seed.

        Raises:
            ValueError: there are none.
        """
        self._say(f"Call query_by_index with arch_index={arch_index}, dataname={dataname}, hp={hp}")
        info = self.query_meta_info_by_index(arch_index, str(hp))
        if dataname is None:
            return info
        if dataname not in info.get_dataset_names():
            raise ValueError(f"invalid dataset-name : {dataname} vs. {info.get_dataset_names()}")
        return info.query(dataname)

    def query_by_arch(self, arch: Any, hp: str) -> str | None:
        """The same as `query_info_str_by_arch`."""
        return self.query_info_str_by_arch(arch, hp)

    def query_info_str_by_arch(self, arch: Any, hp: str = "12") -> str | None:
        """Costs, losses and accuracies of an architecture as text; None, with a warning, where there are none.

        Raises:
            ValueError: the architecture was not trained with this hp.
        """
        self._say(f"Call query_info_str_by_arch with arch={arch}and hp={hp}")
        return self._query_info_str_by_arch(arch, hp, self._print_information)

    def _query_info_str_by_arch(self, arch: Any, hp: str = "12", print_information: Any = None) -> str | None:
        index = self.query_index_by_arch(arch)
        self._prepare_info(index)
        if not self._holds(index):
            warnings.warn(f"Find this arch-index : {index}, but this arch is not evaluated.", stacklevel=1)
            return None
        results = self._results(index)
        if hp not in results:
            raise ValueError(no_hp(index, results, hp))
        return "\n".join(print_information(results[hp], f"arch-index={index}"))

    @staticmethod
    @abc.abstractmethod
    def _print_information(information: ArchResults, extra_info: Any = None, show: bool = False) -> list[str]:
        """Lines about an architecture's results."""

    def get_net_param(self, index: int, dataset: str, seed: int | None, hp: Any = "12") -> Any:
        """Trained weights of a run, or of all runs on the data set by seed: torch tensors (NumPy arrays without torch).

        They are there after `natsdb ingest --weights` of a full archive, or when the handle is one on a full archive;
        None otherwise.

        Raises:
            ValueError, KeyError: there is no such run.
        """
        self._say(f"Call the get_net_param function with index={index}, dataset={dataset}, seed={seed}, hp={hp}")
        return self.query_meta_info_by_index(index, hp).get_net_param(dataset, seed)

    def get_net_config(self, index: int, dataset: str) -> dict[str, Any]:
        """What builds an architecture's network for a data set.

        Raises:
            ValueError, KeyError: there is no run of it.
        """
        self._say(f"Call the get_net_config function with index={index}, dataset={dataset}.")
        self._prepare_info(index)
        if not self._holds(index):
            raise ValueError(f"The arch_index={index} is not in arch2infos_dict.")
        first = next(iter(self._results(index).values()))
        return next(iter(first.query(dataset, None).values())).get_config(None)

    # Questions about all of them.

    def find_best(
        self,
        dataset: str,
        metric_on_set: str,
        flop_max: float | None = None,
        param_max: float | None = None,
        hp: str = "12",
        enforce_all: bool | None = None,
    ) -> tuple[int, float | None]:
        """The evaluated architecture with the highest mean accuracy at the last epoch, the lowest index among equals.

        Args:
            dataset, metric_on_set: data set and split; of cifar10, cifar100 and ImageNet16-120 also `valid` and `test`.
            flop_max, param_max: at most so many FLOPs and parameters, in millions.
            hp: schedule.
            enforce_all: look at every architecture of the space and not only at those evaluated; in fast mode only.

        Returns:
            Index and accuracy (percent); (-1, None) where there is none.

        Raises:
            AssertionError: `enforce_all` without fast mode.
            KeyError, ValueError: an architecture has no such result.
            Missing: natsdb's own database does not have this accuracy of all architectures.
        """
        self._say(
            f"Call find_best with dataset={dataset}, metric_on_set={metric_on_set}, hp={hp} "
            f"| with #FLOPs < {flop_max} and #Params < {param_max}"
        )
        dataset, metric_on_set = remap_dataset_set_names(dataset, metric_on_set, self.verbose)
        if self._builtin is not None:
            return builtin.best(self._builtin, self._space, dataset, metric_on_set, str(hp), flop_max, param_max)
        known = None
        if self._answers is not None:
            known = self._answers.accuracies(dataset, metric_on_set, hp, flop_max is not None or param_max is not None)
        if enforce_all is None:
            # A database counts as loaded; a folder that is read on demand does not.
            enforce_all = bool(self.fast_mode) and self._backend is None
        if enforce_all:
            assert self.fast_mode, (
                "enforce_all can only be set when fast_mode=True; "
                "if you are using non-fast-mode, please set it as False"
            )
            indexes = list(range(len(self)))
        else:
            indexes = sorted(self.evaluated_indexes)
        untouched = known is not None and self._infos is None and not self.verbose
        if untouched and (not enforce_all or self._evaluated_set().issuperset(indexes)):
            assert known is not None
            found = known.best(indexes, flop_max, param_max)
            if found is not None:
                return found
        best, highest = -1, None
        for index, accuracy in self._candidates(indexes, known, dataset, metric_on_set, flop_max, param_max, hp):
            if best == -1 or highest < accuracy:
                best, highest = index, accuracy
        if self.verbose:
            if not indexes:
                print("The evaluated_indexes is empty, please fill it before call find_best.")
            else:
                print(f"  the best architecture : [{best}] {self.arch(best)} with accuracy={highest:.3f}%")
        return best, highest

    def _candidates(
        self,
        indexes: list[int],
        known: Accuracies | None,
        dataset: str,
        split: str,
        flop_max: Any,
        param_max: Any,
        hp: str,
    ) -> Iterator[tuple[int, Any]]:
        """Architectures within the limits with their accuracy, ascending; `known` are those of untouched results."""
        by_arch = known.by_arch if known is not None else {}
        untouched = known is not None and self._infos is None and not self.verbose
        untouched = untouched and set(self.evaluated_indexes).issuperset(indexes)
        for index in indexes:
            if not (untouched or self._unread(index)) or self.verbose:
                self._prepare_info(index)
            if index in by_arch and (untouched or self._unread(index)):
                flops, params, accuracy = by_arch[index]
            else:
                results = self._results(index)[hp]
                costs = results.get_compute_costs(dataset)
                flops, params, accuracy = costs["flops"], costs["params"], None
            if (flop_max is not None and flops > flop_max) or (param_max is not None and params > param_max):
                continue
            yield index, results.get_metrics(dataset, split)["accuracy"] if accuracy is None else accuracy

    def statistics(self, dataset: str, hp: Any) -> dict[int, int]:
        """How many evaluated architectures have how many runs on a data set: {runs: architectures}.

        Raises:
            ValueError: there is no such data set.
            KeyError: an architecture was not trained with this hp.
        """
        if self.verbose:
            print(f"Call the statistics function with dataset={dataset} and hp={hp}.")
        if dataset not in DATASETS:
            raise ValueError(f"{dataset} not in {list(DATASETS)}")
        counts: dict[int, int] = {}
        for index in self.evaluated_indexes:
            runs = len(self._results(index)[str(hp)].dataset_seed.get(dataset, ()))
            counts[runs] = counts.get(runs, 0) + 1
        return counts

    def show(self, index: int = -1) -> None:
        """Print what is known of an architecture at every hp; of all that are evaluated when the index is negative."""
        self._show(index, self._print_information)

    def _show(self, index: int = -1, print_information: Any = None) -> None:
        def show_results(idx: int) -> None:
            for results in self._shown(idx):
                arrows = ">" * 40
                lines = print_information(results)
                print(f"{arrows} {results.get_total_epoch():03d} epochs {arrows}")
                print("\n".join(lines))
            print("<" * 40 + "------------" + "<" * 40)

        if index < 0:
            print(self)
            indexes = sorted(self.evaluated_indexes)
            for place, idx in enumerate(indexes):
                dashes = "-" * 10
                print(f"\n{dashes} The ({place:5d}/{len(indexes):5d}) {idx:06d}-th architecture! {dashes}")
                print(f"arch : {self.meta_archs[idx]}")
                show_results(idx)
        elif index >= len(self.meta_archs):
            print(f"This index ({index}) is out of range (0~{len(self.meta_archs)}).")
        else:
            if index not in self.evaluated_indexes:
                self._prepare_info(index)
            if index not in self.evaluated_indexes:
                print(f"The {index}-th architecture has not been evaluated or not saved.")
            else:
                show_results(index)

    def _shown(self, index: int) -> list[Any]:
        """Results of an architecture in the order in which `show` prints them."""
        return list(self._results(index).values())

    # Beyond the official package.

    def simulate_many(
        self, archs: Any, dataset: str, iepoch: int | None = None, hp: Any = "12", account_time: bool = True
    ) -> Any:
        """`simulate_train_eval` of many architectures, in order, with the same random draws; see `natsdb.api.many`."""
        from natsdb.api.many import simulate_many

        return simulate_many(self, archs, dataset, iepoch, hp, account_time)

    def get_many(
        self, archs: Any, dataset: str, iepoch: int | None = None, hp: Any = "12", is_random: bool | int = False
    ) -> Any:
        """`get_more_info` of many architectures; see `natsdb.api.many`."""
        from natsdb.api.many import get_many

        return get_many(self, archs, dataset, iepoch, hp, is_random)

    def sql(self, statement: str) -> Any:
        """The answer to a SQL statement on the handle's database, as a polars frame.

        Raises:
            NatsdbError: the handle is not one on a database, or the statement is wrong.
        """
        import natsdb

        return natsdb.query(statement, db=self._database(), source=self._backend.source)  # type: ignore[union-attr]

    def frame(self, table: str) -> Any:
        """A table of the handle's database, its own space only, as a polars frame.

        Raises:
            NatsdbError: the handle is not one on a database, or there is no such table.
        """
        import polars as pl

        import natsdb

        lazy = natsdb.scan(table, self._database())
        return (lazy.filter(pl.col("space") == self._space) if "space" in lazy.collect_schema() else lazy).collect()

    def _database(self) -> Any:
        from natsdb.api.backends import DatabaseBackend

        if not isinstance(self._backend, DatabaseBackend):
            raise NatsdbError(
                "SQL asks a natsdb database, this handle is one on an official archive",
                where=str(self.filename),
                remedy="ingest it with `natsdb ingest`, and create the handle on the database",
            )
        return self._backend.home


def no_hp(index: Any, results: Any, hp: Any) -> str:
    """What is said where an architecture was not trained with an hp."""
    return f"The {index}-th architecture only has hyper-parameters of {list(results.keys())} instead of {hp}."
