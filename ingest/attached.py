"""Attached tables → the database: a file each, and what the manifest says of it."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from natsdb.schema.errors import Missing, NatsdbError
from natsdb.schema.names import did_you_mean
from natsdb.schema.tables import TABLES, schema_of
from natsdb.store.damage import sha256_of
from natsdb.store.manifest import ATTACHED, Attached, Manifest, Part, with_attached, without_attached
from natsdb.store.parquet import read_columns, write_part
from natsdb.store.snapshot import read_manifest
from natsdb.store.staging import Staging, open_manifest, with_catalogue
from natsdb.store.versions import publish_manifest
from natsdb.store.writing import only_writer, sync_folder, writing

if TYPE_CHECKING:
    import pyarrow as pa

# A text measure: what else decides the numbers of a row.
_SETTINGS = "settings"
# Seconds to wait for another writer: to add a table takes less than one, and hours may have gone into it.
_PATIENCE = 60.0


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
    check_name(table.name)
    with only_writer(database):
        before = open_manifest(database)
        if _of_name(before, table.name, database) is not None and not replacing:
            raise _is_there(table.name, database)
        return _keep(database, before, table, rows)


def add_to_attached(database: Path, table: Attached, rows: pa.Table, *, replacing: bool = False) -> bool:
    """Add rows and measures to the attached table of this name, which is made if it is not there, as a new version.

    Its measures and their values stay, but for those that are given again. Numbers of different settings are not mixed
    in rows that are compared: the rows of a data set have one value in the column `settings`.

    Args:
        database, table: as of `keep_attached`; one of the table's measures is `settings`, a text.
        rows: its columns, in any order.
        replacing: take the place of what is there.

    Returns:
        Whether that changes anything.

    Raises:
        NatsdbError: a table of this name has another key or no settings, or rows of a data set have other settings; or
            as `keep_attached`.
    """
    check_name(table.name)
    with only_writer(database, _PATIENCE):
        before = open_manifest(database)
        old = _of_name(before, table.name, database)
        if old is not None and not replacing:
            if old.key != table.key or _SETTINGS not in _names(old):
                raise _is_there(old.name, database)
            table, rows = _together(database, before, old, table, rows)
        return _keep(database, before, table, rows)


def _together(
    database: Path, manifest: Manifest, old: Attached, new: Attached, rows: pa.Table
) -> tuple[Attached, pa.Table]:
    """An attached table with other rows and measures added."""
    import pyarrow as pa

    given = set(_names(new))
    table = replace(new, measures=(*(one for one in old.measures if one.name not in given), *new.measures))
    key = new.key
    found: dict[tuple[Any, ...], dict[str, Any]] = {}
    settings: dict[Any, str] = {}
    parts = [read_columns(database / one.path, one, one.columns) for one in manifest.of(old.name)]
    for some in (*parts, rows):
        for row in some.to_pylist():
            had = settings.setdefault(row.get("dataset"), row[_SETTINGS])
            if had != row[_SETTINGS]:
                raise NatsdbError(
                    f"the table {new.name!r} is of {had}, and these rows are of {row[_SETTINGS]}",
                    where=str(database),
                    remedy="choose another name with --as, or --replace it",
                )
            found.setdefault(tuple(row[name] for name in key), {}).update(row)
    columns = {column.name: [row.get(column.name) for row in found.values()] for column in table.table.columns}
    return table, pa.table(columns, schema=schema_of(table.table))


def _names(table: Attached) -> list[str]:
    return [one.name for one in table.measures]


def _of_name(manifest: Manifest, name: str, database: Path) -> Attached | None:
    """The attached table of a name, if there is one.

    Raises:
        NatsdbError: there is one whose name differs in its case, which SQL does not tell apart.
    """
    alike = next((one for one in manifest.attached if one.name.lower() == name.lower()), None)
    if alike is not None and alike.name != name:
        raise _is_there(alike.name, database)
    return alike


def _is_there(name: str, database: Path) -> NatsdbError:
    return NatsdbError(
        f"a table {name!r} is attached already",
        where=str(database),
        remedy="choose another name with --as, or --replace it",
    )


def _keep(database: Path, before: Manifest, table: Attached, rows: pa.Table) -> bool:
    """`keep_attached` of who holds the database."""
    import pyarrow.compute as pc

    rows = rows.select([column.name for column in table.table.columns])
    # (PyArrow's sorts and groups of tables, and its functions of Python's values, would import pandas: 0.5 s.)
    rows = rows.take(pc.sort_indices(rows, sort_keys=[(column, "ascending") for column in table.key]))
    archs = len(set(zip(rows["space"].to_pylist(), rows["arch"].to_pylist(), strict=True)))
    datasets = sorted(pc.unique(rows["dataset"]).to_pylist()) if "dataset" in table.key else []
    table = replace(table, archs=archs, datasets=tuple(datasets))
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
