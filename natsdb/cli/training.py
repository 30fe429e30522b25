"""Commands that make rows: train, collect, compare."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from functools import partial
from importlib.metadata import distribution
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from natsdb.cli.archives import DbOption, _list_failures
from natsdb.cli.showing import ARCHS, SpaceOption
from natsdb.schema.errors import NatsdbError

if TYPE_CHECKING:
    from natsdb.training.own_data import Own
    from natsdb.training.recipe import Recipe
    from natsdb.training.run import Progress, Trainer

ReplaceOption = Annotated[bool, typer.Option("--replace", help="Overwrite runs that are there with other numbers.")]
SourceOption = Annotated[str, typer.Option(help="What the column `source` says of these rows.")]


def train(
    archs: Annotated[str, typer.Option(help=ARCHS)],
    dataset: Annotated[
        str,
        typer.Option(
            help="cifar10-valid, cifar10, cifar100, ImageNet16-120, or your own pictures, as in pets=FOLDER; "
            "several with commas."
        ),
    ],
    space: SpaceOption = None,
    hp: Annotated[
        str | None, typer.Option(help="Schedule by its official name: 01, 12, 90 or 200 epochs; or another number.")
    ] = None,
    seeds: Annotated[str, typer.Option(help="Seeds, with commas.")] = "777",
    data: Annotated[Path, typer.Option(help="Folder of the data set: official files, Parquet, or pictures.")] = Path(
        "data"
    ),
    db: DbOption = None,
    runs: Annotated[
        Path | None, typer.Option(help="Folder of runs, finished and under way; beside the database if not given.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="cpu, cuda, cuda:1, …; a GPU if there is one.")] = None,
    precision: Annotated[str, typer.Option(help="float32, the official one, bf16 or float64.")] = "float32",
    stack: Annotated[int, typer.Option(min=1, help="So many runs side by side, as one program.")] = 1,
    compile: Annotated[
        bool, typer.Option("--compile", help="Compile training and evaluation: takes minutes for a network.")
    ] = False,
    graph: Annotated[bool, typer.Option("--graph", help="Capture the step as a CUDA graph.")] = False,
    fused: Annotated[bool, typer.Option("--fused", help="tss in bf16: a graph of kernels of our own.")] = False,
    keep_weights: Annotated[bool, typer.Option("--keep-weights", help="Keep the trained weights too.")] = False,
    images: Annotated[int | None, typer.Option(min=1, help="Reduced run: at most so many images a split.")] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="A schedule of so many epochs; beside --hp a reduced run of it.")
    ] = None,
    recipe: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="A recipe of your own; its name is the source.")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option(min=4, help="Your own pictures: scale their middle squares to so many pixels.")
    ] = None,
    download: Annotated[bool, typer.Option("--download", help="Fetch CIFAR into --data if it is not there.")] = False,
    ray: Annotated[
        str | None, typer.Option(metavar="ADDRESS|auto", help="Spread the runs over this Ray cluster.")
    ] = None,
    cpus_per_run: Annotated[int, typer.Option(min=1, help="With --ray: CPUs, and threads, of a run or stack.")] = 1,
    gpus_per_run: Annotated[
        float, typer.Option(min=0, max=1, help="With --ray: share of a GPU for a run or stack; 0 trains on CPUs.")
    ] = 0,
    source: Annotated[
        str | None,
        typer.Option(help="What the column `source` says of these rows: regenerated; with --recipe, the file's name."),
    ] = None,
    replace: ReplaceOption = False,
) -> None:
    """Train architectures by the official recipe, and add what was measured to the database.

    Killed or interrupted, the same command goes on after the last whole epoch. A run that fails (it diverged, memory
    ran out) is listed with its reason, the others go on, and the command exits with 1.

    Example: natsdb train --space tss --archs 0-99,1462 --hp 12 --dataset cifar10-valid --seeds 777,888 --data DIR
    """
    from natsdb import _home
    from natsdb.ingest import collect as take
    from natsdb.ingest.trained import check_recipe_of
    from natsdb.schema.encodings import architectures
    from natsdb.schema.schedules import epochs_of, hp_of
    from natsdb.training import run_files as plan

    with_torch()
    from natsdb.training.run import train as run

    steps = [name for name, asked in (("compile", compile), ("graph", graph), ("fused", fused)) if asked]
    if len(steps) > 1:
        raise NatsdbError("a step is compiled, captured or fused", remedy=f"leave out --{steps[0]} or --{steps[1]}")
    if ray is None and (cpus_per_run > 1 or gpus_per_run):
        raise NatsdbError("--cpus-per-run and --gpus-per-run are for a Ray cluster", remedy="say --ray auto")
    home = _home(db)
    by, rows = _recipe(recipe, source)
    check_recipe_of(home, rows, by.said)
    if hp is None:
        if epochs is None:
            raise NatsdbError("a training needs a number of epochs", remedy="say --hp 12, or --epochs 600")
        hp, epochs = hp_of(epochs), None
    epochs_of(hp)
    datasets, own = data_sets(dataset.split(","), home, image_size)
    space, chosen = architectures(archs, space)
    todo = plan.runs_of(space, chosen, hp, datasets, _numbers(seeds))
    suffix = "-runs" if recipe is None else f"-runs-{rows}"
    kept = runs or home.resolve().with_name(home.resolve().name + suffix)
    with _progress() as progress:
        report = run(
            todo,
            kept,
            data,
            device=device,
            precision=precision,
            images=images,
            epochs=epochs,
            stack=stack,
            step=steps[0] if steps else "eager",
            keep_weights=keep_weights,
            download=download,
            recipe=by,
            own=own,
            trainer=None if ray is None else _on_cluster(ray, cpus_per_run, gpus_per_run),
            progress=progress,
        )
    print(f"{report.finished:,} runs finished, {report.before:,} were before → {kept}")
    if report.finished or report.before:
        added = take(kept, home, source=rows, replace=replace)
        print(
            f"{added.archs:,} architectures, {added.rows:,} rows → {home}" + ("" if added.changed else " (no change)")
        )
    if report.failed:
        _list_failed([(str(one), reason) for one, reason in report.failed])
    if report.lost:
        raise NatsdbError(
            f"the device cannot be used any more ({report.lost})",
            remedy="run the same command again: it goes on where it was",
        )
    if report.failed:
        raise typer.Exit(1)


def _recipe(path: Path | None, source: str | None) -> tuple[Recipe, str]:
    """The recipe to train by, and the source of its rows."""
    from natsdb.ingest.report import check_name
    from natsdb.store.choice import OFFICIAL, REGENERATED
    from natsdb.training import recipe

    rows = source or (REGENERATED if path is None else path.stem)
    check_name(rows)
    if path is None:
        return recipe.OFFICIAL, rows
    if rows in (OFFICIAL, REGENERATED):
        raise NatsdbError(f"rows by a recipe of your own are not {rows}", remedy="name their source with --source")
    return recipe.read_recipe(path), rows


def data_sets(texts: list[str], home: Path, size: int | None) -> tuple[list[str], dict[str, Own]]:
    """Names of data sets, and those among them that are somebody's own, as in `pets=FOLDER`."""
    from natsdb.store.manifest import NAME
    from natsdb.store.snapshot import read_manifest
    from natsdb.training.own_data import own_data

    if (home / NAME).exists():
        read_manifest(home)  # what it has of these is known from here on
    names, own = [], {}
    for one in texts:
        name, given, place = one.partition("=")
        names.append(name)
        if given:
            own[name] = own_data(name, Path(place).expanduser(), size)
    if size is not None and not own:
        raise NatsdbError("--image-size is for your own pictures", remedy="name them as in --dataset pets=FOLDER")
    return names, own


def with_torch() -> None:
    """Make sure that torch and torchvision are there.

    Raises:
        NatsdbError: they are not installed.
    """
    try:
        import torch

        del torch
        distribution("torchvision")  # imported, it takes seconds
    except ImportError as error:
        raise NatsdbError(f"networks need PyTorch ({error})", remedy="pip install 'natsdb[training]'") from error


def _on_cluster(address: str, cpus_per_run: int, gpus_per_run: float) -> Trainer:
    """What trains on a Ray cluster. Ray is imported only here."""
    try:
        from natsdb.training.cluster import train_on_cluster
    except ImportError as error:
        raise NatsdbError(f"--ray needs Ray ({error})", remedy="pip install 'natsdb[ray]'") from error
    return partial(train_on_cluster, address=address, cpus_per_run=cpus_per_run, gpus_per_run=gpus_per_run)


def collect(
    runs: Annotated[Path, typer.Argument(help="Folder of runs, as `natsdb train` keeps it.")],
    db: DbOption = None,
    source: SourceOption = "regenerated",
    replace: ReplaceOption = False,
) -> None:
    """Add a folder's finished runs to the database; list the failed ones, and exit with 1 if there are any.

    Example: natsdb collect my-runs --db DIR && natsdb export --space tss --source regenerated --db DIR OUT
    """
    from natsdb.ingest import collect as take

    report = take(runs, db, source=source, replace=replace)
    if report.changed:
        print(f"{report.archs:,} architectures, {report.rows:,} rows in {report.seconds:.1f} s → {report.database}")
    else:
        print(f"nothing to do: {report.database} holds all of it already")
    if report.failures:
        _list_failed(report.failures)
        raise typer.Exit(1)


def compare(
    db: DbOption = None,
    source: Annotated[str, typer.Option(help="Which rows: the value of the column `source`.")] = "regenerated",
    other: Annotated[
        str, typer.Option("--with", help="Against which: another source, or a published table (.parquet).")
    ] = "official",
    other_hp: Annotated[str | None, typer.Option(help="Schedule of the other; the same if not given.")] = None,
    plot: Annotated[
        Path | None, typer.Option(help="Draw both accuracies of each architecture (.png, .svg, .html).")
    ] = None,
) -> None:
    """Regenerated accuracies against official or published ones: rank correlation and mean difference, split by split.

    Example: natsdb compare --with tss_hp12_means.parquet --plot agreement.png
    """
    from natsdb.cli.answers import table
    from natsdb.compare import compare as run

    print(table(run(db, source=source, other=other, other_hp=other_hp, plot=plot)))
    if plot is not None:
        print(f"picture: {plot}")


def _numbers(text: str) -> list[int]:
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isdecimal() for part in parts):
        raise NatsdbError(f"{text!r} are no seeds", remedy="write them as in 777,888")
    return [int(part) for part in parts]


def _list_failed(failures: list[tuple[str, str]]) -> None:
    _list_failures(failures, ("run", "why it failed"), "runs failed")


@contextmanager
def _progress() -> Iterator[Callable[[Progress], None]]:
    """Runs and epochs done, rate and time left, on standard error: a bar on a terminal, a line an epoch elsewhere."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
    from rich.progress import Progress as Bar

    console = Console(stderr=True)
    bar = Bar(TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), console=console, transient=True)
    # Elsewhere the bar is never started: rich before 15 ends even a disabled one with an empty line.
    with bar if console.is_terminal else nullcontext():
        runs, epochs = bar.add_task("runs", total=None), bar.add_task("epochs", total=None)

        def tell(done: Progress) -> None:
            figures = ", ".join(f"{split} {one.accuracy:.2f} %" for split, one in done.measured.items())
            pace = f"{done.rate:,.0f} images/s, {_time(done.seconds_left)} left"
            at = f"run {done.number} of {done.runs}: {done.run}: epoch {done.epoch + 1} of {done.epochs}: {figures}"
            finished = done.epoch + 1 == done.epochs
            if not console.is_terminal or finished:
                console.print(f"{at}; {pace}", highlight=False, soft_wrap=True)
            bar.update(runs, total=done.runs, completed=done.ended, description=pace)
            bar.update(epochs, total=done.epochs, completed=done.epoch + 1, description=str(done.run))

        yield tell


def _time(seconds: float) -> str:
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02d}:{rest:02d}"
