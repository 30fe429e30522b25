"""The supernet of tss: in each of the 15 cells all five operations on all six edges, and three ways through a cell.

The authors' normalization of operations has neither weights nor running statistics: batch statistics, also in
evaluation. So a convolution's bias before it has no effect and is left out here, and what is worked out from zeros is
zeros. Only the stem and the two reductions have weights and running statistics.

Edges that leave a node share one tensor of weights for each size of kernel, and so one convolution.
Source: AutoDL-Projects, `xautodl/models/cell_searchs`; the tests compare outputs and gradients with it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from natsdb.schema.topology import CELLS, EDGES, OPS, WIDTH, tss_ops
from natsdb.training.networks import Reduction, pooled

NONE, SKIP, CONV1, CONV3, POOL = range(len(OPS))
# The operation of each edge, by its number in OPS.
Ops = Sequence[int]
# Edges by the node they leave.
LEAVING = [[edge for edge, (_, source) in enumerate(EDGES) if source == node] for node in range(3)]


class SearchCell(nn.Module):
    """All operations of a cell of width C. `conv1`, `conv3`: a node's weights, C rows for each edge that leaves it."""

    def __init__(self, width: int) -> None:
        super().__init__()
        drawn: dict[tuple[int, int], Tensor] = {}
        for edge in range(len(EDGES)):
            for op, kernel in ((CONV1, 1), (CONV3, 3)):
                # With the bias, as the authors draw it.
                drawn[edge, op] = nn.Conv2d(width, width, kernel).weight.detach()
        self.conv1, self.conv3 = (
            nn.ParameterList(nn.Parameter(torch.cat([drawn[edge, op] for edge in edges])) for edges in LEAVING)
            for op in (CONV1, CONV3)
        )

    def weight(self, edge: int, op: int) -> Tensor:
        """Weights of an edge's convolution, C×C×k×k: a view."""
        source = EDGES[edge][1]
        whole = self._weights(op)[source]
        return whole.unflatten(0, (len(LEAVING[source]), -1))[LEAVING[source].index(edge)]

    def mixed(self, x: Tensor, shares: Tensor) -> Tensor:
        """Every operation, each times its share (6×5)."""
        nodes: list[Tensor] = [x]
        sums: list[list[Tensor]] = [[] for _ in range(4)]
        for source, edges in enumerate(LEAVING):
            x = nodes[source]
            means, active = pooled(x), functional.relu(x)
            for op in (CONV1, CONV3):
                y = _convolved(active, self._weights(op)[source])
                y = _normalized(y, shares[edges, op].repeat_interleave(x.shape[1]))
                for edge, part in zip(edges, y.chunk(len(edges), 1), strict=True):
                    sums[EDGES[edge][0]].append(part)
            for edge in edges:
                sums[EDGES[edge][0]] += [x * shares[edge, SKIP], means * shares[edge, POOL]]
            nodes.append(_sum(sums[source + 1]))
        return nodes[3]

    def chosen(self, x: Tensor, ops: Ops) -> Tensor:
        """One operation on each edge. What is zero or leads nowhere is not worked out."""
        live = _live(ops)
        nodes: list[Tensor | None] = [x]
        sums: list[list[Tensor]] = [[] for _ in range(4)]
        for source, leaving in enumerate(LEAVING):
            at = nodes[source]
            edges = [edge for edge in leaving if live[EDGES[edge][0]] and ops[edge] != NONE]
            if at is not None and edges:
                for edge, term in zip(edges, self._terms(at, edges, ops), strict=True):
                    sums[EDGES[edge][0]].append(term)
            nodes.append(_sum(sums[source + 1]) if sums[source + 1] else None)
        return torch.zeros_like(x) if nodes[3] is None else nodes[3]

    def straight_through(self, x: Tensor, ops: Ops, hard: Tensor) -> Tensor:
        """One operation on each edge, times its entry of `hard` (6×5), plus that of each operation not chosen.

        The former are 1 and the latter 0 in value: they are there for their gradients (GDAS).
        """
        rest = hard.sum(1) - hard[range(len(EDGES)), list(ops)]
        nodes: list[Tensor] = [x]
        sums: list[list[Tensor]] = [[] for _ in range(4)]
        for source, edges in enumerate(LEAVING):
            at = nodes[source]
            for edge in edges:
                op, target = ops[edge], sums[EDGES[edge][0]]
                if op in (CONV1, CONV3):
                    y = _convolved(functional.relu(at), self.weight(edge, op))
                    # Repeated, not expanded: PyTorch's gradient reads past the end of an expanded weight.
                    width = y.shape[1]
                    target.append(_normalized(y, hard[edge, op].repeat(width), rest[edge].repeat(width)))
                elif op == NONE:
                    target.append(rest[edge].expand_as(at))
                else:
                    target.append(torch.addcmul(rest[edge], at if op == SKIP else pooled(at), hard[edge, op]))
            nodes.append(_sum(sums[source + 1]))
        return nodes[3]

    def _weights(self, op: int) -> nn.ParameterList:
        return self.conv1 if op == CONV1 else self.conv3

    def _terms(self, x: Tensor, edges: Sequence[int], ops: Ops) -> list[Tensor]:
        """Outputs of edges that leave one node, each by its operation; equal operations are worked out together."""
        found: dict[int, Tensor] = {}
        active: Tensor | None = None
        for op in {ops[edge] for edge in edges}:
            of = [edge for edge in edges if ops[edge] == op]
            if op in (CONV1, CONV3):
                active = functional.relu(x) if active is None else active
                whole = self._weights(op)[EDGES[of[0]][1]]
                all_of_them = len(whole) == len(of) * x.shape[1]
                weight = whole if all_of_them else torch.cat([self.weight(edge, op) for edge in of])
                y = _normalized(_convolved(active, weight))
                found |= zip(of, y.chunk(len(of), 1), strict=True)
            else:
                found |= dict.fromkeys(of, x if op == SKIP else pooled(x))
        return [found[edge] for edge in edges]


# What a cell does with its input.
Way = Callable[[SearchCell, Tensor], Tensor]


class Supernet(nn.Module):
    """The supernet. In training `drop_path`, if not 0, silences so great a part of the images after each layer."""

    def __init__(self, classes: int, width: int = WIDTH, cells: int = CELLS) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, width, 3, padding=1, bias=False), nn.BatchNorm2d(width))
        widths = [width] * cells + [width * 2] * (cells + 1) + [width * 4] * (cells + 1)
        self.cells = nn.ModuleList(
            SearchCell(outputs) if inputs == outputs else Reduction(inputs, outputs)
            for inputs, outputs in pairwise([width, *widths])
        )
        self.classifier = nn.Linear(widths[-1], classes)
        self.drop_path = 0.0
        self.draw: torch.Generator | None = None

    def forward(self, images: Tensor, way: Way) -> Tensor:
        """Logits of normalized images: N×3×H×H floats → N×classes. `way`: what each cell does, from first to last."""
        x = self.stem(images)
        for cell in self.cells:
            x = way(cell, x) if isinstance(cell, SearchCell) else cell(x)
            if self.drop_path and self.training:
                x = self._dropped(x)
        x = functional.relu(_normalized(x))
        return self.classifier(functional.adaptive_avg_pool2d(x, 1).flatten(1))

    def _dropped(self, x: Tensor) -> Tensor:
        keep = torch.rand(len(x), generator=self.draw) >= self.drop_path
        return x * (keep.to(x) / (1 - self.drop_path)).view(-1, 1, 1, 1)


def _convolved(x: Tensor, weight: Tensor) -> Tensor:
    return functional.conv2d(x, weight, padding=weight.shape[2] // 2)


def _normalized(x: Tensor, weight: Tensor | None = None, bias: Tensor | None = None) -> Tensor:
    """By the statistics of the batch, then times `weight` and plus `bias`, one for each channel."""
    return functional.batch_norm(x, None, None, weight, bias, training=True)


def _sum(terms: Sequence[Tensor]) -> Tensor:
    total = terms[0]
    for term in terms[1:]:
        total = total + term
    return total


def _live(ops: Ops) -> list[bool]:
    """Whether a node's value reaches the output."""
    live = [False, False, False, True]
    for (target, source), op in reversed(list(zip(EDGES, ops, strict=True))):
        live[source] |= live[target] and op != NONE
    return live


@cache
def every_ops() -> tuple[tuple[int, ...], ...]:
    """Operations by their numbers, of all architectures in index order."""
    return tuple(tuple(map(OPS.index, ops)) for ops in tss_ops())


@cache
def _indexes() -> dict[tuple[int, ...], int]:
    return {ops: arch for arch, ops in enumerate(every_ops())}


def arch_of(ops: Ops) -> int:
    """Index of the architecture with these operations."""
    return _indexes()[tuple(ops)]
