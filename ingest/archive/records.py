"""A record becomes arrays: where each number of an official record goes, found once a layout and reused.

A record file holds, for each hp, a dictionary of runs. Its numbers are kept as one float64 vector in the order in which
the record holds them; a `Layout` says which of them are accuracies, losses, times and costs, and what rows they make.
Layouts hold nothing of an architecture, so thousands of records share one.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np

from natsdb.schema.datasets import DATASETS
from natsdb.schema.errors import Damaged
from natsdb.schema.schedules import HPS, MOST, is_schedule

# What NAS-Bench-201 calls its schedules.
NAS_201_HPS = {"less": "12", "full": "200"}
SPLITS = ("ori-test", "train", "x-test", "x-valid")
TIME_SPLITS = ("train", "x-valid", "x-test", "ori-test")
_SERIES = ("train_acc1es", "train_acc5es", "train_losses", "train_times", "eval_acc1es", "eval_times", "eval_losses")
_FIELDS = {
    "name",
    "seed",
    "epochs",
    "params",
    "flop",
    "latency",
    "eval_names",
    "arch_config",
    "net_state_dict",
    *_SERIES,
}
_TAGS = {float: "f", np.float64: "d", np.float32: "s", int: "i"}


@dataclass(frozen=True)
class RunLayout:
    """A run of a layout: its key, what the table `seed` keeps of it, and how many numbers its record holds."""

    dataset: str
    seed: int
    epochs: int
    position: int
    form: str


@dataclass(frozen=True, eq=False)
class Layout:
    """Rows of one (architecture, hp). Index arrays point into the record's vector of numbers; -1 stands for absent.

    Runs are sorted by (dataset, seed); rows by (dataset, seed, split, epoch).
    `runs`: R; `run_of_row`, `split`, `epoch`, `accuracy`, `top5`, `loss`, `last`: N rows; `cost`: R×3 (flops, params,
    latency, the first where there are several); `latencies`: how many of these a run has; `times`: T indexes of all
    times, `time_start`: where a (run, split) starts in it, `time_run`, `time_split` for each of these.
    """

    hp: str
    runs: tuple[RunLayout, ...]
    run_of_row: np.ndarray
    split: np.ndarray
    epoch: np.ndarray
    accuracy: np.ndarray
    top5: np.ndarray
    loss: np.ndarray
    last: np.ndarray
    cost: np.ndarray
    latencies: tuple[int, ...]
    times: np.ndarray
    time_start: np.ndarray
    time_run: np.ndarray
    time_split: np.ndarray


class HpRecord(NamedTuple):
    """One (architecture, hp): its layout, its numbers, and its runs' trained weights where the file holds them."""

    layout: Layout
    values: np.ndarray
    weights: dict[tuple[str, int], dict[str, Any]]


class _Bad(Exception):
    """A record is not as official records are: what, and at which key."""


def read_record(record: Any, arch: int, arch_str: str, where: str) -> list[HpRecord]:
    """The numbers of an architecture's record, an entry for each hp.

    Args:
        record: what the file of one architecture holds: {hp: {"all_results": {(dataset, seed): run}, …}}; hps may have
            NAS-Bench-201's names.
        arch, arch_str: official index and string that the record must have.
        where: file name, for errors.

    Raises:
        NatsdbError: a field is missing, has a wrong type, or contradicts another; file and key are named.
    """
    try:
        if not isinstance(record, dict) or not record:
            raise _Bad(f"expected a dictionary of hps, found {type(record).__name__}")
        kind, record = _name(record), with_hps(record)
        hps = [kind, [_text(hp, "hp") for hp in record]]
        for hp in record:
            if not is_schedule(hp):
                raise _Bad(f"key {hp!r}: an hp is a number of epochs, officially one of {', '.join(HPS)}")
        return [_read_hp(hp, result, arch, arch_str, hps) for hp, result in record.items()]
    except _Bad as bad:
        raise Damaged(
            str(bad),
            where=where,
            remedy="get the file from the official archive again, or leave it out with --keep-going",
        ) from None


def with_hps(record: dict[Any, Any]) -> dict[Any, Any]:
    """A record with the names of hps that NATS-Bench has, where it has those of NAS-Bench-201."""
    if not any(isinstance(name, str) and name in NAS_201_HPS for name in record):
        return record
    return type(record)((NAS_201_HPS.get(name, name), result) for name, result in record.items())


def _name(value: Any) -> str:
    for kind in (OrderedDict, dict, list, tuple):
        if type(value) is kind:
            return kind.__name__
    raise _Bad(f"expected a container, found {type(value).__name__}")


def _text(value: Any, key: str) -> str:
    if type(value) is not str:
        raise _Bad(f"key {key}: expected text, found {type(value).__name__}")
    return value


def _read_hp(hp: str, result: Any, arch: int, arch_str: str, hps: list[Any]) -> HpRecord:
    if not isinstance(result, dict):
        raise _Bad(f"key {hp}: expected a dictionary, found {type(result).__name__}")
    fields = {"arch_index", "arch_str", "all_results", "dataset_seed", "clear_net_done"}
    if set(result) != fields:
        odd = sorted(map(str, set(result) ^ fields))
        raise _Bad(f"key {hp}: fields missing or unknown: {', '.join(odd)}")
    if type(result["arch_index"]) is not int or result["arch_index"] != arch:
        raise _Bad(f"key {hp}.arch_index: {result['arch_index']!r} is not the architecture's index {arch}")
    if result["arch_str"] != arch_str:
        raise _Bad(f"key {hp}.arch_str: {result['arch_str']!r} is not architecture {arch}, which is {arch_str!r}")
    if type(result["clear_net_done"]) is not bool:
        raise _Bad(f"key {hp}.clear_net_done: expected true or false")
    runs, dataset_seed = result["all_results"], result["dataset_seed"]
    if not isinstance(runs, dict) or not runs or not isinstance(dataset_seed, dict):
        raise _Bad(f"key {hp}.all_results: expected a dictionary of runs")
    head = {
        "hps": hps,
        "record": list(result),
        "clear_net_done": result["clear_net_done"],
        "all_results": _name(runs),
        "dataset_seed": [_name(dataset_seed), [[key, seeds] for key, seeds in dataset_seed.items()]],
    }
    listed = {(d, s) for d, seeds in dataset_seed.items() if isinstance(seeds, list) for s in seeds}
    if listed != set(runs):
        raise _Bad(f"key {hp}.dataset_seed: it lists other runs than all_results holds")
    values: list[Any] = []
    parts, weights = [], {}
    for position, (key, run) in enumerate(runs.items()):
        at = f"{hp}.all_results[{key!r}]"
        if not (type(key) is tuple and len(key) == 2 and type(key[0]) is str and type(key[1]) is int):
            raise _Bad(f"key {at}: expected (dataset, seed)")
        if key[0] not in DATASETS:
            raise _Bad(f"key {at}: a data set is one of {', '.join(DATASETS)}")
        form, series = _read_run(run, key, arch_str, values, at)
        parts.append((key[0], key[1], run["epochs"], position, json.dumps({**head, "run": form}), json.dumps(series)))
        if run["net_state_dict"] is not None:
            weights[key] = run["net_state_dict"]
    return HpRecord(_layout(hp, tuple(sorted(parts))), np.array(values, dtype=np.float64), weights)


def _read_run(
    run: Any, key: tuple[str, int], arch_str: str, values: list[Any], at: str
) -> tuple[list[Any], dict[str, Any]]:
    """Form of a run's record, and where its numbers start in `values`, to which they are appended."""
    if not isinstance(run, dict) or set(run) != _FIELDS:
        odd = sorted(map(str, set(run) ^ _FIELDS)) if isinstance(run, dict) else [type(run).__name__]
        raise _Bad(f"key {at}: fields missing or unknown: {', '.join(odd)}")
    epochs = run["epochs"]
    if type(epochs) is not int or not 0 < epochs <= MOST:
        raise _Bad(f"key {at}.epochs: expected a number of epochs, found {epochs!r}")
    if run["name"] != key[0]:
        raise _Bad(f"key {at}.name: {run['name']!r} is not the data set of the key")
    seed = run["seed"]
    if type(seed) not in (str, int) or not str(seed).isdecimal() or int(seed) != key[1]:
        raise _Bad(f"key {at}.seed: {seed!r} is not the seed of the key")
    form: list[Any] = []
    places: dict[str, Any] = {}
    for field, value in run.items():
        start = len(values)
        if field in ("name", "epochs", "net_state_dict"):
            form.append([field])
        elif field == "seed":
            form.append([field, seed])
        elif field in ("params", "flop"):
            form.append([field, _append(values, [value], f"{at}.{field}")])
            places[field] = start
        elif field == "latency":
            if value is not None and type(value) is not list:
                raise _Bad(f"key {at}.latency: expected a list of numbers")
            form.append([field, None if value is None else _tags(values, value, f"{at}.latency")])
            places[field] = [start if value else -1, len(value or ())]
        elif field == "eval_names":
            form.append([field, _eval_names(value, at)])
        elif field == "arch_config":
            form.append([field, _config(value, arch_str, f"{at}.arch_config")])
        elif value is None and field in ("train_acc5es", "train_times"):
            form.append([field, None])
        else:
            if not isinstance(value, dict):
                raise _Bad(f"key {at}.{field}: expected a dictionary of epochs, found {type(value).__name__}")
            keys = (
                _epochs(value, epochs, f"{at}.{field}")
                if field.startswith("train")
                else _evals(value, epochs, f"{at}.{field}")
            )
            form.append([field, _name(value), keys, _append(values, value.values(), f"{at}.{field}")])
            places[field] = [start, keys]
    if places["eval_acc1es"][1] != places["eval_losses"][1]:
        raise _Bad(f"key {at}.eval_losses: it has other epochs than eval_acc1es")
    return form, {"epochs": epochs, **places}


def _append(values: list[Any], numbers: Any, at: str) -> str:
    """Append numbers; return their types, a letter each, or one letter when all are alike."""
    tags = _tags(values, numbers, at)
    return tags[:1] if len(set(tags)) == 1 else tags


def _tags(values: list[Any], numbers: Any, at: str) -> str:
    """Append numbers; return their types, a letter each."""
    numbers = list(numbers)
    try:
        tags = "".join([_TAGS[type(number)] for number in numbers])
    except KeyError:
        odd = next(number for number in numbers if type(number) not in _TAGS)
        raise _Bad(f"key {at}: expected a number, found {type(odd).__name__} {odd!r:.40}") from None
    if "i" in tags and any(type(number) is int and abs(number) > 1 << 53 for number in numbers):
        raise _Bad(f"key {at}: a whole number is too large for float64")
    values.extend(numbers)
    return tags


def _eval_names(value: Any, at: str) -> list[str]:
    if type(value) is not list or not all(name in SPLITS and name != "train" for name in value):
        raise _Bad(f"key {at}.eval_names: expected a list of x-valid, x-test, ori-test, found {value!r:.60}")
    return list(value)


def _config(value: Any, arch_str: str, at: str) -> list[Any]:
    # The architecture's own string is left out, so that all architectures share a form.
    if not isinstance(value, dict) or not all(type(k) is str and type(v) in (str, int) for k, v in value.items()):
        raise _Bad(f"key {at}: expected a dictionary of texts and whole numbers")
    return [_name(value), [[k, None if v == arch_str else v] for k, v in value.items()]]


def _epochs(series: dict[Any, Any], epochs: int, at: str) -> list[Any]:
    if list(series) != list(range(epochs)) or any(type(epoch) is not int for epoch in series):
        raise _Bad(f"key {at}: expected epochs 0 to {epochs - 1} in order")
    return [["train", 0, epochs]]


def _evals(series: dict[Any, Any], epochs: int, at: str) -> list[Any]:
    """Keys like 'x-valid@3' as stretches [split, first epoch, end epoch], in their order."""
    return _stretches(tuple(series), epochs, at)


@lru_cache(maxsize=4096)
def _stretches(keys: tuple[Any, ...], epochs: int, at: str) -> list[list[Any]]:
    stretches: list[list[Any]] = []
    for key in keys:
        split, _, epoch_text = key.partition("@") if type(key) is str else ("", "", "")
        if split not in SPLITS or split == "train" or not epoch_text.isdecimal() or str(int(epoch_text)) != epoch_text:
            raise _Bad(f"key {at}[{key!r}]: expected a split and an epoch like 'x-valid@0'")
        epoch = int(epoch_text)
        if epoch >= epochs:
            raise _Bad(f"key {at}[{key!r}]: the run has only {epochs} epochs")
        if stretches and stretches[-1][0] == split and stretches[-1][2] == epoch:
            stretches[-1][2] = epoch + 1
        else:
            stretches.append([split, epoch, epoch + 1])
    return stretches


@lru_cache(maxsize=4096)
def _layout(hp: str, parts: tuple[tuple[str, int, int, int, str, str], ...]) -> Layout:
    runs, rows, cost, latencies = [], [], [], []
    times: list[np.ndarray] = []
    time_run, time_split = [], []
    for number, (dataset, seed, epochs, position, form, places_json) in enumerate(parts):
        places = json.loads(places_json)
        runs.append(RunLayout(dataset, seed, epochs, position, form))
        cost.append([places["flop"], places["params"], places["latency"][0]])
        latencies.append(places["latency"][1])
        for prefix, accuracies, losses in (
            ("train", "train_acc1es", "train_losses"),
            ("eval", "eval_acc1es", "eval_losses"),
        ):
            accuracy, keys = places[accuracies]
            loss = places[losses][0]
            top5 = places["train_acc5es"][0] if prefix == "train" and "train_acc5es" in places else None
            for split, first, end in keys:
                for epoch in range(first, end):
                    rows.append(
                        (number, SPLITS.index(split), epoch, accuracy, -1 if top5 is None else top5 + epoch, loss)
                    )
                    accuracy, loss = accuracy + 1, loss + 1
        by_split: dict[str, list[int]] = {}
        for field in ("train_times", "eval_times"):
            start, keys = places.get(field, (0, ()))
            for split, first, end in keys:
                by_split.setdefault(split, []).extend(range(start, start + end - first))
                start += end - first
        for split in sorted(by_split):
            times.append(np.array(by_split[split], dtype=np.int32))
            time_run.append(number)
            time_split.append(TIME_SPLITS.index(split))
    columns = np.array(sorted(rows), dtype=np.int32).T
    last_epoch = np.array([run.epochs - 1 for run in runs], dtype=np.int32)
    return Layout(
        hp=hp,
        runs=tuple(runs),
        run_of_row=columns[0],
        split=columns[1].astype(np.int8),
        epoch=columns[2].astype(np.int16),
        accuracy=columns[3],
        top5=columns[4],
        loss=columns[5],
        last=np.flatnonzero(columns[2] == last_epoch[columns[0]]),
        cost=np.array(cost, dtype=np.int32),
        latencies=tuple(latencies),
        times=np.concatenate([np.array([], np.int32), *times]),
        time_start=np.cumsum([0] + [len(t) for t in times])[:-1],
        time_run=np.array(time_run, np.int64),
        time_split=np.array(time_split, np.int64),
    )
