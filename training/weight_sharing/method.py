"""What the loop and a method of search agree upon.

A method is a module: a supernet, `net`, whose weights the loop trains, and whatever else decides which architectures it
draws. The loop calls, for each epoch: `begin`; for each pair of batches `weight_loss`, whose gradient it takes and
applies to the supernet's weights, then `arch_step`, where the method applies its own; `find`; `validation_logits` for
every batch of the validation images. `find` and `validation_logits` run in evaluation mode without gradients.

What a method must remember from epoch to epoch is in its parameters and buffers and in `optimizer`: a checkpoint holds
these. Chance comes from generators that `Epoch.generator` makes anew each epoch, so none of their states is saved.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor, nn

# Images (B×3×H×H floats, normalized) and their labels (B), on the device.
Batch = tuple[Tensor, Tensor]
# Mean cross entropy in nats (a scalar) and logits (B×classes).
Outcome = tuple[Tensor, Tensor]


@dataclass(frozen=True)
class Options:
    """How a search runs; the published values, but for those that `natsdb.training.weight_sharing.ALGORITHMS` sets.

    `batch` of weight and architecture steps, `valid_batch` of validation. Adam's for the architecture: `arch_…`.
    tss: `drop_path_rate`, reached in the last epoch; `candidates` that `find` compares, where a method compares any.
    ENAS: `controller_steps` an epoch of `controller_samples` architectures each; `entropy_gradient`: the reward's
    entropy gets a gradient of its own, as in the authors' code. sss: `warmup_ratio`, the part of the epochs in which
    widths come from no controller; none if None.
    """

    epochs: int = 100
    batch: int = 64
    valid_batch: int = 512
    arch_learning_rate: float = 3e-4
    arch_weight_decay: float = 1e-3
    arch_eps: float = 1e-8
    drop_path_rate: float | None = None
    candidates: int = 100
    controller_steps: int = 50
    controller_samples: int = 20
    entropy_gradient: bool = False
    warmup_ratio: float | None = None


@dataclass(frozen=True)
class Epoch:
    """One epoch of a search: its seed, the epoch's number from 0, and how many there will be."""

    seed: int
    number: int
    epochs: int

    def generator(self, purpose: str) -> torch.Generator:
        """A generator of its own for a purpose, on the CPU: the same for the same seed, epoch and purpose."""
        said = f"{self.seed} {self.number} {purpose}".encode()
        return torch.Generator().manual_seed(int.from_bytes(hashlib.sha256(said).digest()[:7], "big"))

    def tau(self, first: float = 10.0, last: float = 0.1) -> float:
        """The temperature of GDAS, TAS and mask_gumbel: linear from 10 to 0.1 over the epochs."""
        return first + (last - first) * self.number / max(1, self.epochs - 1)


class Found(NamedTuple):
    """An architecture by its index in the space, and its accuracy in percent on one validation batch, if taken."""

    arch: int
    accuracy: float | None = None


class Method(nn.Module):
    """A method of search.

    Args:
        net: the supernet, whose parameters are the weights; all others of the module are the method's own.
        options: how the search runs.
    """

    def __init__(self, net: nn.Module, options: Options) -> None:
        super().__init__()
        self.net = net
        self.options = options

    def arch_parameters(self) -> list[nn.Parameter]:
        """The method's own parameters, in the order of registration: none in some methods."""
        weights = {id(weight) for weight in self.net.parameters()}
        return [parameter for parameter in self.parameters() if id(parameter) not in weights]

    def arch_optimizer(self) -> torch.optim.Adam | None:
        """A new optimizer for them; the loop calls this once, on the device, and sets `optimizer`."""
        parameters, options = self.arch_parameters(), self.options
        if not parameters:
            return None
        return torch.optim.Adam(
            parameters,
            options.arch_learning_rate,
            (0.5, 0.999),
            options.arch_eps,
            options.arch_weight_decay,
        )

    optimizer: torch.optim.Adam | None = None

    def move(self, loss: Tensor) -> None:
        """A step of the method's own parameters down the gradient of a loss; the weights' own is not worked out."""
        assert self.optimizer is not None
        parameters = self.arch_parameters()
        for parameter, gradient in zip(parameters, torch.autograd.grad(loss, parameters), strict=True):
            parameter.grad = gradient
        self.optimizer.step()

    def begin(self, epoch: Epoch) -> None:
        """Set temperatures, warm-ups and generators for an epoch; this base keeps `epoch` and the generator `draw`."""
        self.epoch = epoch
        self.draw = epoch.generator("architectures")

    @abstractmethod
    def weight_loss(self, images: Tensor, labels: Tensor) -> Outcome:
        """Loss whose gradient moves the weights, and logits, in training mode."""

    @abstractmethod
    def arch_step(self, arch: Batch, train: Batch, weights: torch.optim.SGD) -> Outcome:
        """Move the architecture's parameters, in training mode, and leave the weights as they are.

        Args:
            arch: the batch to do it on.
            train: the batch of the weight step just done.
            weights: the optimizer of the weights.

        Returns:
            Loss and logits of the arch batch, without gradients.
        """

    @abstractmethod
    def find(self, validation: Iterator[Batch]) -> Found:
        """The architecture found after an epoch. `validation`: shuffled batches of the validation images, without end.

        ENAS trains its controller here, which is why its optimizer is the method's.
        """

    @abstractmethod
    def validation_logits(self, images: Tensor, found: Found) -> Tensor:
        """Logits (B×classes) of what the method reports as its validation accuracy."""


@dataclass(frozen=True)
class Algorithm:
    """An entry of the registry.

    Args:
        space: tss or sss.
        start: a method with its initial parameters, drawn from the global generator on the CPU, by number of classes.
        options: the published settings.
        takes: names of options that this algorithm has besides `epochs`, `batch` and `valid_batch`.
    """

    space: str
    start: Callable[[int, Options], Method]
    options: Options
    takes: tuple[str, ...] = ()
