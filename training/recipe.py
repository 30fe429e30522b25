"""The official recipe on one page: the same for both spaces, every data set and every schedule; only epochs differ.

SGD with Nesterov momentum, weight decay on all parameters, a cosine learning rate that is constant inside an epoch, no
warm-up, batches of 256, plain cross entropy. Figures are formed as the official meters form them: averages of batches'
float32 losses and percentages, weighted by their size. Source: AutoDL-Projects, `xautodl/procedures`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

from natsdb.schema.schedules import cosine
from natsdb.training.data import DataSet, eval_batches, train_batches
from natsdb.training.networks import Network, counted_cost, network

MOMENTUM = 0.9
WEIGHT_DECAY = 5e-4
BATCH = 256
PRECISIONS = ("float32", "bf16")
# Learning rate by (epoch, epochs).
schedule: Callable[[int, int], float] = cosine


class Diverged(Exception):
    """A loss is not a finite number: which, and when."""


class Measured(NamedTuple):
    """A pass over a split: mean cross entropy in nats, top-1 and top-5 accuracy in percent, seconds, data included."""

    loss: float
    accuracy: float
    top5: float
    seconds: float


@dataclass
class Training:
    """A network under way. `flops` and `params`: millions, counted on its modules; `epoch`: epochs done."""

    net: Network
    optimizer: torch.optim.Optimizer
    flops: float
    params: float
    epoch: int = 0


def start(space: str, arch: int, seed: int, data: DataSet) -> Training:
    """A network with its initial weights, drawn on the CPU after seeding, as the authors draw them.

    It goes to the data's device. The caller's random state is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = network(space, arch, data.classes)
    flops, params = counted_cost(net, torch.zeros(1, *data.train.pixels.shape[1:]))
    net.to(data.train.labels.device)
    optimizer = torch.optim.SGD(
        net.parameters(), lr=schedule(0, 1), momentum=MOMENTUM, nesterov=True, weight_decay=WEIGHT_DECAY
    )
    return Training(net, optimizer, flops, params)


def train_epoch(training: Training, data: DataSet, seed: int, epochs: int, precision: str) -> dict[str, Measured]:
    """Train for the next of `epochs` epochs, then evaluate every split; what was measured, `train` first.

    Figures of `train` are taken in training mode, with augmentation, while the weights change.

    Raises:
        Diverged: a loss is not finite.
    """
    epoch = training.epoch
    for group in training.optimizer.param_groups:
        group["lr"] = schedule(epoch, epochs)
    training.net.train()
    meter = _Meter("train", epoch)
    for pixels, labels in train_batches(data, seed, epoch, BATCH):
        training.optimizer.zero_grad()
        with _autocast(pixels, precision):
            _, logits = training.net(pixels)
            loss = nn.functional.cross_entropy(logits, labels)
        loss.backward()
        training.optimizer.step()
        meter.add(loss, logits, labels)
    found = {"train": meter.measured()}
    for split in data.evals:
        found[split] = evaluate(training.net, data, split, epoch, precision)
    training.epoch += 1
    return found


@torch.no_grad()
def evaluate(net: nn.Module, data: DataSet, split: str, epoch: int, precision: str) -> Measured:
    """One pass over a split in evaluation mode.

    Raises:
        Diverged: the loss is not finite.
    """
    net.eval()
    meter = _Meter(split, epoch)
    for pixels, labels in eval_batches(data, split, BATCH):
        with _autocast(pixels, precision):
            _, logits = net(pixels)
            loss = nn.functional.cross_entropy(logits, labels)
        meter.add(loss, logits, labels)
    return meter.measured()


def _autocast(pixels: Tensor, precision: str) -> AbstractContextManager[object]:
    return torch.autocast(pixels.device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


class _Meter:
    """Keeps each batch's figures on the device: reading one would make the device wait."""

    def __init__(self, split: str, epoch: int) -> None:
        self._at = f"{split} loss of epoch {epoch}"
        self._sizes: list[int] = []
        self._batches: list[Tensor] = []
        self._started = time.perf_counter()

    def add(self, loss: Tensor, logits: Tensor, labels: Tensor) -> None:
        hits = logits.detach().topk(5).indices == labels[:, None]
        percent = torch.stack([hits[:, :1].sum(), hits.sum()]).float() * (100.0 / len(labels))
        self._batches.append(torch.cat([loss.detach().float().view(1), percent]))
        self._sizes.append(len(labels))

    def measured(self) -> Measured:
        sums = [0.0, 0.0, 0.0]
        for batch, size in zip(torch.stack(self._batches).tolist(), self._sizes, strict=True):
            sums = [total + value * size for total, value in zip(sums, batch, strict=True)]
        loss, accuracy, top5 = (total / sum(self._sizes) for total in sums)
        if not math.isfinite(loss):
            raise Diverged(f"diverged: the {self._at} is {loss}")
        return Measured(loss, accuracy, top5, time.perf_counter() - self._started)
