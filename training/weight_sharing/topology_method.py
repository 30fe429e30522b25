"""What the searches of tss have in common: drop path, the table of parameters, and candidates compared by validation.

Source: AutoDL-Projects, `exps/NATS-algos/search-cell.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn

from natsdb.schema.topology import EDGES, OPS
from natsdb.training.weight_sharing.method import Batch, Epoch, Found, Method, Options, Outcome
from natsdb.training.weight_sharing.topology import Ops, Supernet, Way, arch_of, every_ops


class TopologyMethod(Method):
    """A search of tss."""

    net: Supernet

    def begin(self, epoch: Epoch) -> None:
        super().begin(epoch)
        if self.options.drop_path_rate is not None:
            self.net.drop_path = self.options.drop_path_rate * (epoch.number + 1) / epoch.epochs
            self.net.draw = epoch.generator("drop path")

    def outcome(self, images: Tensor, labels: Tensor, way: Way) -> Outcome:
        """Mean cross entropy and logits of a batch, by one way through the cells."""
        logits = self.net(images, way)
        return nn.functional.cross_entropy(logits, labels), logits

    def accuracy(self, images: Tensor, labels: Tensor, ops: Ops) -> float:
        """Percent of a batch that one architecture of the supernet gets right."""
        logits = self.net(images, chosen(ops))
        return (logits.argmax(1) == labels).double().mean().item() * 100

    def best(self, archs: Iterable[int], validation: Iterator[Batch]) -> Found:
        """The most accurate of some architectures, each on one batch after the other; the first of equals."""
        found = [Found(arch, self.accuracy(*next(validation), every_ops()[arch])) for arch in archs]
        return max(found, key=lambda one: one.accuracy or 0.0)


class TableMethod(TopologyMethod):
    """A search of tss with parameters for each operation of each edge: `alphas`, 6×5."""

    def __init__(self, net: Supernet, options: Options) -> None:
        super().__init__(net, options)
        self.alphas = nn.Parameter(initial_alphas())

    def shares(self) -> Tensor:
        """Shares of the operations on each edge."""
        return self.alphas.softmax(1)

    def find(self, validation: Iterator[Batch]) -> Found:
        return self.best([arch_of(self.alphas.argmax(1).tolist())], validation)


def initial_alphas() -> Tensor:
    """Initial parameters, near 0. The authors draw them twice and take the second."""
    return [1e-3 * torch.randn(len(EDGES), len(OPS)) for _ in range(2)][1]


def chosen(ops: Ops) -> Way:
    """One architecture, in all cells."""
    return lambda cell, x: cell.chosen(x, ops)


def mixed(shares: Tensor) -> Way:
    """All operations by their shares, in all cells."""
    return lambda cell, x: cell.mixed(x, shares)
