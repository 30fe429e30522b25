"""TAS on sss: two widths a block, mixed after both are interpolated to the wider (Dong and Yang, NeurIPS 2019)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from natsdb.schema.size import CHANNELS
from natsdb.training.weight_sharing.method import Options
from natsdb.training.weight_sharing.size import WIDTH, SizeSupernet
from natsdb.training.weight_sharing.size_method import Gates, SizeMethod


class TAS(SizeMethod):
    """Two distinct widths a block from the Gumbel-softmax, mixed by the softmax of their two noisy parameters.

    Of each width there are the first channels, stretched to the wider of the two by adaptive average pooling along the
    channels; channels beyond that are zero. All this is linear in the block's output: one 64×64 matrix a block.
    """

    stretches: Tensor

    def __init__(self, net: SizeSupernet, options: Options) -> None:
        super().__init__(net, options)
        self.register_buffer("stretches", all_stretches(), persistent=False)

    def controlled(self) -> Gates:
        gumbel, pick = self.exponentials(2, len(CHANNELS)).unbind(1)
        noisy = (self.rows().log_softmax(1) - gumbel.log()) / self.epoch.tau()
        with torch.no_grad():
            # 1e-7 as the authors have it: at low temperatures others than the first have no probability left.
            pairs = ((noisy.softmax(1) + 1e-7) / pick).topk(2).indices
            wider = pairs.amax(1, keepdim=True)
        shares = noisy.gather(1, pairs).softmax(1)
        return Gates((shares[:, :, None, None] * self.stretches[pairs, wider]).sum(1))


def all_stretches() -> Tensor:
    """For each pair of columns, the matrix (64×64: to, from) from the first's channels to as many as the second's.

    Those to fewer channels are zero: they are never asked for.
    """
    found = torch.zeros(len(CHANNELS), len(CHANNELS), WIDTH, WIDTH)
    for i, narrow in enumerate(CHANNELS):
        for j, wide in enumerate(CHANNELS[i:], i):
            found[i, j, :wide, :narrow] = nn.functional.adaptive_avg_pool1d(torch.eye(narrow), wide).T
    return found
