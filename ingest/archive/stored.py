"""The form of a run: what its official record looks like apart from the numbers, and where they lie among its rows.

A form is the JSON text in `seed.form`, written by `records`. Thousands of runs share one, so it is parsed once and
knows, for each dictionary of the record, its keys, its types and which of the run's rows its values are.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, NamedTuple

import numpy as np

KINDS: dict[str, Callable[..., Any]] = {"dict": dict, "OrderedDict": OrderedDict}
TYPES: dict[str, Callable[[Any], Any]] = {"f": float, "d": np.float64, "s": np.float32, "i": int}
COLUMNS = {"acc1es": "accuracy", "acc5es": "top5", "losses": "loss"}


class Series(NamedTuple):
    """A dictionary of numbers in a run's record, such as `eval_losses`.

    `kind`: its type; `keys`, in order; `tags`: types of its values, a letter each, or one for all; `column`: the column
    of `metric` that they lie in, `take`: which of the run's rows they are. For times `column` is empty: `splits` names
    the split of each value, and `start` the place of the first among all times of the run.
    """

    kind: Callable[..., Any]
    keys: tuple[Any, ...]
    tags: str
    column: str
    take: np.ndarray
    splits: tuple[str, ...]
    start: int


class Span(NamedTuple):
    """A split's rows in a run: they start at `offset`, and are the epochs `first` to `end` - 1 without a gap."""

    offset: int
    first: int
    end: int


@dataclass(frozen=True, eq=False)
class StoredForm:
    """A run's form. `hps`, `record`, `clear_net_done`, `all_results`, `dataset_seed` are of the record that held it.

    `fields`: the run's fields in order, with what each needs beside numbers; `epochs`; `measured`: epochs of each split
    that has rows in `metric`, sorted; `rows`: how many there are; `last`: place of each split among the rows of the
    last epoch; `splits`; `spans`: those without gaps; `steady`: splits whose times are there for every epoch, all as
    plain floats.
    """

    hps: tuple[str, list[str]]
    record: list[str]
    clear_net_done: bool
    all_results: str
    dataset_seed: tuple[str, list[Any]]
    fields: dict[str, Any]
    epochs: int
    measured: dict[str, Sequence[int]]
    rows: int
    last: dict[str, int]
    splits: frozenset[str]
    spans: dict[str, Span]
    steady: frozenset[str]

    @cached_property
    def keys(self) -> tuple[tuple[str, int], ...]:
        """(split, epoch) of each of the rows in `metric`, sorted."""
        return tuple((split, epoch) for split, epochs in self.measured.items() for epoch in epochs)

    @cached_property
    def series(self) -> dict[str, Series]:
        """The fields that are dictionaries of numbers. Made when a record is: it takes 1 ms, all else 0.1."""
        at = {key: n for n, key in enumerate(self.keys)}
        found: dict[str, Series] = {}
        spent = 0
        for name, (kind, stretches, tags) in _dictionaries(self.fields):
            pairs = [(split, epoch) for split, first, end in stretches for epoch in range(first, end)]
            times = name.endswith("times")
            found[name] = Series(
                kind=KINDS[kind],
                keys=tuple(epoch if name.startswith("train") else f"{split}@{epoch}" for split, epoch in pairs),
                tags=tags,
                column="" if times else COLUMNS[name.split("_")[1]],
                take=np.array([] if times else [at[pair] for pair in pairs], np.int64),
                splits=tuple(split for split, _ in pairs) if times else (),
                start=spent,
            )
            spent += len(pairs) if times else 0
        return found


@lru_cache(maxsize=4096)
def stored_form(text: str) -> StoredForm:
    """Parse a form."""
    found = json.loads(text)
    fields = {name: how for name, *how in found["run"]}
    epochs = fields["train_acc1es"][1][0][2]
    measured = _by_split([*fields["train_acc1es"][1], *fields["eval_acc1es"][1]])
    spans, offset = {}, 0
    for split, numbers in measured.items():
        if isinstance(numbers, range):
            spans[split] = Span(offset, numbers.start, numbers.stop)
        offset += len(numbers)
    plain, timed = True, dict.fromkeys(measured, 0)
    for name, (_, stretches, tags) in _dictionaries(fields):
        plain = plain and (tags == "f" or name == "train_acc5es")
        if name.endswith("times"):
            for split, first, end in stretches:
                timed[split] = timed.get(split, 0) + end - first
    return StoredForm(
        hps=(found["hps"][0], found["hps"][1]),
        record=found["record"],
        clear_net_done=found["clear_net_done"],
        all_results=found["all_results"],
        dataset_seed=(found["dataset_seed"][0], found["dataset_seed"][1]),
        fields=fields,
        epochs=epochs,
        measured=measured,
        rows=offset,
        last={split: n for n, split in enumerate(split for split in measured if epochs - 1 in measured[split])},
        splits=frozenset(measured),
        spans=spans,
        steady=frozenset(split for split, count in timed.items() if plain and count == epochs),
    )


def _dictionaries(fields: dict[str, Any]) -> list[tuple[str, Any]]:
    """Fields that are dictionaries of numbers, with type, stretches (split, first epoch, end) and types of values."""
    return [
        (name, how)
        for name, how in fields.items()
        if name.startswith(("train_", "eval_")) and name != "eval_names" and how[0] is not None
    ]


def _by_split(stretches: list[list[Any]]) -> dict[str, Sequence[int]]:
    """Epochs of each split, sorted: a range where there is no gap."""
    every: dict[str, list[range]] = {}
    for split, first, end in stretches:
        if end > first:
            every.setdefault(split, []).append(range(first, end))
    return {split: _joined(ranges) for split, ranges in sorted(every.items())}


def _joined(ranges: list[range]) -> Sequence[int]:
    if len(ranges) == 1:
        return ranges[0]
    numbers = sorted(set().union(*ranges))
    whole = range(numbers[0], numbers[-1] + 1)
    return whole if len(whole) == len(numbers) else numbers
