"""The command that gets the data: pull."""

from __future__ import annotations

from typing import Annotated

import typer

from natsdb.cli.archives import DbOption, JobsOption, _progress
from natsdb.schema.errors import NatsdbError


def pull(
    what: Annotated[
        str | None,
        typer.Argument(help="tss or sss; hf://datasets/OWNER/NAME, https://… or s3://… of a database or archive."),
    ] = None,
    db: DbOption = None,
    only: Annotated[str | None, typer.Option(help="Of a published database only these tables: final,cost.")] = None,
    replace: Annotated[bool, typer.Option("--replace", help="In the place of other rows of the same source.")] = False,
    listed: Annotated[bool, typer.Option("--list", help="What is known by name, and stop.")] = False,
    jobs: JobsOption = None,
) -> None:
    """Get the data: an official archive, downloaded and ingested, or a published database. Interrupted, it goes on.

    Example: natsdb pull tss
    """
    from natsdb.ingest.pull import about
    from natsdb.ingest.pull import pull as run
    from natsdb.ingest.pull.registry import OFFERS

    if listed:
        print("\n\n".join("\n".join([*about(one), one.citation]) for one in OFFERS.values()))
        return
    if what is None:
        raise NatsdbError("nothing is named", remedy="say `natsdb pull tss`, give a URL, or see `natsdb pull --list`")
    tables = [name.strip() for name in (only or "").split(",") if name.strip()]
    with _progress("kB") as progress:
        pulled = run(what, db, only=tables, replacing=replace, jobs=jobs, progress=progress)
    if pulled.changed:
        print(f"{pulled.bytes / 1e6:,.1f} MB → {pulled.database}")
    else:
        print(f"nothing to do: {pulled.database} holds all of it already")
