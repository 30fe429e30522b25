"""A DuckDB file of views and macros over a database, for clients that know nothing of natsdb."""

from __future__ import annotations

import os
import re
from contextlib import suppress
from pathlib import Path

from natsdb.schema.errors import NatsdbError, NotWritable
from natsdb.schema.tables import TABLES
from natsdb.sql import install
from natsdb.sql.quoted import quoted_text
from natsdb.sql.tables import listing
from natsdb.store.snapshot import BESIDE, Snapshot, open_local_with_builtin
from natsdb.store.versions import pin
from natsdb.store.writing import whole_file

# DuckDB 2 writes files that older clients refuse; this format is read since 1.0. (The macros need 1.4.)
STORAGE_VERSION = "v1.0.0"
_FOLDERS = {column.name for table in TABLES.values() for column in table.columns if column.partition} | {"block"}


def write_duckdb(file: str | os.PathLike[str], db: str | os.PathLike[str] | None, written_by: str) -> Path:
    """See `natsdb.write_duckdb`; `written_by` is natsdb's version."""
    import duckdb

    snapshot = open_local_with_builtin(db)
    home, target = Path(snapshot.home).resolve(), Path(file)
    plain_path(home)
    again = f"natsdb duckdb {target.name} --db {home}"
    origin = {
        "natsdb": written_by,
        "database": str(home),
        "write_anew": f"This file reads version {snapshot.manifest.version} of the database, which stays as long as "
        f"this file does; for a newer version, or when the database or this file was moved, write it anew: {again}",
    }
    columns = ", ".join(f"{quoted_text(value)} as {name}" for name, value in origin.items())
    try:
        with (
            whole_file(target) as temporary,
            duckdb.connect(str(temporary), config={"storage_compatibility_version": STORAGE_VERSION}) as connection,
        ):
            install(connection, lambda paths: listing(_plain(snapshot, path) for path in paths), snapshot.manifest)
            connection.execute(f"create view natsdb as select {columns}, {snapshot.manifest.version} as version")
    except (OSError, duckdb.IOException) as error:
        raise NotWritable(f"cannot write ({error})", where=str(target), remedy="name another file") from error
    # As long as the file is there, its version's files stay. A database that cannot be written is not vacuumed either.
    if not snapshot.builtin:
        with suppress(OSError):
            pin(home, snapshot.manifest.version, target.resolve())
    return target


def _plain(snapshot: Snapshot, path: str) -> str:
    root = Path(snapshot.root(path)).resolve()
    return f"{plain_path(root)}/{path.removeprefix(BESIDE)}"


def plain_path(home: Path) -> str:
    """A database's absolute path as DuckDB's own file system takes it in a list of files: glob characters escaped.

    Raises:
        NatsdbError: a folder's name reads as a column of ours, for which DuckDB would take it.
    """
    for name in home.parts:
        if name.partition("=")[0] in _FOLDERS and "=" in name:
            raise NatsdbError(
                f"DuckDB takes the folder {name!r} above the database for its column {name.partition('=')[0]!r}",
                where=str(home),
                remedy="rename it, or move the database",
            )
    return re.sub(r"([*?\[])", r"[\1]", str(home))
