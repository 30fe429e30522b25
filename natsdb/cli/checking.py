"""Commands that look after a database's files: check, repair."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from natsdb.cli.archives import DbOption, JobsOption, _progress

if TYPE_CHECKING:
    from natsdb.store.check import Finding


def check(
    db: DbOption = None,
    quick: Annotated[bool, typer.Option("--quick", help="Sizes and footers only, not every byte.")] = False,
) -> None:
    """Compare every file of the database with what was written; exit with 1 if any is damaged, missing or stray.

    Example: natsdb check --quick
    """
    from natsdb.store.check import check as run

    with _progress("bytes") as progress:
        found = run(db, quick=quick, progress=progress)
    if found.unknown:
        print(f"{found.unknown:,} files of an older format have no digest: ingest their sources again to have one")
    if not found.findings:
        read = "sizes and footers" if quick else f"{found.bytes:,} bytes"
        print(f"{found.files:,} files, {read}: all as they were written")
        return
    _print_findings(found.findings, f"{len(found.findings):,} of {found.files:,} files")
    _print_remedies(found.findings)
    if any(finding.what == "no version lists it" for finding in found.findings):
        print("remove strays: natsdb vacuum")
    raise typer.Exit(1)


def repair(
    sources: Annotated[
        list[Path] | None, typer.Argument(help="What the rows were ingested from: archives, tables, folders of runs.")
    ] = None,
    db: DbOption = None,
    jobs: JobsOption = None,
) -> None:
    """Make damaged and missing files again from their sources, to the same bytes; only what is damaged is read again.

    Example: natsdb repair NATS-tss-v1_0-3ffb9-simple
    """
    from natsdb.ingest.repair import repair as run

    with _progress("rows") as progress:
        done = run(list(sources or []), db, jobs=jobs, progress=progress)
    if done.mended:
        print(f"{len(done.mended):,} files are as they were written again")
    if done.left:
        _print_findings(done.left, f"{len(done.left):,} files are left as they are")
        _print_remedies(done.left)
        raise typer.Exit(1)
    if not done.mended:
        print("nothing to do: all files are as they were written")


def _print_remedies(findings: list[Finding]) -> None:
    from natsdb.store.damage import attached_name

    tables = {attached_name(finding.path) for finding in findings if finding.what != "no version lists it"}
    if "" in tables:
        print("mend them: natsdb repair SOURCE… (what the rows were ingested from)")
    for name in sorted(tables - {""}):
        print(f"attach it again: natsdb attach FILE --as {name} --replace")


def _print_findings(findings: list[Finding], title: str) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("file", "what is wrong with it", "version", title=title)
    for finding in findings:
        table.add_row(finding.path, finding.what, "newest" if finding.newest else "older or none")
    Console().print(table)
