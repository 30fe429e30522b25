"""A DuckDB connection over a database that SQL can read and not write."""

from __future__ import annotations

import os
import re
import tempfile
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from typing import Any

import duckdb

from natsdb.installed import Installed
from natsdb.relation import names_in, refused, unwrapped, wrapped
from natsdb.schema.errors import Missing, NatsdbError
from natsdb.schema.names import did_you_mean
from natsdb.schema.tables import TABLES
from natsdb.sql import MACROS, MADE, VIEWS, statements, taken
from natsdb.sql.quoted import quoted_name, quoted_text
from natsdb.store.files import SCHEME, ListedFiles
from natsdb.store.manifest import Manifest
from natsdb.store.snapshot import Snapshot

# What a locked connection runs: questions, and tables, views and macros of the session, which live in memory.
# The rest writes files (COPY, EXPORT), opens others (ATTACH), loads code (LOAD) or hides one of these (PREPARE, CALL).
_STATEMENTS = {
    "SELECT",
    "CREATE",
    "INSERT",
    "UPDATE",
    "DELETE",
    "DROP",
    "ALTER",
    "MERGE_INTO",
    "TRANSACTION",
    "SET",
    "MULTI",
    "RELATION",
}
# Pragmas that answer with rows. (DuckDB 1.4 turns them into SELECT itself.)
_PRAGMAS = re.compile(
    r"\s*pragma\s+(table_info|show|show_tables|show_tables_expanded|show_databases|database_list|database_size"
    r"|storage_info|metadata_info|functions|collations|version|platform|user_agent)\b",
    re.IGNORECASE,
)
# DuckDB 1.4 lets a question start a log in files, locked or not, and can no longer be used then.
_ACTING = re.compile(r"\b(enable_logging|disable_logging|truncate_duckdb_logs)\b", re.IGNORECASE)
_FRAMES = "read files with polars or pandas, and give the frame to `connect(tables=…)`"
_TEMPORARY = re.compile(
    r"\btemp(?:orary)?\s+(?:recursive\s+)?(?:table|view|macro|function)\s+(?:if\s+not\s+exists\s+)?"
    r'(?:(?:"[^"]*"|\w+)\s*\.\s*)*(?:"([^"]*)"|(\w+))',
    re.IGNORECASE,
)
# What stands before a table's name, and the name.
_FROM = re.compile(r'\b(?:from|join)\s+(?:"?\w+"?\s*\.\s*)*"?(\w+)', re.IGNORECASE)
# DuckDB 1 fetches what `sql` answers to a statement with parameters while it holds Python's lock; a thread that closes
# a file of ours waits for the lock, and the two forever (1.4 and 1.5, once in a thousand asks, under load more often).
_WAITS = duckdb.__version__.startswith("1.")
_TO_ARROW = "to_arrow_table" if hasattr(duckdb.DuckDBPyConnection, "to_arrow_table") else "fetch_arrow_table"
# Types whose values do not come back from Arrow as they were.
_NOT_BY_ARROW = re.compile(r"\b(BIT|TIME WITH TIME ZONE|UHUGEINT|BIGNUM|VARINT|VARIANT)\b")
_EXPLAIN = re.compile(r"\s*explain\s*(analyze\b)?\s*(\([^)]*\))?", re.IGNORECASE)

# Every public method of DuckDB's connections is defined in `Connection` or is in one of these sets; what is in none is
# refused. These ask, make relations and types, or change what is in memory only.
ALLOWED = names_in(
    """
    abort append appender array_type arrow begin checkpoint close commit complete create_function decimal_type
    description df dtype enum_type extract_statements fetch_arrow_table fetch_df fetch_df_chunk fetch_record_batch
    fetchall fetchdf fetchmany fetchnumpy fetchone filesystem_is_registered from_arrow from_df get_table_names
    interrupt list_filesystems list_type map_type pl query_progress register remove_function rollback row_type rowcount
    sqltype string_type struct_type table table_function tf to_arrow_reader to_arrow_table torch type union_type
    unregister values view
    """
)
# Of these, those that name a table or view, or begin what a view that is made meanwhile would be undone with.
NAMING = {"append", "appender", "begin", "create_function", "get_table_names", "table", "table_function", "tf", "view"}
# These read files, load code, change what files there are, change settings, or take SQL that nobody has checked.
REFUSED = names_in(
    """
    disable_profiling enable_profiling from_csv_auto from_parquet get_profiling_information install_extension
    load_extension query_appender read_csv read_json read_parquet register_filesystem unregister_filesystem
    """
)


class Connection:
    """A DuckDB connection with natsdb's views and macros, locked: SQL writes no file and reads none but the database's.

    It has the methods of `duckdb.DuckDBPyConnection` (`sql`, `execute`, `fetchall`, `table`, `cursor`, …) but for those
    that read or write files or load code, and answers with `natsdb.relation.Relation`. DuckDB itself refuses files and
    network outside the database and changes of its settings (`enable_external_access`, `allowed_directories`,
    `lock_configuration`), and the database's files are behind a file system that only reads.

    `snapshot` is the version of the database that it reads.
    """

    def __init__(
        self,
        connection: duckdb.DuckDBPyConnection,
        files: ListedFiles,
        snapshot: Snapshot,
        installed: Installed,
        tables: Mapping[str, Any] | None = None,
    ) -> None:
        self._connection, self._files, self.snapshot, self._installed = connection, files, snapshot, installed
        # DuckDB registers frames for a connection and not for its cursors.
        self._tables = dict(tables or {})
        for name, frame in self._tables.items():
            _register(connection, name, frame, snapshot.manifest)

    def sql(self, query: Any, **options: Any) -> Any:
        """Like DuckDB's `sql`: a relation.

        Raises:
            Missing: it names a table or column that does not exist; the names that do are listed.
            NatsdbError: the statement is wrong, or could write or read outside the database.
        """
        return self._guarded("sql", query, **options)

    def query(self, query: Any, **options: Any) -> Any:
        """The same as `sql`."""
        return self._guarded("sql", query, **options)

    def from_query(self, query: Any, **options: Any) -> Any:
        """The same as `sql`."""
        return self._guarded("sql", query, **options)

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
        return Connection(self._connection.cursor(), self._files, self.snapshot, self._installed, self._tables)

    def duplicate(self) -> Connection:
        """The same as `cursor`."""
        return self.cursor()

    def check(self, query: Any) -> None:
        """Refuse statements, in text or as `extract_statements` gives them, that could write files or read others, and
        make the views and macros that the others name.

        Raises:
            NatsdbError: there is such a statement in the query.
            duckdb.ParserException: it is no SQL.
        """
        if isinstance(query, str):
            for statement in self._connection.extract_statements(query):
                self._check_one(statement)
        elif isinstance(query, duckdb.Statement):
            self._check_one(query)
        else:
            raise NatsdbError(f"SQL is text, not {type(query).__name__}", remedy="give the statement as a string")

    def _check_one(self, statement: duckdb.Statement) -> None:
        kind = statement.type.name
        if kind == "EXPLAIN":
            # EXPLAIN ANALYZE runs what it explains.
            for inner in self._connection.extract_statements(_EXPLAIN.sub("", statement.query, count=1)):
                self._check_one(inner)
            return
        reading = kind == "PRAGMA" and _PRAGMAS.match(statement.query)
        acting = _ACTING.search(statement.query)
        if acting or not (reading or kind in _STATEMENTS):
            raise NatsdbError(
                f"{acting[1] if acting else kind} is not allowed: SQL through natsdb reads the database and nothing "
                "else",
                remedy="use natsdb.connect(unlocked=True), or `natsdb sql -o FILE` to keep a result",
            )
        named = _TEMPORARY.search(statement.query) if kind == "CREATE" else None
        if named and taken(name := named[1] or named[2] or "", self.snapshot.manifest):
            # Views and macros would read it: DuckDB looks for temporary names first.
            raise NatsdbError(f"{name!r} is a name of natsdb's own", remedy="give what is temporary another")
        self._installed.for_statement(self._connection, kind, statement.query)

    def prepare(self, text: str) -> None:
        """Make the views and macros that a piece of SQL names."""
        self._installed.for_names(self._connection, text)

    def _guarded(self, method: str, query: Any, *arguments: Any, **options: Any) -> Any:
        with self.explaining(asked=query if isinstance(query, str) else getattr(query, "query", "")):
            self.check(query)
            if _WAITS and method == "sql" and options.get("params") is not None and self._selects(query):
                return wrapped(self._answered(query, options), self)
            return wrapped(getattr(self._connection, method)(query, *arguments, **options), self)

    def _selects(self, query: Any) -> bool:
        statements = self._connection.extract_statements(query) if isinstance(query, str) else [query]
        return bool(statements) and statements[-1].type.name == "SELECT"

    def _answered(self, query: Any, options: dict[str, Any]) -> duckdb.DuckDBPyRelation:
        """What DuckDB's `sql` answers to a SELECT with parameters, by way of Arrow where that keeps all values."""
        self._connection.execute(query, options["params"])
        types = [column[1] for column in self._connection.description or ()]
        if _NOT_BY_ARROW.search(" ".join(map(str, types))):
            return self._connection.sql(query, **options)
        rows = getattr(self._connection, _TO_ARROW)()
        named = self._connection.from_arrow(rows.slice(0, 0)).columns  # of equal names the second is `a_1`
        relation = self._connection.from_arrow(rows.rename_columns([f"c{n}" for n in range(len(named))]))
        columns = []
        for n, (name, kind, found) in enumerate(zip(named, types, relation.types, strict=True)):
            value = f"c{n}" if str(kind) == str(found) else f"c{n}::{kind}"
            columns.append(f"{value} as {quoted_name(name)}")
        relation = relation.project(", ".join(columns))
        return relation.set_alias(options["alias"]) if options.get("alias") else relation

    @contextmanager
    def explaining(self, *kinds: type[Exception], asked: str = "") -> Iterator[None]:
        """DuckDB's errors in here, and those kinds that carry them, are raised as natsdb's, in one sentence; `asked`:
        the SQL, where it is at hand."""
        try:
            yield
        except (duckdb.Error, *kinds) as error:  # type: ignore[misc]  # (mypy 2 does not follow the star)
            failure = self._files.failure(str(error))
            if failure is not None:
                raise failure from error
            # What there is instead is looked up among all that there is.
            with suppress(duckdb.Error):
                self._installed.all(self._connection)
            raise explained(self._connection, error, asked) from error

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") or not hasattr(duckdb.DuckDBPyConnection, name):
            raise AttributeError(f"a connection has no method {name!r}")
        if name not in ALLOWED:
            return refused(name, _FRAMES)
        with self.explaining():
            if name in NAMING:
                self._installed.all(self._connection)
            return wrapped(getattr(self._connection, name), self)

    def __enter__(self) -> Connection:
        return self

    def __exit__(self, *_: object) -> None:
        self._connection.close()


def open_database(
    snapshot: Snapshot,
    *,
    unlocked: bool,
    source: str | None = None,
    tables: Mapping[str, Any] | None = None,
    threads: int | None = None,
    memory_limit: str | None = None,
) -> Connection | duckdb.DuckDBPyConnection:
    """A connection in memory with the views and macros of a database; see `natsdb.connect`.

    Raises:
        Missing: there are no rows of the source.
        NatsdbError: a file of it is damaged or cannot be read, or a setting or table is not what DuckDB knows.
    """
    connection = duckdb.connect()
    files = ListedFiles(snapshot)
    installed = Installed(statements(files.named, snapshot.manifest, source))
    opened = Connection(connection, files, snapshot, installed)
    # Behind a URL threads wait for the network, not for a core.
    threads = threads or (16 if isinstance(snapshot.home, str) else None)
    with opened.explaining():
        connection.execute("set parquet_metadata_cache = true")
        # DuckDB 2 prints it to standard output, among the answers. (A notebook without ipywidgets has none.)
        with suppress(duckdb.Error):
            connection.execute("set enable_progress_bar = false")
        # A folder of its own, made when it is needed: a locked connection may look into it.
        spill = os.path.join(tempfile.gettempdir(), f"natsdb-{uuid.uuid4().hex}")
        connection.execute(f"set temp_directory = {quoted_text(spill)}")
        if threads is not None:
            connection.execute(f"set threads = {int(threads)}")
        if memory_limit is not None:
            connection.execute(f"set memory_limit = {quoted_text(memory_limit)}")
        connection.register_filesystem(files)
        if unlocked:
            installed.all(connection)
    opened = Connection(connection, files, snapshot, installed, tables)
    if unlocked:
        return connection
    connection.execute(f"set allowed_directories = ['{SCHEME}://']")
    connection.execute("set enable_external_access = false")
    connection.execute("set lock_configuration = true")
    return opened


def _register(connection: duckdb.DuckDBPyConnection, name: str, frame: Any, manifest: Manifest) -> None:
    """Make a frame a table of the session.

    Raises:
        NatsdbError: the name is taken, or DuckDB cannot read the object.
    """
    if taken(name, manifest):
        raise NatsdbError(f"{name!r} is a table of natsdb's", remedy="choose another name for your own")
    try:
        connection.register(name, unwrapped(frame))
    except (duckdb.Error, TypeError) as error:
        raise NatsdbError(
            f"{name!r} cannot be a table: it is a {type(frame).__module__}.{type(frame).__qualname__}",
            remedy="give a polars or pandas frame, or an Arrow table",
        ) from error


def explained(connection: duckdb.DuckDBPyConnection, error: Exception, asked: str = "") -> NatsdbError:
    """DuckDB's error in one sentence; for a missing table or column, with the names that exist, the nearest first: of
    columns those of the tables that `asked`, the SQL, names."""
    text = str(error).split("\n\nLINE")[0].split("\n")[0]
    text = re.sub(r"^\w+( \w+)? Error: ", "", text).rstrip(".!")
    # What looks like a path is taken for a table where its ending is not that of a file that DuckDB reads.
    file = re.match(r'Cannot access file "(.+)" - |Table with name (.*[/\\].*) does not exist$', text)
    if file:
        return NatsdbError(
            f"{file[1] or file[2]!r} is a file: SQL through natsdb reads the database and nothing else",
            remedy=f"{_FRAMES}; natsdb.connect(unlocked=True) is plain DuckDB",
        )
    measure = re.search(r"there is no measure (.+?): `select", text)
    if measure:
        names = _names(connection, "select distinct name from measure")
        return Missing(f"there is no measure {measure[1]}", remedy=did_you_mean(measure[1], sorted(names)))
    missing = re.search(
        r"(?:Table Function|Macro Function|Table|Referenced column|Column|Function) (?:with name )?\"?([\w.-]+)\"?",
        text,
    )
    name = missing[1] if missing else ""
    if name and (misused := _misused(connection, name, text)) is not None:
        return misused
    if isinstance(error, duckdb.CatalogException) and name:
        names = [*TABLES, *VIEWS, *MACROS, *MADE]
        own = _names(connection, "select table_name from information_schema.tables where table_schema = 'main'")
        # Views that natsdb's views are made of are nobody's answer.
        inner = {f"{before}_{table}" for before in ("all", "chosen") for table in TABLES}
        return Missing(
            f"there is no table or macro {name!r}",
            remedy=did_you_mean(name, [*names, *(one for one in own if one not in {*names, *inner})]),
        )
    macro = re.search(r"Macro \"?(\w+)\(\)\"? does not support the supplied arguments", text)
    if macro:
        ask = f"select unnest(parameters) from duckdb_functions() where function_name = {quoted_text(macro[1])}"
        return NatsdbError(
            f"{macro[1]} takes other arguments: {', '.join(_names(connection, ask))}",
            remedy=f"`natsdb info {macro[1]}` says which of them can be left out",
        )
    qualified = re.search(r'does not have a column named "([^"]+)"', text)
    name = qualified[1] if qualified else name
    if isinstance(error, duckdb.BinderException) and name and "column" in text.lower():
        return _no_column(connection, name, str(error), asked)
    return NatsdbError(text, remedy="see `natsdb info` for tables and columns")


def _misused(connection: duckdb.DuckDBPyConnection, name: str, text: str) -> NatsdbError | None:
    """The error where what is there was taken for something else: a macro for a table, or a table for a macro."""
    wrong = re.search(r"(Table|Function) with name|is a table function but", text)
    if not wrong:
        return None
    name = name.rpartition(".")[2]
    of = f"from duckdb_functions() where lower(function_name) = {quoted_text(name.lower())} and function_type"
    parameters = _names(connection, f"select unnest(parameters) {of} in ('macro', 'table_macro')")
    if parameters:
        place = "in FROM" if _names(connection, f"select 1 {of} = 'table_macro'") else "where a value stands"
        return NatsdbError(
            f"{name} is a macro",
            remedy=f"call it {place}, with its arguments: {name}({', '.join(parameters)}); "
            f"`natsdb info {name}` says which of them can be left out",
        )
    ask = f"select 1 from information_schema.tables where lower(table_name) = {quoted_text(name.lower())}"
    if not wrong[1] or not _names(connection, ask):
        return None
    how = "without parentheses" if wrong[1] == "Function" else "alone, without a schema"
    return NatsdbError(f"{name} is a table", remedy=f"name it {how}: from {name}")


def _no_column(connection: duckdb.DuckDBPyConnection, name: str, error: str, asked: str) -> Missing:
    """The error where a column is missing: those of the tables that the SQL names, or else all that there are."""
    columns = "select distinct column_name from information_schema.columns"
    tables = ", ".join(quoted_text(table.lower()) for table in _FROM.findall(asked))
    near = _names(connection, f"{columns} where lower(table_name) in ({tables})") if tables else []
    # DuckDB names a few, those of what a macro gives too.
    bindings = re.search(r"Candidate bindings:[^\n]*", error)
    few = re.findall(r'"(?:[^".]+\.)?([^".]+)"', bindings[0] if bindings else "")
    # What has this very name is out of reach, or it would have been found.
    every = sorted({*near, *few} - {name})
    if near:
        remedy = did_you_mean(name, every)
    elif few:
        remedy = f"those most like it there are {', '.join(every)}"
    else:
        known = {column.name for table in TABLES.values() for column in table.columns}
        return Missing(
            f"there is no column {name!r}", remedy=did_you_mean(name, sorted({*_names(connection, columns), *known}))
        )
    ask = f"select table_name from information_schema.columns where lower(column_name) = {quoted_text(name.lower())}"
    others = [table for table in sorted(_names(connection, ask)) if table in {*TABLES, *VIEWS, *MADE}]
    if others:
        return Missing(f"there is no column {name!r} in it", remedy=f"{remedy}; {', '.join(others)} have one")
    return Missing(f"there is no column {name!r}", remedy=remedy)


def _names(connection: duckdb.DuckDBPyConnection, statement: str) -> list[str]:
    # A connection of its own: that of the error may be in a transaction that has failed.
    try:
        with connection.cursor() as other:
            return [name for (name,) in other.execute(statement).fetchall()]
    except duckdb.Error:
        return []
