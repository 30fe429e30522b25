"""The SQL layer: a view for each table over its Parquet files, then one view or macro a `.sql` file in this folder."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import resources
from typing import TYPE_CHECKING

from natsdb.schema.errors import Missing
from natsdb.schema.meanings import KEYS
from natsdb.schema.names import nearest
from natsdb.schema.spaces import SPACES
from natsdb.schema.tables import TABLES
from natsdb.sql.attached import measure_views
from natsdb.sql.tables import (
    Late,
    Locate,
    attached_views,
    chosen_views,
    encoded,
    made_by,
    registered,
    search_columns,
    table_views,
)
from natsdb.store.choice import check_source
from natsdb.store.manifest import Attached, Manifest, provenance

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
    "encoding",
    "mean_by_source",
    "judged_by",
    "full_schedule",
    "judged_final",
    "full_accuracy",
    "search_about",
    "search_result",
    "search_cell",
    "search_table",
    "search_regret",
    "search_rank",
    "trajectory",
    "multi_objective_result",
    "front_trajectory",
    "discovered",
)
MACROS = (
    "ranked_searches",
    "simulated",
    "curve",
    "best",
    "attached_name",
    "valued",
    "nondominated",
    "objective_name",
    "objective_sign",
    "front",
    "pareto",
    "mean_rank",
    "rank_agreement",
    "rank_correlation",
    "share_of",
    "correlation",
    "correlations",
    "neighbours",
    "more_info",
    "paired",
    "agreement",
    "arch_of",
)

# Views and macros that are made in Python, of registries and of what a database holds, and what they are.
MADE = {
    "measure": """: a row is a measure of an architecture on a data set, of attached tables and of the catalogue.
Key: space, arch, dataset, name. name: TABLE.COLUMN, or flops, params (millions, by formula); value: a number.""",
    "known_measure": "(measure): whether there is a measure of this name; an error if not.",
    "measured": """(measure): a row is the value of one measure, by its name in the view measure.
Key: space, arch, dataset.""",
}


def statements(locate: Locate, manifest: Manifest, source: str | None = None) -> list[str | Late]:
    """SQL that makes all views and macros over a database's files.

    Args:
        locate: what `read_parquet` reads, in SQL, for files by their paths in the database.
        source: the only one whose rows are chosen; by default one for each architecture and data set.

    Raises:
        Missing: the database has no rows of the source, or holds a space that is not registered here.
    """
    if unknown := sorted({part.space for part in manifest.parts if part.space} - SPACES.keys()):
        what = f"it holds the space {unknown[0]!r}, which is not registered in this process"
        raise Missing(what, remedy="import the module that registers it first")
    if source is not None:
        check_source(manifest, source, "")
    folder = resources.files("natsdb.sql")
    every = []
    # Views that rank are made of these macros.
    for name in dict.fromkeys(("mean_rank", "ranked_searches", *VIEWS, *MACROS)):
        every.append(folder.joinpath(f"{name}.sql").read_text("utf-8"))
        if name == "search_cell":
            every.append(search_columns())
    views = [*table_views(locate, manifest), *attached_views(locate, manifest), *measure_views(manifest)]
    return [*registered(), *views, *encoded(), *chosen_views(locate, manifest, source), *every]


def install(
    connection: duckdb.DuckDBPyConnection, locate: Locate, manifest: Manifest, source: str | None = None
) -> None:
    """Make all views and macros over a database in a connection; arguments and errors are those of `statements`."""
    connection.execute(";\n".join(map(str, statements(locate, manifest, source))))


def taken(name: str, manifest: Manifest | None = None) -> bool:
    """Whether natsdb has a table, view or macro of a name, in whatever case, or a database an attached table."""
    own = {
        *TABLES,
        *VIEWS,
        *MACROS,
        *MADE,
        *_inner(),
        *(table.name for table in (manifest.attached if manifest else ())),
    }
    return name.lower() in {one.lower() for one in own} or name.lower().startswith(("all_", "chosen_", "counted_"))


def _inner() -> set[str]:
    """Names of what the views and macros are made of."""
    return {"is_mean", "placed_run", "search_columns", *map(made_by, (*registered(), *encoded()))}


def comment(name: str) -> str:
    """What a view or macro is: the comment on top of its file."""
    lines = resources.files("natsdb.sql").joinpath(f"{name}.sql").read_text("utf-8").splitlines()
    return "\n".join(
        line.removeprefix("-- ") for line in lines[: next(n for n, text in enumerate(lines) if text[:2] != "--")]
    )


def explanation(name: str, attached: Sequence[Attached] = ()) -> str:
    """What a table, view, macro, column or key of the official dictionaries means.

    Args:
        attached: the tables beside natsdb's own.

    Raises:
        Missing: there is nothing of this name.
    """
    lines = []
    tables = {**TABLES, **{one.name: one.table for one in attached}}
    if name in tables:
        table = tables[name]
        lines = [f"{name}: a row is {table.row}", f"key: {', '.join(table.key)}", ""]
        lines += [f"  {column.name:<18} {column.type:<10} {column.meaning}" for column in table.columns]
        lines += [line for one in attached if one.name == name for line in provenance(one)]
    elif name in (*VIEWS, *MACROS):
        lines = [comment(name)]
    elif name in MADE:
        lines = [f"{name}{MADE[name]}"]
    elif name in KEYS:
        lines = [f"{name}: {KEYS[name]}"]
    else:
        for table in tables.values():
            lines += [
                f"{table.name}.{column.name} ({column.type}): {column.meaning}"
                for column in table.columns
                if column.name == name
            ]
    if not lines:
        columns = {column.name for table in tables.values() for column in table.columns}
        near = nearest(name, [*tables, *VIEWS, *MACROS, *MADE, *KEYS, *sorted(columns)])[:3]
        remedy = f"did you mean {', '.join(near)}? tables are {', '.join(tables)}"
        raise Missing(f"there is no table, view or column {name!r}", remedy=remedy)
    return "\n".join(lines)
