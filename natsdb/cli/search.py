"""Commands of search algorithms: search, and `plot search`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from natsdb.cli.archives import DbOption, JobsOption, SourceOption, _list_failures, _progress
from natsdb.cli.training import _numbers, _time, data_sets, with_torch
from natsdb.schema.errors import NatsdbError

if TYPE_CHECKING:
    from natsdb.search import SearchReport


# Algorithms' options have the names of the README of NATS-Bench, with underscores as there.
def search(
    algorithm: Annotated[
        str,
        typer.Argument(
            help="random, regularized_ea, reinforce, bohb; all of these: all; local_search, successive_halving, "
            "hyperband, bananas, npenas; of other packages optuna:TPESampler, …, syne-tune:ASHA, …, pymoo:NSGA2, …; "
            "your own: FILE.py:FUNCTION; several with commas; with shared weights "
            "on tss: darts-v1, darts-v2, gdas, setn, rsps, enas; on sss: tas, mask_gumbel, mask_rl."
        ),
    ],
    space: Annotated[str, typer.Option(help="tss or sss.")],
    dataset: Annotated[
        str | None,
        typer.Option(help="cifar10, cifar100, ImageNet16-120; several with commas; those that are there if not given."),
    ] = None,
    db: DbOption = None,
    runs: Annotated[int | None, typer.Option(min=1, help="Independent runs: 500.")] = None,
    budget: Annotated[
        float | None, typer.Option(help="Simulated seconds of a run; those of the published runs if not given.")
    ] = None,
    seed: Annotated[
        str | None,
        typer.Option("--seed", "--rand_seed", help="All chance comes from it: 0; with shared weights 777, or several."),
    ] = None,
    hp: Annotated[str | None, typer.Option(help="Schedule of the trainings that are simulated: 12.")] = None,
    cost: Annotated[
        str | None, typer.Option(help="A measure, as in hw_nas_bench.raspi4_latency, that --at_most limits.")
    ] = None,
    at_most: Annotated[
        float | None,
        typer.Option("--at_most", help="Its highest value; architectures above it, or without one, are not trained."),
    ] = None,
    warm_up: Annotated[
        str | None,
        typer.Option("--warm_up", help="A measure, as in zero_cost.jacov: the first architectures are the best by it."),
    ] = None,
    of: Annotated[int | None, typer.Option(min=1, help="Of so many random ones: 1,000.")] = None,
    objectives: Annotated[
        str | None,
        typer.Option(
            help="accuracy and one or two measures, as in accuracy,hw_nas_bench.raspi4_latency; less of these is "
            "better, but of MEASURE:max more."
        ),
    ] = None,
    jobs: JobsOption = None,
    learning_rate: Annotated[float | None, typer.Option("--learning_rate", help="reinforce: 0.01.")] = None,
    ema_momentum: Annotated[float | None, typer.Option("--EMA_momentum", help="reinforce: 0.9.")] = None,
    ea_population: Annotated[int | None, typer.Option("--ea_population", min=1, help="regularized_ea: 10.")] = None,
    ea_sample_size: Annotated[int | None, typer.Option("--ea_sample_size", min=1, help="regularized_ea: 3.")] = None,
    ea_cycles: Annotated[
        int | None, typer.Option("--ea_cycles", min=0, help="regularized_ea: children at most; no limit.")
    ] = None,
    num_samples: Annotated[int | None, typer.Option("--num_samples", min=1, help="bohb: 4.")] = None,
    random_fraction: Annotated[float | None, typer.Option("--random_fraction", help="bohb: 0.")] = None,
    bandwidth_factor: Annotated[float | None, typer.Option("--bandwidth_factor", help="bohb: 3.")] = None,
    min_bandwidth: Annotated[float | None, typer.Option("--min_bandwidth", help="bohb: 0.3.")] = None,
    max_bandwidth: Annotated[
        float | None, typer.Option("--max_bandwidth", help="bohb: no limit; 0.8 keeps its densities above zero.")
    ] = None,
    min_budget: Annotated[
        float | None, typer.Option("--min_budget", help="bohb: least epochs of a training, 1; 12: its model alone.")
    ] = None,
    n_iters: Annotated[int | None, typer.Option("--n_iters", min=1, help="bohb: brackets at most, 300.")] = None,
    best_of_all_epochs: Annotated[
        bool,
        typer.Option(
            "--best_of_all_epochs", help="bohb: the best is the most accurate at any epoch, as in the original."
        ),
    ] = False,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", help="NAME=VALUE, any option of an algorithm by its name; may be repeated."),
    ] = None,
    train: Annotated[
        bool, typer.Option("--train", help="Train an architecture that the database lacks when the search asks for it.")
    ] = False,
    trainings: Annotated[int | None, typer.Option(min=1, help="With --train: evaluations of a run at most.")] = None,
    kept: Annotated[
        Path | None, typer.Option("--kept", help="With --train: folder of runs; beside the database if not given.")
    ] = None,
    image_size: Annotated[
        int | None, typer.Option("--image-size", min=4, help="With --train: as for train, of your own pictures.")
    ] = None,
    data: Annotated[
        Path | None, typer.Option(help="--train, shared weights: folder of the data set, as for train.")
    ] = None,
    searches: Annotated[
        Path | None, typer.Option(help="Shared weights: folder of searches; beside the database if not given.")
    ] = None,
    epochs: Annotated[
        int | None, typer.Option(min=1, help="Shared weights: 100; with --train a schedule of so many, for --hp.")
    ] = None,
    images: Annotated[
        int | None,
        typer.Option(
            min=1, help="Shared weights: at most so many images for weights, and for the search; --train: a split."
        ),
    ] = None,
    device: Annotated[
        str | None, typer.Option(help="--train, shared weights: cpu, cuda, …; a GPU if there is one.")
    ] = None,
    download: Annotated[
        bool, typer.Option("--download", help="--train, shared weights: fetch CIFAR into --data.")
    ] = False,
    arch_learning_rate: Annotated[
        float | None, typer.Option("--arch_learning_rate", help="Shared weights: 0.0003; enas 0.001.")
    ] = None,
    arch_weight_decay: Annotated[
        float | None, typer.Option("--arch_weight_decay", help="Shared weights: 0.001; enas, mask_rl 0.")
    ] = None,
    arch_eps: Annotated[float | None, typer.Option("--arch_eps", help="Shared weights: 1e-8; enas 0.001.")] = None,
    warmup_ratio: Annotated[
        float | None, typer.Option("--warmup_ratio", help="Shared weights on sss: share of epochs; none.")
    ] = None,
    drop_path_rate: Annotated[float | None, typer.Option("--drop_path_rate", help="Shared weights on tss: 0.")] = None,
    source: SourceOption = None,
) -> None:
    """Run a search algorithm, keep every step in the database's tables, and print the comparison.

    Interrupted, the same command goes on; done, it does nothing. `from search_table` shows all searches again.

    Example: natsdb search regularized_ea --space tss --dataset cifar100 --runs 500
    """
    import natsdb.search
    from natsdb.schema.spaces import SPACES

    names = list(dict.fromkeys(one.strip() for one in (dataset or "").split(",") if one.strip()))
    how: dict[str, Any] = {"data": data, "device": device, "images": images, "download": download}
    if train:
        names, hp, epochs, how = _to_train(names, db, hp, epochs, kept, image_size, how)
    elif kept is not None or image_size is not None:
        raise NatsdbError("--kept and --image-size are for searches that train", remedy="say --train")
    given = {
        "learning_rate": learning_rate,
        "EMA_momentum": ema_momentum,
        "ea_population": ea_population,
        "ea_sample_size": ea_sample_size,
        "ea_cycles": ea_cycles,
        "num_samples": num_samples,
        "random_fraction": random_fraction,
        "bandwidth_factor": bandwidth_factor,
        "min_bandwidth": min_bandwidth,
        "max_bandwidth": max_bandwidth,
        "min_budget": min_budget,
        "n_iters": n_iters,
        "epochs": epochs,
        "arch_learning_rate": arch_learning_rate,
        "arch_weight_decay": arch_weight_decay,
        "arch_eps": arch_eps,
        "warmup_ratio": warmup_ratio,
        "drop_path_rate": drop_path_rate,
    }
    with _progress("evaluations") as progress:
        done = natsdb.search.run(
            algorithm,
            space,
            names,
            db,
            runs=runs,
            budget=budget,
            seeds=_numbers(seed) if seed else (),
            hp=hp,
            options={name: value for name, value in given.items() if value is not None} | _own(option or []),
            best_of_all_epochs=best_of_all_epochs,
            jobs=jobs,
            source=source,
            cost=cost,
            at_most=at_most,
            warm_up=warm_up,
            of=of,
            objectives=objectives or (),
            trainings=trainings,
            searches=searches,
            **how,
            progress=progress,
            epoch_done=_print_epoch,
            report=lambda one: _print_report(one, space),
        )
    size = SPACES[space].size
    for name, held in {one.dataset: one.held for one in done.reports}.items():
        if held is not None and held < size:
            said = f"{held:,} of {size:,} architectures are here: the nearest of them answers for each other one"
            print(f"natsdb: {name}: {said}", file=sys.stderr)
    for note in dict.fromkeys(note for one in done.reports for note in one.notes):
        print(f"natsdb: {note}", file=sys.stderr)
    if done.reports:
        _print_table(space, db, source)
    if done.failures:
        _list_failures(done.failures, ("search", "why it failed"), "searches failed")
        raise typer.Exit(1)


def _to_train(
    names: list[str],
    db: Path | None,
    hp: str | None,
    epochs: int | None,
    kept: Path | None,
    image_size: int | None,
    how: dict[str, Any],
) -> tuple[list[str], str | None, None, dict[str, Any]]:
    """Data sets, schedule and the rest of a search that trains, as `natsdb.search.run` takes them."""
    from natsdb import _home
    from natsdb.schema.schedules import hp_of
    from natsdb.search import TrainingOptions

    with_torch()
    if epochs is not None:
        if hp is not None:
            raise NatsdbError("--hp and --epochs are two schedules", remedy="leave one of them out")
        hp = hp_of(epochs)
    names, own = data_sets(names, _home(db), image_size)
    return names, hp, None, {"training": TrainingOptions(**how, own=own, runs=kept, progress=_print_trained)}


def _print_trained(done: Any) -> None:
    """A line a training that a search asked for, on standard error."""
    if done.epoch + 1 == done.epochs:
        found = f"x-valid {done.measured['x-valid'].accuracy:.2f} %"
        print(f"trained {done.run}: {found}", file=sys.stderr, flush=True)


def _print_report(done: SearchReport, space: str) -> None:
    runs = f"{done.runs:,} run{'s' * (done.runs != 1)}"
    changed = "" if done.changed else " (no change)"
    print(f"{done.algorithm}, {space}, {done.dataset}: {runs} → search {done.search}{changed}")


def _print_epoch(done: Any) -> None:
    """A line an epoch of a search with shared weights, on standard error."""
    row = done.done
    pace = f"{done.rate:,.1f} steps/s, {_time(done.seconds_left)} left"
    found = f"{row.arch} {row.arch_str}, x-valid {row.valid_accuracy:.2f} %"
    print(f"{done.algorithm}: epoch {row.epoch + 1} of {done.epochs}: {found}; {pace}", file=sys.stderr, flush=True)


def _print_table(space: str, db: Path | None, source: str | None = None) -> None:
    """The view `search_table` of a space, without columns that are empty."""
    import natsdb
    from natsdb.cli.answers import table
    from natsdb.cli.questions import note_synthetic

    with natsdb.connect(db, source=source) as connection:
        frame = connection.sql("select * exclude (space) from search_table where space = $1", params=[space]).pl()
        print(table(frame[[column.name for column in frame if column.null_count() < len(column)]]))
        note_synthetic(connection)


def _own(options: list[str]) -> dict[str, Any]:
    """Options by name: numbers, true and false, else text."""
    found: dict[str, Any] = {}
    for option in options:
        name, equals, text = option.partition("=")
        if not (name and equals and text):
            raise NatsdbError(f"{option!r} is no option", remedy="write it as in --option depth=3")
        found[name] = _value(text)
    return found


def _value(text: str) -> bool | int | float | str:
    """A number where it is one, true or false, else the text itself."""
    if text.lower() in ("true", "false"):
        return text.lower() == "true"
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def plot_search(
    space: Annotated[str, typer.Option(help="tss or sss.")],
    out: Annotated[Path, typer.Option("--output", "-o", help="Picture to write (.png, .svg, .html).")],
    db: DbOption = None,
    role: Annotated[
        str | None, typer.Option(help="Judged on: test, both or valid; the first of these that is there.")
    ] = None,
    metric: Annotated[
        str, typer.Option(help="accuracy; of searches with several objectives hypervolume or igd_plus.")
    ] = "accuracy",
    source: SourceOption = None,
) -> None:
    """Draw how accurate the best architectures of each search are over simulated time, or over a search's epochs.

    Example: natsdb plot search --space tss -o search.png
    """
    import natsdb
    from natsdb import plot

    with natsdb.connect(db, source=source) as connection:
        if metric == "accuracy":
            chart = plot.searches(connection, space, role)
        else:
            chart = plot.hypervolumes(connection, space, role, metric)
        print(plot.save(chart, out))


def plot_front(
    space: Annotated[str, typer.Option(help="tss or sss.")],
    dataset: Annotated[str, typer.Option(help="cifar10, cifar100 or ImageNet16-120.")],
    out: Annotated[Path, typer.Option("--output", "-o", help="Picture to write (.png, .svg, .html).")],
    db: DbOption = None,
    objectives: Annotated[
        str | None, typer.Option(help="Of which searches, where there are some of several choices of objectives.")
    ] = None,
    role: Annotated[
        str | None, typer.Option(help="Judged on: test, both or valid; the first of these that is there.")
    ] = None,
    source: SourceOption = None,
) -> None:
    """Draw the fronts of searches with several objectives over all architectures, with the exact front.

    Example: natsdb plot front --space tss --dataset cifar100 -o front.png
    """
    import natsdb
    from natsdb import plot

    with natsdb.connect(db, source=source) as connection:
        print(plot.save(plot.fronts(connection, space, dataset, objectives, role), out))
