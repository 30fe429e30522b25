"""Commands that ask: sql, info, duckdb."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from natsdb.cli.answers import Format, Progress, answer_of, first_rows, format_of, save_answer, stoppable, write_answer
from natsdb.cli.archives import DbOption, SourceOption
from natsdb.schema.errors import NatsdbError

if TYPE_CHECKING:
    from natsdb.connection import Connection
    from natsdb.store.manifest import Attached

VersionOption = Annotated[
    int | None, typer.Option("--version", help="An earlier version of the database, as `natsdb log` counts them.")
]


def sql(
    statement: Annotated[
        str | None,
        typer.Argument(help="A SQL statement; if not given, a prompt on a terminal, else standard input, as for -."),
    ] = None,
    db: DbOption = None,
    version: VersionOption = None,
    source: SourceOption = None,
    format: Annotated[
        Format | None, typer.Option(help="How to write the answer; by default as OUT's name says.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--output", "-o", help="File to write, whole or not at all.")] = None,
) -> None:
    """Ask the database a question in SQL.

    Example: natsdb sql "select * from best('cifar100', 'x-test', '200')"
    """
    import natsdb

    chosen = format or format_of(out)
    if chosen is Format.parquet and out is None:
        raise NatsdbError("Parquet is not for a terminal", remedy="name a file with -o FILE")
    with natsdb.connect(db, version=version, source=source) as connection:
        if statement is None and format is None and out is None and sys.stdin.isatty() and sys.stdout.isatty():
            from natsdb.cli.prompt import prompt

            note_synthetic(connection)
            prompt(connection)
            return
        text = sys.stdin.read() if statement is None or statement == "-" else statement
        stoppable(connection, lambda: _answer(connection, text, chosen, out))


def _answer(connection: Connection, statement: str, format: Format, out: Path | None) -> None:
    answer = answer_of(connection.sql(statement))
    note_synthetic(connection)
    if out is not None:
        with Progress() as progress:
            save_answer(answer, format, out, progress)
    elif format is Format.table:
        print(first_rows(answer, terminal_width()), end="")
    else:
        write_answer(answer, format, sys.stdout)


def terminal_width() -> int | None:
    """Characters of a line, where the output is a terminal."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def note_synthetic(connection: Connection) -> None:
    """Say on standard error where some of a database's rows are not measured."""
    if any(part.source == "synthetic" for part in connection.snapshot.manifest.parts):
        print("natsdb: this database holds generated rows (source = 'synthetic'), not measurements", file=sys.stderr)


def info(
    name: Annotated[str | None, typer.Argument(help="A table, a column, or a key such as train-all-time.")] = None,
    db: DbOption = None,
    version: VersionOption = None,
) -> None:
    """What is inside, or what a table or column means, with its unit.

    Example: natsdb info train_seconds
    """
    import natsdb
    from natsdb.sql import explanation
    from natsdb.store.manifest import provenance
    from natsdb.store.snapshot import open_with_builtin

    if name is not None:
        attached: Sequence[Attached] = ()
        with suppress(NatsdbError):  # what natsdb's own tables mean is known without a database
            attached = open_with_builtin(db, version).manifest.attached
        print(explanation(name, attached))
        return
    found = natsdb.info(db, version=version)
    print(f"{found.database}\n")
    for source, space, hp, archs, runs, rows in found.contents:
        print(
            f"  {source:<12} {space}  hp {hp:<4} {archs:>7,} architectures  {runs:>9,} runs  {rows:>12,} rows of metric"
        )
    if not found.contents:
        print("  the catalogue only: ingest an archive with `natsdb ingest SOURCE`")
    print()
    for table, (rows, size) in found.tables.items():
        print(f"  {table:<12} {rows:>12,} rows  {size / 1e6:>9,.1f} MB")
    for one in (*found.ingests, *found.attached):
        if said := provenance(one):
            print("\n  ".join([f"\n  {one.name}", *said]))
    if found.synthetic:
        print("\n  rows of source 'synthetic' are generated, not measured")


def duckdb(
    file: Annotated[Path, typer.Argument(help="DuckDB file to write.")],
    db: DbOption = None,
) -> None:
    """Write a DuckDB file of natsdb's views and macros, which any DuckDB client opens.

    The file holds no rows: it reads the database's files, by their absolute paths.

    Example: natsdb duckdb nats.duckdb && duckdb nats.duckdb
    """
    import natsdb

    print(natsdb.write_duckdb(file, db))
