"""The search spaces that there are. A new one is a module like `topology.py`, and a word in the line that registers."""

from __future__ import annotations

from natsdb.schema.errors import NatsdbError
from natsdb.schema.names import either
from natsdb.schema.schedules import HPS
from natsdb.schema.size import SSS
from natsdb.schema.space import Space
from natsdb.schema.topology import TSS

SPACES: dict[str, Space] = {}


def register(space: Space) -> Space:
    """Let natsdb know a space, in this process: catalogue, ingest, SQL, facade and searches take it like tss.

    Raises:
        NatsdbError: there is another one of its name, or it has a schedule that there is not.
    """
    if SPACES.get(space.name, space) is not space:
        raise NatsdbError(f"there is a space {space.name!r} already", remedy="give it another name")
    if unknown := [hp for hp in space.hps if hp not in HPS]:
        raise NatsdbError(f"there is no schedule {unknown[0]!r}", remedy=f"choose {either(HPS)}")
    SPACES[space.name] = space
    return space


for _one in (TSS, SSS):
    register(_one)


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
