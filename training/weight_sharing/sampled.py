"""SETN and RSPS on tss: weights of architectures drawn at random, and the best of a hundred candidates."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from natsdb.schema.topology import EDGES, OPS, TSS
from natsdb.training.weight_sharing.method import Batch, Found, Outcome
from natsdb.training.weight_sharing.topology import NONE, SearchCell, every_ops
from natsdb.training.weight_sharing.topology_method import TableMethod, TopologyMethod, chosen, mixed


class Setn(TableMethod):
    """SETN (Dong and Yang, ICCV 2019): weights by uniform architectures, parameters by the mixture of all operations.

    Candidates are the most probable architectures.
    """

    def weight_loss(self, images: Tensor, labels: Tensor) -> Outcome:
        ops = torch.randint(len(OPS), (len(EDGES),), generator=self.draw).tolist()
        return self.outcome(images, labels, chosen(ops))

    def arch_step(self, arch: Batch, train: Batch, weights: torch.optim.SGD) -> Outcome:
        loss, logits = self.outcome(*arch, mixed(self.shares()))
        self.move(loss)
        return loss.detach(), logits.detach()

    def find(self, validation: Iterator[Batch]) -> Found:
        return self.best(most_probable(self.alphas, self.options.candidates), validation)

    def validation_logits(self, images: Tensor, found: Found) -> Tensor:
        return self.net(images, chosen(every_ops()[found.arch]))


class Rsps(TopologyMethod):
    """RSPS (Li and Talwalkar, UAI 2019): every cell draws its own operations in every pass; there are no parameters.

    Candidates are drawn at random, each once.
    """

    def weight_loss(self, images: Tensor, labels: Tensor) -> Outcome:
        return self.outcome(images, labels, self._way)

    def arch_step(self, arch: Batch, train: Batch, weights: torch.optim.SGD) -> Outcome:
        # Nothing to move: the reductions take the batch's statistics, as the authors' do.
        with torch.no_grad():
            return self.outcome(*arch, self._way)

    def find(self, validation: Iterator[Batch]) -> Found:
        every = torch.randperm(TSS.size, generator=self.draw)
        return self.best(every[: self.options.candidates].tolist(), validation)

    def validation_logits(self, images: Tensor, found: Found) -> Tensor:
        return self.net(images, self._way)

    def _way(self, cell: SearchCell, x: Tensor) -> Tensor:
        return cell.chosen(x, random_cell(self.draw))


def most_probable(alphas: Tensor, count: int) -> list[int]:
    """The most probable architectures when each edge draws from the softmax of its parameters; in order."""
    logs = alphas.detach().double().log_softmax(1).cpu()
    of = logs[torch.arange(len(EDGES)), torch.tensor(every_ops())].sum(1)
    return of.argsort(descending=True, stable=True)[:count].tolist()


def random_cell(draw: torch.Generator) -> list[int]:
    """Operations of a cell, each as likely, but a node whose edges are all `none` is drawn anew."""
    ops: list[int] = []
    for node in range(1, 4):
        edges = [NONE] * node
        while not any(edges):
            edges = torch.randint(len(OPS), (node,), generator=draw).tolist()
        ops += edges
    return ops
