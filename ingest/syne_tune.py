"""Syne Tune's blackbox of tss, `nasbench201`: curves of 200 epochs in float32, without the records they are of.

A folder: `hyperparameters.parquet` (six operations a row, in the official order of edges), `objectives_evaluations.npy`
(tasks × architectures × seeds 777, 888, 999 × epochs × objectives), `fidelities_values.npy` (epochs from 1) and
`metadata.json`. Its `valid_error` was measured on ori-test. A run that the benchmark has not is filled there by the
mean of the architecture's others; such runs are known by that and left out.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from natsdb.ingest.report import IngestReport, check_name
from natsdb.ingest.write import BlockWriter
from natsdb.schema.datasets import DATASETS
from natsdb.schema.errors import Damaged, NatsdbError, said_by
from natsdb.schema.schedules import HPS
from natsdb.schema.spaces import SPACES
from natsdb.schema.tables import BLOCK, GROUPS, arrow_schema
from natsdb.store.manifest import SYNE_TUNE, Ingested, with_ingested, with_parts
from natsdb.store.staging import Staging, open_manifest, with_catalogue
from natsdb.store.writing import only_writer, writing

HP = "200"
SEEDS = (777, 888, 999)
# Splits by the name of their error, in the order of the table's rows.
ERRORS = {"ori-test": "metric_valid_error", "train": "metric_train_error"}
RUNTIME, ELAPSED = "metric_runtime", "metric_elapsed_time"
COSTS = {"latency": "metric_latency", "flops": "metric_flops", "params": "metric_params"}
OBJECTIVES = (ERRORS["ori-test"], ERRORS["train"], RUNTIME, ELAPSED, *COSTS.values())
KEYS = tuple(f"hp_x{n}" for n in range(6))
VALUES, EPOCHS, ARCHS, ABOUT = (
    "objectives_evaluations.npy",
    "fidelities_values.npy",
    "hyperparameters.parquet",
    "metadata.json",
)
_REMEDY = "take the folder from Syne Tune's repository again"


@dataclass(frozen=True)
class Blackbox:
    """`name` of the folder; `values`: tasks × rows × seeds × epochs × objectives, on disk; `arch`: one a row; `at`:
    objectives' places."""

    name: str
    values: np.ndarray
    tasks: list[str]
    arch: np.ndarray
    at: dict[str, int]
    digest: str


def is_blackbox(path: Path) -> bool:
    """Whether a folder is one of Syne Tune's blackboxes."""
    return (path / VALUES).is_file()


def ingest_blackbox(path: Path, home: Path, *, source: str | None = None, replace: bool = False) -> IngestReport:
    """Add a blackbox to a database, all or nothing; see `natsdb.ingest.ingest` for the arguments.

    Raises:
        NatsdbError: it is another one than that of tss, damaged, or contradicts the database.
    """
    started = time.monotonic()
    source = source or SYNE_TUNE
    check_name(source)
    box = read_blackbox(path)
    with only_writer(home):
        before = open_manifest(home)
        known = {one.source for one in before.ingests if one.kind == SYNE_TUNE}
        if source in {part.source for part in before.parts} - known:
            raise NatsdbError(
                f"its rows of source {source!r} are of another form",
                where=str(home),
                remedy="name those of a blackbox otherwise, with --source NAME",
            )
        staging = Staging(home, box.digest)
        rows = left_out = 0
        try:
            manifest = with_catalogue(before, staging)
            for block, groups in itertools.groupby(tables_of(box), lambda one: one[0] * GROUPS[HP] // BLOCK):
                mine = [p for p in manifest.parts if (p.source, p.space, p.block) == (source, "tss", block)]
                old = {(part.table, part.hp): staging.path(part.path) for part in mine}
                writer = BlockWriter(staging.folder, source, "tss", block, old, replace)
                try:
                    with writing(staging.folder):
                        for group, tables, imputed in groups:
                            writer.add_tables(HP, tables, group)
                            rows, left_out = rows + len(tables["metric"]), left_out + imputed
                        manifest = with_parts(manifest, writer.close())
                finally:
                    writer.abort()
            ingested = Ingested(source, "tss", SYNE_TUNE, path.name, box.digest, len(box.arch))
            manifest = with_ingested(manifest, ingested)
            changed = set(manifest.parts) != set(before.parts)
            if not manifest.same_contents(before):
                staging.publish(manifest, f"ingest {path.name} --source {source}")
        finally:
            staging.clear()
    notes = [f"{left_out:,} runs were left out: each is the mean of its architecture's others"] if left_out else []
    return IngestReport(home, len(box.arch), rows, changed, notes=notes, seconds=time.monotonic() - started)


def read_blackbox(path: Path) -> Blackbox:
    """Read a blackbox; its values stay on disk.

    Raises:
        NatsdbError: it is another one than that of tss, or damaged.
    """
    import polars as pl

    def refuse(what: str, name: str) -> Damaged:
        return Damaged(what, where=str(path / name), remedy=_REMEDY)

    name = ABOUT
    try:
        about = json.loads((path / ABOUT).read_text(encoding="utf-8"))
        objectives, tasks = about["objectives_names"], about["task_names"]
        name = ARCHS
        table = pl.read_parquet(path / ARCHS)
        name = EPOCHS
        epochs = np.load(path / EPOCHS, allow_pickle=False)
        name = VALUES
        values = np.load(path / VALUES, mmap_mode="r", allow_pickle=False)
    except (OSError, ValueError, KeyError, TypeError, EOFError, pl.exceptions.PolarsError) as error:
        raise refuse(f"it cannot be read ({said_by(error)})", name) from error
    if not set(KEYS) <= set(table.columns):
        raise NatsdbError(
            f"its architectures have the columns {', '.join(table.columns)}",
            where=str(path / ARCHS),
            remedy=f"name the blackbox nasbench201, which has {', '.join(KEYS)}",
        )
    if set(tasks) - set(DATASETS) or len(set(tasks)) != len(tasks) or not set(OBJECTIVES) <= set(objectives):
        raise refuse("its tasks or objectives are not those of nasbench201", ABOUT)
    expected = (len(tasks), len(table), len(SEEDS), HPS[HP], len(objectives))
    if values.shape != expected or values.dtype.kind != "f":
        raise refuse(f"its shape is {values.shape}, where the other files say {expected}", VALUES)
    if epochs.tolist() != list(range(1, HPS[HP] + 1)):
        raise refuse(f"its epochs are not 1 to {HPS[HP]}", EPOCHS)
    index = {choices: arch for arch, choices in enumerate(SPACES["tss"].every)}
    arch = [index.get(ops, -1) for ops in table.select(KEYS).rows()]
    if -1 in arch or len(set(arch)) != len(arch):
        raise refuse("its rows are not architectures of tss, once each", ARCHS)
    digest = hashlib.sha256(repr((tasks, objectives, arch)).encode())
    with (path / VALUES).open("rb") as file:
        while piece := file.read(1 << 24):
            digest.update(piece)
    at = {name: objectives.index(name) for name in OBJECTIVES}
    return Blackbox(path.name, values, tasks, np.array(arch, np.int32), at, digest.hexdigest()[:16])


def _imputed(box: Blackbox, values: np.ndarray) -> np.ndarray:
    """Which runs (architectures × seeds) were not measured: NaN, or the mean of the others at every epoch.

    Where all seeds are equal, as those of networks that learn nothing may be, it cannot be told: then the last is.
    """
    measured = values[..., [box.at[ERRORS["ori-test"]], box.at[ERRORS["train"]], box.at[RUNTIME]]]
    absent = np.isnan(measured).all(axis=(2, 3))
    found = np.zeros_like(absent)
    for place in range(len(SEEDS)):
        mean = np.mean(np.delete(measured, place, axis=1), axis=1)  # in float32, as it was formed
        equal = (measured[:, place] == mean).all(axis=(1, 2)) & ~absent.any(axis=1)
        found[equal] = False
        found[equal, place] = True
    return absent | found


def tables_of(box: Blackbox) -> Iterator[tuple[int, dict[str, Any], int]]:
    """The rows of a blackbox as the four tables hold them, a row group at a time: (group, rows, runs left out)."""
    order = np.argsort(box.arch, kind="stable")
    groups = box.arch[order] // GROUPS[HP]
    for group in np.unique(groups).tolist():
        yield group, *_tables(box, order[groups == group])


def _tables(box: Blackbox, rows: np.ndarray) -> tuple[dict[str, Any], int]:
    """Rows of some architectures, in their order, as the four tables hold them; and how many runs were left out."""
    import pyarrow as pa

    values = np.asarray(box.values[:, rows])
    imputed = np.stack([_imputed(box, one) for one in values])
    tasks = sorted(range(len(box.tasks)), key=box.tasks.__getitem__)
    kept = [
        (n, task, seed) for n in range(len(rows)) for task in tasks for seed in range(3) if not imputed[task, n, seed]
    ]
    n, task, seed = np.array(kept, np.int64).reshape(-1, 3).T
    runs = values[task, n, seed]  # runs × epochs × objectives
    count, epochs = len(runs), HPS[HP]
    arch = box.arch[rows][n]
    key = {"arch": arch, "dataset": np.array(box.tasks, object)[task], "seed": np.array(SEEDS, np.int32)[seed]}
    accuracy = np.stack([(1 - runs[..., box.at[ERRORS[split]]].astype(np.float64)) * 100 for split in ERRORS], axis=1)
    if not np.isfinite(accuracy).all():
        raise Damaged(f"a run of architecture {arch[0]} has no error at some epoch", where=box.name, remedy=_REMEDY)

    def measured(at: slice) -> dict[str, Any]:
        each = len(range(epochs)[at])
        return {
            **{column: np.repeat(of, len(ERRORS) * each) for column, of in key.items()},
            "split": np.tile(np.repeat(np.array(list(ERRORS), object), each), count),
            "epoch": np.tile(np.arange(epochs)[at], len(ERRORS) * count),
            "accuracy": accuracy[:, :, at].ravel(),
        }

    seeds = {
        **key,
        "epochs": np.full(count, epochs),
        "position": np.arange(count) - np.searchsorted(arch, arch),
        "file": np.full(count, box.name, object),
        "weights": np.zeros(count, bool),
        "reduced": np.zeros(count, bool),
    }
    costs: dict[str, Any] = {
        column: runs[:, 0, box.at[objective]].astype(np.float64) for column, objective in COSTS.items()
    }
    costs["seconds"] = runs[..., box.at[RUNTIME]].astype(np.float64).tolist()
    made = {
        "seed": seeds,
        "metric": measured(slice(None)),
        "final": measured(slice(-1, None)),
        "cost": {**key, **costs},
    }

    def table(of: str, columns: dict[str, Any]) -> Any:
        schema = arrow_schema(of).remove_metadata()
        have = [
            pa.array(columns[field.name]).cast(field.type)
            if field.name in columns
            else pa.nulls(len(columns["arch"]), field.type)
            for field in schema
        ]
        return pa.table(have, schema=schema)

    return {of: table(of, columns) for of, columns in made.items()}, int(imputed.sum())
