"""The space tss: cells of six edges, an operation on each. Its index order, canonical form, costs and networks.

Order and canonical form were checked against the official meta file, costs against official records (`tests/schema/`).
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from natsdb.schema.space import Choices, Encoding, Skeleton, Space, other_choice_at

if TYPE_CHECKING:
    import random

    import numpy as np

# In the official order: the index order follows from it.
OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
# Edges (to node, from node) in the order of the six operations of a cell; node 0 is the cell's input, 3 its output.
EDGES = ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))
# Output channels of the first stage, and cells in each of the three.
WIDTH, CELLS = 16, 5


@cache
def tss_ops() -> tuple[tuple[str, ...], ...]:
    """Operations on the six edges of each topology, in index order.

    The official order is the product of the operations, last edge fastest, shuffled by Python's generator with seed 88.
    """
    import random

    cells = list(itertools.product(OPS, repeat=len(EDGES)))
    random.Random(88).shuffle(cells)
    return tuple(cells)


def cell_string(ops: Sequence[str]) -> str:
    """Official string of a cell: one operation an edge, "~" before the node that it comes from."""
    a, b, c, d, e, f = ops
    return f"|{a}~0|+|{b}~0|{c}~1|+|{d}~0|{e}~1|{f}~2|"


def ops_of(text: str) -> list[str]:
    """Operations on the six edges of a cell's string: what stands before each "~"."""
    return [part.split("~")[0] for part in text.split("|") if "~" in part]


def expression(ops: Sequence[str]) -> str:
    """What a cell computes, as an expression of its input `0`: two cells are the same function when these are equal.

    In it, `none` and any operation on a single `none` are `#`, `skip_connect` is the expression of its input, any other
    operation `(input)@operation`, and a node the sorted sum of its edges (the rule of NAS-Bench-201 for isomorphic
    cells, zeros considered).
    """
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
    return nodes[3]


@cache
def canonical_tss() -> tuple[int, ...]:
    """For each topology, the lowest index of those that compute the same function: 6,466 classes."""
    lowest: dict[str, int] = {}
    return tuple(lowest.setdefault(expression(ops), arch) for arch, ops in enumerate(tss_ops()))


def skeleton(text: str, width: int = WIDTH, cells: int = CELLS) -> Skeleton:
    """A cell's network: three stages of so many cells, with reductions between them that double the width."""
    widths = [width] * cells + [width * 2] * (cells + 1) + [width * 4] * (cells + 1)
    return Skeleton(ops_of(text), widths, (cells, 2 * cells + 1))


def _costs(height: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    import numpy as np

    ops = np.array(tss_ops())
    conv3, conv1 = (ops == "nor_conv_3x3").sum(axis=1), (ops == "nor_conv_1x1").sum(axis=1)
    # 7600: stem 432 and two reductions of 3584; an edge has 5 cells in each of 3 stages. 65: 64 weights and a bias.
    flops = (7600 + 34560 * conv3 + 3840 * conv1) * height**2 + 65 * classes
    params = 72656 + 243040 * conv3 + 28000 * conv1 + 65 * classes
    return flops / 1e6, params / 1e6


def _config(text: str, classes: int) -> dict[str, Any]:
    return {"channel": WIDTH, "num_cells": CELLS, "arch_str": text, "class_num": classes}


def _mutated(space: Space, choices: Choices, chance: random.Random) -> Choices:
    """A node, then one of its edges, each uniformly, gets another operation, as in the authors' script."""
    node = 1 + int(chance.random() * 3)
    edges = [edge for edge, (to, _) in enumerate(EDGES) if to == node]
    return other_choice_at(space, choices, edges[int(chance.random() * node)], chance)


# Six numbers below 5, with brackets and commas or without.
_NUMBERS = r"[(\[]?\s*[0-4](,?\s*[0-4]){5}\s*[)\]]?"

TSS = Space(
    name="tss",
    title="topology",
    about="cell topologies",
    archive="NATS-tss-v1_0",
    digits="3ffb9",
    positions=tuple(f"edge_{to}_{source}" for to, source in EDGES),
    choices=OPS,
    order=tss_ops,
    text=cell_string,
    pattern=r"\|.*",
    hps=("12", "200"),
    costs=_costs,
    config=_config,
    canonical=canonical_tss,
    mutated=_mutated,
    skeleton=skeleton,
    references={
        # The cell that is a residual block.
        "ResNet": "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|",
        "largest": cell_string(["nor_conv_3x3"] * 6),
    },
    encodings={
        "canonical": Encoding(
            "what the cell computes, as an expression of its input; one text for all cells of a class",
            pattern=r"[(0#].*\+.*",
            text=expression,
        ),
        # Edges by the node that they leave: 1<-0, 2<-0, 3<-0, 2<-1, 3<-1, 3<-2.
        "naslib": Encoding(
            "NASLib's tuple of operations: edges by the node that they leave, 0 skip_connect, 1 none, 2 nor_conv_3x3, "
            "3 nor_conv_1x1, 4 avg_pool_3x3",
            form="({0}, {1}, {3}, {2}, {4}, {5})",
            words=("1", "0", "3", "2", "4"),
            pattern=_NUMBERS,
            ignored=r"[^0-9]",
        ),
        "digits": Encoding(
            "six digits, edges in the official order: 0 none, 1 skip_connect, 2 nor_conv_1x1, 3 nor_conv_3x3, "
            "4 avg_pool_3x3",
            form="{0}{1}{2}{3}{4}{5}",
            words=("0", "1", "2", "3", "4"),
            pattern="[0-4]{6}",
            named=_NUMBERS,
            ignored=r"[^0-9]",
        ),
        "genotype": Encoding(
            "the genotype of DARTS-like code: for each node, operation and origin of its edges",
            form="[(('{0}', 0),), (('{1}', 0), ('{2}', 1)), (('{3}', 0), ('{4}', 1), ('{5}', 2))]",
            words=OPS,
            pattern=r"[\[(][\[(\s]*['\"]?[a-z].*[\])]",
            ignored=r"[\s\[\](),'\"]",
        ),
    },
    edges=EDGES,
)
