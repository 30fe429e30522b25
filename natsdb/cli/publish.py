"""The command that makes a folder for the Hugging Face Hub: publish."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from natsdb.cli.archives import DbOption, JobsOption, _progress


def publish(
    out: Annotated[Path, typer.Argument(help="Folder to make.")],
    db: DbOption = None,
    repo: Annotated[str | None, typer.Option(help="OWNER/NAME at the Hub, for the card's examples.")] = None,
    license: Annotated[str, typer.Option(help="Identifier of the licence at the Hub.")] = "mit",
    jobs: JobsOption = None,
) -> None:
    """Write a folder for the Hugging Face Hub: Parquet, a configuration a table, data card, Croissant, checksums.

    Example: natsdb publish nats-bench --repo OWNER/NAME && hf upload OWNER/NAME nats-bench --repo-type dataset
    """
    import natsdb
    from natsdb.ingest.hub.publish import publish as run

    with _progress("rows") as progress:
        made = run(out, db, repo=repo, license=license, jobs=jobs, progress=progress)
    print(made)
    if natsdb.holds_synthetic(db):
        print("natsdb: it holds generated rows (source = 'synthetic'); its card says so", file=sys.stderr)
