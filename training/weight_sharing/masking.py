"""The searches of sss by masks: a block keeps its first channels and the others are zero.

`MaskGumbel`: a mixture of all eight masks by Gumbel-softmax weights (FBNet-V2: Wan et al., CVPR 2020). `MaskRL`: one
mask, sampled, and REINFORCE on the batch's accuracy (TuNAS: Bender et al., CVPR 2020), here without a term of cost.
"""

from __future__ import annotations

import torch
from torch import Tensor

from natsdb.schema.size import CHANNELS
from natsdb.training.weight_sharing.method import Batch, Options, Outcome
from natsdb.training.weight_sharing.size import SizeSupernet
from natsdb.training.weight_sharing.size_method import Gates, SizeMethod

MOMENTUM = 0.95


class MaskGumbel(SizeMethod):
    """Masks weighted by softmax((alphas + Gumbel noise) / temperature); cross entropy moves the parameters."""

    def controlled(self) -> Gates:
        noisy = self.rows() - self.exponentials(len(CHANNELS)).log()
        return Gates((noisy / self.epoch.tau()).softmax(1) @ self.masks)


class MaskRL(SizeMethod):
    """A width a block sampled from softmax(alphas); REINFORCE moves the parameters.

    The reward is the accuracy in percent of the batch that the widths ran on. Its baseline is a moving average, which
    takes in each reward before it is subtracted from it, and takes in those of the warm-up too, as the authors' does.
    """

    baseline: Tensor

    def __init__(self, net: SizeSupernet, options: Options) -> None:
        super().__init__(net, options)
        # Decayed sum of rewards, and of ones: their quotient is not biased towards the start's 0.
        self.register_buffer("baseline", torch.zeros(2, dtype=torch.float64))

    def controlled(self) -> Gates:
        log_probabilities = self.rows().log_softmax(1)
        with torch.no_grad():
            columns = (log_probabilities.exp() / self.exponentials(len(CHANNELS))).argmax(1)
        return Gates(self.masks[columns], log_probabilities.gather(1, columns[:, None]).sum())

    def arch_step(self, arch: Batch, train: Batch, weights: torch.optim.SGD) -> Outcome:
        images, labels = arch
        gates = self.gates()
        with torch.no_grad():
            loss, logits = self.outcome(images, labels, gates)
            accuracy = 100 * (logits.argmax(1) == labels).to(self.baseline.dtype).mean()
            self.baseline.lerp_(torch.stack([accuracy, torch.ones_like(accuracy)]), 1 - MOMENTUM)
            advantage = (accuracy - self.baseline[0] / self.baseline[1]).to(self.alphas.dtype)
        if gates.log_probability is not None:
            self.move(-advantage * gates.log_probability)
        return loss, logits
