"""DARTS on tss, of the first and of the second order (Liu et al., ICLR 2019).

Both mix all operations by the softmax of the parameters; the architecture found has the greatest of each edge, `none`
among them.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from natsdb.training.weight_sharing.method import Batch, Found, Outcome
from natsdb.training.weight_sharing.topology_method import TableMethod, mixed

# The finite difference moves the weights by this, divided by the gradient's length (the DARTS paper, section 2.3).
REACH = 0.01


class Darts1(TableMethod):
    """DARTS-V1: the parameters go down the gradient of the architecture batch at the weights as they are."""

    def weight_loss(self, images: Tensor, labels: Tensor) -> Outcome:
        return self.outcome(images, labels, mixed(self.shares().detach()))

    def arch_step(self, arch: Batch, train: Batch, weights: torch.optim.SGD) -> Outcome:
        loss, logits = self.outcome(*arch, mixed(self.shares()))
        self.move(loss)
        return loss.detach(), logits.detach()

    def validation_logits(self, images: Tensor, found: Found) -> Tensor:
        return self.net(images, mixed(self.shares()))


class Darts2(Darts1):
    """DARTS-V2: the same at the weights that one more step on the training batch would lead to, as a function of them.

    Running statistics stay as the weight step left them.
    """

    def arch_step(self, arch: Batch, train: Batch, weights: torch.optim.SGD) -> Outcome:
        assert self.optimizer is not None
        gradient, loss, logits = self.unrolled(arch, train, weights)
        self.alphas.grad = gradient
        self.optimizer.step()
        return loss, logits

    def unrolled(
        self, arch: Batch, train: Batch, weights: torch.optim.SGD, reach: float = REACH
    ) -> tuple[Tensor, Tensor, Tensor]:
        """The gradient of the architecture batch's loss after one step, that loss, and its logits.

        The second order is a finite difference: of the training loss's gradient, between weights moved to both sides
        along the gradient that the architecture batch has after the step.
        """
        parameters = list(self.net.parameters())
        kept = [parameter.detach().clone() for parameter in parameters]
        statistics = [buffer.clone() for buffer in self.net.buffers()]
        loss, _ = self.weight_loss(*train)
        step = unrolled_step(parameters, torch.autograd.grad(loss, parameters), weights)
        rate = weights.param_groups[0]["lr"]
        _moved(parameters, kept, step, -rate)
        loss, logits = self.outcome(*arch, mixed(self.shares()))
        gradient, *direction = torch.autograd.grad(loss, [self.alphas, *parameters])
        length = torch.stack(torch._foreach_norm(direction)).norm()
        radius = (reach / length).item()
        sides = []
        for side in (radius, -radius):
            _moved(parameters, kept, direction, side)
            there, _ = self.outcome(*train, mixed(self.shares()))
            sides += torch.autograd.grad(there, [self.alphas])
        _moved(parameters, kept, direction, 0)
        for buffer, was in zip(self.net.buffers(), statistics, strict=True):
            buffer.copy_(was)
        return gradient - rate * (sides[0] - sides[1]) / (2 * radius), loss.detach(), logits.detach()


def unrolled_step(
    parameters: Sequence[nn.Parameter], gradients: Sequence[Tensor], weights: torch.optim.SGD
) -> list[Tensor]:
    """What a step takes from each parameter, divided by the learning rate: with momentum, but not Nesterov's."""
    (group,) = weights.param_groups
    momenta = [weights.state[p].get("momentum_buffer") for p in parameters]
    return [
        g + group["weight_decay"] * p + (0 if m is None else group["momentum"] * m)
        for p, g, m in zip(parameters, gradients, momenta, strict=True)
    ]


@torch.no_grad()
def _moved(parameters: list[nn.Parameter], origin: list[Tensor], direction: Sequence[Tensor], by: float) -> None:
    torch._foreach_copy_(parameters, origin)
    if by:
        torch._foreach_add_(parameters, direction, alpha=by)
