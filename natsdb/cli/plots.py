"""Commands that draw, `natsdb plot`: those of the benchmark itself, and the list of all."""

from __future__ import annotations

from collections.abc import Callable
from typing import Annotated, Any

import typer

from natsdb.cli.archives import DbOption, OutOption, SourceOption
from natsdb.cli.comparing import plot_ranks
from natsdb.cli.search import plot_front, plot_search
from natsdb.cli.showing import plot_cell

SpaceOption = Annotated[str, typer.Option(help="tss or sss.")]
DatasetOption = Annotated[str, typer.Option(help="cifar10-valid, cifar10, cifar100 or ImageNet16-120.")]
SplitOption = Annotated[
    str | None, typer.Option(help="x-valid, x-test or ori-test; x-valid, or what is there, if not given.")
]
HpOption = Annotated[str | None, typer.Option(help="Schedule; the longest that is there if not given.")]
CostOption = Annotated[
    str,
    typer.Option(help="flops, params, latency, train_seconds, or another measure, as in hw_nas_bench.edgegpu_energy."),
]


def scatter(
    space: SpaceOption,
    dataset: DatasetOption,
    out: OutOption,
    db: DbOption = None,
    split: SplitOption = None,
    hp: HpOption = None,
    cost: CostOption = "flops",
    source: SourceOption = None,
) -> None:
    """Draw every architecture's accuracy over its cost, with the Pareto front.

    Example: natsdb plot scatter --space tss --dataset cifar100 --cost params -o scatter.png
    """
    import natsdb
    from natsdb import plot

    with natsdb.connect(db, source=source) as connection:
        asked = plot.measured(connection, space, dataset, split, hp)
        print(plot.save(plot.scatter(connection, space, *asked, cost=cost), out))


def pareto(
    space: SpaceOption,
    dataset: DatasetOption,
    out: OutOption,
    db: DbOption = None,
    split: SplitOption = None,
    hp: HpOption = None,
    cost: CostOption = "flops",
    source: SourceOption = None,
) -> None:
    """Draw the architectures that no other beats in both accuracy and cost, with their indexes.

    Example: natsdb plot pareto --space sss --dataset cifar10 --cost latency -o front.svg
    """
    import natsdb
    from natsdb import plot

    with natsdb.connect(db, source=source) as connection:
        asked = plot.measured(connection, space, dataset, split, hp)
        print(plot.save(plot.pareto(connection, space, *asked, cost=cost), out))


def curves(
    space: SpaceOption,
    arch: Annotated[int, typer.Option(help="Official index of the architecture.")],
    dataset: DatasetOption,
    out: OutOption,
    db: DbOption = None,
    hp: HpOption = None,
    source: SourceOption = None,
) -> None:
    """Draw an architecture's accuracy over epochs, a line a split and run.

    Example: natsdb plot curves --space tss --arch 11 --dataset cifar10 -o curves.png
    """
    import natsdb
    from natsdb import plot

    with natsdb.connect(db, source=source) as connection:
        asked = plot.measured(connection, space, dataset, hp=hp)
        print(plot.save(plot.curves(connection, space, arch, dataset, asked.hp), out))


def rank(
    space: SpaceOption,
    dataset: Annotated[str, typer.Option(help="Data sets with commas; the others are compared with the first.")],
    out: OutOption,
    db: DbOption = None,
    split: SplitOption = None,
    hp: Annotated[
        str | None, typer.Option(help="Schedules with commas, as in 12,200; the longest if not given.")
    ] = None,
    source: SourceOption = None,
) -> None:
    """Draw how architectures rank on several data sets or after several schedules, with both rank correlations.

    Example: natsdb plot rank --space tss --dataset cifar10-valid --hp 12,200 -o rank.png
    """
    import natsdb
    from natsdb import plot

    with natsdb.connect(db, source=source) as connection:
        asked = [
            plot.measured(connection, space, name, split, schedule)
            for name in dataset.split(",")
            for schedule in (hp.split(",") if hp else [None])
        ]
        print(plot.save(plot.rank(connection, space, asked), out))


def correlation(
    out: OutOption,
    space: SpaceOption = "tss",
    dataset: Annotated[
        str, typer.Option(help="Data sets with commas, a panel each.")
    ] = "cifar10-valid,cifar100,ImageNet16-120",
    measure: Annotated[
        str | None, typer.Option(help="One measure, as in zero_cost.nwot: its values against accuracies.")
    ] = None,
    of: Annotated[str, typer.Option("--of", help="A table: bars of all its measures.")] = "zero_cost",
    top: Annotated[float, typer.Option(help="The share of highest accuracy that is looked at, as in 0.1.")] = 1.0,
    db: DbOption = None,
    split: SplitOption = None,
    hp: HpOption = None,
    source: SourceOption = None,
) -> None:
    """Draw how zero-cost proxies, or another table's measures, rank architectures beside their accuracy.

    Example: natsdb plot correlation --measure zero_cost.nwot -o nwot.png
    """
    import natsdb
    from natsdb import plot

    with natsdb.connect(db, source=source) as connection:
        asked = [plot.measured(connection, space, name, split, hp) for name in dataset.split(",")]
        if measure is None:
            chart = plot.correlations(connection, space, asked, of, top)
        else:
            chart = plot.correlation(connection, space, asked, measure, top)
        print(plot.save(chart, out))


def compare(
    out: OutOption,
    db: DbOption = None,
    source: Annotated[str, typer.Option(help="Which rows: the value of the column `source`.")] = "regenerated",
    other: Annotated[
        str, typer.Option("--with", help="Against which: another source, or a published table (.parquet).")
    ] = "official",
    other_hp: Annotated[str | None, typer.Option(help="Schedule of the other; the same if not given.")] = None,
) -> None:
    """Draw two sources' accuracies of the same architectures against each other.

    Example: natsdb plot compare --source regenerated --with tss_hp12_means.parquet -o agreement.png
    """
    from natsdb.compare import compare as run

    run(db, source=source, other=other, other_hp=other_hp, plot=out)
    print(out)


PICTURES: dict[str, Callable[..., Any]] = {
    "scatter": scatter,
    "pareto": pareto,
    "curves": curves,
    "rank": rank,
    "correlation": correlation,
    "compare": compare,
    "cell": plot_cell,
    "search": plot_search,
    "front": plot_front,
    "ranks": plot_ranks,
}
