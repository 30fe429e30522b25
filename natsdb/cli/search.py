"""Commands of search algorithms: search, and `plot search`."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Annotated, Any

import typer

from natsdb.cli.archives import DbOption, JobsOption, _list_failures, _progress
from natsdb.schema.errors import NatsdbError

# With shared weights; PyTorch is not imported to tell them apart.
_SHARING = {
    "tss": ("darts-v1", "darts-v2", "gdas", "setn", "rsps", "enas"),
    "sss": ("tas", "mask_gumbel", "mask_rl"),
}


# Algorithms' options have the names of the README of NATS-Bench, with underscores as there.
def search(
    algorithm: Annotated[
        str,
        typer.Argument(
            help="random, regularized_ea, reinforce, bohb; all of these: all; your own: FILE.py:FUNCTION; with shared "
            "weights on tss: darts-v1, darts-v2, gdas, setn, rsps, enas; on sss: tas, mask_gumbel, mask_rl."
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
        typer.Option("--option", help="NAME=NUMBER, any option of an algorithm by its name; may be repeated."),
    ] = None,
    data: Annotated[Path | None, typer.Option(help="Shared weights: folder of the data set, as for train.")] = None,
    searches: Annotated[
        Path | None, typer.Option(help="Shared weights: folder of searches; beside the database if not given.")
    ] = None,
    epochs: Annotated[int | None, typer.Option(min=1, help="Shared weights: 100.")] = None,
    images: Annotated[
        int | None, typer.Option(min=1, help="Shared weights: at most so many images for weights, and for the search.")
    ] = None,
    device: Annotated[str | None, typer.Option(help="Shared weights: cpu, cuda, …; a GPU if there is one.")] = None,
    download: Annotated[bool, typer.Option("--download", help="Shared weights: fetch CIFAR into --data.")] = False,
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
) -> None:
    """Run a search algorithm, keep every step in the database's tables, and print the comparison.

    Interrupted, the same command goes on; done, it does nothing. `from search_table` shows all searches again.

    Example: natsdb search regularized_ea --space tss --dataset cifar100 --runs 500
    """
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
    options = {name: value for name, value in given.items() if value is not None} | _own(option or [])
    datasets = list(dict.fromkeys(one.strip() for one in (dataset or "").split(",") if one.strip()))
    folder: dict[str, Any] = {
        "data": data,
        "searches": searches,
        "device": device,
        "images": images,
        "download": download or None,
    }
    many: dict[str, Any] = {
        "runs": runs,
        "budget": budget,
        "hp": hp,
        "jobs": jobs,
        "best_of_all_epochs": best_of_all_epochs or None,
    }
    _check_name(algorithm)
    if algorithm in (*_SHARING["tss"], *_SHARING["sss"]):
        _refuse(algorithm, many)
        failures = _with_shared_weights(algorithm, space, datasets, db, _seeds(seed or "777"), options, **folder)
    else:
        _refuse(
            algorithm, folder | ({} if algorithm in ("bohb", "all") else {"best_of_all_epochs": best_of_all_epochs})
        )
        one_seed = _seeds(seed or "0", one=True)[0]
        failures = _on_the_database(algorithm, space, datasets, db, options, seed=one_seed, **many)
    if failures:
        _list_failures(failures, ("search", "why it failed"), "searches failed")
        raise typer.Exit(1)


def _refuse(algorithm: str, options: dict[str, Any]) -> None:
    """Refuse options that an algorithm would not heed."""
    for name, value in options.items():
        if value not in (None, False):
            raise NatsdbError(f"{algorithm} has no option --{name}", remedy="leave it out")


def _check_name(algorithm: str) -> None:
    from natsdb.schema.names import did_you_mean
    from natsdb.search import ALGORITHMS

    every = ("all", *ALGORITHMS, *_SHARING["tss"], *_SHARING["sss"])
    if ":" not in algorithm and algorithm not in every:
        raise NatsdbError(
            f"there is no algorithm {algorithm!r}",
            remedy=f"{did_you_mean(algorithm, every)}, and FILE.py:FUNCTION for your own",
        )


def _on_the_database(
    algorithm: str,
    space: str,
    datasets: list[str],
    db: Path | None,
    options: dict[str, Any],
    *,
    seed: int,
    runs: int | None,
    budget: float | None,
    hp: str | None,
    jobs: int | None,
    best_of_all_epochs: bool | None,
) -> list[tuple[str, str]]:
    """Run searches that train one architecture at a time; return those that failed, if there are several."""
    from natsdb.search import ALGORITHMS, DATASETS
    from natsdb.search import search as run
    from natsdb.search.running import load_algorithm

    names = list(ALGORITHMS) if algorithm == "all" else [algorithm]
    hp = hp or "12"
    if algorithm == "all" and (unknown := set(options) - {name for one in ALGORITHMS.values() for name in one.options}):
        raise NatsdbError(f"none of {', '.join(names)} has an option --{sorted(unknown)[0]}", remedy="leave it out")
    datasets = datasets or [one for one in DATASETS if one in _searchable(space, hp, db)] or ["cifar10"]
    failures: list[tuple[str, str]] = []
    held: dict[str, int] = {}
    for name in names:
        has = load_algorithm(name).options
        own = {key: value for key, value in options.items() if algorithm != "all" or key in has}
        for dataset in datasets:
            try:
                with _progress("evaluations") as progress:
                    report = run(
                        name,
                        space,
                        dataset,
                        db,
                        runs=runs or 500,
                        budget=budget,
                        seed=seed,
                        hp=hp,
                        options=own,
                        mixed=bool(best_of_all_epochs) and name == "bohb",
                        jobs=jobs,
                        progress=progress,
                    )
            except NatsdbError as error:
                if len(names) * len(datasets) == 1:
                    raise
                failures.append((f"{name}, {dataset}", str(error)))
                continue
            held[dataset] = report.held
            print(f"{_said(report.algorithm, space, dataset, report.runs, report.search)}{_changed(report.changed)}")
    for dataset, count in held.items():
        if count < (size := _size(space)):
            said = f"{count:,} of {size:,} architectures are here: the nearest of them answers for each other one"
            print(f"natsdb: {dataset}: {said}", file=sys.stderr)
    if held:
        _print_table(space, db)
    return failures


def _with_shared_weights(
    algorithm: str,
    space: str,
    datasets: list[str],
    db: Path | None,
    seeds: list[int],
    options: dict[str, Any],
    *,
    data: Path | None,
    searches: Path | None,
    device: str | None,
    images: int | None,
    download: bool | None,
) -> list[tuple[str, str]]:
    """Run searches with shared weights, then add all finished ones of the folder to the database."""
    from natsdb import _home
    from natsdb.ingest.searches import collect_searches

    if algorithm not in _SHARING.get(space, ()):
        _size(space)  # says what is no space
        other = next(one for one in _SHARING if algorithm in _SHARING[one])
        raise NatsdbError(
            f"{algorithm} searches {other}, not {space}", remedy=f"on {space} choose {', '.join(_SHARING[space])}"
        )
    try:
        from natsdb.training.weight_sharing import search as run
    except ImportError as error:
        raise NatsdbError(
            f"a search with shared weights needs PyTorch ({error})", remedy="pip install 'natsdb[training]'"
        ) from error
    if data is None:
        raise NatsdbError(f"{algorithm} trains on images", remedy="name the folder of the data set with --data DIR")
    home = _home(db)
    kept = searches or home.resolve().with_name(f"{home.resolve().name}-searches")
    failures = []
    for dataset in datasets or ["cifar10"]:
        for seed in seeds:
            with _epochs() as progress:
                try:
                    run(
                        algorithm,
                        dataset,
                        data,
                        kept,
                        space=space,
                        seed=seed,
                        images=images,
                        device=device,
                        download=bool(download),
                        progress=progress,
                        **options,
                    )
                except NatsdbError as error:
                    if len(seeds) * len(datasets or [0]) == 1:
                        raise
                    failures.append((f"{algorithm}, {dataset}, seed {seed}", str(error)))
    for search, name, dataset, runs, changed in collect_searches(kept, home):
        print(f"{_said(name, space, dataset, runs, search)}{_changed(changed)}")
    _print_table(space, db)
    return failures


def _epochs() -> Any:
    """A line an epoch of a search with shared weights, on standard error."""
    from contextlib import nullcontext

    from natsdb.cli.training import _time

    def tell(done: Any) -> None:
        row = done.done
        pace = f"{done.rate:,.1f} steps/s, {_time(done.seconds_left)} left"
        found = f"{row.arch} {row.arch_str}, x-valid {row.valid_accuracy:.2f} %"
        print(f"{done.algorithm}: epoch {row.epoch + 1} of {done.epochs}: {found}; {pace}", file=sys.stderr, flush=True)

    told: Callable[[Any], None] = tell
    return nullcontext(told)


def _said(algorithm: str, space: str, dataset: str, runs: int, search: str) -> str:
    return f"{algorithm}, {space}, {dataset}: {runs:,} run{'s' * (runs != 1)} → search {search}"


def _changed(changed: bool) -> str:
    return "" if changed else " (no change)"


def _print_table(space: str, db: Path | None) -> None:
    """The view `search_table` of a space, without columns that are empty."""
    import natsdb
    from natsdb.cli.answers import table
    from natsdb.cli.questions import note_synthetic

    with natsdb.connect(db) as connection:
        frame = connection.sql("select * exclude (space) from search_table where space = $1", params=[space]).pl()
        print(table(frame[[column.name for column in frame if column.null_count() < len(column)]]))
        note_synthetic(connection)


def _own(options: list[str]) -> dict[str, Any]:
    """Options by name as numbers."""
    found: dict[str, Any] = {}
    for option in options:
        name, _, text = option.partition("=")
        try:
            found[name] = int(text) if text.lstrip("-").isdecimal() else float(text)
        except ValueError:
            raise NatsdbError(f"{option!r} is no option", remedy="write it as in --option depth=3") from None
    return found


def _seeds(text: str, *, one: bool = False) -> list[int]:
    from natsdb.cli.training import _numbers

    seeds = _numbers(text)
    if one and len(seeds) > 1:
        raise NatsdbError("a search on the database has one seed for all its runs", remedy="say how many with --runs")
    return seeds


def _searchable(space: str, hp: str, db: Path | None) -> set[str]:
    """Data sets that the database has x-valid accuracies of, as searches name them."""
    import natsdb

    with natsdb.connect(db) as connection:
        found = connection.execute(
            "select distinct dataset from final where space = ? and hp = ? and split = 'x-valid'", [space, hp]
        ).fetchall()
    return {"cifar10" if dataset == "cifar10-valid" else dataset for (dataset,) in found}


def _size(space: str) -> int:
    from natsdb.schema.spaces import SIZES, strings

    strings(space)
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
