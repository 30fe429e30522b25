"""Commands about one architecture: show; plot cell."""

from __future__ import annotations

from typing import Annotated

import typer

from natsdb.cli.archives import DbOption, OutOption, SourceOption
from natsdb.cli.questions import VersionOption

ArchArgument = Annotated[
    str, typer.Argument(metavar="ARCH", help="As tss/9930, sss/64:64:64:64:64, or a space and another encoding.")
]
# Of commands that take several; see `natsdb.schema.encodings.architectures`.
ARCHS = "Architectures: 0-99,1462, or all; the space may be said as in tss/9930."
SpaceOption = Annotated[str | None, typer.Option(help="tss or sss, where the architectures do not say it.")]


def show(
    arch: ArchArgument,
    dataset: Annotated[
        str | None, typer.Option(help="Whose accuracies the neighbours are judged by; by default the first.")
    ] = None,
    db: DbOption = None,
    version: VersionOption = None,
    source: SourceOption = None,
) -> None:
    """Show an architecture: its cell, accuracies and places, costs and other measures, neighbours, its equals.

    Example: natsdb show tss/9930
    """
    from natsdb.showing import show as run

    print(run(arch, db, dataset=dataset, version=version, source=source))


def plot_cell(arch: ArchArgument, out: OutOption) -> None:
    """Draw an architecture: a cell as a graph, channels as bars.

    Example: natsdb plot cell tss/9930 -o cell.svg
    """
    from natsdb import plot
    from natsdb.schema.encodings import architecture

    print(plot.save(plot.cell(*architecture(arch)), out))
