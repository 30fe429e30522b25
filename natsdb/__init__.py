"""NATS-Bench as a columnar analytical database with a SQL layer.

`connect` gives a DuckDB connection, `query` a polars frame, `scan` a polars LazyFrame, `info` what is inside. The
way in and out is in `natsdb.ingest`: `ingest`, `verify`, `export`. Nothing heavy is imported until it is needed.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from natsdb.schema.errors import NatsdbError

if TYPE_CHECKING:
    import polars as pl

    from natsdb.store.manifest import Manifest


__version__ = "0.1.0"
__all__ = ["Info", "NatsdbError", "connect", "files", "info", "query", "scan"]


def _home(db: str | os.PathLike[str] | None) -> Path:
    from natsdb.store.locations import local

    return local(db)


def _opened(db: str | os.PathLike[str] | None) -> tuple[Path | str, Manifest]:
    from natsdb.store.snapshot import open_snapshot

    snapshot = open_snapshot(db)
    return snapshot.home, snapshot.manifest


def connect(db: str | os.PathLike[str] | None = None, *, version: int | None = None, unlocked: bool = False) -> Any:
    """A DuckDB connection with a view for each table, and natsdb's views and macros.

    Args:
        db: the database's folder, or its URL (s3://…, https://…; extra `remote`), which is read in place; by default
            `$NATSDB_HOME`, else natsdb's folder in the user's data directory.
        version: an earlier version of it (`natsdb log`); the newest by default. A connection keeps the version that it
            opened, whatever is published meanwhile.
        unlocked: a plain DuckDB connection, whose SQL may write and read other files too. The default is locked, see
            `natsdb.connection.Connection`.

    Raises:
        Missing: there is no database, or not this version of it.
        NatsdbError: it is damaged, or a newer natsdb wrote it.

    Example:
        >>> import natsdb
        >>> natsdb.connect().sql("select * from best('cifar100', 'x-test', '200')")  # doctest: +SKIP
    """
    from natsdb.connection import open_database
    from natsdb.store.snapshot import open_snapshot

    return open_database(open_snapshot(db, version), unlocked=unlocked)


def query(statement: str, db: str | os.PathLike[str] | None = None) -> pl.DataFrame:
    """The answer to a SQL statement, as a polars frame.

    Raises:
        NatsdbError: there is no database, or the statement is wrong or not allowed (see `connect`).
    """
    with connect(db) as connection, connection.explaining():
        return connection.sql(statement).pl()


def scan(table: str, db: str | os.PathLike[str] | None = None) -> pl.LazyFrame:
    """A table as a polars LazyFrame: predicates and projections reach the Parquet files and their folders.

    Args:
        table: one of the tables that `natsdb info` lists (not a view or macro: these are SQL).

    Raises:
        NatsdbError: there is no database or no such table.
    """
    import polars as pl

    from natsdb.schema.tables import TABLES

    listed = files(table, db)
    columns = TABLES[table].columns
    types: dict[str, Any] = {
        "VARCHAR": pl.String,
        "INTEGER": pl.Int32,
        "SMALLINT": pl.Int16,
        "DOUBLE": pl.Float64,
        "BOOLEAN": pl.Boolean,
        "VARCHAR[]": pl.List(pl.String),
        "SMALLINT[]": pl.List(pl.Int16),
        "DOUBLE[]": pl.List(pl.Float64),
    }
    if not listed:
        return pl.LazyFrame(schema={column.name: types[column.type] for column in columns})
    hive = {column.name: types[column.type] for column in columns if column.partition}
    if hive:
        hive["block"] = pl.Int32
    frame = pl.scan_parquet(listed, glob=False, hive_partitioning=bool(hive), hive_schema=hive or None)
    return frame.select([column.name for column in columns])


def files(table: str, db: str | os.PathLike[str] | None = None) -> list[str]:
    """Paths, or URLs, of a table's Parquet files, for engines of one's own (see docs/beyond-one-machine.md).

    Source, space, hp and block are in the names of folders; hp is text, also where it looks like a number.

    Raises:
        NatsdbError: there is no database or no such table.
    """
    from natsdb.schema.names import did_you_mean
    from natsdb.schema.tables import TABLES

    if table not in TABLES:
        raise NatsdbError(f"there is no table {table!r}", remedy=did_you_mean(table, TABLES))
    home, manifest = _opened(db)
    return [f"{home}/{file}" for file in manifest.files(table)]


@dataclass(frozen=True)
class Info:
    """What a database holds: `tables` has rows and bytes by table; `contents` architectures, runs and rows by source,
    space and hp; `ingests` the sources that were read."""

    database: Path | str
    tables: dict[str, tuple[int, int]]
    contents: list[tuple[str, str, str, int, int, int]]
    ingests: tuple[Any, ...]

    @property
    def synthetic(self) -> bool:
        """Whether some of its numbers are generated, not measured."""
        return any(content[0] == "synthetic" for content in self.contents)


def info(db: str | os.PathLike[str] | None = None) -> Info:
    """What is inside a database, without reading its measurements.

    Raises:
        NatsdbError: there is no database, or a newer natsdb wrote it.
    """
    from natsdb.schema.tables import TABLES

    home, manifest = _opened(db)
    tables = {
        name: (
            sum(part.rows for part in manifest.parts if part.table == name),
            sum(part.bytes for part in manifest.parts if part.table == name),
        )
        for name in TABLES
    }
    contents: list[tuple[str, str, str, int, int, int]] = []
    if tables["seed"][0]:
        rows: dict[tuple[str, str, str], int] = {}
        for part in manifest.parts:
            if part.table == "metric":
                key = (part.source, part.space, part.hp)
                rows[key] = rows.get(key, 0) + part.rows
        with connect(home) as connection:
            counted = connection.execute(
                "select source, space, hp, count(distinct arch), count(*) from seed group by all order by all"
            ).fetchall()
        contents = [(s, p, h, archs, runs, rows.get((s, p, h), 0)) for s, p, h, archs, runs in counted]
    return Info(home, tables, contents, manifest.ingests)


def holds_synthetic(db: str | os.PathLike[str] | None = None) -> bool:
    """Whether a database holds rows that are generated, not measured."""
    return any(part.source == "synthetic" for part in _opened(db)[1].parts)


def write_duckdb(file: str | os.PathLike[str], db: str | os.PathLike[str] | None = None) -> Path:
    """Write a DuckDB file of the views and macros of a database, for any DuckDB client; whole or not at all.

    The file holds no rows: its views read the database's files by their absolute paths. Its view `natsdb` says of which
    version of which database, and how to write it anew. Clients since 1.1 open it; all macros run since 1.4.

    Raises:
        NatsdbError: there is no database, the file cannot be written, or a folder above the database is named like a
            folder in it (`hp=7`).
    """
    from natsdb import duckdb_file

    return duckdb_file.write_duckdb(file, db)
