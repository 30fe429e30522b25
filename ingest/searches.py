"""Runs of search algorithms → tables: a file of `search_run` and one of `search_step` for each search."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from natsdb.ingest.ingest import publish
from natsdb.ingest.publish import Staging, only_writer, open_manifest, with_catalogue
from natsdb.schema.manifest import Manifest, Part
from natsdb.schema.tables import SEARCH_TABLES, TABLES, arrow_schema


def keep_search(database: Path, search: str, runs: pa.Table, steps: pa.Table) -> bool:
    """Add a search to the database, in place of what it holds of the same search, whole or not at all.

    Args:
        search: which; the column `search` of both tables.
        runs, steps: rows of `search_run` and `search_step`, columns in any order.

    Returns:
        Whether that changes anything.

    Raises:
        NatsdbError: another process writes to the database, or the disk is full; it is unchanged.
    """
    with only_writer(database):
        before = open_manifest(database)
        staging = Staging(database, f"{search}-publish")
        try:
            manifest = with_catalogue(before, staging)
            kept = [part for part in manifest.parts if not _of(part, search)]
            parts = [
                _written(staging, name, search, table) for name, table in zip(SEARCH_TABLES, (runs, steps), strict=True)
            ]
            manifest = Manifest(tuple(sorted([*kept, *parts])), manifest.ingests)
            if manifest == before:
                return False
            publish(staging, manifest)
        finally:
            staging.clear()
    return True


def _of(part: Part, search: str) -> bool:
    return part.table in SEARCH_TABLES and part.path.split("/")[1] == search


def _written(staging: Staging, name: str, search: str, table: pa.Table) -> Part:
    schema = arrow_schema(name)
    rows = (
        table.select(schema.names)
        .cast(schema.remove_metadata())
        .sort_by([(key, "ascending") for key in TABLES[name].key])
    )
    temporary = staging.folder / f"{name}-{os.getpid()}.tmp"
    floats = [field.name for field in schema if pa.types.is_floating(field.type)]
    pq.write_table(
        rows,
        temporary,
        compression="zstd",
        compression_level=5,
        store_schema=False,
        use_dictionary=[field for field in schema.names if field not in floats],
    )
    digest = hashlib.sha256(temporary.read_bytes()).hexdigest()[:12]
    path = f"{name}/{search}/{digest}.parquet"
    target = staging.folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(temporary, target)
    return Part(name, "", "", "", 0, path, len(rows), target.stat().st_size)
