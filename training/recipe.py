"""The official recipe on one page: the same for both spaces, every data set and every schedule; only epochs differ.

SGD with Nesterov momentum, weight decay on all parameters, a cosine learning rate that is constant inside an epoch, no
warm-up, batches of 256, plain cross entropy. Figures are formed as the official meters form them: averages of batches'
float32 losses and percentages, weighted by their size. Source: AutoDL-Projects, `xautodl/procedures`.
"""

from __future__ import annotations

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
PRECISIONS = ("float32", "bf16", "float64")
# Learning rate by (epoch, epochs).
schedule: Callable[[int, int], float] = cosine


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


def start(space: str, arch: int, seed: int, data: DataSet, precision: str = "float32") -> Training:
    """A network with its initial weights, drawn on the CPU after seeding, as the authors draw them.

    It goes to the data's device. The caller's random state is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = network(space, arch, data.classes)
    flops, params = counted_cost(net, torch.zeros(1, *data.train.pixels.shape[1:]))
    # Channels last in memory: on a CPU twice as fast as channels first (measured, see the README of this folder).
    dtype = torch.float64 if precision == "float64" else torch.float32
    net.to(data.train.labels.device, dtype, memory_format=torch.channels_last)
    return Training(net, sgd(net, 0, 1), flops, params)


def sgd(net: nn.Module, epoch: int, epochs: int) -> torch.optim.SGD:
    """The optimizer, at the learning rate of an epoch."""
    rate = schedule(epoch, epochs)
    return torch.optim.SGD(net.parameters(), rate, MOMENTUM, nesterov=True, weight_decay=WEIGHT_DECAY)


def train_epoch(training: Training, data: DataSet, seed: int, epochs: int, precision: str) -> dict[str, Measured]:
    """Train for the next of `epochs` epochs, then evaluate every split; what was measured, `train` first.

    Figures of `train` are taken in training mode, with augmentation, while the weights change. A run that diverged has
    figures that are not finite.
    """
    epoch = training.epoch
    for group in training.optimizer.param_groups:
        group["lr"] = schedule(epoch, epochs)
    training.net.train()
    meter = Meter()
    for pixels, labels in train_batches(data, seed, epoch, BATCH):
        training.optimizer.zero_grad()
        with autocast(pixels.device, precision):
            _, logits = training.net(cast(pixels, precision))
            loss = nn.functional.cross_entropy(logits, labels)
        loss.backward()
        training.optimizer.step()
        meter.add(loss[None], logits[None], labels[None])
    found = {"train": meter.measured()[0]}
    for split in data.evals:
        found[split] = evaluate(training.net, data, split, precision)
    training.epoch += 1
    return found


@torch.no_grad()
def evaluate(net: nn.Module, data: DataSet, split: str, precision: str) -> Measured:
    """One pass over a split in evaluation mode."""
    net.eval()
    meter = Meter()
    for pixels, labels in eval_batches(data, split, BATCH):
        with autocast(pixels.device, precision):
            _, logits = net(cast(pixels, precision))
            loss = nn.functional.cross_entropy(logits, labels)
        meter.add(loss[None], logits[None], labels[None])
    return meter.measured()[0]


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Where bf16 is asked for, convolutions and products in it; weights, sums and losses stay float32."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


def cast(pixels: Tensor, precision: str) -> Tensor:
    """Pixels in the network's type and order in memory."""
    dtype = torch.float64 if precision == "float64" else torch.float32
    return pixels.to(dtype, memory_format=torch.channels_last)


class Meter:
    """Figures of M runs side by side. Each batch's stay on the device: reading one would make the device wait."""

    def __init__(self, members: int = 1) -> None:
        self._members = members
        self._sizes: list[int] = []
        self._batches: list[Tensor] = []
        self._started = time.perf_counter()

    def add(self, losses: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Note a batch: M, M×B×classes, M×B."""
        size = labels.shape[1]
        hits = logits.detach().topk(5).indices == labels[:, :, None]
        percent = torch.stack([hits[:, :, 0].sum(1), hits.sum((1, 2))]).float() * (100.0 / size)
        self._batches.append(torch.cat([losses.detach()[None], percent]))
        self._sizes.append(size)

    def measured(self) -> list[Measured]:
        """Averages over all images, a member's after the other's; seconds since the start, shared out."""
        sums = [[0.0] * self._members for _ in range(3)]
        for batch, size in zip(torch.stack(self._batches).tolist(), self._sizes, strict=True):
            sums = [[a + b * size for a, b in zip(*pair, strict=True)] for pair in zip(sums, batch, strict=True)]
        seconds = (time.perf_counter() - self._started) / self._members
        images = sum(self._sizes)
        return [
            Measured(loss / images, accuracy / images, top5 / images, seconds)
            for loss, accuracy, top5 in zip(*sums, strict=True)
        ]
