"""What the three searches of sss have in common: parameters, warm-up, steps, and the architecture found.

They differ in how a forward pass draws its gates. It draws them for weight steps, architecture steps and validation
alike, once a batch. Source: AutoDL-Projects, `exps/NATS-algos/search-size.py`.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor, nn

from natsdb.schema.size import CHANNELS, LAYERS, SSS, sizes_string
from natsdb.training.weight_sharing.method import Batch, Epoch, Found, Method, Options, Outcome
from natsdb.training.weight_sharing.size import BLOCKS, WIDTH, SizeSupernet


class Gates(NamedTuple):
    """Gates of the six blocks (see `SizeSupernet`), and the log-probability of all six widths where one is defined."""

    factors: Tensor
    log_probability: Tensor | None = None


class SizeMethod(Method):
    """A search of sss. Its parameters, `alphas`, are 5×8: a row a channel number, a column a width of `CHANNELS`."""

    masks: Tensor
    # In the warm-up, the probability that a block is as wide as it can be; None after it.
    full: float | None

    def __init__(self, net: SizeSupernet, options: Options) -> None:
        super().__init__(net, options)
        self.alphas = nn.Parameter(1e-3 * torch.randn(LAYERS, len(CHANNELS)))
        self.register_buffer("masks", prefix_masks(), persistent=False)

    @abstractmethod
    def controlled(self) -> Gates:
        """Gates as the parameters have them: a new draw, with gradients to the parameters if these are enabled."""

    def gates(self) -> Gates:
        """Gates of one forward pass: the warm-up's, then the controller's."""
        if self.full is None:
            return self.controlled()
        return Gates(self.masks[warm_columns(self.full, self.draw).to(self.masks.device)])

    def rows(self) -> Tensor:
        """Parameters of each block: 6×8. Stem and first cell have the same, but each draws for itself."""
        return torch.cat([self.alphas[:1], self.alphas])

    def exponentials(self, *shape: int) -> Tensor:
        """Exponentially distributed noise of mean 1 for each block: 6×shape. Drawn on the CPU; never 0.

        Minus its logarithm is Gumbel noise; p/noise is greatest at an index drawn from p, and the two greatest are at
        two drawn without replacement: so PyTorch draws, too, and so does this, without a device having to wait.
        """
        noise = torch.empty(BLOCKS, *shape, dtype=self.alphas.dtype).exponential_(generator=self.draw)
        return noise.clamp_(min=torch.finfo(noise.dtype).tiny).to(self.alphas.device)

    def outcome(self, images: Tensor, labels: Tensor, gates: Gates) -> Outcome:
        """Mean cross entropy and logits of a batch through these gates."""
        _, logits = self.net(images, gates.factors)
        return nn.functional.cross_entropy(logits, labels), logits

    def begin(self, epoch: Epoch) -> None:
        super().begin(epoch)
        done, ratio = epoch.number / epoch.epochs, self.options.warmup_ratio
        self.full = None if ratio is None or ratio <= done else 1 - done / ratio

    def weight_loss(self, images: Tensor, labels: Tensor) -> Outcome:
        with torch.no_grad():
            gates = self.gates()
        return self.outcome(images, labels, gates)

    def arch_step(self, arch: Batch, train: Batch, weights: torch.optim.SGD) -> Outcome:
        # In the warm-up nothing moves, but the batch runs: reductions take its statistics.
        with torch.set_grad_enabled(self.full is None):
            loss, logits = self.outcome(*arch, self.gates())
        if self.full is None:
            self.move(loss)
        return loss.detach(), logits.detach()

    def find(self, validation: Iterator[Batch]) -> Found:
        return Found(found_size(self.alphas))

    def validation_logits(self, images: Tensor, found: Found) -> Tensor:
        return self.net(images, self.gates().factors)[1]


def prefix_masks() -> Tensor:
    """A row of 64 factors for each width: 1 for so many channels from the first, 0 for the others."""
    return (torch.arange(WIDTH) < torch.tensor(CHANNELS)[:, None]).float()


def warm_columns(full: float, draw: torch.Generator) -> Tensor:
    """Columns of six widths: with probability `full` the last, else one of all eight, each as likely."""
    uniform = torch.randint(len(CHANNELS), (BLOCKS,), generator=draw)
    return torch.where(torch.rand(BLOCKS, generator=draw) < full, len(CHANNELS) - 1, uniform)


def found_size(alphas: Tensor) -> int:
    """The index of the architecture that has, in each row, the width of the greatest parameter."""
    return SSS.index[sizes_string([CHANNELS[column] for column in alphas.argmax(1).tolist()])]
