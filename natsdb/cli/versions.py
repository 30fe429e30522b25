"""Commands about the versions of a database: log, rollback, drop, vacuum."""

from __future__ import annotations

import re
from typing import Annotated

import typer

from natsdb.cli.archives import DbOption
from natsdb.cli.questions import terminal_width
from natsdb.schema.errors import NatsdbError

_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3600, "d": 86_400, "w": 604_800}


def log(db: DbOption = None) -> None:
    """List the versions that can be opened: when each was published, by what command, and what it holds.

    Example: natsdb log --db nats
    """
    from rich.console import Console
    from rich.table import Table

    from natsdb.store.versions import log as versions

    table = Table("version", "when", "command", box=None, pad_edge=False)
    for name in ("rows", "MB"):
        table.add_column(name, justify="right")
    table.add_column("")
    for one in versions(db):
        size = f"{one.bytes / 1e6:,.1f}"
        table.add_row(f"{one.version}", one.when, one.command, f"{one.rows:,}", size, "newest" if one.newest else "")
    Console(width=terminal_width() or 200).print(table)


def rollback(
    version: Annotated[int, typer.Argument(help="The version whose contents shall be the newest's.")],
    db: DbOption = None,
) -> None:
    """Make the contents of an earlier version the newest's; the versions between stay in the log.

    Example: natsdb rollback 3 --db nats
    """
    from natsdb.store.versions import rollback as run

    made = run(version, db)
    print(f"version {made.version}: as version {version}, {made.rows:,} rows")


def drop(
    source: Annotated[str, typer.Option(help="Which rows: the value of the column `source`.")],
    db: DbOption = None,
    space: Annotated[str | None, typer.Option(help="Only of this space: tss or sss.")] = None,
    hp: Annotated[str | None, typer.Option(help="Only of this schedule: 12 or 200; 01, 12 or 90.")] = None,
) -> None:
    """Take a source's rows and weights out of the database; `natsdb rollback` brings them back.

    Example: natsdb drop --source regenerated --space tss --hp 12
    """
    from natsdb.store.versions import drop as run

    made = run(source, db, space=space, hp=hp)
    print(f"version {made.version}: {made.rows:,} rows")


def vacuum(
    db: DbOption = None,
    keep: Annotated[
        str, typer.Option(help="How long versions stay that were superseded: 1d, 12h, 30m, 0 for not at all.")
    ] = "1d",
) -> None:
    """Remove versions that were superseded a while ago and that nobody reads, with the files that only they list.

    Example: natsdb vacuum --keep 12h
    """
    from natsdb.store.versions import vacuum as run

    done = run(db, seconds(keep))
    gone = f"removed {len(done.versions)} versions and {done.files:,} files ({done.bytes / 1e6:,.1f} MB)"
    held = f"; somebody reads version {', '.join(map(str, done.held))}, which stays" if done.held else ""
    print(gone + held)


def seconds(text: str) -> float:
    """Seconds of a time such as 1d, 12h, 30m, 45s or 0.

    Raises:
        NatsdbError: it is no time.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([smhdw]?)\s*", text)
    if found is None or (not found[2] and float(found[1])):
        raise NatsdbError(f"{text!r} is no time", remedy="write it as in 1d, 12h, 30m, or 0")
    return float(found[1]) * _SECONDS[found[2]]
