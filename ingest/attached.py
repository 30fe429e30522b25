"""Attached tables → the database: a file each, and what the manifest says of it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from natsdb.schema.errors import Missing, NatsdbError
from natsdb.schema.names import did_you_mean
from natsdb.schema.tables import TABLES, schema_of
from natsdb.store.damage import sha256_of
from natsdb.store.manifest import ATTACHED, Attached, Part, with_attached, without_attached
from natsdb.store.parquet import write_part
from natsdb.store.snapshot import read_manifest
from natsdb.store.staging import Staging, open_manifest, with_catalogue
from natsdb.store.versions import publish_manifest
from natsdb.store.writing import only_writer, sync_folder, writing

if TYPE_CHECKING:
    import pyarrow as pa


def keep_attached(database: Path, table: Attached, rows: pa.Table, *, replacing: bool = False) -> bool:
    """Add an attached table to a database, as a new version, whole or not at all. One that is there as it is given is
    left alone, or mended where its file is damaged.

    Args:
        database: its folder; it is made if it is not there.
        table: what the table is; the number of architectures and the data sets are those of the rows.
        rows: its columns, in any order; sorted here by key.
        replacing: take the place of an attached table of this name.

    Returns:
        Whether that changes anything.

    Raises:
        NatsdbError: the name is taken or cannot be a table's, or the database cannot be written; it is unchanged.
    """
    import pyarrow.compute as pc

    check_name(table.name)
    rows = rows.select([column.name for column in table.table.columns])
    # (PyArrow's sorts and groups of tables, and its functions of Python's values, would import pandas: 0.5 s.)
    rows = rows.take(pc.sort_indices(rows, sort_keys=[(column, "ascending") for column in table.key]))
    archs = len(set(zip(rows["space"].to_pylist(), rows["arch"].to_pylist(), strict=True)))
    datasets = sorted(pc.unique(rows["dataset"]).to_pylist()) if "dataset" in table.key else []
    table = replace(table, archs=archs, datasets=tuple(datasets))
    with only_writer(database):
        before = open_manifest(database)
        # (SQL does not tell names by their case.)
        alike = [one.name for one in before.attached if one.name.lower() == table.name.lower()]
        if alike and not (replacing and alike == [table.name]):
            raise NatsdbError(
                f"a table {alike[0]!r} is attached already",
                where=str(database),
                remedy="choose another name with --as, or --replace it",
            )
        staging = Staging(database, f"attach-{table.name}")
        try:
            manifest = with_catalogue(before, staging)
            with writing(database):
                part = Part(table.name, "", "", "", 0, f"{ATTACHED}/{table.name}", len(rows), 0)
                part = write_part(rows, staging.folder, part, schema_of(table.table))
            manifest = with_attached(manifest, table, part)
            changed = not manifest.same_contents(before)
            if changed:
                staging.publish(manifest, f"attach {table.file or table.name} --as {table.name}")
            elif not _as_written(database / part.path, part):
                with writing(database):  # the table mends its file, as no archive can
                    (database / part.path).parent.mkdir(parents=True, exist_ok=True)
                    os.replace(staging.folder / part.path, database / part.path)
                    sync_folder((database / part.path).parent)
                changed = True
        finally:
            staging.clear()
    return changed


def _as_written(path: Path, part: Part) -> bool:
    try:
        return sha256_of(path) == part.sha256
    except OSError:
        return False


def detach(name: str, database: Path) -> None:
    """Take an attached table out of a database, as a new version; `natsdb rollback` brings it back.

    Raises:
        Missing: there is no database, or no attached table of this name.
        NotWritable: another process is writing, or the disk is full; the database is unchanged.
    """
    with only_writer(database), writing(database):
        before = read_manifest(database)
        names = [table.name for table in before.attached]
        if name not in names:
            remedy = did_you_mean(name, names) if names else "`natsdb info` lists what is there"
            raise Missing(f"no table {name!r} is attached", where=str(database), remedy=remedy)
        publish_manifest(database, without_attached(before, name), f"detach {name}")


def check_name(name: str) -> None:
    """Refuse what cannot be an attached table's name.

    Raises:
        NatsdbError: it has other characters than a name in SQL has, or is that of a table or column of natsdb's own.
    """
    if not name.isidentifier() or not name.isascii():
        raise NatsdbError(f"{name!r} cannot be a table's name", remedy="use letters, digits and _, as in --as hw")
    columns = {column.name for table in TABLES.values() for column in table.columns}
    if name.lower() in columns | TABLES.keys():
        raise NatsdbError(f"{name!r} is a name of natsdb's own", remedy="choose another with --as")
