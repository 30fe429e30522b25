"""The form of a run: what its official record looks like apart from the numbers, and where they lie among its rows.

A form is the JSON text in `seed.form`, written by `records`. Thousands of runs share one, so it is parsed once and
knows, for each dictionary of the record, its keys, its types and which of the run's rows its values are.
"""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
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

    `fields`: the run's fields in order, with what each needs beside numbers; `series`: those that are dictionaries of
    numbers; `epochs`; `keys`: (split, epoch) of each of its `rows` in `metric`, sorted; `last`: place of each split
    among the rows of the last epoch; `splits`; `spans`: those without gaps; `steady`: splits whose times are there for
    every epoch, all as plain floats.
    """

    hps: tuple[str, list[str]]
    record: list[str]
    clear_net_done: bool
    all_results: str
    dataset_seed: tuple[str, list[Any]]
    fields: dict[str, Any]
    series: dict[str, Series]
    epochs: int
    keys: tuple[tuple[str, int], ...]
    rows: int
    last: dict[str, int]
    splits: frozenset[str]
    spans: dict[str, Span]
    steady: frozenset[str]


@lru_cache(maxsize=4096)
def stored_form(text: str) -> StoredForm:
    """Parse a form."""
    found = json.loads(text)
    fields = {name: how for name, *how in found["run"]}
    measured = [fields[name][1] for name in ("train_acc1es", "eval_acc1es")]
    at = {key: n for n, key in enumerate(sorted(_split_epochs([*measured[0], *measured[1]])))}
    epochs = fields["train_acc1es"][1][0][2]
    series: dict[str, Series] = {}
    spent = 0
    for name, how in fields.items():
        if not name.startswith(("train_", "eval_")) or name == "eval_names" or how[0] is None:
            continue
        kind, stretches, tags = how
        pairs = _split_epochs(stretches)
        times = name.endswith("times")
        series[name] = Series(
            kind=KINDS[kind],
            keys=tuple(epoch if name.startswith("train") else f"{split}@{epoch}" for split, epoch in pairs),
            tags=tags,
            column="" if times else COLUMNS[name.split("_")[1]],
            take=np.array([] if times else [at[pair] for pair in pairs], np.int64),
            splits=tuple(split for split, _ in pairs) if times else (),
            start=spent,
        )
        spent += len(pairs) if times else 0
    every: dict[str, list[int]] = {}
    for split, epoch in at:
        every.setdefault(split, []).append(epoch)
    spans, offset = {}, 0
    for split, numbers in every.items():
        if numbers == list(range(numbers[0], numbers[-1] + 1)):
            spans[split] = Span(offset, numbers[0], numbers[-1] + 1)
        offset += len(numbers)
    plain = all(one.tags == "f" for name, one in series.items() if name != "train_acc5es")
    timed = [split for name, one in series.items() if not one.column for split in one.splits]
    return StoredForm(
        hps=(found["hps"][0], found["hps"][1]),
        record=found["record"],
        clear_net_done=found["clear_net_done"],
        all_results=found["all_results"],
        dataset_seed=(found["dataset_seed"][0], found["dataset_seed"][1]),
        fields=fields,
        series=series,
        epochs=epochs,
        keys=tuple(at),
        rows=len(at),
        last={split: n for n, split in enumerate(split for split, epoch in at if epoch == epochs - 1)},
        splits=frozenset(every),
        spans=spans,
        steady=frozenset(split for split in set(timed) if plain and timed.count(split) == epochs),
    )


def _split_epochs(stretches: list[list[Any]]) -> list[tuple[str, int]]:
    return [(split, epoch) for split, first, end in stretches for epoch in range(first, end)]
