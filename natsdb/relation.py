"""What a locked connection answers with: a relation of DuckDB's that computes and does not touch files."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from typing import Any, Protocol

import duckdb

from natsdb.schema.errors import NatsdbError


class Owner(Protocol):
    """What a relation asks of the connection that it belongs to."""

    def explaining(self, *kinds: type[Exception]) -> AbstractContextManager[None]:
        """DuckDB's errors in here are raised as natsdb's, in one sentence."""

    def check(self, query: Any) -> None:
        """Refuse statements that could write files, read others, or load code."""

    def prepare(self, text: str) -> None:
        """Make the views and macros that a piece of SQL names."""


def names_in(text: str) -> frozenset[str]:
    """The words of a list that is written as a text."""
    return frozenset(text.split())


# Every public method of DuckDB's relations is in one of these sets; what is in none is refused.
# Relations made of others: nothing runs until rows are asked for.
DERIVE = names_in(
    """
    aggregate any_value apply arg_max arg_min avg bit_and bit_or bit_xor bitstring_agg bool_and bool_or count cross
    cume_dist dense_rank describe distinct drop except_ favg filter first first_value fsum geomean group_by head
    histogram intersect join lag last last_value lead limit list map materialize max mean median min mode n_tile
    nth_value offset order percent_rank pivot product project quantile quantile_cont quantile_disc rank rank_dense
    rename row_number sample select select_dtypes select_types set_alias sort std stddev stddev_pop stddev_samp
    string_agg sum union union_by_name unique unnest unpivot value_counts var var_pop var_samp variance with_columns
    """
)
# Rows, or words about the relation, for the one who asks.
FETCH = names_in(
    """
    alias arrow close columns description df dtypes execute explain fetch_arrow_reader fetch_arrow_table fetch_df_chunk
    fetch_record_batch fetchall fetchdf fetchmany fetchnumpy fetchone iter_rows pl preview record_batch shape show
    sql_query tf to_arrow_reader to_arrow_table to_df to_dicts torch type types
    """
)
# Tables and views of the session: they live in memory and go with the connection.
IN_MEMORY = names_in("create create_view insert insert_into to_table to_view update")
REFUSED = names_in("to_csv to_parquet write_csv write_parquet")

_ALLOWED = DERIVE | FETCH | IN_MEMORY


class Relation:
    """A `duckdb.DuckDBPyRelation` of a locked connection: its methods, but for those that write files.

    What is derived of it is locked too, and an error while rows are computed is one sentence, as `Connection.sql`
    promises.
    """

    def __init__(self, relation: duckdb.DuckDBPyRelation, owner: Owner) -> None:
        self._relation, self._owner = relation, owner

    def query(self, virtual_table_name: str, sql_query: Any) -> Any:
        """Like DuckDB's `query`: SQL over this relation under a name.

        Raises:
            NatsdbError: as of `Connection.sql`.
        """
        with self._owner.explaining():
            self._owner.check(sql_query)
            return wrapped(self._relation.query(virtual_table_name, sql_query), self._owner)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_"):
            raise AttributeError(name)
        with self._owner.explaining():
            if name in _ALLOWED and hasattr(duckdb.DuckDBPyRelation, name):
                return wrapped(getattr(self._relation, name), self._owner)
            if hasattr(duckdb.DuckDBPyRelation, name):
                return refused(
                    name, "take the rows (`.pl()`, `.to_arrow_table()`) and write them, or use `natsdb sql -o FILE`"
                )
            if name in self._relation.columns:
                return wrapped(getattr(self._relation, name), self._owner)
        raise AttributeError(f"a relation has no method or column {name!r}")

    def __getitem__(self, name: str) -> Any:
        with self._owner.explaining():
            return wrapped(self._relation[name], self._owner)

    def __contains__(self, name: str) -> bool:
        return name in self._relation

    def __len__(self) -> int:
        with self._owner.explaining():
            return len(self._relation)

    def __bool__(self) -> bool:
        # Without it, `if relation` would count rows.
        return True

    def __arrow_c_stream__(self, requested_schema: object | None = None) -> Any:
        with self._owner.explaining():
            return self._relation.__arrow_c_stream__(requested_schema)

    def __repr__(self) -> str:
        with self._owner.explaining():
            return repr(self._relation)

    def _repr_mimebundle_(self, include: Any = None, exclude: Any = None) -> Any:
        with self._owner.explaining():
            html = getattr(self._relation, "_repr_html_", None)
            bundle = getattr(self._relation, "_repr_mimebundle_", None)
            if "_repr_mimebundle_" in dir(type(self._relation)) and bundle is not None:
                return bundle(include, exclude)
            if "_repr_html_" in dir(type(self._relation)) and html is not None:
                return {"text/html": html(), "text/plain": repr(self._relation)}
            return {"text/plain": repr(self._relation)}


class _Grouped:
    """A grouped relation: `agg` is all it has."""

    def __init__(self, grouped: Any, owner: Owner) -> None:
        self._grouped, self._owner = grouped, owner

    def agg(self, *arguments: Any, **options: Any) -> Any:
        """Like DuckDB's `agg`: a relation."""
        with self._owner.explaining():
            return wrapped(self._grouped.agg(*arguments, **options), self._owner)


def wrapped(value: Any, owner: Owner) -> Any:
    """What DuckDB returned, so that whoever holds it is locked as the connection is, and its errors are explained."""
    if isinstance(value, duckdb.DuckDBPyRelation):
        return Relation(value, owner)
    if isinstance(value, duckdb.DuckDBPyConnection):
        return owner
    kind = type(value).__name__
    if kind == "GroupedRelation":
        return _Grouped(value, owner)
    if kind == "RecordBatchReader":
        import pyarrow as pa

        return pa.RecordBatchReader.from_batches(value.schema, _explained(value, owner))
    if kind == "generator":
        return _explained(value, owner)
    if callable(value) and not isinstance(value, type):
        return _calling(value, owner)
    return value


def unwrapped(value: Any) -> Any:
    """DuckDB's own relation, where an argument is a wrapped one."""
    return value._relation if isinstance(value, Relation) else value


def refused(name: str, remedy: str) -> Callable[..., Any]:
    """A method that says that it is not allowed."""

    def method(*_: Any, **__: Any) -> Any:
        raise NatsdbError(
            f"{name} is not allowed on a locked connection: SQL through natsdb reads the database and nothing else",
            remedy=f"{remedy}; natsdb.connect(unlocked=True) is plain DuckDB",
        )

    method.__name__ = name
    return method


def _calling(method: Callable[..., Any], owner: Owner) -> Callable[..., Any]:
    def call(*arguments: Any, **options: Any) -> Any:
        with owner.explaining():
            for one in (*arguments, *options.values()):
                if isinstance(one, (str, duckdb.Expression)):
                    owner.prepare(str(one))
            found = method(
                *(unwrapped(one) for one in arguments), **{name: unwrapped(one) for name, one in options.items()}
            )
            return wrapped(found, owner)

    call.__name__, call.__doc__ = getattr(method, "__name__", ""), method.__doc__
    return call


def _explained(rows: Any, owner: Owner) -> Iterator[Any]:
    # Arrow has two errors of its own for one that a stream ends with.
    while True:
        with owner.explaining(OSError, ValueError):
            try:
                row = next(rows)
            except StopIteration:
                return
        yield row
