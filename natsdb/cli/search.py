"""Commands of search algorithms: search, and `plot search`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from natsdb.cli.archives import DbOption, JobsOption, _list_failures, _progress
from natsdb.schema.errors import NatsdbError


# Algorithms' options have the names of the README of NATS-Bench, with underscores as there.
def search(
    algorithm: Annotated[
        str,
        typer.Argument(
            help="random, regularized_ea, reinforce, bohb; all of these: all; or your own: FILE.py:FUNCTION."
        ),
    ],
    space: Annotated[str, typer.Option(help="tss or sss.")],
    dataset: Annotated[
        str | None,
        typer.Option(help="cifar10, cifar100, ImageNet16-120; several with commas; those that are there if not given."),
    ] = None,
    db: DbOption = None,
    runs: Annotated[int, typer.Option(min=1, help="Independent runs.")] = 500,
    budget: Annotated[
        float | None, typer.Option(help="Simulated seconds of a run; those of the published runs if not given.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", "--rand_seed", help="All chance comes from it.")] = 0,
    hp: Annotated[str, typer.Option(help="Schedule of the trainings that are simulated.")] = "12",
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
        list[str] | None, typer.Option("--option", help="NAME=NUMBER, for an algorithm of your own; may be repeated.")
    ] = None,
) -> None:
    """Run a search algorithm on the database many times, keep every step in its tables, and print the comparison.

    Interrupted, the same command goes on; done, it does nothing. `from search_table` shows all searches again.

    Example: natsdb search regularized_ea --space tss --dataset cifar100 --runs 500
    """
    import natsdb
    from natsdb.search import ALGORITHMS, DATASETS
    from natsdb.search import search as run
    from natsdb.search.running import load_algorithm

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
    }
    options = {name: value for name, value in given.items() if value is not None} | _own(option or [])
    names = list(ALGORITHMS) if algorithm == "all" else [algorithm]
    datasets = dataset.split(",") if dataset else [one for one in DATASETS if one in _searchable(space, hp, db)]
    if not datasets:
        datasets = ["cifar10"]  # says what the database lacks
    failures: list[tuple[str, str]] = []
    held = 0
    for name in names:
        has = load_algorithm(name).options
        own = {key: value for key, value in options.items() if algorithm != "all" or key in has}
        for one in datasets:
            with _progress("evaluations") as progress:
                try:
                    report = run(
                        name,
                        space,
                        one,
                        db,
                        runs=runs,
                        budget=budget,
                        seed=seed,
                        hp=hp,
                        options=own,
                        mixed=best_of_all_epochs,
                        jobs=jobs,
                        progress=progress,
                    )
                except NatsdbError as error:
                    if len(names) * len(datasets) == 1:
                        raise
                    failures.append((f"{name}, {one}", str(error)))
                    continue
            said = "" if report.changed else " (no change)"
            print(f"{report.algorithm}, {space}, {one}: {report.runs:,} runs → search {report.search}{said}")
            held = report.held
    if len(failures) < len(names) * len(datasets):
        if held < (size := _size(space)):
            print(
                f"natsdb: {held:,} of {size:,} architectures are here: the nearest of them answers for each other one",
                file=sys.stderr,
            )
        from natsdb.cli.questions import _note_synthetic, _table

        frame = natsdb.query(f"select * exclude (space) from search_table where space = '{space}'", db)
        print(_table(frame[[column.name for column in frame if column.null_count() < len(column)]]))
        _note_synthetic(db)
    if failures:
        _list_failures(failures, ("search", "why it failed"), "searches failed")
        raise typer.Exit(1)


def _own(options: list[str]) -> dict[str, Any]:
    """Options of a user's algorithm as numbers."""
    found: dict[str, Any] = {}
    for option in options:
        name, _, text = option.partition("=")
        try:
            found[name] = int(text) if text.lstrip("-").isdecimal() else float(text)
        except ValueError:
            raise NatsdbError(f"{option!r} is no option", remedy="write it as in --option depth=3") from None
    return found


def _searchable(space: str, hp: str, db: Path | None) -> set[str]:
    """Data sets that the database has x-valid accuracies of, as searches name them."""
    import natsdb

    with natsdb.connect(db) as connection:
        found = connection.execute(
            "select distinct dataset from final where space = ? and hp = ? and split = 'x-valid'", [space, hp]
        ).fetchall()
    return {"cifar10" if dataset == "cifar10-valid" else dataset for (dataset,) in found}


def _size(space: str) -> int:
    from natsdb.schema.spaces import SIZES

    return SIZES[space]


def plot_search(
    space: Annotated[str, typer.Option(help="tss or sss.")],
    out: Annotated[Path, typer.Option("--output", "-o", help="Picture to write (.png, .svg, .html).")],
    db: DbOption = None,
    role: Annotated[
        str | None, typer.Option(help="Judged on: test, both or valid; the first of these that is there.")
    ] = None,
) -> None:
    """Draw how accurate the best architectures of each search are over simulated time, or over a search's epochs.

    Example: natsdb plot search --space tss -o search.png
    """
    import natsdb
    from natsdb import plot

    with natsdb.connect(db) as connection:
        print(plot.save(plot.searches(connection, space, role), out))
