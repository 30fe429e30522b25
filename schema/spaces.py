"""The search spaces that there are. A new one is a module like `topology.py`, and a word beside TSS."""

from __future__ import annotations

import itertools
import re

from natsdb.schema.datasets import seconds_of
from natsdb.schema.errors import NatsdbError
from natsdb.schema.names import either
from natsdb.schema.schedules import HPS
from natsdb.schema.size import SSS
from natsdb.schema.space import Space
from natsdb.schema.topology import TSS

# These two are as `register` wants them; it would make all their strings to see that.
SPACES: dict[str, Space] = {one.name: one for one in (TSS, SSS)}


def register(space: Space) -> Space:
    """Let natsdb know a space, in this process: catalogue, ingest, SQL, facade and searches take it like tss.

    Raises:
        NatsdbError: there is another one of its name, it has no schedule or one that there is not, its `order` is not
            one of all its architectures, its pattern does not tell its strings from those of the others, an encoding is
            not whole, or a budget is none.
    """
    if SPACES.get(space.name) is space:
        return space
    if space.name in SPACES:
        raise NatsdbError(f"there is a space {space.name!r} already", remedy="give it another name")
    if not space.hps:
        raise NatsdbError(f"the space {space.name} has no schedule", remedy=f"choose {either(HPS)}")
    if unknown := [hp for hp in space.hps if hp not in HPS]:
        raise NatsdbError(f"there is no schedule {unknown[0]!r}", remedy=f"choose {either(HPS)}")
    products = itertools.product(space.choices, repeat=len(space.positions))
    if len(space.every) != space.size or set(space.every) != set(products):
        raise NatsdbError(
            f"the `order` of {space.name} is not each of its {space.size:,} architectures once",
            remedy="leave it out, or let it give the tuples of choices at all positions",
        )
    _tell_apart(space)
    _check_encodings(space)
    budgets = {dataset: seconds_of(budget, dataset) for dataset, budget in space.budgets.items()}
    object.__setattr__(space, "budgets", budgets)
    SPACES[space.name] = space
    return space


def _tell_apart(space: Space) -> None:
    """Refuse a space whose strings cannot be known by patterns, as readers of archives know them."""
    pattern = re.compile(space.pattern)
    if missed := next((text for text in space.strings if not pattern.fullmatch(text)), None):
        raise NatsdbError(f"the pattern of {space.name} does not match its {missed!r}", remedy="let it match all whole")
    for other in SPACES.values():
        for of, texts, by in ((space, other.strings, pattern), (other, space.strings, re.compile(other.pattern))):
            if text := next((text for text in texts if by.fullmatch(text)), None):
                stranger = other if of is space else space
                raise NatsdbError(
                    f"the pattern of {of.name} matches {text!r} of {stranger.name}",
                    remedy="let a pattern match the strings of one space only",
                )


def _check_encodings(space: Space) -> None:
    """Refuse encodings that have no text for each architecture."""
    for name, encoding in space.encodings.items():
        places = sorted(set(re.findall(r"{(\d+)}", encoding.form)), key=int)
        whole = places == [str(n) for n in range(len(space.positions))] and len(encoding.words) == len(space.choices)
        if name in ("index", "string") or bool(encoding.form) == bool(encoding.text) or (encoding.form and not whole):
            raise NatsdbError(
                f"the encoding {name!r} of {space.name} has neither a function `text` nor a form of all positions with "
                "a word for each choice, or its name is taken",
                remedy="see `natsdb.schema.space.Encoding`",
            )


def space_of(name: str) -> Space:
    """The space of a name.

    Raises:
        NatsdbError: there is none.
    """
    if name not in SPACES:
        raise NatsdbError(f"there is no space {name!r}", remedy=f"choose {either(SPACES)}")
    return SPACES[name]


def strings(space: str) -> tuple[str, ...]:
    """Official strings of a space, in index order.

    Raises:
        NatsdbError: there is no such space.
    """
    return space_of(space).strings


def arch_str(space: str, arch: int) -> str:
    """Official string of an architecture.

    Raises:
        NatsdbError: there is no such space, or the index is outside it.
    """
    every = strings(space)
    if not 0 <= arch < len(every):
        raise NatsdbError(f"index {arch} is outside the space {space}", remedy=f"choose 0 to {len(every) - 1}")
    return every[arch]


def arch_index(space: str, text: str) -> int:
    """Official index of an architecture string.

    Raises:
        NatsdbError: there is no such space, or the string is not of it; the nearest string is named.
    """
    indexes = space_of(space).index
    if text not in indexes:
        import difflib

        near = difflib.get_close_matches(text, strings(space), n=1, cutoff=0.8)
        remedy = f"did you mean {near[0]!r}?" if near else f"strings look like {strings(space)[0]!r}"
        raise NatsdbError(f"{text!r} is no architecture of {space}", remedy=remedy)
    return indexes[text]
