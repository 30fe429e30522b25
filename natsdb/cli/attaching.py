"""Commands about tables of one's own: attach, detach."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from natsdb.cli.archives import DbOption
from natsdb.schema.errors import NatsdbError


def attach(
    file: Annotated[
        Path,
        typer.Argument(help="CSV, JSON, Parquet or Arrow; a pickle or torch file of plain containers."),
    ],
    name: Annotated[str, typer.Option("--as", help="What the table is called in SQL.")],
    db: DbOption = None,
    dataset: Annotated[str | None, typer.Option(help="The data set of its rows, where it does not say that.")] = None,
    space: Annotated[str | None, typer.Option(help="tss or sss, where its architectures leave that open.")] = None,
    key: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN[=ENCODING]",
            help="The column of architectures, and how they are written; another that tells rows apart. Repeatable.",
        ),
    ] = None,
    null: Annotated[
        list[str] | None, typer.Option(help="What stands for no value, such as -1; none if nothing does. Repeatable.")
    ] = None,
    partial: Annotated[bool, typer.Option("--partial", help="It may lack architectures of the space.")] = False,
    replace: Annotated[bool, typer.Option("--replace", help="Take the place of a table of this name.")] = False,
    about: Annotated[str, typer.Option(help="What a row is.")] = "",
    meaning: Annotated[
        list[str] | None, typer.Option(metavar="COLUMN=TEXT", help="What a measure means. Repeatable.")
    ] = None,
    unit: Annotated[list[str] | None, typer.Option(metavar="COLUMN=TEXT", help="Its unit. Repeatable.")] = None,
    source: Annotated[str, typer.Option(help="Where the table comes from.")] = "",
    licence: Annotated[str, typer.Option(help="Its licence.")] = "",
    citation: Annotated[str, typer.Option(help="What to cite.")] = "",
) -> None:
    """Add a table whose rows are architectures, for SQL to join.

    Which architecture a row is, is recognised from the contents and said. What is not said of the table here is taken
    from NAME.json beside it.

    Example: natsdb attach hw_cifar10.csv --as hw --dataset cifar10 --null -1
    """
    import natsdb

    read = natsdb.attach(
        file,
        name,
        db,
        dataset=dataset,
        space=space,
        key=key,
        null=None if not null else [_value(one) for one in null if one != "none"],
        partial=partial,
        replace=replace,
        about=about,
        meanings=_pairs(meaning, "--meaning"),
        units=_pairs(unit, "--unit"),
        source=source,
        licence=licence,
        citation=citation,
    )
    print(f"{name}: {read.said}\n{len(read.frame):,} rows: natsdb sql 'from {name}'")


def detach(name: Annotated[str, typer.Argument(help="An attached table.")], db: DbOption = None) -> None:
    """Take an attached table out of the database; `natsdb rollback` brings it back.

    Example: natsdb detach hw
    """
    import natsdb

    natsdb.detach(name, db)


def _value(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text


def _pairs(given: list[str] | None, option: str) -> dict[str, str]:
    found = {}
    for one in given or []:
        name, equals, text = one.partition("=")
        if not equals:
            raise NatsdbError(f"{one!r} is not COLUMN=TEXT", remedy=f"write {option} {one}='…'")
        found[name] = text
    return found
