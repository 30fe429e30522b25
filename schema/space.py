"""What a search space is: positions, each with one of the same choices, and what the benchmark says of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, NamedTuple

from natsdb.schema.schedules import HPS

if TYPE_CHECKING:
    import random

    import numpy as np

# The number of the choice at each position.
Choices = tuple[int, ...]


class Skeleton(NamedTuple):
    """A network of the benchmark's kind: operations on the six edges of each cell, output channels of each layer (the
    stem has those of the first), and which layers halve height and width."""

    ops: Sequence[str]
    widths: Sequence[int]
    reductions: Sequence[int]


def other_choice(space: Space, choices: Choices, chance: random.Random) -> Choices:
    """A uniform position gets another choice."""
    return other_choice_at(space, choices, int(chance.random() * len(choices)), chance)


def other_choice_at(space: Space, choices: Choices, at: int, chance: random.Random) -> Choices:
    """A position gets another choice than it has, uniformly."""
    value = (choices[at] + 1 + int(chance.random() * (len(space.choices) - 1))) % len(space.choices)
    return (*choices[:at], value, *choices[at + 1 :])


@dataclass(frozen=True, eq=False)
class Encoding:
    """A way to write an architecture as text, other than its official string and its index.

    `form`: the text, with `{n}` where the word of the choice at position n stands; `words`: the words of the choices,
    in their order; `text`: makes the text of the choices at all positions, where no form can (what has a form, SQL
    knows too); `pattern`: what such texts match whole; `named`: what is read so only where the encoding is named,
    because it usually means another one; `ignored`: characters, as a regular expression, in which spellings differ.
    Both patterns are such as Python and DuckDB understand.
    """

    about: str
    pattern: str
    form: str = ""
    words: tuple[str, ...] = ()
    text: Callable[[Sequence[Any]], str] | None = None
    named: str = ""
    ignored: str = ""


@dataclass(frozen=True, eq=False)
class Space:
    """A search space: every way to give each position one of the choices.

    `name`: in tables and archives; `title`: its other name in the official package; `about`: what its architectures
    are; `archive`: official archives' names up to the digits, `digits`: of the official one, if there are any;
    `positions`: names as in views and adapters; `choices`: operations, or channels as ascending numbers; `text`:
    official string of the choices at all positions; `pattern`: a regular expression that such strings match whole, and
    those of no other space; `hps`: schedules; `costs`: FLOPs and parameters (both in millions) of all architectures, in
    index order, for images of a height and a number of classes; `config`: what a record says of a network, by string
    and number of classes; `references`: architectures that have a name, the first is the one in `search_table`.

    `order`: choices at all positions in index order (all products, the last position fastest, if None); `canonical`:
    for each index the lowest one that computes the same function (each its own if None); `mutated`: a neighbour, of
    evolution; `skeleton`: what the network is made of, by string, if `natsdb train` knows how; `budgets`: published
    simulated seconds of a search by data set, where they are not the data set's own; `encodings`: other ways to write
    its architectures, by name; `edges`: if its architectures are cells, the nodes (to, from) that each position
    connects, where node 0 is the input and the last one the output.
    """

    name: str
    title: str
    about: str
    positions: tuple[str, ...]
    choices: tuple[Any, ...]
    text: Callable[[Sequence[Any]], str]
    pattern: str
    archive: str
    hps: tuple[str, ...]
    costs: Callable[[int, int], tuple[np.ndarray, np.ndarray]]
    config: Callable[[str, int], dict[str, Any]]
    references: Mapping[str, str] = field(default_factory=dict)
    digits: str = ""
    order: Callable[[], Sequence[tuple[Any, ...]]] | None = None
    canonical: Callable[[], Sequence[int]] | None = None
    mutated: Callable[[Space, Choices, random.Random], Choices] = other_choice
    skeleton: Callable[[str], Skeleton] | None = None
    budgets: Mapping[str, float] = field(default_factory=dict)
    encodings: Mapping[str, Encoding] = field(default_factory=dict)
    edges: tuple[tuple[int, int], ...] = ()

    @property
    def size(self) -> int:
        """Number of architectures."""
        return int(len(self.choices) ** len(self.positions))

    @property
    def base_name(self) -> str:
        """Name of its official archives, folders and files."""
        return f"{self.archive}-{self.digits}" if self.digits else self.archive

    @property
    def numeric(self) -> bool:
        """Whether choices are channels, and not operations: which column of the table `arch` has them."""
        return not isinstance(self.choices[0], str)

    @property
    def longest(self) -> int:
        """Epochs of its longest schedule."""
        return max(HPS[hp] for hp in self.hps)

    @cached_property
    def every(self) -> tuple[tuple[Any, ...], ...]:
        """The choices of each architecture, in index order."""
        return tuple(self.order() if self.order else itertools.product(self.choices, repeat=len(self.positions)))

    @cached_property
    def strings(self) -> tuple[str, ...]:
        """Official strings of all architectures, in index order."""
        return tuple(map(self.text, self.every))

    @cached_property
    def index(self) -> dict[str, int]:
        """Official index by official string."""
        return {text: arch for arch, text in enumerate(self.strings)}

    @cached_property
    def numbers(self) -> tuple[Choices, ...]:
        """The numbers of the choices of each architecture, in index order."""
        number = {choice: n for n, choice in enumerate(self.choices)}
        return tuple(tuple(number[choice] for choice in one) for one in self.every)

    @cached_property
    def by_numbers(self) -> dict[Choices, int]:
        """Official index by the numbers of the choices."""
        return {numbers: arch for arch, numbers in enumerate(self.numbers)}
