"""Runs of a search: each a function of its number and the search's seed, in any order, on any number of processes."""

from __future__ import annotations

import random
from collections.abc import Generator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from natsdb.ingest.fanout import note_progress
from natsdb.own_code import is_own, load_own
from natsdb.schema.errors import NatsdbError
from natsdb.schema.names import did_you_mean
from natsdb.search.algorithm import Algorithm
from natsdb.search.benchmark import Benchmark
from natsdb.search.bohb import bohb, epochs_of_rungs
from natsdb.search.halving import hyperband, successive_halving
from natsdb.search.local_search import local_search
from natsdb.search.multi_trial import random_search, regularized_ea, reinforce
from natsdb.search.others import is_others, others_algorithm
from natsdb.search.predictors import bananas, npenas
from natsdb.search.trainings import Trainings

# Those of the paper.
ALGORITHMS = {
    one.name: one
    for one in (
        Algorithm("random", random_search, several=True),
        Algorithm("regularized_ea", regularized_ea),
        Algorithm("reinforce", reinforce),
        Algorithm(
            "bohb",
            bohb,
            lambda epochs, options: epochs_of_rungs(epochs, options.get("min_budget", 1)),
            # The original goes on after the budget, and its curve is read between the two nearest evaluations.
            after=1,
        ),
    )
}


def _rungs(epochs: int, options: dict[str, Any]) -> list[int]:
    return epochs_of_rungs(epochs, options.get("min_budget", 1), options.get("eta", 3))


# Those that came after the paper.
LATER = {
    one.name: one
    for one in (
        Algorithm("local_search", local_search),
        Algorithm("successive_halving", successive_halving, _rungs),
        Algorithm("hyperband", hyperband, _rungs),
        Algorithm("bananas", bananas, packages=("scikit-learn",), extra="predict"),
        Algorithm("npenas", npenas, packages=("scikit-learn",), extra="predict"),
    )
}
# Without those of other packages and of users.
NAMED = {**ALGORITHMS, **LATER}


class Steps(NamedTuple):
    """A run's evaluations in order: index, epoch (from 0), accuracy (percent), simulated seconds so far, index of the
    best so far."""

    arch: list[int]
    epoch: list[int]
    accuracy: list[float]
    seconds: list[float]
    best: list[int]


def play(
    algorithm: Algorithm,
    answers: Trainings,
    budget: float,
    seed: int,
    run: int,
    options: dict[str, Any] | None = None,
    *,
    mixed: bool = False,
    most: int | None = None,
) -> Steps:
    """One run of a search, until its simulated seconds reach the budget; the last evaluation may go over it.

    The best is the most accurate at the latest epoch that was asked for, the earliest of equals. Under a limit what is
    infeasible is no step (see `Benchmark`).

    Args:
        seed, run: all chance comes from these, the algorithm's name, the space and the data set.
        mixed: the best is the most accurate at whatever epoch, as in the original BOHB.
        most: so many evaluations at most.

    Raises:
        NatsdbError: the search proposes what is no architecture, an epoch that was not read, or nothing feasible; its
            warm-up spends the budget.
    """
    key = f"{seed} {algorithm.name} {answers.space} {answers.dataset} {run}"
    benchmark = Benchmark(answers, budget, random.Random(f"{key} trials"))
    benchmark.warm_up(random.Random(f"{key} warm-up"))
    if benchmark.spent >= budget:
        raise NatsdbError(
            f"the warm-up of run {run} takes {benchmark.spent:,.0f} of {budget:,.0f} seconds, and leaves none to train",
            remedy="give a larger --budget, or measure fewer architectures with --of",
        )
    try:
        search = algorithm.propose(benchmark, random.Random(key), **(options or {}))
    except TypeError as error:
        raise _failed(algorithm, run, error) from error
    if not isinstance(search, Generator):
        raise NatsdbError(
            f"the search {algorithm.name} is no generator function",
            remedy="let it yield what it proposes, as in `yield 7`",
        )
    steps = Steps([], [], [], [], [])
    best, best_at, best_accuracy = -1, -1, -1.0
    told: float | tuple[float, ...] | None = None
    more, refused = algorithm.after, 0
    while most is None or len(steps.arch) < most:
        if benchmark.spent >= budget:
            if more == 0:
                break
            more -= 1
        try:
            proposal = search.send(told)
        except StopIteration:
            break
        except NatsdbError:
            raise
        except Exception as error:  # whatever a user's own search raises
            raise _failed(algorithm, run, error) from error
        pair = type(proposal) is tuple and len(proposal) == 2
        if benchmark.limited and not benchmark.feasible(proposal[0] if pair else proposal):
            refused += 1
            if refused > benchmark.DRAWS:
                raise NatsdbError(
                    f"the search {algorithm.name} proposed {refused:,} infeasible architectures one after the other",
                    remedy="let it draw with `benchmark.random` or `benchmark.drawn`, or choose a wider limit",
                )
            told = benchmark.told(proposal[0] if pair else proposal, 0.0)
            continue
        refused = 0
        if pair:
            arch, epoch, accuracy_seen = benchmark.query(*proposal)
        else:
            arch, epoch, accuracy_seen = benchmark.query(proposal)
        told = benchmark.told(arch, accuracy_seen)
        if ((mixed or epoch == best_at) and accuracy_seen > best_accuracy) or (not mixed and epoch > best_at):
            best, best_at, best_accuracy = arch, epoch, accuracy_seen
        steps.arch.append(arch)
        steps.epoch.append(epoch)
        steps.accuracy.append(accuracy_seen)
        steps.seconds.append(benchmark.spent)
        steps.best.append(best)
    search.close()
    if not steps.arch:
        raise NatsdbError(
            f"the search {algorithm.name} proposed nothing in run {run}", remedy="let it yield an architecture"
        )
    return steps


def _failed(algorithm: Algorithm, run: int, error: Exception) -> NatsdbError:
    return NatsdbError(
        f"the search {algorithm.name} failed in run {run} ({type(error).__name__}: {error})",
        remedy="check its options, or its code where it is your own",
    )


@dataclass(frozen=True)
class Task:
    """Some runs of a search, for one process: numbers `first` to `end` - 1, to be left as a file of steps at `path`."""

    algorithm: Algorithm | str
    answers: Trainings
    budget: float
    seed: int
    options: tuple[tuple[str, Any], ...]
    mixed: bool
    first: int
    end: int
    path: Path
    most: int | None = None


def run_task(task: Task) -> Path:
    """Play a task's runs and write their steps as a Parquet file of the table `search_step`, whole or not at all."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from natsdb.store.parquet import write_options
    from natsdb.store.writing import whole_file

    algorithm = load_algorithm(task.algorithm) if isinstance(task.algorithm, str) else task.algorithm
    runs = []
    for run in range(task.first, task.end):
        asked = (algorithm, task.answers, task.budget, task.seed, run, dict(task.options))
        runs.append(play(*asked, mixed=task.mixed, most=task.most))
        note_progress(1, len(runs[-1].arch))
    lengths = [len(steps.arch) for steps in runs]
    table = pa.table(
        {
            "run": np.repeat(np.arange(task.first, task.end, dtype=np.int32), lengths),
            "step": np.concatenate([np.arange(length, dtype=np.int32) for length in lengths]),
            **{
                name: np.concatenate([np.array(getattr(steps, name), kind) for steps in runs])
                for name, kind in zip(
                    Steps._fields, (np.int32, np.int16, np.float64, np.float64, np.int32), strict=True
                )
            },
        }
    )
    with whole_file(task.path) as temporary:
        pq.write_table(table, temporary, **write_options(table.schema))
    return task.path


def load_algorithm(name: str) -> Algorithm:
    """An algorithm by its name; another package's: PACKAGE:NAME; or a user's: FILE.py:FUNCTION.

    Raises:
        NatsdbError: there is no such algorithm, file or function, the file cannot be run, or the package is not
            installed.
    """
    if name in NAMED:
        return NAMED[name]
    if is_others(name):
        return others_algorithm(name)
    if not is_own(name):
        raise NatsdbError(
            f"there is no algorithm {name!r}",
            remedy=f"{did_you_mean(name, NAMED)}, and FILE.py:FUNCTION for your own",
        )
    found = load_own(name, Algorithm)
    return found if isinstance(found, Algorithm) else Algorithm(name.rpartition(":")[2], found, several=True)


def options_of(algorithm: Algorithm, asked: dict[str, Any]) -> dict[str, Any]:
    """Those options that are not the default ones.

    Raises:
        NatsdbError: the algorithm has no such option; those that it has are named.
    """
    have = algorithm.options
    for name in asked:
        if name not in have:
            own = did_you_mean(f"--{name}", [f"--{one}" for one in have])
            raise NatsdbError(f"{algorithm.name} has no option --{name}", remedy=own)
        if not isinstance(asked[name], bool | int | float | str):
            raise NatsdbError(f"--{name} is no number or text but {asked[name]!r}", remedy="give it a plain value")
    # 12 and 12.0 are the same search.
    numbers = {
        name: int(value) if isinstance(value, float) and value.is_integer() else value for name, value in asked.items()
    }
    return {name: value for name, value in numbers.items() if value != have[name]}
