"""Export: a source's curves on tss after 200 epochs as the blackbox `nasbench201` that Syne Tune reads."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from natsdb.ingest.syne_tune import (
    ABOUT,
    ARCHS,
    COSTS,
    ELAPSED,
    EPOCHS,
    ERRORS,
    HP,
    KEYS,
    OBJECTIVES,
    RUNTIME,
    SEEDS,
    VALUES,
)
from natsdb.schema.errors import Missing
from natsdb.schema.schedules import HPS
from natsdb.schema.spaces import SPACES
from natsdb.schema.topology import OPS
from natsdb.store.manifest import Manifest, Part
from natsdb.store.parquet import read_columns

if TYPE_CHECKING:
    import polars as pl

TASKS = ("cifar10", "cifar100", "ImageNet16-120")
# What Syne Tune's own conversion writes of a choice and of a whole number.
_CHOICE = {"domain_cls": "Categorical", "domain_kwargs": {"categories": list(OPS)}}
_EPOCH = {"domain_cls": "Integer", "domain_kwargs": {"lower": 1, "upper": HPS[HP] + 1}}


def write_blackbox(folder: Path, home: Path, manifest: Manifest, source: str) -> None:
    """Write a blackbox into a folder, of all architectures that have curves of seed 777 on all three data sets.

    Runs that are missing are filled by the mean of the architecture's others, as in Syne Tune's own.

    Raises:
        Missing: there is no such architecture, or seconds or costs are not known.
    """
    import polars as pl

    parts = {
        (part.block, part.table): part
        for part in manifest.parts
        if (part.source, part.space, part.hp) == (source, "tss", HP)
    }
    blocks = sorted({block for block, _ in parts})
    archs: list[int] = []
    for block in blocks:
        runs = _frame(home, parts[block, "seed"], ["arch", "dataset", "seed", "epochs"])
        whole = runs.filter(pl.col("dataset").is_in(TASKS), seed=SEEDS[0], epochs=HPS[HP])
        archs += whole.group_by("arch").len().filter(len=len(TASKS))["arch"].sort().to_list()
    if not archs:
        raise Missing(
            f"source {source!r} has no architecture with curves of seed {SEEDS[0]} on {', '.join(TASKS)} at hp {HP}",
            where=str(home),
            remedy=f"it holds {manifest.contents()}",
        )
    place = dict(zip(archs, range(len(archs)), strict=True))
    shape = (len(TASKS), len(archs), len(SEEDS), HPS[HP], len(OBJECTIVES))
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    values = np.lib.format.open_memmap(folder / VALUES, "w+", np.float32, shape)
    values[:] = np.nan
    for block in blocks:
        _fill(values, place, *(_frame(home, parts[block, table], None) for table in ("metric", "cost")))
    for task in range(len(TASKS)):
        for first in range(0, len(archs), 1024):
            _impute(values[task, first : first + 1024])
    if np.isnan(values).any():
        raise Missing(
            f"source {source!r} has runs without seconds, costs or curves on ori-test",
            where=str(home),
            remedy="export another source",
        )
    values.flush()
    np.save(folder / EPOCHS, np.arange(1, HPS[HP] + 1))
    ops = pl.DataFrame([SPACES["tss"].every[arch] for arch in archs], schema=list(KEYS), orient="row")
    ops.write_parquet(folder / ARCHS, compression="gzip")
    about = {
        "metric_elapsed_time": ELAPSED,
        "metric_default": ERRORS["ori-test"],
        "time_attr": "hp_epoch",
        "objectives_names": list(OBJECTIVES),
        "task_names": list(TASKS),
    }
    texts = {ABOUT: about, "configspace.json": dict.fromkeys(KEYS, _CHOICE), "fidelityspace.json": {"hp_epoch": _EPOCH}}
    for name, text in texts.items():
        (folder / name).write_text(json.dumps(text), encoding="utf-8")


def _frame(home: Path, part: Part, columns: list[str] | None) -> pl.DataFrame:
    import polars as pl

    names = columns or [name for name in part.columns if name not in ("top5", "loss")]
    frame = pl.DataFrame(pl.from_arrow(read_columns(home / part.path, part, names)))
    return frame.with_columns(pl.col("dataset").cast(pl.String))


def _fill(values: np.ndarray, place: dict[int, int], metric: pl.DataFrame, cost: pl.DataFrame) -> None:
    """Put a block's curves, seconds and costs in their places."""
    import polars as pl

    def of_runs(frame: pl.DataFrame) -> pl.DataFrame:
        chosen = pl.col("dataset").is_in(TASKS) & pl.col("seed").is_in(SEEDS) & pl.col("arch").is_in(list(place))
        return frame.filter(chosen)

    def at(frame: pl.DataFrame) -> tuple[Any, Any, Any]:
        return (
            np.array([TASKS.index(name) for name in frame["dataset"]], np.int64),
            np.array([place[arch] for arch in frame["arch"]], np.int64),
            np.array([SEEDS.index(seed) for seed in frame["seed"]], np.int64),
        )

    metric = of_runs(metric)
    for split, objective in ERRORS.items():
        rows = metric.filter(pl.col("split").cast(pl.String) == split)
        error = 1 - rows["accuracy"].to_numpy() / 100
        values[*at(rows), rows["epoch"].to_numpy(), OBJECTIVES.index(objective)] = error
    cost = of_runs(cost)
    task, arch, seed = at(cost)
    total = (cost["train_seconds"] + cost["ori_test_seconds"]).to_list()
    for n, (every, constant) in enumerate(zip(cost["seconds"].to_list(), total, strict=True)):
        # A record's own seconds by epoch are in an order of its own: their means are of each split.
        seconds = constant if constant is not None else every
        if seconds is not None:
            values[task[n], arch[n], seed[n], :, OBJECTIVES.index(RUNTIME)] = seconds
    first = cost.filter(seed=SEEDS[0])
    task, arch, _ = at(first)
    for column, objective in COSTS.items():
        values[task, arch, :, :, OBJECTIVES.index(objective)] = first[column].cast(pl.Float64).to_numpy()[:, None, None]


def _impute(values: np.ndarray) -> None:
    """Fill the runs that are not there as Syne Tune's conversion does, then add up the seconds."""
    for name in (*ERRORS.values(), RUNTIME):
        column = values[..., OBJECTIVES.index(name)]
        for seed in range(len(SEEDS)):
            rows = np.flatnonzero(np.isnan(column[:, seed]).any(axis=1))
            if len(rows):
                column[rows, seed] = np.mean(np.delete(column[rows], seed, axis=1), axis=1)
    values[..., OBJECTIVES.index(ELAPSED)] = np.cumsum(values[..., OBJECTIVES.index(RUNTIME)], axis=-1)
