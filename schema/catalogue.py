"""The tables that are computed and not downloaded: architectures, their closed-formula costs, data sets, schedules."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

import numpy as np

from natsdb.schema.costs import costs
from natsdb.schema.datasets import DATASETS
from natsdb.schema.schedules import epochs_of, is_schedule, learning_rate
from natsdb.schema.spaces import SPACES
from natsdb.schema.tables import arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa


def own_schedules(used: Iterable[tuple[str, str]]) -> set[tuple[str, str]]:
    """Of pairs (space, hp) those that are no official schedule of a registered space."""
    return {(space, hp) for space, hp in used if space in SPACES and hp not in SPACES[space].hps and is_schedule(hp)}


def catalogue_tables(used: Iterable[tuple[str, str]] = ()) -> dict[str, pa.Table]:
    """The tables `arch` (all of each registered space: 48,393 rows where these are tss and sss), `arch_cost` (a row for
    each data set), `dataset` and `epoch`.

    Args:
        used: (space, hp) of runs, whose schedules are in `epoch` beside the official ones.
    """
    import pyarrow as pa

    def table(name: str, columns: list[object]) -> pa.Table:
        return pa.table(
            [pa.array(values, field.type) for values, field in zip(columns, arrow_schema(name), strict=True)],
            schema=arrow_schema(name),
        )

    spaces = [SPACES[name] for name in sorted(SPACES)]
    arch = table(
        "arch",
        [
            [space.name for space in spaces for _ in range(space.size)],
            np.concatenate([np.arange(space.size) for space in spaces]),
            [text for space in spaces for text in space.strings],
            [None if space.numeric else choices for space in spaces for choices in space.every],
            [choices if space.numeric else None for space in spaces for choices in space.every],
            [index for space in spaces for index in (space.canonical() if space.canonical else range(space.size))],
        ],
    )
    datasets = sorted(name for name, of in DATASETS.items() if of.image_size is not None)
    priced = [[costs(space.name, dataset) for dataset in datasets] for space in spaces]
    arch_cost = table(
        "arch_cost",
        [
            [space.name for space in spaces for _ in range(space.size * len(datasets))],
            np.concatenate([np.repeat(np.arange(space.size), len(datasets)) for space in spaces]),
            datasets * sum(space.size for space in spaces),
            np.concatenate([np.stack([flops for flops, _ in every], axis=1).ravel() for every in priced]),
            np.concatenate([np.stack([params for _, params in every], axis=1).ravel() for every in priced]),
        ],
    )
    splits = sorted((of.name, split) for of in DATASETS.values() for split in of.splits)
    dataset = table(
        "dataset",
        [
            [name for name, _ in splits],
            [split for _, split in splits],
            [DATASETS[name].classes for name, _ in splits],
            [DATASETS[name].image_size for name, _ in splits],
            [DATASETS[name].splits[split].images for name, split in splits],
            [DATASETS[name].splits[split].said for name, split in splits],
        ],
    )
    schedules = {(space.name, hp) for space in spaces for hp in space.hps} | own_schedules(used)
    schedule = [(space, hp, number) for space, hp in sorted(schedules) for number in range(epochs_of(hp))]
    epoch = table(
        "epoch",
        [
            [space for space, _, _ in schedule],
            [hp for _, hp, _ in schedule],
            [number for _, _, number in schedule],
            [learning_rate(hp, number) for _, hp, number in schedule],
        ],
    )
    return {"arch": arch, "arch_cost": arch_cost, "dataset": dataset, "epoch": epoch}
