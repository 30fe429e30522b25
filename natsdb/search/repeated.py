"""A search on the database, repeated: many runs of it, each step kept in the tables."""

from __future__ import annotations

import hashlib
import json
import math
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import CodeType
from typing import Any

from natsdb.schema.errors import NatsdbError
from natsdb.search.algorithm import Algorithm
from natsdb.search.fronts import Judges, front_rows, read_judges
from natsdb.search.measures import checked_limit, checked_warm_up
from natsdb.search.others import is_others, versions
from natsdb.search.running import NAMED, Task, load_algorithm, options_of, run_task
from natsdb.search.trainings import Trainings, published_budget, read_trainings
from natsdb.store.manifest import NAME
from natsdb.store.snapshot import asked_first

# Runs that a process does at a time: what an interruption loses at most.
_CHUNK = 25


@dataclass(frozen=True)
class SearchReport:
    """What a search did: its name in the tables, runs now and before, whether the database changed, how many
    architectures answered (None where networks were trained), and what is to be said of it besides."""

    search: str
    algorithm: str
    dataset: str
    runs: int
    resumed: int
    changed: bool
    held: int | None
    notes: tuple[str, ...] = ()


def search(
    algorithm: str | Callable[..., Any] | Algorithm,
    space: str,
    dataset: str,
    db: str | os.PathLike[str] | None = None,
    *,
    runs: int = 500,
    budget: float | None = None,
    seed: int = 0,
    hp: str = "12",
    options: dict[str, Any] | None = None,
    mixed: bool = False,
    source: str | None = None,
    cost: str | None = None,
    at_most: float | None = None,
    warm_up: str | None = None,
    of: int | None = None,
    objectives: str | Sequence[str] = (),
    jobs: int | None = None,
    progress: Callable[[str, int, int, int], None] | None = None,
) -> SearchReport:
    """Run a search many times on what the database holds, and keep all steps in `search_run` and `search_step`.

    Every run is a function of `seed` and its number: the same on any number of processes. Interrupted, the same call
    goes on after the last 25 runs. A search that the database holds already with so many runs, on the same rows, is
    left alone. Where the database holds only some architectures of the space, the nearest that it holds, by number of
    differing choices, answers for each of the others. Where there is no database yet it is made, and natsdb's own
    answers.

    Args:
        algorithm: random, regularized_ea, reinforce, bohb, local_search, successive_halving, hyperband, bananas,
            npenas; another package's, as in optuna:TPESampler; FILE.py:FUNCTION; or a generator function of a
            benchmark, a `random.Random` and options by name, which yields architectures (choices, index or official
            string), or pairs of one and an epoch, and is told the accuracy in percent.
        space, dataset: tss or sss; cifar10, cifar100 or ImageNet16-120.
        runs: how many.
        budget: simulated seconds of a run; those of the published runs if None (`published_budget`).
        hp: schedule of the trainings that are simulated; the published runs ask at 12 and are judged by the full one.
        options: of the algorithm, by name.
        mixed: the best of a run is the most accurate at any epoch, as in the original BOHB; otherwise at the latest.
        source: ask the rows of this source only; by default of the one that counts for each architecture.
        cost, at_most: a measure, as in the view `measure`, and its highest value: architectures above it, or without a
            value, are infeasible. An infeasible proposal is rejected before it is trained, costs no time, and another
            is drawn by the same rule of the algorithm; a search of your own is told 0 (see `Benchmark`).
        warm_up, of: a measure, as `zero_cost.jacov`; the first architectures are the best by it, the highest first, of
            so many random ones (1,000). If the database has the measure's seconds too, by its name and `_seconds`,
            those of all of them are spent before the first training.
        objectives: accuracy and one or two measures, as of `natsdb.pareto`; accuracy alone if none. Of algorithms that
            heed several (random, optuna:NSGAIISampler, pymoo:NSGA2, …); one of your own is told a tuple of their
            values, in this order. What the runs' fronts are worth is kept in `search_front` (extra `objectives`).
        jobs: processes; by default one a core, at most six; a function that lives in no file runs in this one.
        progress: called now and then with (name, runs done, runs in all, evaluations done).

    Raises:
        NatsdbError: no such algorithm, option, space or data set; the database lacks the rows that it needs.
        KeyboardInterrupt: interrupted; the same call goes on.
    """
    import natsdb
    from natsdb.ingest.fanout import fan_out, leave_if_starting, processes
    from natsdb.store.staging import Staging
    from natsdb.store.writing import writing

    leave_if_starting()
    chosen, work = loaded(algorithm)
    if runs < 1:
        raise NatsdbError("a search needs a run at least", remedy="leave --runs out")
    if objectives and not chosen.several:
        raise NatsdbError(
            f"{chosen.name} heeds one objective only",
            remedy="choose random, optuna:NSGAIISampler, pymoo:NSGA2 or another of several",
        )
    given = options_of(chosen, options or {})
    home = natsdb._home(db)
    spend = published_budget(space, dataset) if budget is None else float(budget)
    check_numbers(spend, seed)
    asked, epochs = asked_first(db), _epochs(chosen, hp, given)
    answers = read_trainings(
        space,
        dataset,
        hp,
        asked,
        epochs,
        source,
        cost=cost,
        at_most=at_most,
        warm_up=warm_up,
        of=of,
        objectives=objectives,
    )
    said = {**given, **({"best_of_all_epochs": True} if mixed else {}), **_limit_said(cost, at_most)}
    said |= _warm_up_said(warm_up, of)
    judges = read_judges(answers, asked, source)
    if judges is not None:
        said |= {"objectives": ",".join(judges.names)}
    name = digest_of(chosen.name, space, dataset, hp, spend, seed, said, *([source] if source is not None else []))
    provenance = {
        "natsdb": natsdb.__version__,
        "source": answers.sources,
        "archs": answers.held,
        "rows": _rows(answers),
        "code": code_of(algorithm),
        **versions(chosen),
        **({"judged": judges.digest()} if judges is not None else {}),
    }
    notes = _notes(chosen, answers, warm_up) + (judges.said() if judges is not None else ())
    if _held(home, name, runs, provenance):
        return SearchReport(name, chosen.name, dataset, runs, runs, False, answers.held, notes)
    about = about_runs(name, chosen, space, dataset, hp, said, spend, seed, provenance)
    with writing(home), held_alone(home, name):
        staging = Staging(home, f"{name}-{digest_of(provenance)}")
        for left in staging.folder.parent.glob(f"{name}-*"):
            # Of the same search on other rows, or by other code.
            if left != staging.folder:
                shutil.rmtree(left, ignore_errors=True)
        tasks: list[Task] = []
        done: list[Task] = []
        for first in range(0, runs, _CHUNK):
            end = min(first + _CHUNK, runs)
            path = staging.folder / f"steps-{first:06d}-{end:06d}.parquet"
            task = Task(work, answers, spend, seed, tuple(sorted(given.items())), mixed, first, end, path)
            (done if path.exists() else tasks).append(task)
        before = sum(task.end - task.first for task in done)

        def tick(more: int, steps: int) -> None:
            if progress is not None:
                progress(f"{chosen.name}, {space}, {dataset}", before + more, runs, steps)

        here = not isinstance(work, str) or len(tasks) == 1
        for _ in fan_out(run_task, tasks, 1 if here else processes(jobs, len(tasks)), tick):
            pass
        paths = [task.path for task in sorted([*done, *tasks], key=lambda task: task.first)]
        changed = publish(home, name, about, paths, judges)
        staging.clear()
    return SearchReport(name, chosen.name, dataset, runs, before, changed, answers.held, notes)


@contextmanager
def held_alone(home: Path, search: str) -> Iterator[None]:
    """Hold a search, so that the same command at the same time does not take its files away."""
    from natsdb.store.staging import STAGING
    from natsdb.store.writing import hold

    folder = home / STAGING
    folder.mkdir(parents=True, exist_ok=True)  # the user may have no database yet
    lock = folder / f".{search}.lock"
    with hold(lock, "the same search is running already"):
        yield
        # Nobody waits for it: a second one ends at once.
        with suppress(OSError):
            lock.unlink()


def loaded(algorithm: str | Callable[..., Any] | Algorithm) -> tuple[Algorithm, str | Algorithm]:
    """An algorithm, and what another process can find it by: its name where it has one.

    Raises:
        NatsdbError: there is none, or one of the user's own has the name of one of natsdb's.
    """
    chosen, work = _found(algorithm)
    if chosen.name in NAMED and chosen is not NAMED[chosen.name]:
        raise NatsdbError(
            f"a search of your own is named {chosen.name}, as one of natsdb's", remedy="give it another name"
        )
    return chosen, work


def _found(algorithm: str | Callable[..., Any] | Algorithm) -> tuple[Algorithm, str | Algorithm]:
    if isinstance(algorithm, str):
        return load_algorithm(algorithm), algorithm
    if isinstance(algorithm, Algorithm):
        return algorithm, algorithm
    name = getattr(algorithm, "__name__", "")
    if not callable(algorithm) or not name:
        raise NatsdbError(f"{algorithm!r} is no search", remedy="give a generator function or an algorithm's name")
    own = Algorithm(name, algorithm, several=True)
    return own, own


def _epochs(algorithm: Algorithm, hp: str, options: dict[str, Any]) -> list[int]:
    from natsdb.schema.schedules import epochs_of

    return list(algorithm.epochs(epochs_of(hp), options))


def digest_of(*parts: Any) -> str:
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def code_of(algorithm: Any) -> str:
    """Digest of a user's own algorithm: when it is changed, its runs are done anew."""
    if isinstance(algorithm, str):
        file = "" if is_others(algorithm) else algorithm.rpartition(":")[0]
        return hashlib.sha256(Path(file).read_bytes()).hexdigest()[:12] if file else ""
    function = algorithm.propose if isinstance(algorithm, Algorithm) else algorithm
    code = getattr(function, "__code__", None)
    if code is None:
        return ""
    held = [repr(cell.cell_contents) for cell in getattr(function, "__closure__", None) or ()]
    return digest_of(_of_code(code), repr(function.__defaults__), repr(function.__kwdefaults__), held)


def _of_code(code: CodeType) -> list[Any]:
    """What a function does, the same in every process: the text of nested code holds its address."""
    constants = [_of_code(one) if isinstance(one, CodeType) else repr(one) for one in code.co_consts]
    return [code.co_code.hex(), constants, *map(list, (code.co_names, code.co_varnames, code.co_freevars))]


def _limit_said(cost: str | None, at_most: float | None) -> dict[str, Any]:
    """A limit among the options that a search's name, label and tables say."""
    limit = checked_limit(cost, at_most)
    if limit is None:
        return {}
    name, value = limit
    return {"cost": name, "at_most": int(value) if value.is_integer() else value}


def _warm_up_said(measure: str | None, of: int | None) -> dict[str, Any]:
    """A warm-up among the options that a search's name, label and tables say."""
    return dict(zip(("warm_up", "of"), checked_warm_up(measure, of) or (), strict=False))


def _notes(algorithm: Algorithm, answers: Trainings, warm_up: str | None) -> tuple[str, ...]:
    notes = []
    if not algorithm.seeded:
        notes.append(f"{algorithm.name} takes no seed: each repetition of its runs finds something else")
    if answers.warm_up is not None and not answers.warm_up.counted:
        unknown = f"there are no {warm_up}_seconds on {answers.dataset}"
        notes.append(f"{unknown}, so the seconds of {warm_up} itself count nothing")
    return tuple(notes)


def _rows(answers: Trainings) -> str:
    """Digest of all that the runs can be told."""
    digest = hashlib.sha256(repr(answers.start).encode())
    if answers.over is not None:
        digest.update(repr(answers.over).encode())
    if answers.warm_up is not None:
        digest.update(repr(answers.warm_up).encode())
    if answers.several is not None:
        digest.update(repr(answers.several).encode())
    for epoch, accuracy in sorted(answers.accuracy.items()):
        digest.update(repr((epoch, accuracy, answers.seconds[epoch])).encode())
    return digest.hexdigest()[:12]


def _held(home: Path, search: str, runs: int, provenance: dict[str, Any]) -> bool:
    import natsdb

    if not (home / NAME).exists():
        return False
    with natsdb.connect(home) as connection:
        held = connection.execute(
            "select count(*), min(provenance) from search_run where search = ?", [search]
        ).fetchone()
    return bool(held[0] >= runs and held[1] == json.dumps(provenance))


def check_numbers(budget: float | None, seed: int) -> None:
    """Refuse a budget or a seed that cannot be one.

    Raises:
        NatsdbError: it is so.
    """
    if budget is not None and not 0 < budget < math.inf:
        raise NatsdbError("the budget is no number of seconds above 0", remedy="leave --budget out")
    if not 0 <= seed < 1 << 31:
        raise NatsdbError(f"the seed {seed} is outside 0 to 2147483647", remedy="leave --seed out")


def about_runs(
    search: str,
    algorithm: Algorithm,
    space: str,
    dataset: str,
    hp: str,
    options: dict[str, Any],
    budget: float | None,
    seed: int,
    provenance: dict[str, Any],
) -> dict[str, Any]:
    """What all runs of a search have in common in `search_run`."""
    return {
        "search": search,
        "algorithm": algorithm.name,
        "space": space,
        "dataset": dataset,
        "hp": hp,
        "options": json.dumps(options, sort_keys=True),
        "budget": budget,
        "seed": seed,
        "provenance": json.dumps(provenance),
    }


def publish(home: Path, search: str, about: dict[str, Any], paths: list[Path], judges: Judges | None = None) -> bool:
    import numpy as np
    import pyarrow as pa

    from natsdb.ingest.searches import keep_search
    from natsdb.store.parquet import MADE_AGAIN, open_parquet, reading

    pieces = []
    for path in paths:
        with open_parquet(path, remedy=MADE_AGAIN) as file, reading(path, MADE_AGAIN):
            pieces.append(file.read(use_threads=False))
    steps = pa.concat_tables(pieces)
    run = steps["run"].to_numpy()
    last = np.append(np.flatnonzero(run[1:] != run[:-1]), len(run) - 1)
    ends = steps.take(last)
    table = pa.table(
        {
            "run": ends["run"],
            "steps": (ends["step"].to_numpy() + 1).astype(np.int32),
            "seconds": ends["seconds"],
            "arch": ends["best"],
            **{name: pa.array([value] * len(ends)) for name, value in about.items()},
        }
    )
    steps = steps.append_column("search", pa.array([search] * len(steps)))
    return keep_search(home, search, table, steps, None if judges is None else front_rows(judges, search, steps))
