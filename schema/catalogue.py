"""The tables that are computed and not downloaded: architectures, their closed-formula costs, data sets, schedules."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from natsdb.schema.costs import IMAGES, costs
from natsdb.schema.datasets import SPLIT_IMAGES
from natsdb.schema.schedules import HPS, HPS_OF_SPACE, learning_rate
from natsdb.schema.spaces import SIZES, canonical_tss, sss_channels, sss_strings, tss_ops, tss_strings
from natsdb.schema.tables import arrow_schema

if TYPE_CHECKING:
    import pyarrow as pa


def catalogue_tables() -> dict[str, pa.Table]:
    """The tables `arch` (48,393 rows), `arch_cost` (a row for each of the four data sets), `dataset` and `epoch`."""
    import pyarrow as pa

    def table(name: str, columns: list[object]) -> pa.Table:
        return pa.table(
            [pa.array(values, field.type) for values, field in zip(columns, arrow_schema(name), strict=True)],
            schema=arrow_schema(name),
        )

    tss, sss = SIZES["tss"], SIZES["sss"]
    # Sorted by space: sss before tss.
    arch = table(
        "arch",
        [
            ["sss"] * sss + ["tss"] * tss,
            np.concatenate([np.arange(sss), np.arange(tss)]),
            [*sss_strings(), *tss_strings()],
            [None] * sss + list(tss_ops()),
            list(sss_channels()) + [None] * tss,
            [*range(sss), *canonical_tss()],
        ],
    )
    datasets = sorted(IMAGES)
    flops, params = {}, {}
    for space in SIZES:
        every = [costs(space, dataset) for dataset in datasets]
        flops[space] = np.stack([f for f, _ in every], axis=1).ravel()
        params[space] = np.stack([p for _, p in every], axis=1).ravel()
    arch_cost = table(
        "arch_cost",
        [
            ["sss"] * sss * len(datasets) + ["tss"] * tss * len(datasets),
            np.concatenate([np.repeat(np.arange(sss), len(datasets)), np.repeat(np.arange(tss), len(datasets))]),
            datasets * (sss + tss),
            np.concatenate([flops["sss"], flops["tss"]]),
            np.concatenate([params["sss"], params["tss"]]),
        ],
    )
    splits = sorted(SPLIT_IMAGES)
    dataset = table(
        "dataset",
        [
            [name for name, _ in splits],
            [split for _, split in splits],
            [IMAGES[name][1] for name, _ in splits],
            [IMAGES[name][0] for name, _ in splits],
            [SPLIT_IMAGES[key][0] for key in splits],
            [SPLIT_IMAGES[key][1] for key in splits],
        ],
    )
    schedule = [
        (space, hp, number)
        for space in sorted(SIZES)
        for hp in sorted(HPS_OF_SPACE[space])
        for number in range(HPS[hp])
    ]
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
