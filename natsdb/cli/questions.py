"""Commands that ask: sql, info, duckdb."""

from __future__ import annotations

import os
import sys
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any

import typer

from natsdb.cli.archives import DbOption
from natsdb.schema.errors import NatsdbError


class Format(StrEnum):
    """How an answer is written."""

    table = "table"
    csv = "csv"
    json = "json"
    parquet = "parquet"


def sql(
    statement: Annotated[
        str | None, typer.Argument(help="A SQL statement; from standard input if not given or -.")
    ] = None,
    db: DbOption = None,
    format: Annotated[
        Format | None, typer.Option(help="How to write the answer; by default as OUT's name says.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--output", "-o", help="File to write, whole or not at all.")] = None,
) -> None:
    """Ask the database a question in SQL.

    Example: natsdb sql "select * from best('cifar100', 'x-test', '200')"
    """
    import natsdb

    if statement is None or statement == "-":
        statement = sys.stdin.read()
    chosen = format or _format_of(out)
    if chosen is Format.parquet and out is None:
        raise NatsdbError("Parquet is not for a terminal", remedy="name a file with -o FILE")
    frame = natsdb.query(statement, db)
    _note_synthetic(db)
    if out is None:
        _write(frame, chosen, sys.stdout)
        return
    temporary = out.with_name(f".{out.name}.{os.getpid()}.tmp")
    try:
        if chosen is Format.parquet:
            frame.write_parquet(temporary)
        else:
            with temporary.open("w", encoding="utf-8") as file:
                _write(frame, chosen, file)
        os.replace(temporary, out)
    except OSError as error:
        raise NatsdbError(
            f"cannot write ({error.strerror})", where=str(out), remedy="name another file with -o"
        ) from error
    finally:
        temporary.unlink(missing_ok=True)


def _format_of(out: Path | None) -> Format:
    suffix = out.suffix.lstrip(".") if out is not None else ""
    return Format(suffix) if suffix in ("csv", "json", "parquet") else Format.table


def _write(frame: Any, format: Format, file: Any) -> None:
    if format is Format.csv:
        # Lists have no place in CSV: they go as text.
        import polars as pl

        lists = [name for name, kind in frame.schema.items() if isinstance(kind, pl.List)]
        file.write(
            frame.with_columns(pl.col(name).cast(pl.List(pl.String)).list.join(" ") for name in lists).write_csv()
        )
    elif format is Format.json:
        file.write(frame.write_json() + "\n")
    else:
        file.write(_table(frame) + "\n")


def _table(frame: Any) -> str:
    """A plain table of at most 60 rows, numbers to the right with six significant digits."""
    shown = frame.head(60)
    rows = [[_cell(value) for value in row] for row in shown.rows()]
    widths = [max(len(name), *(len(row[n]) for row in rows), 0) for n, name in enumerate(frame.columns)]
    right = [kind.is_numeric() for kind in frame.dtypes]
    lines = [[*frame.columns], ["─" * width for width in widths], *rows]
    text = "\n".join(
        "  ".join(
            cell.rjust(w) if r else cell.ljust(w) for cell, w, r in zip(line, widths, right, strict=True)
        ).rstrip()
        for line in lines
    )
    hidden = len(frame) - len(shown)
    return text + (f"\n({hidden:,} more rows: --format csv shows all)" if hidden else "")


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return " ".join(map(str, value))
    return str(value)


def _note_synthetic(db: Path | None) -> None:
    import natsdb

    if natsdb.holds_synthetic(db):
        print("natsdb: this database holds generated rows (source = 'synthetic'), not measurements", file=sys.stderr)


def info(
    name: Annotated[str | None, typer.Argument(help="A table, a column, or a key such as train-all-time.")] = None,
    db: DbOption = None,
) -> None:
    """What is inside, or what a table or column means, with its unit.

    Example: natsdb info train_seconds
    """
    if name is not None:
        print(_explain(name))
        return
    import natsdb

    found = natsdb.info(db)
    print(f"{found.database}\n")
    for source, space, hp, archs, runs, rows in found.contents:
        print(
            f"  {source:<12} {space}  hp {hp:<4} {archs:>7,} architectures  {runs:>9,} runs  {rows:>12,} rows of metric"
        )
    if not found.contents:
        print("  the catalogue only: ingest an archive with `natsdb ingest SOURCE`")
    print()
    for table, (rows, size) in found.tables.items():
        print(f"  {table:<10} {rows:>12,} rows  {size / 1e6:>9,.1f} MB")
    if found.synthetic:
        print("\n  rows of source 'synthetic' are generated, not measured")


def _explain(name: str) -> str:
    from natsdb.schema.meanings import KEYS
    from natsdb.schema.names import nearest
    from natsdb.schema.tables import TABLES
    from natsdb.sql import MACROS, VIEWS, comment

    lines = []
    if name in TABLES:
        table = TABLES[name]
        lines = [f"{name}: a row is {table.row}", f"key: {', '.join(table.key)}", ""]
        lines += [f"  {column.name:<18} {column.type:<10} {column.meaning}" for column in table.columns]
    elif name in (*VIEWS, *MACROS):
        lines = [comment(name)]
    elif name in KEYS:
        lines = [f"{name}: {KEYS[name]}"]
    else:
        for table in TABLES.values():
            lines += [
                f"{table.name}.{column.name} ({column.type}): {column.meaning}"
                for column in table.columns
                if column.name == name
            ]
    if not lines:
        columns = {column.name for table in TABLES.values() for column in table.columns}
        near = nearest(name, [*TABLES, *VIEWS, *MACROS, *KEYS, *sorted(columns)])[:3]
        remedy = f"did you mean {', '.join(near)}? tables are {', '.join(TABLES)}"
        raise NatsdbError(f"there is no table, view or column {name!r}", remedy=remedy)
    return "\n".join(lines)


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
