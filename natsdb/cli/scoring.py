"""Commands about networks that are not trained: score, measure."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from natsdb.cli.archives import DbOption, _list_failures, _progress
from natsdb.cli.showing import ARCHS, SpaceOption
from natsdb.schema.errors import NatsdbError

if TYPE_CHECKING:
    from natsdb.scoring import FiguresReport

_ReplaceOption = Annotated[
    bool, typer.Option("--replace", help="Take the place of a table of this name, instead of adding to it.")
]


def score(
    proxy: Annotated[
        str, typer.Option(help="synflow, nwot, jacov, snip, grad_norm, zen; your own: FILE.py:FUNCTION; with commas.")
    ],
    space: SpaceOption = None,
    archs: Annotated[str, typer.Option(help=ARCHS)] = "all",
    data: Annotated[Path, typer.Option(help="Folder of the data set: official files, Parquet, or pictures.")] = Path(
        "data"
    ),
    dataset: Annotated[str, typer.Option(help="The data set that the batch is of.")] = "cifar10",
    db: DbOption = None,
    seed: Annotated[int, typer.Option(help="Of weights, batch, and what proxies draw.")] = 777,
    batch: Annotated[int, typer.Option(min=1, help="Images in the batch.")] = 64,
    name: Annotated[str, typer.Option("--as", help="What the table is called in SQL.")] = "scored",
    scores: Annotated[
        Path | None, typer.Option(help="Folder of scores as they come; beside the database if not given.")
    ] = None,
    jobs: Annotated[int | None, typer.Option("--jobs", "-j", min=1, help="Processes; one a core.")] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch CIFAR into --data if it is not there.")] = False,
    replace: _ReplaceOption = False,
) -> None:
    """Score architectures by zero-cost proxies, into an attached table.

    Killed or interrupted, the same command goes on. A score that is not finite is null, and listed.

    Example: natsdb score --proxy synflow,nwot --space sss --archs 0-99 --data DIR && natsdb sql 'from scored'
    """
    from natsdb.scoring import score as run

    with _progress("scores") as progress:
        report = run(
            proxy,
            space,
            archs,
            dataset,
            data,
            db,
            seed=seed,
            batch=batch,
            table=name,
            folder=scores,
            jobs=jobs,
            download=download,
            replace=replace,
            progress=progress,
        )
    _print(report)


def measure(
    archs: Annotated[str, typer.Argument(help=ARCHS)],
    space: SpaceOption = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ….")] = "cpu",
    batch: Annotated[str, typer.Option(help="Images at a time; several with commas.")] = "1",
    backend: Annotated[str, typer.Option(help="torch, or onnx: exported, and run by ONNX Runtime.")] = "torch",
    threads: Annotated[int | None, typer.Option(min=1, help="Threads of the CPU; as many as PyTorch takes.")] = None,
    dataset: Annotated[str, typer.Option(help="Whose size of images and classes; no images are read.")] = "cifar10",
    db: DbOption = None,
    name: Annotated[str, typer.Option("--as", help="What the table is called in SQL.")] = "measured",
    measured: Annotated[
        Path | None, typer.Option(help="Folder of measurements as they come; beside the database if not given.")
    ] = None,
    replace: _ReplaceOption = False,
) -> None:
    """Measure latency, memory and energy of networks on this machine, into an attached table.

    Killed or interrupted, the same command goes on. Columns of one image are latency_ms, latency_spread_ms, memory_mb,
    energy_mj; of 32 images latency_ms_b32 and so on.

    Example: natsdb measure 0-99 --space tss --batch 1,32 && natsdb sql 'select arch, latency_ms from measured'
    """
    from natsdb.scoring import measure as run

    with _progress("figures") as progress:
        report = run(
            archs,
            space,
            dataset,
            db,
            device=device,
            batches=_batches(batch),
            backend=backend,
            threads=threads,
            table=name,
            folder=measured,
            replace=replace,
            progress=progress,
        )
    _print(report)


def _batches(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise NatsdbError(f"{text!r} are no numbers of images", remedy="write --batch as in 1,32,256")
    return list(dict.fromkeys(map(int, parts)))


def _print(report: FiguresReport) -> None:
    """Exits with 1 if a score or latency is missing of all architectures; energy may be, where no machine counts it."""
    if report.failures:
        _list_failures(report.failures, ("figures", "why there are none"), "kinds of figures have no value")
    for column, why in report.empty:
        print(f"natsdb: no {column}: {why}", file=sys.stderr)
    done = f"{report.archs:,} architectures, {report.before:,} of them done before"
    print(f"{done} → {report.database}" + ("" if report.changed else " (no change)"))
    if any(not column.startswith(("energy_mj", "memory_mb")) for column, _ in report.empty):
        raise typer.Exit(1)
    print(f"natsdb sql 'from {report.table}'")
