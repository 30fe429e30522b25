"""The command that makes a folder for the Hugging Face Hub, and sends it: publish."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from natsdb.cli.archives import DbOption, JobsOption, _progress


def publish(
    out: Annotated[
        Path, typer.Argument(help="Folder to make; with --to one that was published before is sent as it is.")
    ],
    db: DbOption = None,
    to: Annotated[
        str | None, typer.Option(help="Send it to hf://datasets/OWNER/NAME or s3://BUCKET/FOLDER, only what differs.")
    ] = None,
    repo: Annotated[
        str | None, typer.Option(help="OWNER/NAME at the Hub, for the card's examples; as --to says, if not given.")
    ] = None,
    license: Annotated[str, typer.Option(help="Identifier of the licence at the Hub.")] = "mit",
    jobs: JobsOption = None,
) -> None:
    """Write a folder that is a data set of the Hugging Face Hub and a database, and send it there or into a bucket.

    Example: natsdb publish nats-bench --to hf://datasets/OWNER/NAME
    """
    import natsdb
    from natsdb.ingest.hub.publish import publish as run
    from natsdb.store.manifest import NAME
    from natsdb.store.remote import hub_name

    if repo is None and to is not None:
        repo = (hub_name(to) or (None,))[0]
    if to is None or not (out / NAME).exists():
        with _progress("rows") as progress:
            print(run(out, db, repo=repo, license=license, jobs=jobs, progress=progress))
    if to is not None:
        from natsdb.ingest.hub.upload import upload

        with _progress("kB") as progress:
            sent = upload(out, to, progress)
        print(f"{sent:,} files sent → {to}" if sent else f"nothing to do: {to} holds all of it already")
    if natsdb.holds_synthetic(out):
        print("natsdb: it holds generated rows (source = 'synthetic'); its card says so", file=sys.stderr)
