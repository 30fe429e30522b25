"""The two search spaces: official index ↔ string, operations, channels, and which architectures are the same function.

Order and canonical form were checked against the official meta files, see `tests/schema/`.
"""

from __future__ import annotations

import difflib
import itertools
import random
from functools import cache

from natsdb.schema.errors import NatsdbError

# In the official order: the index order of tss follows from it.
OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
# Edges (to node, from node) in the order of the six operations of a cell; node 0 is the cell's input, 3 its output.
EDGES = ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))
CHANNELS = tuple(range(8, 65, 8))
LAYERS = 5
# The one topology of sss: index 9930 of tss, the best on CIFAR-100's x-valid.
SSS_CELL = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"
SIZES = {"tss": len(OPS) ** len(EDGES), "sss": len(CHANNELS) ** LAYERS}


@cache
def tss_ops() -> tuple[tuple[str, ...], ...]:
    """Operations on the six edges of each topology, in index order.

    The official order is the product of the operations, last edge fastest, shuffled by Python's generator with seed 88.
    """
    cells = list(itertools.product(OPS, repeat=len(EDGES)))
    random.Random(88).shuffle(cells)
    return tuple(cells)


@cache
def sss_channels() -> tuple[tuple[int, ...], ...]:
    """Channels of the five layers of each size, in index order: the product, last layer fastest."""
    return tuple(itertools.product(CHANNELS, repeat=LAYERS))


@cache
def tss_strings() -> tuple[str, ...]:
    """Official strings of all topologies, in index order."""
    return tuple(
        f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"  # one operation an edge, "~" before the node that it comes from
        for a, b, c, d, e, f in tss_ops()
    )


@cache
def sss_strings() -> tuple[str, ...]:
    """Official strings of all sizes, in index order."""
    return tuple(":".join(map(str, channels)) for channels in sss_channels())


def strings(space: str) -> tuple[str, ...]:
    """Official strings of a space, in index order.

    Raises:
        NatsdbError: there is no such space.
    """
    if space not in SIZES:
        raise NatsdbError(f"there is no space {space!r}", remedy="choose tss or sss")
    return tss_strings() if space == "tss" else sss_strings()


def arch_str(space: str, arch: int) -> str:
    """Official string of an architecture.

    Raises:
        NatsdbError: there is no such space, or the index is outside it.
    """
    every = strings(space)
    if not 0 <= arch < len(every):
        raise NatsdbError(f"index {arch} is outside the space {space}", remedy=f"choose 0 to {len(every) - 1}")
    return every[arch]


@cache
def _indexes(space: str) -> dict[str, int]:
    return {text: arch for arch, text in enumerate(strings(space))}


def arch_index(space: str, text: str) -> int:
    """Official index of an architecture string.

    Raises:
        NatsdbError: there is no such space, or the string is not of it; the nearest string is named.
    """
    indexes = _indexes(space)
    if text not in indexes:
        near = difflib.get_close_matches(text, strings(space), n=1, cutoff=0.8)
        remedy = f"did you mean {near[0]!r}?" if near else f"strings look like {strings(space)[0]!r}"
        raise NatsdbError(f"{text!r} is no architecture of {space}", remedy=remedy)
    return indexes[text]


@cache
def canonical_tss() -> tuple[int, ...]:
    """For each topology, the lowest index of those that compute the same function: 6,466 classes.

    Two cells are the same when their output's expression is. In it, `none` and any operation on a single `none` are
    `#`, `skip_connect` is the expression of its input, any other operation `(input)@operation`, and a node the sorted
    sum of its edges (the rule of NAS-Bench-201 for isomorphic cells, zeros considered).
    """
    lowest: dict[str, int] = {}
    canonical = []
    for arch, ops in enumerate(tss_ops()):
        nodes = ["0"]
        for node in range(1, 4):
            terms = []
            for (to, source), op in zip(EDGES, ops, strict=True):
                if to != node:
                    continue
                if op == "none" or nodes[source] == "#":
                    terms.append("#")
                elif op == "skip_connect":
                    terms.append(nodes[source])
                else:
                    terms.append(f"({nodes[source]})@{op}")
            nodes.append("+".join(sorted(terms)))
        canonical.append(lowest.setdefault(nodes[3], arch))
    return tuple(canonical)
