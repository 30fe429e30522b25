"""GDAS on tss: one operation an edge, sampled by Gumbel-softmax, with a straight-through gradient.

Source: Dong and Yang, CVPR 2019.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from natsdb.schema.errors import NatsdbError
from natsdb.training.weight_sharing.method import Batch, Found, Outcome
from natsdb.training.weight_sharing.topology_method import TableMethod, chosen


class Gdas(TableMethod):
    """Every pass draws one architecture for all cells; the one found has the greatest parameter of each edge."""

    def weight_loss(self, images: Tensor, labels: Tensor) -> Outcome:
        # The sample's weights are 1 and 0: only their gradients are more, and these are not asked for here.
        return self.outcome(images, labels, chosen(self._sample()[0]))

    def arch_step(self, arch: Batch, train: Batch, weights: torch.optim.SGD) -> Outcome:
        ops, hard = self._sample()
        loss, logits = self.outcome(*arch, lambda cell, x: cell.straight_through(x, ops, hard))
        self.move(loss)
        return loss.detach(), logits.detach()

    def validation_logits(self, images: Tensor, found: Found) -> Tensor:
        return self.net(images, chosen(self._sample()[0]))

    def _sample(self) -> tuple[list[int], Tensor]:
        return gumbel_sample(self.alphas, self.epoch.tau(), self.draw)


def gumbel_sample(alphas: Tensor, tau: float, draw: torch.Generator) -> tuple[list[int], Tensor]:
    """An operation for each edge, and a table of ones and zeros that has the gradient of the softmax it comes from.

    Drawn anew where noise or softmax is not finite.

    Raises:
        NatsdbError: the parameters are not finite, so no noise would help.
    """
    if not alphas.isfinite().all():
        raise NatsdbError(
            "the search diverges: its parameters are not finite", remedy="try a lower --arch-learning-rate"
        )
    while True:
        noise = -torch.empty(alphas.shape, dtype=alphas.dtype).exponential_(generator=draw).log()
        soft = ((alphas.log_softmax(1) + noise.to(alphas.device)) / tau).softmax(1)
        if noise.isfinite().all() and soft.isfinite().all():
            break
    ops = soft.argmax(1)
    hard = nn.functional.one_hot(ops, soft.shape[1]).to(soft)
    return ops.tolist(), hard - soft.detach() + soft
