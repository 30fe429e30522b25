"""Commands that move archives: ingest, verify, export."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Annotated

import typer

SourceOption = Annotated[
    str | None, typer.Option(help="Rows of this source only; by default the source that counts for each.")
]
DbOption = Annotated[
    Path | None,
    typer.Option("--db", help="Folder or URL of the database; $NATSDB_HOME or the user's data directory if not given."),
]
OutOption = Annotated[Path, typer.Option("--output", "-o", help="Picture to write (.png, .svg, .html).")]
JobsOption = Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="Processes; one a core, at most six.")]


def ingest(
    sources: Annotated[
        list[Path],
        typer.Argument(
            help="Archive folders, tars or chunks, record or benchmark files; published tables; Syne Tune's folder."
        ),
    ],
    db: DbOption = None,
    source: Annotated[
        str | None,
        typer.Option(help="What the column `source` says of these rows; official, or published for a table."),
    ] = None,
    jobs: JobsOption = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Overwrite runs that are there with other numbers.")
    ] = False,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Leave out damaged records; list them; exit with 1 if there were any.")
    ] = False,
    weights: Annotated[bool, typer.Option("--weights", help="Keep trained weights too, as safetensors.")] = False,
) -> None:
    """Turn official archives into tables, bit for bit.

    Example: natsdb ingest NATS-tss-v1_0-3ffb9-simple NATS-sss-v1_0-50262-simple
    """
    from natsdb.ingest import ingest as run

    with _progress("rows") as progress:
        report = run(
            list(sources),
            db,
            source=source,
            jobs=jobs,
            replace=replace,
            keep_going=keep_going,
            weights=weights,
            progress=progress,
        )
    if report.failures:
        _list_failures(report.failures)
    for note in report.notes:
        print(f"natsdb: note: {note}", file=sys.stderr)
    if report.changed:
        print(
            f"{report.archs:,} architectures and {report.rows:,} rows in {report.seconds:.1f} s"
            + (f", {report.resumed} blocks done before" if report.resumed else "")
            + f" → {report.database}"
        )
    else:
        print(f"nothing to do: {report.database} holds all of it already")
    if report.failures:
        raise typer.Exit(1)


def verify(
    source: Annotated[
        Path, typer.Argument(help="What was ingested: an archive, a published table, Syne Tune's folder.")
    ],
    db: DbOption = None,
    name: Annotated[
        str | None, typer.Option("--source", help="Which rows: the value of the column `source`; as ingest names them.")
    ] = None,
    jobs: JobsOption = None,
    keep_going: Annotated[
        bool, typer.Option("--keep-going", help="Compare the rest where records are damaged; list them; exit with 1.")
    ] = False,
) -> None:
    """Compare every number of a source with the database, bit for bit; exit with 1 if any differs.

    Example: natsdb verify NATS-tss-v1_0-3ffb9-simple
    """
    from natsdb.ingest import verify as run

    with _progress("numbers") as progress:
        found = run(source, db, name=name, jobs=jobs, keep_going=keep_going, progress=progress)
    if found.failures:
        _list_failures(found.failures, what="records that cannot be read")
    for note in found.notes:
        print(f"natsdb: note: {note}", file=sys.stderr)
    if not found.records:
        print("nothing is compared")
        raise typer.Exit(1)
    if not found.count:
        others = " but for those" if found.notes else ""
        print(f"{found.records:,} {found.unit}, {found.numbers:,} numbers: all equal, bit for bit{others}")
        if found.failures:
            raise typer.Exit(1)
        return
    from rich.console import Console
    from rich.table import Table

    table = Table("file", "key", "source", "database")
    for difference in found.differences[:50]:
        table.add_row(difference.file, difference.key, difference.official, difference.database)
    Console().print(table)
    print(f"{found.count:,} differences in {found.records:,} {found.unit} ({min(found.count, 50)} shown)")
    raise typer.Exit(1)


def export(
    out: Annotated[Path, typer.Argument(help="Folder to make.")],
    space: Annotated[str, typer.Option(help="tss or sss.")],
    db: DbOption = None,
    source: Annotated[
        str | None, typer.Option(help="Which rows: the value of the column `source`; as the format is named.")
    ] = None,
    format: Annotated[str, typer.Option(help="nats-bench, nas-bench-201 or syne-tune.")] = "nats-bench",
    single: Annotated[bool, typer.Option("--single", help="One benchmark file, not a file an architecture.")] = False,
    jobs: JobsOption = None,
) -> None:
    """Write an archive in the official format, that the nats_bench package opens, or nas_201_api, or Syne Tune.

    Example: natsdb export --space tss my-archive
    """
    from natsdb.ingest import export as run

    with _progress("") as progress:
        made = run(out, space, db, source=source, format=format, single=single, jobs=jobs, progress=progress)
    print(made)


def _list_failures(
    failures: list[tuple[str, str]],
    head: tuple[str, str] = ("file", "what is wrong with it"),
    what: str = "records left out",
) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table(*head, title=f"{len(failures):,} {what}")
    for where, what in failures:
        table.add_row(where, what)
    Console(stderr=True).print(table)


@contextmanager
def _progress(unit: str) -> Iterator[Callable[[str, int, int, int], None]]:
    """A bar of files done, with a rate and the time left; on standard error, and only where that is a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeRemainingColumn(),
        console=console,
        transient=True,
    )
    tasks: dict[str, tuple[TaskID, float]] = {}
    # Elsewhere the bar is never started: rich before 15 ends even a disabled one with an empty line.
    with bar if console.is_terminal else nullcontext():

        def advance(name: str, done: int, total: int, amount: int) -> None:
            now = time.monotonic()
            if name not in tasks:
                tasks[name] = bar.add_task(name, total=total or None, rate=""), now
            task, started = tasks[name]
            rate = f"{amount / max(now - started, 0.5):,.0f} {unit}/s" if unit else ""
            bar.update(task, completed=done, rate=rate)

        yield advance
