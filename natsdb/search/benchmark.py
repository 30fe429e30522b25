"""What a run of a search sees: what an architecture is made of, how accurate it is, and what has been spent."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np

from natsdb.schema.errors import NatsdbError
from natsdb.schema.schedules import epochs_of
from natsdb.schema.space import Choices
from natsdb.schema.spaces import SPACES, arch_index
from natsdb.search.trainings import Trainings


class OngoingTraining:
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
        for arch in drawn:  # `sum` rounds otherwise from Python 3.12 on
            self.spent += warm.seconds[arch]
        # The last is the next: the highest value, the first drawn of equals.
        self._first = [drawn[arch] for arch in sorted(drawn, key=lambda arch: -warm.value[arch])][::-1]

    def first(self, count: int) -> list[Choices]:
        """The best so many of what a warm-up found, the best first; none without one."""
        return [self._first.pop() for _ in range(min(count, len(self._first)))]

    def training(self, proposal: Any) -> OngoingTraining:
        """A training that a search goes on with, by yielding it with a later epoch each time: see `OngoingTraining`.

        Raises:
            NatsdbError: it is no architecture of the space.
        """
        arch = self._arch(proposal)
        if self._answers.nearest is not None:
            arch = self._answers.nearest[arch]
        return OngoingTraining(arch)

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
        over the validation images, every time it is asked. A `OngoingTraining` goes on instead.

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
        if type(proposal) is OngoingTraining:
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
        if type(proposal) is OngoingTraining:
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
