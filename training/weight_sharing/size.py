"""The supernet of sss: the network of five times 64 channels, in which a gate narrows what each block gives.

Six blocks (stem, cell, reduction, cell, reduction, cell) have five channel numbers: as in the space, stem and first
cell have the same. A gate is a linear map of channels that the caller draws, one for a whole batch: 64 factors for
masks, a 64×64 matrix for interpolation. So no width is worked out apart: one product a block does for any mixture of
the eight.

Normalization has no weights and keeps no statistics: it takes those of each batch, in evaluation too. Convolutions
before it have a bias, as the authors' have. Reductions are those of the single networks, with weights and statistics.
Source: AutoDL-Projects, `xautodl/models/shape_searchs`; the tests compare it with that package.
"""

from __future__ import annotations

from torch import Tensor, nn

from natsdb.schema.size import CHANNELS, LAYERS, SSS_CELL
from natsdb.training.networks import Cell, Reduction, Skip

WIDTH = CHANNELS[-1]
BLOCKS = LAYERS + 1
_REDUCTIONS = (1, 3)


class SharedConv(nn.Module):
    """ReLU, 3×3 convolution with a bias, normalization by the batch. The name `op` is that of the single networks."""

    def __init__(self) -> None:
        super().__init__()
        self.op = nn.Sequential(nn.ReLU(), nn.Conv2d(WIDTH, WIDTH, 3, padding=1), _batch_norm())

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class SharedCell(Cell):
    """The one cell of sss at full width."""

    def __init__(self) -> None:
        nn.Module.__init__(self)
        ops = [part.split("~")[0] for part in SSS_CELL.split("|") if "~" in part]
        self.layers = nn.ModuleList(Skip() if op == "skip_connect" else SharedConv() for op in ops)


class SizeSupernet(nn.Module):
    """The supernet's weights, drawn from the global generator in the authors' order. `classes`: number of them."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, WIDTH, 3, padding=1), _batch_norm())
        self.cells = nn.ModuleList(
            Reduction(WIDTH, WIDTH) if layer in _REDUCTIONS else SharedCell() for layer in range(LAYERS)
        )
        self.lastact = nn.Sequential(_batch_norm(), nn.ReLU(inplace=True))
        self.classifier = nn.Linear(WIDTH, classes)

    def forward(self, images: Tensor, gates: Tensor) -> tuple[Tensor, Tensor]:
        """(features, logits): N×64 and N×classes.

        Args:
            images: N×3×H×H normalized floats.
            gates: of each of the six blocks; 6×64 factors, or 6×64×64 (to, from).
        """
        x = images
        for block, gate in zip((self.stem, *self.cells), gates.unbind(), strict=True):
            x = gated(block(x), gate)
        features = nn.functional.adaptive_avg_pool2d(self.lastact(x), 1).flatten(1)
        return features, self.classifier(features)


def gated(x: Tensor, gate: Tensor) -> Tensor:
    """Channels of N×64×H×H through a gate: times 64 factors, or by a 64×64 matrix (to, from)."""
    # As a 1×1 convolution a matrix costs a ninth of one of the block's own, and keeps channels last in memory.
    return x * gate[:, None, None] if gate.ndim == 1 else nn.functional.conv2d(x, gate[:, :, None, None])


def _batch_norm() -> nn.BatchNorm2d:
    return nn.BatchNorm2d(WIDTH, affine=False, track_running_stats=False)
