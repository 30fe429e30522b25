"""The SQL layer: a view for each table over its Parquet files, then one view or macro a `.sql` file in this folder."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from natsdb.schema.tables import BLOCK_TABLES, TABLES, Table
from natsdb.store.manifest import Manifest

if TYPE_CHECKING:
    import duckdb

# In an order in which each finds what it is made of. `final` is a table: the rows of the last epochs, kept apart.
VIEWS = (
    "runs",
    "curves",
    "mean_final",
    "mean_cost",
    "leaderboard",
    "topology",
    "size",
    "mean_by_source",
    "full_accuracy",
    "search_result",
    "search_table",
    "trajectory",
    "discovered",
)
MACROS = ("simulated", "curve", "best", "pareto", "rank_correlation", "neighbours", "more_info", "paired", "agreement")


def statements(database: Path | str, manifest: Manifest) -> list[str]:
    """SQL that makes all views and macros over a database's files, which it names by absolute paths or by URL."""
    root = database if isinstance(database, str) else str(database.resolve())
    tables = [view for table in TABLES.values() for view in _table_views(table, root, manifest)]
    chosen = [_chosen_view(table, manifest) for table in BLOCK_TABLES]
    folder = resources.files("natsdb.sql")
    return [*tables, *chosen, *(folder.joinpath(f"{name}.sql").read_text("utf-8") for name in (*VIEWS, *MACROS))]


def install(
    connection: duckdb.DuckDBPyConnection, database: Path | str, manifest: Manifest, source: str | None = None
) -> None:
    """Make all views and macros over a database in a connection."""
    connection.execute(";\n".join(statements(database, manifest, source)))


def _table_views(table: Table, root: str, manifest: Manifest) -> list[str]:
    """A view with the table's name; for one in blocks, `all_TABLE` too, with the block as a column.

    The block of an architecture is known, so macros about one architecture name it and read one file of 32: opening a
    file costs 0.25 ms, finding out that it holds other architectures included.
    """
    files = manifest.files(table.name)
    # Columns are qualified: DuckDB binds a view's bare names to the parameters of a macro that reads it.
    columns = [f"files.{column.name}" for column in table.columns]
    if not files:
        typed = ", ".join(f'null::{column.type} as "{column.name}"' for column in table.columns)
        empty = f"select {typed} where false"
        views = [f"create or replace view {table.name} as {empty}"]
        if table.partitioned:
            views.append(f"create or replace view all_{table.name} as select none.*, 0 as block from ({empty}) as none")
        return views
    listed = ", ".join("'" + f"{root}/{file}".replace("'", "''") + "'" for file in files)
    if not table.partitioned:
        source = f"read_parquet([{listed}], hive_partitioning = false) as files"
        return [f"create or replace view {table.name} as select {', '.join(columns)} from {source}"]
    # Types are said: the hp 01 is not the number 1.
    types = "".join(f"'{column.name}': '{column.type}', " for column in table.columns if column.partition)
    source = f"read_parquet([{listed}], hive_partitioning = true, hive_types = {{{types}'block': 'INTEGER'}}) as files"
    return [
        f"create or replace view all_{table.name} as select {', '.join(columns)}, files.block from {source}",
        f"create or replace view {table.name} as select {', '.join(columns)} from all_{table.name} as files",
    ]


def _chosen_view(table: str, manifest: Manifest) -> str:
    """`chosen_TABLE`: the rows of one source for each run: official first, then by name, synthetic last."""
    name = f"chosen_{table}"
    sources = {(part.source, part.space) for part in manifest.parts if part.space}
    if len({space for _, space in sources}) == len(sources):
        return f"create or replace view {name} as select * from all_{table}"
    key = ("space", "hp", "arch", "dataset", "seed")
    # A published mean has no seed of its own (0): beside a record's runs it would count as one more.
    tables = ", ".join("'" + source.replace("'", "''") + "'" for source in sorted(manifest.published_sources())) or "''"
    mean = f"run.seed = 0 and run.source in ({tables})"
    alone = " and ".join(f"other.{column} = run.{column}" for column in key[:-1])
    kept = f"not ({mean} and exists (select 1 from seed as other where {alone} and other.source not in ({tables})))"
    same = " and ".join(f"chosen.{column} = every.{column}" for column in ("source", *key))
    runs = ", ".join(f"run.{column}" for column in key)
    first = "case run.source when 'official' then '' when 'synthetic' then '~' else run.source end"
    return (
        f"create or replace view {name} as "
        f"with chosen as (select {runs}, min_by(run.source, {first}) as source "
        f"from seed as run where {kept} group by {runs}) "
        f"select every.* from all_{table} as every semi join chosen on {same}"
    )


def comment(name: str) -> str:
    """What a view or macro is: the comment on top of its file."""
    lines = resources.files("natsdb.sql").joinpath(f"{name}.sql").read_text("utf-8").splitlines()
    return "\n".join(
        line.removeprefix("-- ") for line in lines[: next(n for n, text in enumerate(lines) if text[:2] != "--")]
    )
