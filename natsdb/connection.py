"""A DuckDB connection over a database that SQL can read and not write."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import duckdb

from natsdb.schema.errors import NatsdbError
from natsdb.schema.names import did_you_mean
from natsdb.schema.tables import TABLES
from natsdb.sql import MACROS, VIEWS, install
from natsdb.store.files import SCHEME, ListedFiles
from natsdb.store.snapshot import Snapshot

# What a locked connection runs: questions, and tables, views and macros of the session, which live in memory.
# The rest writes files (COPY, EXPORT), opens others (ATTACH), loads code (LOAD) or hides one of these (PREPARE, CALL).
_ALLOWED = {
    "SELECT",
    "CREATE",
    "INSERT",
    "UPDATE",
    "DELETE",
    "DROP",
    "ALTER",
    "TRANSACTION",
    "SET",
    "MULTI",
    "RELATION",
}
_EXPLAIN = re.compile(r"\s*explain\s*(analyze\b)?\s*(\([^)]*\))?", re.IGNORECASE)


class Connection:
    """A DuckDB connection with natsdb's views and macros, locked: SQL writes no file and reads none but the database's.

    It has the methods of `duckdb.DuckDBPyConnection` (`sql`, `execute`, `fetchall`, `table`, `cursor`, …). DuckDB
    itself refuses files and network outside the database and changes of its settings (`enable_external_access`,
    `allowed_directories`, `lock_configuration`). It would write inside allowed directories, so statements other than
    questions and tables in memory are refused here.
    """

    def __init__(self, connection: duckdb.DuckDBPyConnection, files: ListedFiles) -> None:
        self._connection, self._files = connection, files

    def sql(self, query: Any, **options: Any) -> Any:
        """Like DuckDB's `sql`: a relation.

        Raises:
            NatsdbError: the statement could write or read outside the database, or names a table or column that does
                not exist; the names that do are listed.
        """
        return self._guarded("sql", query, **options)

    def query(self, query: Any, **options: Any) -> Any:
        """The same as `sql`."""
        return self._guarded("query", query, **options)

    def execute(self, query: Any, *arguments: Any, **options: Any) -> Connection:
        """Like DuckDB's `execute`; raises as `sql` does."""
        self._guarded("execute", query, *arguments, **options)
        return self

    def executemany(self, query: Any, *arguments: Any, **options: Any) -> Connection:
        """Like DuckDB's `executemany`; raises as `sql` does."""
        self._guarded("executemany", query, *arguments, **options)
        return self

    def cursor(self) -> Connection:
        """Another connection to the same views, for another thread."""
        return Connection(self._connection.cursor(), self._files)

    def _guarded(self, method: str, query: Any, *arguments: Any, **options: Any) -> Any:
        with self.explaining():
            if isinstance(query, str):
                check(self._connection, query)
            return getattr(self._connection, method)(query, *arguments, **options)

    @contextmanager
    def explaining(self) -> Iterator[None]:
        """DuckDB's errors in here are raised as natsdb's, in one sentence."""
        try:
            yield
        except duckdb.Error as error:
            if self._files.failure is not None:
                failure, self._files.failure = self._files.failure, None
                raise failure from error
            raise explained(self._connection, error) from error

    def __getattr__(self, name: str) -> Any:
        if name in ("install_extension", "load_extension", "register_filesystem", "unregister_filesystem"):
            raise NatsdbError(
                f"{name} is not allowed on a locked connection", remedy="use natsdb.connect(unlocked=True)"
            )
        return getattr(self._connection, name)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()


def open_database(
    snapshot: Snapshot, *, unlocked: bool, source: str | None = None
) -> Connection | duckdb.DuckDBPyConnection:
    """A connection in memory with the views and macros of a database, of one source's rows if it is given.

    Raises:
        Missing: there are no rows of the source.
        NatsdbError: a file of it is damaged or cannot be read.
    """
    connection = duckdb.connect()
    connection.execute("set parquet_metadata_cache = true")
    files = ListedFiles(snapshot)
    connection.register_filesystem(files)
    if isinstance(snapshot.home, str):
        # Threads wait for the network, not for a core.
        connection.execute("set threads = 16")
    opened = Connection(connection, files)
    with opened.explaining():
        install(connection, f"{SCHEME}:/", snapshot.manifest, source)
    if unlocked:
        return connection
    connection.execute(f"set allowed_directories = ['{SCHEME}://']")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
    return opened


def check(connection: duckdb.DuckDBPyConnection, query: str) -> None:
    """Refuse statements that could write files, read others, or load code.

    Raises:
        NatsdbError: there is such a statement in the query.
        duckdb.ParserException: it is no SQL.
    """
    for statement in connection.extract_statements(query):
        kind = statement.type.name
        if kind == "EXPLAIN":
            # EXPLAIN ANALYZE runs what it explains.
            inner = _EXPLAIN.sub("", statement.query, count=1)
            kinds = {one.type.name for one in connection.extract_statements(inner)}
            kind = "SELECT" if kinds == {"SELECT"} else "EXPLAIN"
        if kind not in _ALLOWED:
            raise NatsdbError(
                f"{kind} is not allowed: SQL through natsdb reads the database and nothing else",
                remedy="use natsdb.connect(unlocked=True), or `natsdb sql -o FILE` to keep a result",
            )


def explained(connection: duckdb.DuckDBPyConnection, error: duckdb.Error) -> NatsdbError:
    """DuckDB's error in one sentence; for a missing table or column, with the names that exist, the nearest first."""
    text = str(error).split("\n\nLINE")[0].split("\n")[0]
    text = re.sub(r"^\w+( \w+)? Error: ", "", text).rstrip(".!")
    missing = re.search(
        r"(?:Table Function|Macro Function|Table|Referenced column|Column|Function) (?:with name )?\"?([\w.-]+)\"?",
        text,
    )
    name = missing[1] if missing else ""
    if isinstance(error, duckdb.CatalogException) and name:
        return NatsdbError(
            f"there is no table or macro {name!r}", remedy=did_you_mean(name, [*TABLES, *VIEWS, *MACROS])
        )
    if isinstance(error, duckdb.BinderException) and name and "column" in text.lower():
        columns = connection.execute("select distinct column_name from information_schema.columns").fetchall()
        every = {column for (column,) in columns} | {
            column.name for table in TABLES.values() for column in table.columns
        }
        return NatsdbError(f"there is no column {name!r}", remedy=did_you_mean(name, sorted(every)))
    return NatsdbError(text, remedy="see `natsdb info` for tables and columns")
