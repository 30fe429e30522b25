"""Runs of search algorithms → tables: a file of `search_run` and one of `search_step` for each search.

Searches on the database come as tables; those with shared weights as the files that
`natsdb.training.weight_sharing` leaves, a file a seed.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from natsdb.schema.errors import Damaged, NatsdbError
from natsdb.schema.spaces import arch_index
from natsdb.schema.tables import SEARCH_TABLES, TABLES, arrow_schema
from natsdb.store.manifest import NAME, Part
from natsdb.store.parquet import read_columns, write_part
from natsdb.store.snapshot import read_manifest
from natsdb.store.staging import Staging, open_manifest, with_catalogue
from natsdb.store.writing import only_writer, writing

# Seconds to wait for another writer: to add a search takes less than one, and hours may have gone into it.
_PATIENCE = 60.0


def keep_search(database: Path, search: str, runs: pa.Table, steps: pa.Table, fronts: pa.Table | None = None) -> bool:
    """Add a search to the database, in place of what it holds of the same search, whole or not at all.

    Args:
        search: which; the column `search` of both tables.
        runs, steps: rows of `search_run` and `search_step`, columns in any order.
        fronts: rows of `search_front`, of a search with several objectives.

    Returns:
        Whether that changes anything.

    Raises:
        NatsdbError: another process writes to the database, or the disk is full; it is unchanged.
    """
    with only_writer(database, _PATIENCE):
        return _keep(database, search, runs, steps, fronts)


def _keep(database: Path, search: str, runs: pa.Table, steps: pa.Table, fronts: pa.Table | None = None) -> bool:
    """`keep_search` of who holds the database."""
    before = open_manifest(database)
    staging = Staging(database, f"{search}-publish")
    manifest = with_catalogue(before, staging)
    kept = [part for part in manifest.parts if not _of(part, search)]
    with writing(database):
        parts = [
            _written(staging, name, search, table)
            for name, table in zip(SEARCH_TABLES, (runs, steps, fronts), strict=True)
            if table is not None
        ]
    manifest = replace(manifest, parts=tuple(sorted([*kept, *parts])))
    changed = not manifest.same_contents(before)
    if changed:
        staging.publish(manifest, f"search {runs['algorithm'][0]}, {runs['space'][0]}, {runs['dataset'][0]}")
    staging.clear()
    return changed


def collect_searches(folder: Path, database: Path) -> list[tuple[str, str, str, int, bool]]:
    """Add all finished searches with shared weights in a folder to the database.

    Files of one algorithm, data set, options and images are the runs of one search, in order of seed; runs that the
    database holds and the folder does not are kept.

    Returns:
        For each search its name in the tables, algorithm, data set, number of runs, and whether that changes anything.

    Raises:
        NatsdbError: a file is damaged, or two files are of the same seed.
    """
    found: dict[str, dict[int, dict[str, Any]]] = {}
    for path in sorted(folder.glob("*/*.json")):
        search, run = _read(path)
        if run["seed"] in found.setdefault(search, {}):
            raise NatsdbError(
                f"there are two searches of {run['algorithm']} with seed {run['seed']}",
                where=str(path),
                remedy="remove one of the files",
            )
        found[search][run["seed"]] = run
    done = []
    for search, runs in found.items():
        tables = [_tables(search, runs)]
        first = next(iter(runs.values()))
        with only_writer(database, _PATIENCE):
            held = _held(database, search)
            if held is not None:
                kept = [seed for seed in held[0]["seed"].to_pylist() if seed not in runs]
                tables.append(_only(held, kept))
            rows, steps = (pa.concat_tables(pair) for pair in zip(*tables, strict=True))
            rows, steps = _numbered(rows, steps)
            changed = _keep(database, search, rows, steps)
        done.append((search, first["algorithm"], first["dataset"], len(rows), changed))
    return done


def _read(path: Path) -> tuple[str, dict[str, Any]]:
    """A finished search's file, and the name of the search that it is a run of."""
    try:
        run = json.loads(path.read_text(encoding="utf-8"))
        if run["natsdb_search"] != 1:
            raise ValueError(f"format {run['natsdb_search']}")
        if arch_index(run["space"], run["arch_str"]) != run["arch"] or run["epochs"][-1]["arch"] != run["arch"]:
            raise ValueError("it contradicts itself")
        provenance = run["provenance"]
        same = [
            *(run[name] for name in ("algorithm", "space", "dataset", "options")),
            provenance["data"],
            run["images"],
        ]
        return hashlib.sha256(json.dumps(same, sort_keys=True).encode()).hexdigest()[:12], run
    except (OSError, ValueError, KeyError, TypeError, IndexError, NatsdbError) as error:
        raise Damaged(
            f"this is no finished search ({type(error).__name__}: {error})",
            where=str(path),
            remedy="remove the file and search again",
        ) from error


def _tables(search: str, runs: dict[int, dict[str, Any]]) -> tuple[pa.Table, pa.Table]:
    """Rows of both tables; runs are numbered by their seeds for now."""
    rows = [
        {
            "search": search,
            "run": seed,
            **{name: run[name] for name in ("algorithm", "space", "dataset", "seed", "seconds", "arch")},
            "hp": None,
            "options": json.dumps(run["changed"], sort_keys=True),
            "budget": None,
            "steps": len(run["epochs"]),
            "provenance": json.dumps({**run["provenance"], "options": run["options"], "images": run["images"]}),
        }
        for seed, run in runs.items()
    ]
    steps = [
        {
            "search": search,
            "run": seed,
            "step": epoch["epoch"],
            "epoch": epoch["epoch"],
            "arch": epoch["arch"],
            "accuracy": epoch["valid_accuracy"],
            "seconds": epoch["seconds"],
            "best": epoch["arch"],
        }
        for seed, run in runs.items()
        for epoch in run["epochs"]
    ]
    made = [
        pa.Table.from_pylist(listed, schema=arrow_schema(name).remove_metadata())
        for name, listed in zip(SEARCH_TABLES[:2], (rows, steps), strict=True)
    ]
    return made[0], made[1]


def _held(database: Path, search: str) -> tuple[pa.Table, pa.Table] | None:
    """Rows that the database holds of a search, runs numbered by their seeds."""
    if not (database / NAME).exists():
        return None
    parts = {part.table: part for part in read_manifest(database).parts if _of(part, search)}
    if not parts:
        return None
    rows, steps = (
        read_columns(database / parts[name].path, parts[name], arrow_schema(name).names) for name in SEARCH_TABLES[:2]
    )
    seeds = rows["seed"].to_numpy()
    number = rows.schema.get_field_index("run")
    by_seed = steps.set_column(number, "run", pa.array(seeds[steps["run"].to_numpy()], pa.int32()))
    return rows.set_column(number, "run", pa.array(seeds, pa.int32())), by_seed


def _only(tables: tuple[pa.Table, pa.Table], seeds: list[int]) -> tuple[pa.Table, pa.Table]:
    rows, steps = (table.filter(pa.array(np.isin(table["run"].to_numpy(), seeds))) for table in tables)
    return rows, steps


def _numbered(rows: pa.Table, steps: pa.Table) -> tuple[pa.Table, pa.Table]:
    """Runs numbered from 0 in order of seed."""
    seeds = np.sort(rows["seed"].to_numpy())
    rows, steps = (
        table.set_column(
            table.schema.get_field_index("run"),
            "run",
            pa.array(np.searchsorted(seeds, table["run"].to_numpy()).astype(np.int32)),
        )
        for table in (rows, steps)
    )
    return rows, steps


def _of(part: Part, search: str) -> bool:
    return part.table in SEARCH_TABLES and part.path.split("/")[1] == search


def _written(staging: Staging, name: str, search: str, table: pa.Table) -> Part:
    rows = table.select(arrow_schema(name).names).sort_by([(key, "ascending") for key in TABLES[name].key])
    return write_part(rows, staging.folder, Part(name, "", "", "", 0, f"{name}/{search}", len(rows), 0))
