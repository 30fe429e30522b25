"""Runs that natsdb trained become rows: a folder of finished runs, through the same records and writers as archives."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from natsdb.ingest.archive.records import read_record
from natsdb.ingest.report import IngestReport, check_name
from natsdb.ingest.weights import weights_of_run
from natsdb.ingest.write import BlockWriter, Provenance
from natsdb.schema.datasets import DATASETS, admit, of_plain
from natsdb.schema.errors import Contradiction, Damaged, Missing, NatsdbError
from natsdb.schema.schedules import epochs_of
from natsdb.schema.spaces import SPACES, arch_str
from natsdb.schema.tables import BLOCK
from natsdb.store.choice import OFFICIAL, REGENERATED
from natsdb.store.locations import local
from natsdb.store.manifest import NAME, Ingested, Manifest, with_ingested, with_parts, with_weights
from natsdb.store.parquet import read_columns
from natsdb.store.snapshot import read_manifest
from natsdb.store.staging import Staging, open_manifest, with_catalogue
from natsdb.store.weights import merged_weights, weights_file
from natsdb.store.writing import only_writer

# Of what the schedule's last batch is one, however small.
_BATCH = 256


@dataclass(frozen=True)
class _Finished:
    """A finished run's file: what it holds and its MD5."""

    path: Path
    md5: str
    run: dict[str, Any]

    @property
    def key(self) -> tuple[str, int, int, str, str, int]:
        run = self.run
        return run["space"], run["arch"] // BLOCK, run["arch"], run["hp"], run["dataset"], run["seed"]

    @property
    def recipe(self) -> str:
        """The recipe that trained it, as JSON; null if that is the official one."""
        return json.dumps(self.run["provenance"].get("recipe"), sort_keys=True)


def collect(
    runs: str | os.PathLike[str],
    database: str | os.PathLike[str] | None = None,
    *,
    source: str = "regenerated",
    replace: bool = False,
) -> IngestReport:
    """Take all finished runs of a folder into a database, all or nothing; those that it holds already stay as they are.

    Seconds are those measured where the run was trained, as a mean over its epochs; latency is formed from them by the
    rule of the official sss files. The column `code` says in JSON what trained a run: version and digest of the code,
    torch, precision, fingerprint of the data set, number of epochs, and of images where it was reduced.

    Args:
        runs: folder of runs, as `natsdb train` keeps it; unfinished and failed ones are passed over.
        database: folder of the database; the default one when None.
        source: what the column `source` says of these rows; runs by a recipe of one's own have one of their own.
        replace: overwrite runs that the database holds with other numbers, instead of refusing.

    Returns:
        What was done; `failures` lists the folder's failed runs with their reasons.

    Raises:
        NatsdbError: a run's file is damaged or contradicts the database; the database is unchanged.
    """
    started = time.monotonic()
    check_name(source)
    folder = Path(runs)
    found = sorted(map(_read, _files(folder)), key=lambda one: one.key)
    failures = [(str(path), _reason(path)) for path in sorted(folder.glob("*/*/*.failed.json"))]
    if not found:
        why = f"; the first of {len(failures)} that failed: {failures[0][1]}" if failures else ""
        raise Missing(f"there is no finished run in it{why}", where=str(folder), remedy="train some: natsdb train")
    _check_recipes(found, source, folder)
    home = local(database)
    check_recipe_of(home, source, found[0].run["provenance"].get("recipe"))
    digest = hashlib.sha256(repr(([one.md5 for one in found], source, replace)).encode()).hexdigest()[:16]
    rows = 0
    with only_writer(home):
        before = open_manifest(home)
        staging = Staging(home, digest)
        try:
            manifest = with_catalogue(before, staging, {(one.run["space"], one.run["hp"]) for one in found})
            for (space, block), members in groupby(found, key=lambda one: one.key[:2]):
                mine = [p for p in manifest.parts if (p.source, p.space, p.block) == (source, space, block)]
                old = {(part.table, part.hp): staging.path(part.path) for part in mine}
                writer = BlockWriter(staging.folder, source, space, block, old, replace)
                try:
                    for one in members:
                        manifest = _add(writer, one, staging, manifest, source, replace)
                    manifest = with_parts(manifest, writer.close())
                    rows += writer.rows
                finally:
                    writer.abort()
            changed = not manifest.same_contents(before)
            if changed:
                for space in sorted({one.key[0] for one in found}):
                    archs = len({one.key[2] for one in found if one.key[0] == space})
                    manifest = with_ingested(manifest, Ingested(source, space, "runs", folder.name, digest, archs))
                staging.publish(manifest, f"collect {folder.name} --source {source}")
        finally:
            staging.clear()
    archs = len({(one.key[0], one.key[2]) for one in found})
    return IngestReport(home, archs, rows, changed, 0, failures, seconds=time.monotonic() - started)


def _files(folder: Path) -> Iterable[Path]:
    return (path for path in folder.glob("*/*/*.json") if not path.name.endswith(".failed.json"))


def _read(path: Path) -> _Finished:
    try:
        raw = path.read_bytes()
        run = json.loads(raw)
        if run["natsdb_run"] != 1:
            raise ValueError(f"format {run['natsdb_run']}")
        if "data_set" in run:
            dataset = of_plain(run["data_set"])
            if dataset.name != run["dataset"]:
                raise ValueError("it brings another data set than its own")
            admit(dataset)
        if arch_str(run["space"], run["arch"]) != run["arch_str"] or run["dataset"] not in DATASETS:
            raise ValueError("it contradicts the catalogue")
        epochs_of(run["hp"])
        one = _Finished(path, hashlib.md5(raw, usedforsecurity=False).hexdigest(), run)
        assert one.key is not None
        assert one.recipe is not None
        return one
    except NatsdbError as error:
        raise NatsdbError(error.what, where=str(path), remedy=error.remedy) from error
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise _damaged(path, error) from error


def _check_recipes(found: list[_Finished], source: str, folder: Path) -> None:
    """Refuse runs by a recipe of one's own among official ones, by name or in one folder."""
    recipes = {one.recipe for one in found}
    if len(recipes) > 1:
        raise NatsdbError(
            "its runs were trained by several recipes",
            where=str(folder),
            remedy="keep those of a recipe in a folder of their own, as `natsdb train --recipe` does",
        )
    if not _may_be(recipes, source):
        raise NatsdbError(
            f"its runs were trained by a recipe of their own, so they are not {source}",
            where=str(folder),
            remedy="name a source of their own with --source",
        )


def may_be_of(runs: Path, source: str) -> bool:
    """Whether the runs of a folder may be rows of a source: those by a recipe of one's own are no official ones.

    Raises:
        NatsdbError: a run's file is damaged.
    """
    return _may_be({_read(path).recipe for path in _files(runs)}, source)


def _may_be(recipes: set[str], source: str) -> bool:
    return recipes == {"null"} or source not in (OFFICIAL, REGENERATED)


def check_recipe_of(database: Path, source: str, recipe: dict[str, Any] | None) -> None:
    """Refuse rows by one recipe among those of a source by another, which come as its file is changed.

    Args:
        recipe: as provenance says it; None for the official one.

    Raises:
        Contradiction: the database has runs of the source that natsdb trained by another recipe.
    """
    if not (database / NAME).exists():
        return
    for part in read_manifest(database).of("seed"):
        if part.source != source:
            continue
        for text in read_columns(database / part.path, part, ["code"])["code"].to_pylist():
            try:
                said = json.loads(text or "")
            except ValueError:
                continue  # of an archive, or no code is said
            if isinstance(said, dict) and said.get("recipe") != recipe:
                raise Contradiction(
                    f"it has runs of the source {source!r} by another recipe",
                    where=str(database),
                    remedy="name another source with --source, or give the recipe's file another name",
                )
            return  # as it was checked before it, they are all alike


def _damaged(path: Path, error: Exception) -> Damaged:
    return Damaged(
        f"this is no finished run ({type(error).__name__}: {error})",
        where=str(path),
        remedy="remove the file and train the run again",
    )


def _reason(path: Path) -> str:
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["reason"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        return f"its note cannot be read ({error})"


def _add(
    writer: BlockWriter, one: _Finished, staging: Staging, manifest: Manifest, source: str, replace: bool
) -> Manifest:
    run = one.run
    try:
        official = official_record(run)
        device = run["provenance"]["device"]
        fewer = run["provenance"].get("images") is not None
        said = {**run["provenance"], "epochs": run["epochs"], "seconds": "measured on this device"}
        code = json.dumps({name: value for name, value in said.items() if name != "device"})
    except (KeyError, TypeError, ValueError, ArithmeticError) as error:
        raise _damaged(one.path, error) from error
    record = read_record(official, run["arch"], run["arch_str"], str(one.path))
    weights = one.path.with_suffix(".npz")
    if weights.exists():
        record = [hp._replace(weights={(run["dataset"], run["seed"]): {}}) for hp in record]
        prefix = f"{run['hp']}/{run['dataset']}/{run['seed']}"
        held = weights_file(manifest, source, run["space"], run["arch"])
        path = staging.path(held.path) if held is not None else None
        states = {prefix: weights_of_run(weights)}
        new = merged_weights(staging.folder, path, source, run["space"], run["arch"], states, replace=replace)
        manifest = with_weights(manifest, [new] if new is not None else [])
    writer.add(run["arch"], record, Provenance(one.path.name, one.md5, code, device, fewer))
    return manifest


def official_record(run: dict[str, Any]) -> dict[str, Any]:
    """A run as an official record holds it: one schedule, one data set, one seed.

    Args:
        run: contents of a finished run's file.
    """
    dataset, seed, epochs, arch = run["dataset"], run["seed"], run["epochs"], run["arch"]
    measured, images = run["measured"], run["images"]
    train, evals = measured["train"], [split for split in measured if split != "train"]
    seconds = {split: fmean(values["seconds"]) for split, values in measured.items()}
    latency = fmean(seconds[split] / -(-images[split] // _BATCH) for split in evals)

    def by_epoch(name: str) -> dict[str, float]:
        return {f"{split}@{n}": value for split in evals for n, value in enumerate(_all(measured[split][name], epochs))}

    result = {
        "name": dataset,
        "train_acc1es": dict(enumerate(_all(train["accuracy"], epochs))),
        "train_acc5es": dict(enumerate(_all(train["top5"], epochs))),
        "train_losses": dict(enumerate(_all(train["loss"], epochs))),
        "train_times": OrderedDict((epoch, seconds["train"]) for epoch in range(epochs)),
        "arch_config": SPACES[run["space"]].config(run["arch_str"], DATASETS[dataset].classes),
        "params": np.float64(run["params"]),
        "flop": run["flops"],
        "seed": f"{seed:04d}",
        "epochs": epochs,
        "latency": [np.float64(latency)],
        "eval_names": evals,
        "eval_acc1es": by_epoch("accuracy"),
        "eval_times": {f"{split}@{epoch}": seconds[split] for split in evals for epoch in range(epochs)},
        "eval_losses": by_epoch("loss"),
        "net_state_dict": None,
    }
    return OrderedDict(
        {
            run["hp"]: {
                "arch_index": arch,
                "arch_str": run["arch_str"],
                "all_results": {(dataset, seed): result},
                "dataset_seed": {dataset: [seed]},
                "clear_net_done": True,
            }
        }
    )


def _all(values: list[float], epochs: int) -> list[float]:
    if len(values) != epochs or not all(type(value) is float for value in values):
        raise ValueError(f"there are not {epochs} numbers for as many epochs")
    return values
