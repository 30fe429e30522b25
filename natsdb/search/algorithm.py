"""What an algorithm of the command is: its name, how it proposes, and what is said of it."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Algorithm:
    """A search on the database.

    `propose`: the generator function, called with a benchmark, a source of chance and its options by name; `epochs`: at
    which, of so many of the schedule, it asks besides the last; `after`: evaluations after the budget is spent.

    `packages`: what it needs besides, whose versions the tables keep with each run; `extra`: of natsdb, that brings
    them. Of other people's optimizers: `takes`, options and their defaults, which `propose` does not name; `seeded`,
    whether its chance comes from a seed.
    """

    name: str
    propose: Callable[..., Any]
    epochs: Callable[[int, dict[str, Any]], Sequence[int]] = lambda epochs, options: ()
    after: int = 0
    takes: Mapping[str, Any] | None = None
    packages: tuple[str, ...] = ()
    extra: str = ""
    seeded: bool = True

    @property
    def options(self) -> dict[str, Any]:
        """Its options and their defaults."""
        if self.takes is not None:
            return dict(self.takes)
        every = inspect.signature(self.propose).parameters.values()
        return {one.name: one.default for one in every if one.kind is one.KEYWORD_ONLY}
