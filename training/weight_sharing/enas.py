"""ENAS on tss: a recurrent controller draws architectures and learns from their accuracy (Pham et al., ICML 2018)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from natsdb.schema.topology import EDGES, OPS
from natsdb.training.weight_sharing.method import Batch, Epoch, Found, Options, Outcome
from natsdb.training.weight_sharing.topology import Supernet, arch_of, every_ops
from natsdb.training.weight_sharing.topology_method import TopologyMethod, chosen

WIDTH = 32
# Logits are SQUASH·tanh(z/COOL).
SQUASH, COOL = 2.5, 5.0
ENTROPY, BASELINE_RATE, CLIP = 1e-4, 0.01, 5.0


class Drawn(NamedTuple):
    """An architecture of the controller: operations, log-probability, and entropy in nats, both summed over edges."""

    ops: list[int]
    log_probability: Tensor
    entropy: Tensor


class Controller(nn.Module):
    """Two LSTM layers that see, edge after edge, the operation drawn last. Initial values as the authors draw them."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Parameter(torch.empty(1, 1, WIDTH))
        self.lstm = nn.LSTM(WIDTH, WIDTH, 2)
        self.embedding = nn.Embedding(len(OPS), WIDTH)
        self.linear = nn.Linear(WIDTH, len(OPS))
        lstm, others = (self.lstm.weight_hh_l0, self.lstm.weight_ih_l0), (self.embedding.weight, self.linear.weight)
        for parameter in (self.first, *lstm, *others):
            nn.init.uniform_(parameter, -0.1, 0.1)

    def forward(self, draw: torch.Generator) -> Drawn:
        x, state = self.first, None
        ops: list[int] = []
        logs, entropies = [], []
        for _ in EDGES:
            y, state = self.lstm(x, state)
            log = (SQUASH * torch.tanh(self.linear(y[0, 0]) / COOL)).log_softmax(0)
            op = torch.multinomial(log.detach().exp().cpu(), 1, generator=draw)
            ops.append(int(op))
            logs.append(log[ops[-1]])
            entropies.append(-(log.exp() * log).sum())
            x = self.embedding(op.to(log.device))[None]
        return Drawn(ops, torch.stack(logs).sum(), torch.stack(entropies).sum())


class Enas(TopologyMethod):
    """Weights by one architecture of the controller a step; the controller itself learns after each epoch."""

    net: Supernet
    baseline: Tensor

    def __init__(self, net: Supernet, options: Options) -> None:
        super().__init__(net, options)
        torch.randn(len(EDGES), len(OPS))  # a table that the authors draw here too, and do not use
        self.controller = Controller()
        # Mean baseline of the epoch before; not a number before the first.
        self.register_buffer("baseline", torch.tensor(torch.nan, dtype=torch.float64))

    def begin(self, epoch: Epoch) -> None:
        super().begin(epoch)
        self._ops: list[int] = []

    def weight_loss(self, images: Tensor, labels: Tensor) -> Outcome:
        with torch.no_grad():
            self._ops = self.controller(self.draw).ops
        return self.outcome(images, labels, chosen(self._ops))

    def arch_step(self, arch: Batch, train: Batch, weights: torch.optim.SGD) -> Outcome:
        # Nothing to move yet: the reductions take the batch's statistics, as the authors' do.
        with torch.no_grad():
            return self.outcome(*arch, chosen(self._ops))

    def find(self, validation: Iterator[Batch]) -> Found:
        with torch.enable_grad():
            self.learn(validation)
        archs = [arch_of(self.controller(self.draw).ops) for _ in range(self.options.candidates)]
        return self.best(archs, validation)

    def validation_logits(self, images: Tensor, found: Found) -> Tensor:
        return self.net(images, chosen(every_ops()[found.arch]))

    def learn(self, validation: Iterator[Batch]) -> None:
        """Train the controller for an epoch: each architecture is rewarded with its accuracy on one batch."""
        assert self.optimizer is not None
        baselines = []
        for _ in range(self.options.controller_steps):
            self.optimizer.zero_grad()
            for _ in range(self.options.controller_samples):
                drawn = self.controller(self.draw)
                with torch.no_grad():
                    accuracy = self.accuracy(*next(validation), drawn.ops) / 100
                loss, baseline = reinforce(drawn, accuracy, self.baseline.item(), self.options.entropy_gradient)
                (loss / self.options.controller_samples).backward()
                baselines.append(baseline)
            nn.utils.clip_grad_norm_(self.controller.parameters(), CLIP)
            self.optimizer.step()
        self.baseline.fill_(sum(baselines) / len(baselines))


def reinforce(drawn: Drawn, accuracy: float, before: float, entropy_gradient: bool) -> tuple[Tensor, float]:
    """Loss of one architecture, and the baseline that its reward was compared with.

    Args:
        drawn: the architecture.
        accuracy: of it, from 0 to 1.
        before: mean baseline of the epoch before; if not a number, the accuracy is the baseline.
        entropy_gradient: let the gradient of the entropy in the reward through, as the authors' code does.
    """
    entropy = drawn.entropy if entropy_gradient else drawn.entropy.detach()
    reward = accuracy + ENTROPY * entropy
    baseline = reward.new_tensor(accuracy) if before != before else before - BASELINE_RATE * (before - reward)
    return -drawn.log_probability * (reward - baseline), baseline.item()
