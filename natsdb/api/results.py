"""`ArchResults` and `ResultsCount`: an architecture's runs at one hp, and one run, as `nats_bench` hands them out.

Both have the fields, methods, exceptions and `state_dict` of the official classes (nats_bench 1.8). A `ResultsCount`
made from a database holds no numbers: a field becomes the official dictionary when somebody asks for it, and the
questions that scripts ask most (`get_train`, `get_eval`, `get_times`) are answered from the rows without it.
"""

from __future__ import annotations

import copy
import random
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Iterable
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from natsdb.schema.datasets import OF_NATS_BENCH
from natsdb.schema.errors import NatsdbError
from natsdb.schema.schedules import epochs_of

if TYPE_CHECKING:
    from natsdb.ingest.archive.rebuild import StoredRun

# In the order in which an official instance holds them.
FIELDS = (
    "name",
    "net_state_dict",
    "train_acc1es",
    "train_acc5es",
    "train_losses",
    "train_times",
    "arch_config",
    "params",
    "flop",
    "seed",
    "epochs",
    "latency",
    "eval_names",
    "eval_acc1es",
    "eval_times",
    "eval_losses",
)
_TRAIN = frozenset({"train_acc1es", "train_losses", "train_times", "epochs"})
_EVAL = frozenset({"eval_acc1es", "eval_losses", "eval_times", "epochs"})
_TIMES = frozenset({"train_times", "eval_times", "eval_names", "epochs"})


def superseded(space: str, arch: int, dataset: str, hp: str, source: str) -> NatsdbError:
    """What is said where the result that counts cannot be a legacy one."""
    return NatsdbError(
        f"the result of {space} {arch} on {dataset} at hp {hp} comes from the published table {source!r}, of which no "
        "record can be made",
        remedy="ask for it in SQL, or for the records by their source, as in create(…, source='regenerated')",
    )


def mean(xlist: list[Any]) -> Any:
    """Arithmetic mean, by Python's `sum`: the last bit is the official one on every Python version."""
    return sum(xlist) / len(xlist)


@lru_cache(maxsize=1 << 16)
def summed(seconds: float, count: int) -> float:
    """`count` equal times added one by one, as the official package adds up its dictionaries."""
    return sum([seconds] * count)


class _Fields:
    """Where a run keeps its fields; beside them `_rows`: rows that missing fields come from, weights, order."""

    __slots__ = ("__dict__", "__weakref__", "_rows")


# The fields that a run holds by now; its attribute `__dict__` has all of them.
_held: Callable[[Any], dict[str, Any]] = _Fields.__dict__["__dict__"].__get__


class ResultsCount(_Fields):
    """One training run of an architecture on a data set.

    Accuracies are in percent, losses in nats, times and latency in seconds, `params` and `flop` in millions.
    """

    __slots__ = ()
    _rows: tuple[StoredRun | None, Callable[[Any], Any] | None, tuple[str, ...]] | None

    def __new__(cls, *_: Any, **__: Any) -> ResultsCount:
        self = super().__new__(cls)
        self._rows = None
        return self

    def __init__(
        self,
        name: Any,
        state_dict: Any,
        train_accs: Any,
        train_losses: Any,
        params: Any,
        flop: Any,
        arch_config: Any,
        seed: Any,
        epochs: Any,
        latency: Any,
    ) -> None:
        self.name = name
        self.net_state_dict = state_dict
        self.train_acc1es = copy.deepcopy(train_accs)
        self.train_acc5es = None
        self.train_losses = copy.deepcopy(train_losses)
        self.train_times: Any = None
        self.arch_config = copy.deepcopy(arch_config)
        self.params = params
        self.flop = flop
        self.seed = seed
        self.epochs = epochs
        self.latency = latency
        self.reset_eval()

    @classmethod
    def _of_run(cls, run: StoredRun, weights: Callable[[Any], Any]) -> ResultsCount:
        """A run of a database. `weights` loads a run's trained weights."""
        self = cls.__new__(cls)
        self._lazily(run, weights)
        return self

    def _lazily(self, run: StoredRun | None, weights: Callable[[Any], Any], order: tuple[str, ...] = FIELDS) -> None:
        """Let fields that the instance does not hold come from a run's rows, and its weights from a function."""
        self._rows = run, weights, order

    def _forget_weights(self) -> None:
        """Let there be no trained weights. As in the official package the field then comes last in `state_dict`."""
        _held(self).pop("net_state_dict", None)
        self.net_state_dict = None
        run, weights, order = self._rows or (None, None, ())
        if weights is not None:
            self._lazily(run, weights, (*(name for name in order if name != "net_state_dict"), "net_state_dict"))

    @property
    def __dict__(self) -> dict[str, Any]:  # type: ignore[override]
        """All fields, in the official order. Whoever asks may change them: they come from no rows any more."""
        held = _held(self)
        if self._rows is not None and self._rows[1] is not None:
            every = self.state_dict()
            held.clear()
            held.update(every)
            self._rows = self._rows[0], None, ()
        return held

    def __getattr__(self, name: str) -> Any:
        # Called for what the instance does not hold (yet).
        run, weights, _ = self._rows or (None, None, ())
        if weights is None or name not in FIELDS:
            raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")
        value = weights(run) if name == "net_state_dict" else run.field(name)  # type: ignore[union-attr]
        _held(self)[name] = value
        return value

    def _untouched(self, fields: frozenset[str]) -> StoredRun | None:
        """The run's rows, as long as nobody has asked for one of these fields, and could have changed it."""
        rows = self._rows
        return rows[0] if rows is not None and rows[1] is not None and fields.isdisjoint(_held(self)) else None

    def __dir__(self) -> list[str]:
        return sorted({*dir(type(self)), *_held(self), *(self._rows[2] if self._rows is not None else ())} - {"_rows"})

    def update_train_info(self, train_acc1es: Any, train_acc5es: Any, train_losses: Any, train_times: Any) -> None:
        """Set all that was measured in training: dictionaries by epoch."""
        self.train_acc1es = train_acc1es
        self.train_acc5es = train_acc5es
        self.train_losses = train_losses
        self.train_times = train_times

    def reset_pseudo_train_times(self, estimated_per_epoch_time: float) -> None:
        """Let every epoch of training take so many seconds."""
        self.train_times = OrderedDict((epoch, estimated_per_epoch_time) for epoch in range(self.epochs))

    def reset_pseudo_eval_times(self, eval_name: str, estimated_per_epoch_time: float) -> None:
        """Let every pass over an evaluated split take so many seconds.

        Raises:
            ValueError: the split was not evaluated.
        """
        if eval_name not in self.eval_names:
            raise ValueError(f"invalid eval name : {eval_name}")
        self.eval_times.update((f"{eval_name}@{epoch}", estimated_per_epoch_time) for epoch in range(self.epochs))

    def reset_eval(self) -> None:
        """Forget all evaluations."""
        self.eval_names: list[str] = []
        self.eval_acc1es: dict[str, float] = {}
        self.eval_times: dict[str, float] = {}
        self.eval_losses: dict[str, float] = {}

    def update_latency(self, latency: Any) -> None:
        """Set the latencies: a list of seconds."""
        self.latency = copy.deepcopy(latency)

    def get_latency(self) -> float:
        """Mean latency of a batch of 256 images in seconds; -1.0 when it was not measured."""
        return -1.0 if self.latency is None else mean(self.latency)

    def update_eval(self, accs: dict[str, float], losses: dict[str, float], times: dict[str, float]) -> None:
        """Add splits that were evaluated at every epoch: dictionaries by 'split@epoch'.

        Raises:
            ValueError: a split is there already.
        """
        for name in {key.split("@")[0] for key in accs}:
            if name in self.eval_names:
                raise ValueError(f"{name} has already been added into eval-names")
            self.eval_names.append(name)
            for key in (f"{name}@{epoch}" for epoch in range(self.epochs)):
                self.eval_acc1es[key] = accs[key]
                self.eval_losses[key] = losses[key]
                self.eval_times[key] = times[key]

    def update_OLD_eval(self, name: str, accs: dict[int, float], losses: dict[int, float]) -> None:
        """Add a split that was evaluated at some epochs, without times: dictionaries by epoch (NAS-Bench-201)."""
        assert name not in self.eval_names, f"{name} has already added"
        self.eval_names.append(name)
        for epoch in (epoch for epoch in range(self.epochs) if epoch in accs):
            self.eval_acc1es[f"{name}@{epoch}"] = accs[epoch]
            self.eval_losses[f"{name}@{epoch}"] = losses[epoch]

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.name}, arch={self.arch_config['arch_str']}, FLOP={self.flop:.2f}M, "
            f"Param={self.params:.3f}MB, seed={self.seed}, {len(self.eval_names)} eval-sets: "
            f"[{', '.join(self.eval_names)}])"
        )

    def get_total_epoch(self) -> int:
        """Number of epochs trained."""
        return copy.deepcopy(self.epochs)

    def get_times(self) -> dict[str, float | None]:
        """Seconds of training and of each evaluated split: `T-…@epoch`, a mean, and `T-…@total`, a sum over epochs."""
        run = self._untouched(_TIMES)
        if run is not None:
            count = run.form.epochs
            names = ("train", *run.form.fields["eval_names"][0])
            seconds = [(name, run.seconds(name)) for name in names]
            if all(each is not None for _, each in seconds):
                times: dict[str, float | None] = {}
                for name, each in seconds:
                    times[f"T-{name}@epoch"], times[f"T-{name}@total"] = self._mean_of_equal(each or 0.0, count)
                return times
        found: dict[str, float | None] = {"T-train@epoch": None, "T-train@total": None}
        if isinstance(self.train_times, dict):
            found = dict(zip(found, self._mean_and_sum(list(self.train_times.values())), strict=True))
        for name in self.eval_names:
            try:
                every = [self.eval_times[f"{name}@{epoch}"] for epoch in range(self.epochs)]
                found[f"T-{name}@epoch"], found[f"T-{name}@total"] = self._mean_and_sum(every)
            except NatsdbError:
                raise
            except Exception:
                found[f"T-{name}@epoch"] = found[f"T-{name}@total"] = None
        return found

    @staticmethod
    def _mean_and_sum(seconds: list[float]) -> tuple[float, float]:
        return mean(seconds), sum(seconds)

    @staticmethod
    def _mean_of_equal(seconds: float, count: int) -> tuple[float, float]:
        total = summed(seconds, count)
        return total / count, total

    def _lacks(self, split: str, iepoch: int | None) -> bool:
        """Whether it is known at once that a split was not evaluated at an epoch, so that `get_eval` would raise."""
        run = self._untouched(_EVAL)
        if run is None or (iepoch is not None and type(iepoch) is not int):
            return False
        span = run.form.spans.get(split)
        if span is None:
            return split not in run.form.splits
        return not span.first <= (run.form.epochs - 1 if iepoch is None else iepoch) < span.end

    def _refuse_superseded(self, iepoch: Any) -> None:
        """Give no result after the last epoch where that of a published table counts.

        Raises:
            NatsdbError: it does.
        """
        run = self._rows[0] if self._rows is not None else None
        if run is not None and run.superseded_by and (iepoch is None or iepoch == epochs_of(run.block.hp) - 1):
            raise superseded(run.block.space, run.arch, run.key[0], run.block.hp, run.superseded_by)

    def get_eval_set(self) -> list[str]:
        """Names of the evaluated splits."""
        return self.eval_names

    def judge_valid(self, iepoch: int) -> None:
        """Refuse an epoch that was not trained.

        Raises:
            ValueError: it is negative or too large.
        """
        if iepoch < 0 or iepoch >= self.epochs:
            raise ValueError(f"invalid iepoch={iepoch} < {self.epochs}")

    def get_train(self, iepoch: int | None = None) -> dict[str, Any]:
        """Training at an epoch (from 0; None is the last): `iepoch`, `loss`, `accuracy`, `cur_time`, `all_time`.

        Raises:
            ValueError: the epoch was not trained.
        """
        self._refuse_superseded(iepoch)
        run = self._untouched(_TRAIN)
        if run is not None and (iepoch is None or type(iepoch) is int):
            found = _measured(run, "train", iepoch)
            if found is not None:
                return found
        if iepoch is None:
            iepoch = self.epochs - 1
        self.judge_valid(iepoch)
        return {
            "iepoch": iepoch,
            "loss": self.train_losses[iepoch],
            "accuracy": self.train_acc1es[iepoch],
            "cur_time": None if self.train_times is None else self.train_times[iepoch],
            "all_time": None if self.train_times is None else sum([self.train_times[e] for e in range(iepoch + 1)]),
        }

    def get_eval(self, name: str, iepoch: int | None = None) -> dict[str, Any]:
        """Evaluation of a split at an epoch, with the keys of `get_train`; the name `valid` stands for `x-valid`.

        Raises:
            ValueError: the epoch was not trained, or has no time of this split.
            KeyError: the split was not evaluated at this epoch.
        """
        if name == "valid":
            name = "x-valid"
        self._refuse_superseded(iepoch)
        run = self._untouched(_EVAL)
        if run is not None and name != "train" and (iepoch is None or type(iepoch) is int):
            found = _measured(run, name, iepoch)
            if found is not None:
                return found
        if iepoch is None:
            iepoch = self.epochs - 1
        self.judge_valid(iepoch)
        key = f"{name}@{iepoch}"
        now = total = None
        if isinstance(self.eval_times, dict) and self.eval_times:
            if key not in self.eval_times:
                raise self._no_time(key)
            now = self.eval_times[key]
            total = sum([self.eval_times[f"{name}@{epoch}"] for epoch in range(iepoch + 1)])
        return {
            "iepoch": iepoch,
            "loss": self.eval_losses[key],
            "accuracy": self.eval_acc1es[key],
            "cur_time": now,
            "all_time": total,
        }

    def _no_time(self, key: str) -> Exception:
        return ValueError(f"{key} not in {self.eval_times.keys()}")

    def get_net_param(self, clone: bool = False) -> Any:
        """Trained weights, None where there are none; a copy if `clone`."""
        return copy.deepcopy(self.net_state_dict) if clone else self.net_state_dict

    def get_config(self, str2structure: Callable[[str], Any] | None) -> dict[str, Any]:
        """What builds the run's network; `str2structure` turns the text of a cell into whatever the builder takes."""
        config = self.arch_config
        if config.get("name") == "infer.shape.tiny":
            cell = config["genotype"]
            return {
                "name": "infer.shape.tiny",
                "channels": config["channels"],
                "genotype": cell if str2structure is None else str2structure(cell),
                "num_classes": config["class_num"],
            }
        if "channel" not in config:  # of another space than the official ones
            return {**config, "num_classes": config["class_num"]}
        cell = config["arch_str"]
        return {
            "name": "infer.tiny",
            "C": config["channel"],
            "N": config["num_cells"],
            **({"arch_str": cell} if str2structure is None else {"genotype": str2structure(cell)}),
            "num_classes": config["class_num"],
        }

    def state_dict(self) -> dict[str, Any]:
        """All fields, from which `create_from_state_dict` makes an equal run."""
        order = self._rows[2] if self._rows is not None else ()
        return {name: getattr(self, name) for name in order} | _held(self)

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Set fields."""
        _held(self).update(state_dict)

    @classmethod
    def create_from_state_dict(cls, state_dict: dict[str, Any]) -> ResultsCount:
        """A run from its fields."""
        made = cls(None, None, None, None, None, None, None, None, None, None)
        made.load_state_dict(state_dict)
        return made

    def __getstate__(self) -> dict[str, Any]:
        return self.state_dict()

    def __deepcopy__(self, memo: dict[int, Any]) -> ResultsCount:
        made = type(self).__new__(type(self))
        memo[id(self)] = made
        made._rows = self._rows
        _held(made).update((name, copy.deepcopy(value, memo)) for name, value in _held(self).items())
        return made


def _measured(run: StoredRun, split: str, iepoch: int | None) -> dict[str, Any] | None:
    epoch = run.form.epochs - 1 if iepoch is None else iepoch
    found = run.at(split, epoch)
    if found is None:
        return None
    loss, accuracy, seconds = found
    total = summed(seconds, epoch + 1)
    return {"iepoch": epoch, "loss": loss, "accuracy": accuracy, "cur_time": seconds, "all_time": total}


class ArchResults:
    """All runs of an architecture at one hp: `all_results` by (data set, seed), `dataset_seed`: seeds by data set."""

    # What NAS-Bench-201 has otherwise.
    _run_kind: type[ResultsCount] = ResultsCount
    # Whether results stand by their epochs in the package's dictionaries, not in the order of their record.
    _by_epochs = False
    _mean: Callable[[list[Any]], Any] = staticmethod(mean)

    def __init__(self, arch_index: Any, arch_str: Any) -> None:
        self.arch_index = int(arch_index)
        self.arch_str = copy.deepcopy(arch_str)
        self.all_results: dict[tuple[str, int], Any] = {}
        self.dataset_seed: dict[str, list[int]] = {}
        self.clear_net_done = False

    def _runs(self, dataset: str) -> list[Any]:
        return [self.all_results[(dataset, seed)] for seed in self.dataset_seed[dataset]]

    def get_compute_costs(self, dataset: str) -> dict[str, Any]:
        """FLOPs and parameters (millions), latency and times (seconds) of a data set, each a mean over its runs.

        Where runs disagree about FLOPs or parameters at five decimals, those of seed 888 hold: some records carry
        wrong ones from an old migration of weights (nats_bench 1.6 and later).

        Raises:
            KeyError: there is no run on this data set.
        """
        seeds, runs = self.dataset_seed[dataset], self._runs(dataset)
        flops, params = ([getattr(run, name) for run in runs] for name in ("flop", "params"))
        latencies = [latency for latency in (run.get_latency() for run in runs) if latency > 0]
        return {
            "flops": self._mean(self._agreed(flops, seeds)),
            "params": self._mean(self._agreed(params, seeds)),
            "latency": self._mean(latencies) if latencies else None,
            **self._means(run.get_times() for run in runs),
        }

    @staticmethod
    def _agreed(values: list[Any], seeds: list[int]) -> list[Any]:
        same = len(values) < 2 or len({f"{value:.5f}" for value in values}) == 1
        return values if same else [values[seeds.index(888)]]

    def _means(self, infos: Iterable[dict[str, Any]]) -> dict[str, Any]:
        """Means by key; None where the first has none."""
        columns: defaultdict[str, list[Any]] = defaultdict(list)
        for info in infos:
            for key, value in info.items():
                columns[key].append(value)
        return {key: None if values[0] is None else self._mean(values) for key, values in columns.items()}

    def get_metrics(
        self, dataset: str, setname: str, iepoch: int | None = None, is_random: bool | int = False
    ) -> dict[str, Any]:
        """Loss, accuracy and times of a split at an epoch.

        Args:
            dataset: cifar10-valid, cifar10, cifar100 or ImageNet16-120.
            setname: train, x-valid, x-test or ori-test, where the data set has it.
            iepoch: epoch from 0; None is the last.
            is_random: True: of a run drawn at random; False: means over all runs; a seed: of that run.

        Raises:
            KeyError, ValueError: there is no such run, split or epoch.
        """
        seeds = self.dataset_seed[dataset]
        infos = [
            run.get_train(iepoch) if setname == "train" else run.get_eval(setname, iepoch)
            for run in self._runs(dataset)
        ]
        if isinstance(is_random, bool):
            if not is_random:
                return self._means(infos)
            return infos[random.randint(0, len(infos) - 1)]
        if not isinstance(is_random, int):
            raise ValueError(f"invalid value for is_random: {is_random}")
        if is_random not in seeds:
            raise ValueError(f"can not find random seed ({is_random}) from {seeds}")
        return infos[seeds.index(is_random)]

    def get_dataset_names(self) -> list[str]:
        """Data sets that there are runs on."""
        return list(self.dataset_seed)

    def get_dataset_seeds(self, dataset: str) -> list[int]:
        """Seeds of the runs on a data set."""
        return copy.deepcopy(self.dataset_seed[dataset])

    def get_net_param(self, dataset: str, seed: int | None = None) -> Any:
        """Trained weights of a run; of all runs on the data set, by seed, when it is None.

        Raises:
            ValueError: there is no such run.
        """
        if seed is None:
            return {one: self.all_results[(dataset, one)].get_net_param() for one in self.dataset_seed[dataset]}
        key = (dataset, seed)
        if key not in self.all_results:
            raise ValueError(f"key={key} not in {list(self.all_results.keys())}")
        return self.all_results[key].get_net_param()

    def _chosen(self, dataset: str, seed: Any) -> list[Any]:
        return self._runs(dataset) if seed is None else [self.all_results[(dataset, seed)]]

    def reset_latency(self, dataset: str, seed: int | None, latency: float) -> None:
        """Set the latency (seconds) of a run, or of all on the data set."""
        for run in self._chosen(dataset, seed):
            run.update_latency([latency])

    def reset_pseudo_train_times(self, dataset: str, seed: int | None, estimated_per_epoch_time: float) -> None:
        """Set the seconds an epoch of training of a run, or of all on the data set."""
        for run in self._chosen(dataset, seed):
            run.reset_pseudo_train_times(estimated_per_epoch_time)

    def reset_pseudo_eval_times(
        self, dataset: str, seed: int | None, eval_name: str, estimated_per_epoch_time: float
    ) -> None:
        """Set the seconds of a pass over a split, of a run, or of all on the data set."""
        for run in self._chosen(dataset, seed):
            run.reset_pseudo_eval_times(eval_name, estimated_per_epoch_time)

    def get_latency(self, dataset: str) -> float:
        """Mean latency of the runs on a data set, in seconds.

        Raises:
            ValueError: one of them has none.
        """
        latencies = []
        for seed, run in zip(self.dataset_seed[dataset], self._runs(dataset), strict=True):
            latency = run.get_latency()
            if not isinstance(latency, float) or latency <= 0:
                raise ValueError(f"invalid latency of {dataset} with seed={seed} : {latency}")
            latencies.append(latency)
        return mean(latencies)

    def get_total_epoch(self, dataset: str | None = None) -> int:
        """Number of epochs that all runs (on a data set) were trained.

        Raises:
            ValueError: they differ.
        """
        if dataset is not None and not isinstance(dataset, str):
            raise ValueError(f"invalid dataset={dataset}")
        names = self.dataset_seed if dataset is None else [dataset]
        epochs = [run.get_total_epoch() for name in names for run in self._runs(name)]
        if len(set(epochs)) > 1:
            raise ValueError(f"Each trial mush have the same number of training epochs : {epochs}")
        return epochs[-1]

    def query(self, dataset: str, seed: int | None = None) -> Any:
        """A run, or all on the data set by seed.

        Raises:
            KeyError: there is no such run.
        """
        if seed is None:
            return {one: self.all_results[(dataset, one)] for one in self.dataset_seed[dataset]}
        return self.all_results[(dataset, seed)]

    def arch_idx_str(self) -> str:
        """The index as file names hold it: six digits."""
        return f"{self.arch_index:06d}"

    def update(self, dataset_name: str, seed: int, result: Any) -> None:
        """Add a run.

        Raises:
            ValueError: there is one with this seed.
        """
        seeds = self.dataset_seed.setdefault(dataset_name, [])
        if seed in seeds:
            raise ValueError(f"{self.arch_index}-th arch alreadly has this seed ({seed}) on {dataset_name}")
        self.dataset_seed[dataset_name] = sorted([*seeds, seed])
        assert (dataset_name, seed) not in self.all_results
        self.all_results[(dataset_name, seed)] = result
        self.clear_net_done = False

    def state_dict(self) -> dict[str, Any]:
        """All fields as plain containers, from which `create_from_state_dict` makes an equal instance.

        Raises:
            ValueError: `all_results` is no dictionary of runs.
        """
        return {
            name: _each_run(value, ResultsCount, ResultsCount.state_dict) if name == "all_results" else value
            for name, value in self.__dict__.items()
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Set fields.

        Raises:
            ValueError: `all_results` is no dictionary.
        """
        self.__dict__.update(
            {
                name: _each_run(value, object, self._run_kind.create_from_state_dict)
                if name == "all_results"
                else value
                for name, value in state_dict.items()
            }
        )

    @classmethod
    def create_from_state_dict(cls, state_dict_or_file: dict[str, Any] | str) -> ArchResults:
        """An instance from its fields, or from a file of them.

        Raises:
            ValueError: it is neither.
        """
        if isinstance(state_dict_or_file, str):
            from natsdb.api.files import pickle_load

            state_dict = pickle_load(state_dict_or_file)
        elif isinstance(state_dict_or_file, dict):
            state_dict = state_dict_or_file
        else:
            raise ValueError(f"invalid type of state_dict_or_file : {type(state_dict_or_file)}")
        made = cls(-1, -1)
        made.load_state_dict(state_dict)
        return made

    def clear_params(self) -> None:
        """Forget the trained weights of all runs."""
        for run in self.all_results.values():
            run._forget_weights()
        self.clear_net_done = True

    def debug_test(self) -> None:
        """Print every run with its costs.

        Raises:
            KeyError: one of the four data sets has no run.
        """
        for dataset in OF_NATS_BENCH:
            print(f"---->>>> {dataset}")
            print(f"The latency on {dataset} is {self.get_latency(dataset)} s")
            for run in self._runs(dataset):
                print(f"  ==>> result = {run}")
                print(f"  ==>> cost = {run.get_times()}")

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(arch-index={self.arch_index}, arch={self.arch_str}, "
            f"{len(self.all_results)} runs, clear={self.clear_net_done})"
        )


def _each_run(runs: Any, kind: type, change: Callable[[Any], Any]) -> dict[Any, Any]:
    if not isinstance(runs, dict):
        raise ValueError(f"invalid type of value for all_results : {type(runs)}")
    for key, run in runs.items():
        if not isinstance(run, kind):
            raise ValueError(f"invalid type of value for all_results/{key} : {type(run)}")
    return {key: change(run) for key, run in runs.items()}
