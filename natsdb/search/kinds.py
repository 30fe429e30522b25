"""Both kinds of search behind one function: on what the database holds, and with shared weights on images."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from natsdb.schema.datasets import DATASETS, check_searched, searched
from natsdb.schema.errors import NatsdbError
from natsdb.schema.names import did_you_mean
from natsdb.schema.size import SSS
from natsdb.schema.spaces import space_of
from natsdb.schema.topology import TSS
from natsdb.search.algorithm import Algorithm
from natsdb.search.repeated import SearchReport, loaded, search
from natsdb.search.running import ALGORITHMS, NAMED, options_of
from natsdb.search.trained import TrainingOptions, search_and_train
from natsdb.store.snapshot import asked_first

# With shared weights, by space; PyTorch is not imported to tell them apart.
SHARING = {
    TSS.name: ("darts-v1", "darts-v2", "gdas", "setn", "rsps", "enas"),
    SSS.name: ("tas", "mask_gumbel", "mask_rl"),
}
_SHARED = tuple(name for names in SHARING.values() for name in names)
_NAMES = (*NAMED, *_SHARED)


@dataclass(frozen=True)
class Done:
    """What was searched, and which searches failed: (search, why it failed); alone, a search that fails raises."""

    reports: list[SearchReport] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)


def run(
    algorithm: str | Callable[..., Any] | Algorithm,
    space: str,
    datasets: str | Sequence[str] = (),
    db: str | os.PathLike[str] | None = None,
    *,
    runs: int | None = None,
    budget: float | None = None,
    seeds: Sequence[int] = (),
    hp: str | None = None,
    options: dict[str, Any] | None = None,
    best_of_all_epochs: bool = False,
    jobs: int | None = None,
    source: str | None = None,
    cost: str | None = None,
    at_most: float | None = None,
    warm_up: str | None = None,
    of: int | None = None,
    objectives: str | Sequence[str] = (),
    training: TrainingOptions | None = None,
    trainings: int | None = None,
    data: str | os.PathLike[str] | None = None,
    searches: str | os.PathLike[str] | None = None,
    device: str | None = None,
    images: int | None = None,
    download: bool = False,
    progress: Callable[[str, int, int, int], None] | None = None,
    epoch_done: Callable[[Any], None] | None = None,
    report: Callable[[SearchReport], None] | None = None,
) -> Done:
    """Run a search algorithm, or all on the database, on one data set or several, and keep every step in the tables.

    What `natsdb search` does. Interrupted, the same call goes on; done, it does nothing.

    Args:
        algorithm: as in `natsdb.search.search`; all for the four of the paper; several with commas; or one of
            `SHARING`, which trains on images.
        space: tss or sss.
        datasets: one or several of cifar10, cifar100, ImageNet16-120; if none those that the database can answer for,
            and with shared weights cifar10.
        runs, budget, hp, jobs, source, cost, at_most, warm_up, of, objectives: of searches on the database, as in
            `natsdb.search.search`.
        seeds: one for all runs on the database (0); with shared weights one or several (777).
        options: of the algorithm, by name; of several, each takes its own.
        best_of_all_epochs: the best of a run of BOHB is the most accurate at any epoch, as in the original.
        training, trainings: train what the database lacks, so many at most; see `natsdb.search.trained`.
        data, device, images, download: of searches with shared weights, as in `natsdb.training.weight_sharing.search`.
        searches: folder of searches with shared weights; beside the database if None.
        progress: called now and then with (name, runs done, runs in all, evaluations done).
        epoch_done: called after each epoch of a search with shared weights.
        report: called with what each search did as soon as it is done.

    Raises:
        NatsdbError: no such algorithm, option, space or data set; or the only search that was asked for failed.
    """
    told = report or (lambda one: None)
    algorithms = _listed(algorithm)
    several = len(algorithms) > 1
    space_of(space)
    datasets = (datasets,) if isinstance(datasets, str) else datasets
    for dataset in datasets:
        check_searched(dataset)
    own = {"data": data, "searches": searches, "device": device, "images": images, "download": download or None}
    many: dict[str, Any] = {"runs": runs, "budget": budget, "hp": hp, "jobs": jobs, "source": source}
    many |= {"cost": cost, "at_most": at_most, "warm_up": warm_up, "of": of, "objectives": objectives or None}
    best = {"best_of_all_epochs": best_of_all_epochs or None}
    if isinstance(algorithm, str) and algorithm in _SHARED:
        _refuse(algorithm, {**many, **best, "train": training, "trainings": trainings})
        return _with_shared_weights(algorithm, space, datasets, db, seeds, options or {}, own, epoch_done, told)
    name = str(algorithm) if several else _name_of(algorithm)
    if training is not None:
        _refuse(
            name,
            {**own, **{option: many[option] for option in ("jobs", "cost", "at_most", "warm_up", "of", "objectives")}},
        )
        _refuse(name, {} if name == "bohb" else best)
        if several or len(seeds) > 1 or not datasets:
            raise NatsdbError("a search that trains has one algorithm, one seed and data sets", remedy="name them")
        made = Done()
        for dataset in datasets:
            made.reports.append(
                search_and_train(
                    algorithm,
                    space,
                    dataset,
                    db,
                    training=training,
                    trainings=trainings,
                    budget=budget,
                    runs=runs or 1,
                    seed=seeds[0] if seeds else 0,
                    hp=hp or "12",
                    options=options,
                    mixed=best_of_all_epochs,
                    source=source,
                )
            )
            told(made.reports[-1])
        return made
    _refuse(name, {"trainings": trainings})
    _refuse(name, own if "bohb" in map(_name_of, algorithms) else {**own, **best})
    if len(seeds) > 1:
        raise NatsdbError("a search on the database has one seed for all its runs", remedy="say how many with --runs")
    many |= {
        "seed": seeds[0] if seeds else 0,
        "hp": hp or "12",
        "runs": 500 if runs is None else runs,
        "objectives": objectives,
    }
    return _on_the_database(algorithms, space, datasets, db, options or {}, best_of_all_epochs, many, progress, told)


def _name_of(algorithm: str | Callable[..., Any] | Algorithm) -> str:
    if isinstance(algorithm, str):
        return algorithm
    return str(getattr(algorithm, "name", getattr(algorithm, "__name__", repr(algorithm))))


def _refuse(algorithm: str, options: dict[str, Any]) -> None:
    """Refuse options that an algorithm would not heed."""
    for name, value in options.items():
        if value is not None:
            raise NatsdbError(f"{algorithm} has no option --{name}", remedy="leave it out")


def _listed(algorithm: str | Callable[..., Any] | Algorithm) -> list[Any]:
    """The algorithms that are meant.

    Raises:
        NatsdbError: there is no algorithm of a name, or several share weights.
    """
    if not isinstance(algorithm, str):
        return [algorithm]
    asked = list(dict.fromkeys(one.strip() for one in algorithm.split(",")))
    for name in asked:
        if ":" not in name and name not in ("all", *_NAMES):
            raise NatsdbError(
                f"there is no algorithm {name!r}",
                remedy=f"{did_you_mean(name, ('all', *_NAMES))}, other packages' as in optuna:TPESampler, and "
                "FILE.py:FUNCTION for your own",
            )
        if name in _SHARED and len(asked) > 1:
            raise NatsdbError(f"{name} trains on images", remedy="run it by itself, and leave it out here")
    return list(dict.fromkeys(one for name in asked for one in (ALGORITHMS if name == "all" else [name])))


def _on_the_database(
    algorithms: list[Any],
    space: str,
    datasets: Sequence[str],
    db: str | os.PathLike[str] | None,
    options: dict[str, Any],
    mixed: bool,
    many: dict[str, Any],
    progress: Callable[[str, int, int, int], None] | None,
    told: Callable[[SearchReport], None],
) -> Done:
    found = [loaded(one)[0] for one in algorithms]
    several = len(algorithms) > 1
    if several and (unknown := set(options) - {name for one in found for name in one.options}):
        named = ", ".join(one.name for one in found)
        raise NatsdbError(f"none of {named} has an option --{sorted(unknown)[0]}", remedy="leave it out")
    taken = []
    for one, chosen in zip(algorithms, found, strict=True):
        own = {name: value for name, value in options.items() if not several or name in chosen.options}
        # Else it would fail on each data set.
        options_of(chosen, own)
        taken.append((one, own))
    datasets = datasets or _answered(space, many["hp"], db) or searched()[:1]
    done = Done()
    for one, own in taken:
        for dataset in datasets:
            try:
                made = search(
                    one,
                    space,
                    dataset,
                    db,
                    options=own,
                    mixed=mixed and _name_of(one) == "bohb",
                    progress=progress,
                    **many,
                )
            except NatsdbError as error:
                if len(algorithms) * len(datasets) == 1:
                    raise
                done.failures.append((f"{_name_of(one)}, {dataset}", str(error)))
                continue
            done.reports.append(made)
            told(made)
    return done


def _answered(space: str, hp: str, db: str | os.PathLike[str] | None) -> list[str]:
    """Data sets, as searches name them, that the database has x-valid accuracies of."""
    import natsdb

    with natsdb.connect(asked_first(db)) as connection:
        found = connection.execute(
            "select distinct dataset from final where space = ? and hp = ? and split = 'x-valid'", [space, hp]
        ).fetchall()
    return [name for name in searched() if (DATASETS[name].validated,) in found]


def _with_shared_weights(
    algorithm: str,
    space: str,
    datasets: Sequence[str],
    db: str | os.PathLike[str] | None,
    seeds: Sequence[int],
    options: dict[str, Any],
    own: dict[str, Any],
    epoch_done: Callable[[Any], None] | None,
    told: Callable[[SearchReport], None],
) -> Done:
    """Search with shared weights, then add all finished searches of the folder to the database."""
    from natsdb import _home
    from natsdb.ingest.searches import collect_searches

    if algorithm not in SHARING.get(space, ()):
        other = next(name for name, names in SHARING.items() if algorithm in names)
        remedy = f"on {space} choose {', '.join(SHARING.get(space, ALGORITHMS))}"
        raise NatsdbError(f"{algorithm} searches {other}, not {space}", remedy=remedy)
    try:
        from natsdb.training.weight_sharing import search as search_with_shared_weights
        from natsdb.training.weight_sharing.registry import options_of as shared_options_of
    except ImportError as error:
        raise NatsdbError(
            f"a search with shared weights needs PyTorch ({error})", remedy="pip install 'natsdb[training]'"
        ) from error
    # Else `seed` and others would be taken for what the method is called with.
    shared_options_of(algorithm, options)
    if own["data"] is None:
        raise NatsdbError(f"{algorithm} trains on images", remedy="name the folder of the data set with --data DIR")
    home = _home(db)
    folder = Path(own["searches"] or home.resolve().with_name(f"{home.resolve().name}-searches"))
    datasets, seeds, done = datasets or searched()[:1], seeds or (777,), Done()
    for dataset in datasets:
        for seed in seeds:
            try:
                search_with_shared_weights(
                    algorithm,
                    dataset,
                    Path(own["data"]),
                    folder,
                    space=space,
                    seed=seed,
                    images=own["images"],
                    device=own["device"],
                    download=bool(own["download"]),
                    progress=epoch_done,
                    **options,
                )
            except NatsdbError as error:
                if len(seeds) * len(datasets) == 1:
                    raise
                done.failures.append((f"{algorithm}, {dataset}, seed {seed}", str(error)))
    for name, of, dataset, count, changed in collect_searches(folder, home):
        done.reports.append(SearchReport(name, of, dataset, count, 0, changed, None))
        told(done.reports[-1])
    return done
