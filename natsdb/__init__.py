"""NATS-Bench as a columnar analytical database with a SQL layer.

`connect` gives a DuckDB connection, `query` a polars frame, `scan` a polars LazyFrame, `info` what is inside. The
way in and out is in `natsdb.ingest`: `ingest`, `verify`, `export`. Nothing heavy is imported until it is needed.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from natsdb.schema.errors import Missing, NatsdbError

if TYPE_CHECKING:
    import polars as pl

    from natsdb.ingest.attach import Read
    from natsdb.schema.tables import Table
    from natsdb.showing import Shown
    from natsdb.store.manifest import Manifest


__version__ = "0.1.0"
__all__ = [
    "Info",
    "NatsdbError",
    "attach",
    "connect",
    "detach",
    "files",
    "front_quality",
    "info",
    "pareto",
    "query",
    "scan",
    "show",
]


def _home(db: str | os.PathLike[str] | None) -> Path:
    from natsdb.store.locations import local

    return local(db)


def connect(
    db: str | os.PathLike[str] | None = None,
    *,
    version: int | None = None,
    source: str | None = None,
    tables: Mapping[str, Any] | None = None,
    threads: int | None = None,
    memory_limit: str | None = None,
    unlocked: bool = False,
) -> Any:
    """A DuckDB connection with a view for each table, and natsdb's views and macros.

    Args:
        db: the database's folder, or its URL (s3://…, https://…, hf://datasets/OWNER/NAME; extra `remote`), which is
            read in place; by default `$NATSDB_HOME`, else natsdb's folder in the user's data directory.
        version: an earlier version of it (`natsdb log`); the newest by default. A connection keeps the version that it
            opened, whatever is published meanwhile.
        source: views and macros choose rows of this source and no others; by default one for each architecture and
            data set, as `natsdb.store.choice` says. Tables hold all rows in either case.
        tables: frames of one's own by the name that SQL shall know them by: of polars or pandas, or Arrow tables.
            (A locked connection does not look for frames among Python's variables, as plain DuckDB does.)
        threads: how many DuckDB uses; by default one a core, 16 for a database behind a URL.
        memory_limit: how much memory DuckDB may use, such as "2GB", by default four fifths of the machine's; what
            takes more goes into files in the system's temporary folder.
        unlocked: a plain DuckDB connection, whose SQL may write and read other files too (below DuckDB 2 give
            parameters to its `execute`: its `sql` with them may wait forever). The default is locked, see
            `natsdb.connection.Connection`.

    Raises:
        Missing: there is no database, not this version of it, or no row of the source.
        NatsdbError: it is damaged, or a newer natsdb wrote it; a table's name is taken, or it is no frame.

    Example:
        >>> import natsdb
        >>> natsdb.connect().sql("select * from best('cifar100', 'x-test', '200')")  # doctest: +SKIP
    """
    from natsdb.connection import open_database
    from natsdb.store.snapshot import open_with_builtin

    return open_database(
        open_with_builtin(db, version),
        source=source,
        unlocked=unlocked,
        tables=tables,
        threads=threads,
        memory_limit=memory_limit,
    )


def query(
    statement: str,
    params: Any = None,
    db: str | os.PathLike[str] | None = None,
    *,
    version: int | None = None,
    source: str | None = None,
    **tables: Any,
) -> pl.DataFrame:
    """The answer to a SQL statement, as a polars frame.

    Args:
        params: values for `?` (a list) or `$name` (a dictionary) in the statement. A path or URL in its place is the
            database, as in `query(statement, db)`.
        db, version, source: see `connect`.
        tables: frames that the statement names, as in `query("select * from mine", mine=frame)`; see `connect`.

    Raises:
        NatsdbError: there is no database, or the statement is wrong, has no answer or is not allowed (see `connect`).
    """
    if isinstance(params, (str, os.PathLike)):
        if db is not None:
            raise NatsdbError("parameters are a list or a dictionary", remedy="give the database as `db=` only")
        params, db = None, params
    with connect(db, version=version, source=source, tables=tables) as connection:
        answer = connection.sql(statement, params=params)
        if answer is None:
            raise NatsdbError("the statement has no answer", remedy="ask with `select …`; see `natsdb info`")
        frame: pl.DataFrame = answer.pl()
        return frame


def pareto(
    objectives: str | Sequence[str],
    dataset: str,
    split: str,
    hp: str,
    db: str | os.PathLike[str] | None = None,
    *,
    space: str = "tss",
    version: int | None = None,
    source: str | None = None,
) -> pl.DataFrame:
    """The architectures that no other beats in two or three objectives, as the macro `front` finds them.

    Args:
        objectives: measures in a list, or with commas: accuracy (mean after the last epoch on the split, percent), of
            which more is better; flops, params, latency, train_seconds, as in the view `mean_cost`, or any measure, as
            in the view `measure`, of which less is better. MEASURE:max and MEASURE:min say otherwise.
        dataset, split, hp: of which accuracies and costs; see docs/ask.md.
        db, version, source: see `connect`.

    Returns:
        A row an architecture, the best in the first objective first: arch, a column for each measure, arch_str, source,
        coverage.

    Raises:
        NatsdbError: there are fewer or more objectives, no such measure, or no database.
    """
    from natsdb.objectives import pareto as run

    with connect(db, version=version, source=source) as connection:
        return run(connection, objectives, dataset, split, hp, space)


def front_quality(
    archs: Sequence[int],
    objectives: str | Sequence[str],
    dataset: str,
    split: str,
    hp: str,
    db: str | os.PathLike[str] | None = None,
    *,
    space: str = "tss",
    version: int | None = None,
    source: str | None = None,
) -> dict[str, Any]:
    """How good some architectures are as a front, beside the exact front of the whole space.

    Values are scaled so that the best of the space in each objective is 0 and the worst 1; the reference point is the
    worst in each, so that no architecture lies outside.

    Args:
        archs: official indexes.
        objectives, dataset, split, hp, db, space, version, source: as of `pareto`.

    Returns:
        hypervolume: the share of the box that they dominate, 0 to 1; igd_plus: IGD+ to the exact front in the box;
        exact_hypervolume: that of the exact front; ideal, reference: the best and worst value by measure, not scaled.

    Raises:
        NatsdbError: as of `pareto`; an architecture has no value of an objective; moocore is not installed (extra
            `objectives`).
    """
    from natsdb.objectives import front_quality as run

    with connect(db, version=version, source=source) as connection:
        return run(connection, archs, objectives, dataset, split, hp, space)


def scan(table: str, db: str | os.PathLike[str] | None = None, *, version: int | None = None) -> pl.LazyFrame:
    """A table as a polars LazyFrame: predicates and projections reach the Parquet files and their folders.

    Every version that was scanned is held against `natsdb vacuum` until the process ends.

    Args:
        table: one of the tables that `natsdb info` lists (not a view or macro: these are SQL).
        version: an earlier version of the database; see `connect`.

    Raises:
        Missing: there is no database or no such table.
    """
    from natsdb.frames import scan_table
    from natsdb.store.snapshot import open_with_builtin

    snapshot = open_with_builtin(db, version)
    return scan_table(_table(table, snapshot.manifest), snapshot)


def show(arch: str, db: str | os.PathLike[str] | None = None, **options: Any) -> Shown:
    """All that a database says of an architecture, such as `tss/9930`; see `natsdb.showing.show`."""
    from natsdb.showing import show as run

    return run(arch, db, **options)


def files(table: str, db: str | os.PathLike[str] | None = None) -> list[str]:
    """Paths, or URLs, of a table's Parquet files, for engines of one's own (see docs/from-afar.md).

    Source, space, hp and block are in the names of folders; hp is text, also where it looks like a number.

    Raises:
        NatsdbError: there is no database or no such table.
    """
    from natsdb.store.snapshot import open_with_builtin

    snapshot = open_with_builtin(db)
    name = _table(table, snapshot.manifest).name
    return [snapshot.path(file) for file in snapshot.manifest.files(name)]


def _table(name: str, manifest: Manifest) -> Table:
    from natsdb.schema.names import did_you_mean

    tables = manifest.tables()
    if name not in tables:
        raise Missing(f"there is no table {name!r}", remedy=did_you_mean(name, tables))
    return tables[name]


def attach(
    table: Any,
    name: str,
    db: str | os.PathLike[str] | None = None,
    *,
    space: str | None = None,
    dataset: str | None = None,
    key: str | Sequence[str] | None = None,
    encoding: str | None = None,
    null: float | str | Sequence[float | str] | None = None,
    partial: bool = False,
    replace: bool = False,
    about: str = "",
    meanings: Mapping[str, str] | None = None,
    units: Mapping[str, str] | None = None,
    source: str = "",
    licence: str = "",
    citation: str = "",
) -> Read:
    """Add a table of one's own to a database, where SQL joins it by space, arch and dataset.

    A row is an architecture, or an architecture on a data set, or that and further key columns; the other columns are
    its measures. Which column says the architecture, and how it is written, is recognised from the contents
    (`natsdb.encodings`), compared with FLOPs, parameters and accuracies that the table may have, and said.

    Args:
        table: a CSV, JSON, Parquet or Arrow file, a pickle or torch file of plain containers; a frame of polars, pandas
            or Arrow; lists and dictionaries.
        name: of the table in SQL.
        db: the database's folder, which is made if it is not there; by default as for `connect`.
        space: of which its architectures are, where its contents leave that open.
        dataset: of which its rows are, where it does not say that itself; without, they are of each data set.
        key: a column, or several, as COLUMN or COLUMN=ENCODING: the one that has architectures, and those that tell
            several rows of an architecture apart.
        encoding: how the architectures are written, where that is not clear.
        null: what stands in measures for no value, such as -1 for a latency; an empty list if nothing does.
        partial: whether it may lack architectures of the space.
        replace: whether it may take the place of an attached table of this name.
        about: what a row is; meanings, units: of measures, by name; source, licence, citation: of the table. What is
            not given is taken from a file beside the table: NAME.json or Croissant, see docs/join.md.

    Returns:
        What was read: `frame`, `key`, `measures`, and in `said` what was recognised, in words.

    Raises:
        Missing: there is no such file.
        Contradiction: its FLOPs, parameters or accuracies are those of other architectures.
        NatsdbError: it cannot be read, what it is is not clear, or some of its rows are no architectures, come twice,
            are missing or hold a number that stands for none; the name is taken. The database is unchanged.

    Example:
        >>> natsdb.attach("hw_cifar10.csv", "hw", dataset="cifar10", null=-1).said  # doctest: +SKIP
    """
    from natsdb import attaching
    from natsdb.ingest.attach.described import Description

    how = {"space": space, "dataset": dataset, "key": key, "encoding": encoding, "null": null, "partial": partial}
    said = Description(about, source, licence, citation, meanings or {}, units or {})
    return attaching.attach(table, name, db, how, said, replacing=replace)


def detach(name: str, db: str | os.PathLike[str] | None = None) -> None:
    """Take an attached table out of a database; `natsdb rollback` brings it back.

    Raises:
        Missing: there is no database, or no attached table of this name in it.
    """
    from natsdb.ingest.attached import detach as run

    run(name, _home(db))


@dataclass(frozen=True)
class Info:
    """What a database holds: `tables` has rows and bytes by table; `contents` architectures, runs and rows by source,
    space and hp; `ingests` the sources that were read; `attached` the tables beside natsdb's own. What natsdb's own
    database shows beside the user's is among them."""

    database: Path | str
    tables: dict[str, tuple[int, int]]
    contents: list[tuple[str, str, str, int, int, int]]
    ingests: tuple[Any, ...]
    attached: tuple[Any, ...] = ()

    @property
    def synthetic(self) -> bool:
        """Whether some of its numbers are generated, not measured."""
        return any(content[0] == "synthetic" for content in self.contents)


def info(db: str | os.PathLike[str] | None = None, *, version: int | None = None) -> Info:
    """What is inside a database, at its newest version or an earlier one, without reading its measurements.

    Raises:
        NatsdbError: there is no database, or a newer natsdb wrote it.
    """
    from natsdb.connection import open_database
    from natsdb.store.snapshot import open_with_builtin

    snapshot = open_with_builtin(db, version)
    manifest = snapshot.manifest
    tables = {
        name: (
            sum(part.rows for part in manifest.parts if part.table == name),
            sum(part.bytes for part in manifest.parts if part.table == name),
        )
        for name in manifest.tables()
    }
    contents: list[tuple[str, str, str, int, int, int]] = []
    if tables["seed"][0]:
        rows: dict[tuple[str, str, str], int] = {}
        for part in manifest.parts:
            if part.table == "metric":
                key = (part.source, part.space, part.hp)
                rows[key] = rows.get(key, 0) + part.rows
        with open_database(snapshot, unlocked=False) as connection:
            counted = connection.execute(
                "select source, space, hp, count(distinct arch), count(*) from seed group by all order by all"
            ).fetchall()
        contents = [(s, p, h, archs, runs, rows.get((s, p, h), 0)) for s, p, h, archs, runs in counted]
    return Info(snapshot.home, tables, contents, manifest.ingests, manifest.attached)


def holds_synthetic(db: str | os.PathLike[str] | None = None) -> bool:
    """Whether a database holds rows that are generated, not measured."""
    from natsdb.store.snapshot import open_with_builtin

    return any(part.source == "synthetic" for part in open_with_builtin(db).manifest.parts)


def write_duckdb(file: str | os.PathLike[str], db: str | os.PathLike[str] | None = None) -> Path:
    """Write a DuckDB file of the views and macros of a database, for any DuckDB client; whole or not at all.

    The file holds no rows: its views read the database's files by their absolute paths. Its view `natsdb` says of which
    version of which database, and how to write it anew. Clients since 1.1 open it; all macros run since 1.4.

    Raises:
        NatsdbError: there is no database, the file cannot be written, or a folder above the database is named like a
            folder in it (`hp=7`).
    """
    from natsdb import duckdb_file

    return duckdb_file.write_duckdb(file, db, __version__)
