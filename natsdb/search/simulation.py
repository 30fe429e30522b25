"""What a search sees: the choices that make an architecture, and accuracy and cost of those that the database holds.

`Trainings` are read once and shared by all runs; `Benchmark` is one run's view of them.
"""

from __future__ import annotations

import itertools
import math
import os
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from natsdb.objectives import Objective, read_objectives, values
from natsdb.schema.datasets import DATASETS, check_searched
from natsdb.schema.errors import NatsdbError
from natsdb.schema.schedules import epochs_of
from natsdb.schema.space import Choices
from natsdb.schema.spaces import SPACES, arch_index, space_of
from natsdb.store.locations import located


class WarmUp(NamedTuple):
    """What a search starts with: the best of `of` random architectures by a measure, the highest first.

    `value`: the measure by architecture, -inf where there is none; `seconds`: what measuring it cost, 0 where that is
    not known; `counted`: whether the database says what it cost.
    """

    of: int
    value: list[float]
    seconds: list[float]
    counted: bool


class Several(NamedTuple):
    """What a search is told besides one accuracy: the objectives in order, and of each the value by architecture; None
    for accuracy, which is that of the training."""

    objectives: tuple[Objective, ...]
    values: list[list[float] | None]


@dataclass(frozen=True)
class Trainings:
    """Accuracies and costs of all runs at a schedule, at some of its epochs.

    `start`: where an architecture's runs start, and the end (so as many plus one); `accuracy` (percent) and `seconds`
    (training up to the epoch and one pass over the validation images), by epoch, a value a run; `nearest`: for each
    architecture the one that answers for it, itself where the database holds it. `sources`: of the rows. `over`: for
    each architecture by how much the one that answers for it exceeds a limit (infinitely where its value is not known),
    so that those of at most 0 are feasible; None without a limit. `warm_up`: None without one. `several`: None where
    accuracy is the only objective; architectures that lack a value are infeasible. `lacking`: called with an
    architecture that is asked for, to train it where its run is not there yet (see `natsdb.search.trained`).
    """

    space: str
    dataset: str
    hp: str
    start: list[int]
    accuracy: dict[int, list[float]]
    seconds: dict[int, list[float]]
    nearest: list[int] | None
    sources: str
    over: list[float] | None = None
    warm_up: WarmUp | None = None
    several: Several | None = None
    lacking: Callable[[int], None] | None = None

    @cached_property
    def passes(self) -> np.ndarray:
        """Seconds of one pass over the validation images, a value a run; nothing where only one epoch was read.

        The database says what training up to an epoch and one pass cost; two epochs tell them apart.
        """
        first, last = min(self.seconds), max(self.seconds)
        early, late = np.array(self.seconds[first]), np.array(self.seconds[last])
        if first == last:
            return np.zeros_like(early)
        return np.maximum(early - (late - early) / (last - first) * (first + 1), 0)

    @property
    def held(self) -> int:
        """Number of architectures that the database holds."""
        return sum(b > a for a, b in itertools.pairwise(self.start))


def read_trainings(
    space: str,
    dataset: str,
    hp: str = "12",
    db: str | os.PathLike[str] | None = None,
    epochs: Sequence[int] = (),
    source: str | None = None,
    *,
    cost: str | None = None,
    at_most: float | None = None,
    warm_up: str | None = None,
    of: int | None = None,
    objectives: str | Sequence[str] = (),
) -> Trainings:
    """Read what a search on a data set needs: x-valid accuracies after the last epoch of `hp`, and at `epochs`.

    Args:
        dataset: cifar10 (its half that is named cifar10-valid), cifar100 or ImageNet16-120.
        hp: schedule of the runs that are asked.
        epochs: other epochs that will be asked for, from 0.
        source: of this source only; by default of the one that counts for each architecture.
        cost, at_most: a measure, as in the view `measure`, and its highest value; architectures above it, or without a
            value, are infeasible.
        warm_up, of: a measure, and of how many random architectures the best by it are a search's first ones (1,000).
        objectives: accuracy and one or two measures, as of `natsdb.pareto`; accuracy alone if none.

    Raises:
        NatsdbError: there is no such space, data set, schedule, measure or list of objectives; the database has no such
            runs, not at these epochs, or does not say what they cost; no architecture is feasible.
    """
    import natsdb

    limit, warm = checked_limit(cost, at_most), checked_warm_up(warm_up, of)

    size = space_of(space).size
    check_searched(dataset)
    last = epochs_of(hp) - 1
    where, trained = str(located(db)), DATASETS[dataset].validated
    accuracy, seconds, starts, sources = {}, {}, None, ""
    with natsdb.connect(db, source=source) as connection:
        for epoch in sorted({last, *epochs}, reverse=True):
            rows = connection.execute(
                "select arch, accuracy, seconds, source from simulated(?, ?, ?, ?) order by arch, seed, source",
                [space, trained, hp, epoch],
            ).fetchnumpy()
            if not len(rows["arch"]) and starts is None:
                have = connection.execute(
                    "select distinct hp, dataset from final where space = ? and split = 'x-valid' order by all",
                    [space],
                ).fetchall()
                said = ", ".join(f"{name} at hp {schedule}" for schedule, name in have) or f"nothing of {space}"
                raise NatsdbError(
                    f"it has no x-valid accuracy of {space} on {trained}, hp {hp}, epoch {epoch}",
                    where=where,
                    remedy=f"it has {said} after the last epoch: choose among these, or add rows with `natsdb ingest`",
                )
            if np.ma.is_masked(rows["seconds"]):
                raise NatsdbError(
                    f"it does not say how long {space} took on {trained}, so no time can be simulated",
                    where=where,
                    remedy="ingest rows that have seconds too, such as those of hp 200",
                )
            if not (np.isfinite(rows["seconds"]) & (rows["seconds"] > 0)).all():
                raise NatsdbError(
                    f"a training of {space} on {trained} at hp {hp} lasts no time, so a search would never end",
                    where=where,
                    remedy="ingest rows with the seconds of an epoch",
                )
            found = np.searchsorted(rows["arch"], np.arange(size + 1)).tolist()
            if starts is not None and found != starts:
                raise NatsdbError(
                    f"not all runs of {space} on {trained}, hp {hp}, have x-valid accuracies at epoch {epoch}",
                    where=where,
                    remedy=f"ingest an archive that has every epoch, as {space_of(space).base_name}-full, or choose a "
                    "search that asks at the last epoch only, as bohb does with --min_budget 12",
                )
            starts, sources = found, ", ".join(sorted(set(rows["source"].tolist())))
            accuracy[epoch], seconds[epoch] = rows["accuracy"].tolist(), rows["seconds"].tolist()
        assert starts is not None
        nearest = _nearest(space, starts)
        over = _over(connection, space, trained, limit, starts, nearest, where) if limit is not None else None
        first = _warm_up(connection, space, trained, warm, size, where) if warm is not None else None
        several, over = (
            _several(connection, objectives, space, trained, hp, nearest, over) if objectives else (None, over)
        )
    return Trainings(space, dataset, hp, starts, accuracy, seconds, nearest, sources, over, first, several)


def published_budget(space: str, dataset: str) -> float:
    """Simulated seconds of the published runs (NATS-Bench, section 5; the authors' scripts).

    Raises:
        NatsdbError: there is no such space.
    """
    return space_of(space).budgets.get(dataset, DATASETS[dataset].budget if dataset in DATASETS else 20_000.0)


def checked_limit(cost: str | None, at_most: float | None) -> tuple[str, float] | None:
    """A measure and its highest value; None without a limit.

    Raises:
        NatsdbError: one is given without the other, or the value is no number.
    """
    if cost is None and at_most is None:
        return None
    if cost is None or at_most is None:
        lacking, remedy = ("measure", "--cost") if cost is None else ("highest value", "--at_most")
        raise NatsdbError(f"a limit without a {lacking}", remedy=f"name it with {remedy}")
    if not math.isfinite(at_most):
        raise NatsdbError(f"the limit {at_most} is no finite number", remedy="name one with --at_most")
    return cost, float(at_most)


def checked_warm_up(measure: str | None, of: int | None) -> tuple[str, int] | None:
    """A measure, and of how many random architectures the best by it are the first ones; None without a warm-up.

    Raises:
        NatsdbError: a number without a measure, or no number above 0.
    """
    if measure is None:
        if of is not None:
            raise NatsdbError("a number of random architectures without a measure", remedy="name it with --warm_up")
        return None
    if of is not None and of < 1:
        raise NatsdbError(f"the best of {of} architectures are none", remedy="leave --of out: 1,000")
    return measure, 1000 if of is None else of


def _warm_up(connection: Any, space: str, dataset: str, warm: tuple[str, int], size: int, where: str) -> WarmUp:
    """A measure of all architectures, and the seconds that it took: the measure of that name and `_seconds`, where an
    architecture has a value and no seconds the mean of those that do."""
    measure, of = warm

    def values(name: str, otherwise: float) -> tuple[list[float], int]:
        found = connection.execute(
            "select arch, value from measured(?) where space = ? and dataset = ? and not isnan(value)",
            [name, space, dataset],
        ).fetchnumpy()
        every = np.full(size, otherwise)
        every[found["arch"]] = found["value"]
        return every.tolist(), len(found["arch"])

    value, known = values(measure, -np.inf)
    if not known:
        raise NatsdbError(
            f"it has no {measure} of {space} on {dataset}, to warm up with",
            where=where,
            remedy="choose another measure: `select distinct name from measure` lists them",
        )
    name = f"{measure}_seconds"
    if not connection.execute("select count(*) from measure where name = ?", [name]).fetchone()[0]:
        return WarmUp(of, value, [0.0] * size, False)
    seconds, known = values(name, np.nan)
    mean = float(np.nanmean(seconds)) if known else 0.0
    took = [
        one if not math.isnan(one) else mean if of_one > -math.inf else 0.0
        for one, of_one in zip(seconds, value, strict=True)
    ]
    return WarmUp(of, value, took, bool(known))


def _over(
    connection: Any,
    space: str,
    dataset: str,
    limit: tuple[str, float],
    starts: list[int],
    nearest: list[int] | None,
    where: str,
) -> list[float]:
    cost, at_most = limit
    found = connection.execute(
        "select arch, value from measured(?) where space = ? and dataset = ? and not isnan(value)",
        [cost, space, dataset],
    ).fetchnumpy()
    over = np.full(len(starts) - 1, np.inf)
    over[found["arch"]] = found["value"] - at_most
    held = over[np.diff(starts) > 0]
    if not (held <= 0).any():
        known = held[np.isfinite(held)]
        said = f"the least is {known.min() + at_most:g}" if len(known) else "it has no value of any"
        raise NatsdbError(
            f"no architecture of {space} that it holds has a {cost} of at most {at_most:g} on {dataset}",
            where=where,
            remedy=f"{said}: choose another limit or measure",
        )
    return (over if nearest is None else over[nearest]).tolist()


def _several(
    connection: Any,
    asked: str | Sequence[str],
    space: str,
    dataset: str,
    hp: str,
    nearest: list[int] | None,
    over: list[float] | None,
) -> tuple[Several, list[float] | None]:
    """Objectives besides accuracy by architecture, and by how much each exceeds the limit: infinitely where it lacks a
    value, which is the worst of the space then."""
    objectives, size = read_objectives(connection, asked), SPACES[space].size
    if all(one.measure != "accuracy" for one in objectives):
        said = ",".join(one.text for one in objectives)
        raise NatsdbError(f"the objectives {said} lack accuracy", remedy=f"name it too, as in accuracy,{said}")
    found: list[list[float] | None] = []
    for one in objectives:
        if one.measure == "accuracy":
            found.append(None)
            continue
        archs, column = values(connection, [one], space, dataset, "x-valid", hp)
        if not len(archs):
            raise NatsdbError(
                f"no architecture of {space} has a {one.measure} on {dataset}", remedy="choose another objective"
            )
        every = np.full(size, (column * one.sign).max() * one.sign)
        every[archs] = column[:, 0]
        lacking = np.ones(size, bool)
        lacking[archs] = False
        if nearest is not None:
            every, lacking = every[nearest], lacking[nearest]
        if lacking.any():
            over = np.where(lacking, np.inf, 0.0 if over is None else np.array(over)).tolist()
        found.append(every.tolist())
    return Several(objectives, found), over


def _nearest(space: str, starts: list[int]) -> list[int] | None:
    """For each architecture the one that differs in the fewest choices, of those that are there; the lowest index of
    equally near ones. None where all are there."""
    held = np.flatnonzero(np.diff(starts))
    if len(held) == SPACES[space].size:
        return None
    every = np.array(SPACES[space].numbers, np.int8)
    # 15,625 × 1,000 × 6 bytes at a time.
    nearest = [
        held[np.argmin((part[:, None, :] != every[held][None]).sum(axis=2), axis=1)]
        for part in np.array_split(every, max(1, len(held) * len(every) // 4_000_000))
    ]
    return np.concatenate(nearest).tolist()


class Training:
    """One training, which is looked at on the way: it goes on in the run that was drawn, and costs what is added.

    `arch`: index of the architecture that answers; `run`: which of all runs, drawn when it is first asked, as a search
    may end before; `epoch`: up to which it was trained.
    """

    def __init__(self, arch: int) -> None:
        self.arch, self.epoch = arch, -1
        self.run: int | None = None

    def goes_on(self, answers: Trainings, run: int, epoch: int) -> float:
        """Seconds from the epoch so far to a later one, in a run: training, and one pass over the validation images.

        Raises:
            NatsdbError: it is not later.
        """
        if epoch <= self.epoch:
            raise NatsdbError(
                f"a training that was at epoch {self.epoch} cannot go on to epoch {epoch}", remedy="ask for a later one"
            )
        seconds = answers.seconds[epoch][run]
        if self.epoch >= 0:
            seconds += float(answers.passes[run]) - answers.seconds[self.epoch][run]
        self.run, self.epoch = run, epoch
        return seconds


class Benchmark:
    """One run's view: what an architecture is made of, how long a training lasts, and what has been spent.

    `positions`, `values`: a tuple of so many choices, each from 0 to `values` - 1, makes an architecture; `epochs`: of
    the schedule; `spent`, `budget`: simulated seconds; `choices_of`: an architecture's choices by its official index;
    `signs`: of several objectives, in the order in which they are told: -1 where more is better, 1 where less is.

    Under a limit (`limited`) the search space is that of the feasible architectures. natsdb's own algorithms reject an
    infeasible draw before it is trained, at no cost of time, and draw again by the same rule (`drawn`): random search
    is uniform among the feasible, a mutation is one of its parent's feasible neighbours, REINFORCE samples its policy
    and BOHB its model until one is feasible; their updates are those without a limit. What another search proposes and
    is infeasible is told an accuracy of 0 at no cost of time, and is no step.
    """

    # Draws by an algorithm's own rule, before one of all the feasible is drawn, so that every search ends.
    DRAWS = 1000
    # Architectures of a warm-up that a search without random ones starts with.
    STARTS = 10

    def __init__(self, answers: Trainings, budget: float, chance: random.Random) -> None:
        self.space, self.dataset, self.budget = answers.space, answers.dataset, budget
        if self.space not in SPACES:
            # A new process has run the script, but not what is below its guard.
            raise NatsdbError(
                f"a process of the search knows no space {self.space!r}",
                remedy="register it above the script's `if __name__ == '__main__'`",
            )
        of = SPACES[self.space]
        self.positions, self.values, self.epochs = len(of.positions), len(of.choices), epochs_of(answers.hp)
        self.spent = 0.0
        self._answers, self._chance, self._index = answers, chance, of.by_numbers
        self._last = self.epochs - 1
        self.limited = answers.over is not None
        self.signs = tuple(one.sign for one in answers.several.objectives) if answers.several is not None else ()
        self._first: list[Choices] = []

    def warm_up(self, chance: random.Random) -> None:
        """Measure random architectures, those of the warm-up, if there is one."""
        warm = self._answers.warm_up
        if warm is None:
            return
        drawn = {self._arch(choices): choices for choices in (self.random(chance) for _ in range(warm.of))}
        self.spent += sum(warm.seconds[arch] for arch in drawn)
        # The last is the next: the highest value, the first drawn of equals.
        self._first = [drawn[arch] for arch in sorted(drawn, key=lambda arch: -warm.value[arch])][::-1]

    def first(self, count: int) -> list[Choices]:
        """The best so many of what a warm-up found, the best first; none without one."""
        return [self._first.pop() for _ in range(min(count, len(self._first)))]

    def training(self, proposal: Any) -> Training:
        """A training that a search goes on with, by yielding it with a later epoch each time: see `Training`.

        Raises:
            NatsdbError: it is no architecture of the space.
        """
        arch = self._arch(proposal)
        if self._answers.nearest is not None:
            arch = self._answers.nearest[arch]
        return Training(arch)

    def drawn(self, draw: Callable[[], Choices], chance: random.Random) -> Choices:
        """The first feasible one of what a function draws; after 1,000 draws a random one of all that are feasible."""
        if not self.limited:
            return draw()
        for _ in range(self.DRAWS):
            if self.feasible(found := draw()):
                return found
        assert self._answers.over is not None
        every = [arch for arch, over in enumerate(self._answers.over) if over <= 0]
        return self.choices_of(every[int(chance.random() * len(every))])

    def random(self, chance: random.Random) -> Choices:
        """A uniformly random architecture, of the feasible ones; those of a warm-up before others."""
        if self._first:
            return self._first.pop()
        # Faster than randrange, which draws bits until they fit; five or eight values divide 2^53 evenly enough.
        draw, values = chance.random, self.values
        return self.drawn(lambda: tuple([int(draw() * values) for _ in range(self.positions)]), chance)

    def feasible(self, proposal: Any) -> bool:
        """Whether an architecture (choices, index or official string) keeps the limit; any does where there is none.

        Raises:
            NatsdbError: it is no architecture of the space.
        """
        return self.over(proposal) <= 0

    def over(self, proposal: Any) -> float:
        """By how much an architecture exceeds the limit: at most 0 where it keeps it, and where there is none.

        Raises:
            NatsdbError: it is no architecture of the space.
        """
        over = self._answers.over
        return 0.0 if over is None else over[self._arch(proposal)]

    def told(self, proposal: Any, accuracy: float) -> float | tuple[float, ...]:
        """What a search is told of an architecture: the accuracy, or all objectives in their order.

        Raises:
            NatsdbError: it is no architecture of the space.
        """
        several = self._answers.several
        if several is None:
            return accuracy
        arch = self._arch(proposal)
        return tuple(accuracy if values is None else values[arch] for values in several.values)

    def choices_of(self, arch: int | str) -> Choices:
        """Choices of an architecture, by its index or string.

        Raises:
            NatsdbError: there is no such architecture.
        """
        index = arch_index(self.space, arch) if isinstance(arch, str) else int(arch)
        every = SPACES[self.space].numbers
        if not 0 <= index < len(every):
            raise NatsdbError(
                f"index {index} is outside the space {self.space}", remedy=f"choose 0 to {len(every) - 1}"
            )
        return every[index]

    def query(self, proposal: Any, epoch: int | None = None) -> tuple[int, int, float]:
        """Accuracy (percent) of an architecture in one of its runs, drawn at random, with its index and epoch.

        The seconds are added to `spent`: training from scratch up to `epoch` (from 0, the last if None) and one pass
        over the validation images, every time it is asked. A `Training` goes on instead.

        Raises:
            NatsdbError: it is no architecture of the space, or that epoch was not read.
        """
        arch = self._arch(proposal)
        answers = self._answers
        if answers.nearest is not None:
            arch = answers.nearest[arch]
        epoch = self._last if epoch is None else epoch
        if epoch not in answers.accuracy:
            raise NatsdbError(
                f"the search asks for epoch {epoch}, which was not read",
                remedy=f"name it in the algorithm's `epochs`; {', '.join(map(str, answers.accuracy))} are there",
            )
        if type(proposal) is Training:
            run = self._drawn_run(arch) if proposal.run is None else proposal.run
            self.spent += proposal.goes_on(answers, run, epoch)
            return arch, epoch, answers.accuracy[epoch][run]
        run = self._drawn_run(arch)
        self.spent += answers.seconds[epoch][run]
        return arch, epoch, answers.accuracy[epoch][run]

    def _drawn_run(self, arch: int) -> int:
        if self._answers.lacking is not None:
            self._answers.lacking(arch)
        first, end = self._answers.start[arch], self._answers.start[arch + 1]
        return first + int(self._chance.random() * (end - first)) if end - first > 1 else first

    def _arch(self, proposal: Any) -> int:
        """Index of what is proposed."""
        arch = self._index.get(proposal) if type(proposal) is tuple else None
        if type(proposal) is Training:
            return proposal.arch
        proposal = int(proposal) if isinstance(proposal, np.integer) else proposal
        if arch is None:
            try:
                arch = self._index[tuple(self.choices_of(proposal) if isinstance(proposal, int | str) else proposal)]
            except (KeyError, TypeError):
                raise NatsdbError(
                    f"{proposal!r} is no architecture of {self.space}",
                    remedy=f"propose {self.positions} numbers below {self.values}, an index or an official string",
                ) from None
        return arch
