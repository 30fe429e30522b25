"""FLOPs and parameters of networks, by closed formulas, which each space has.

One multiply-add counts as one FLOP, batch normalization, activations, pooling and sums as none; parameters are all that
are trained. Terms derive from the layer lists of the official networks and agree with all of 111 official records that
were compared with them. A convolution that leads nowhere counts all the same, as it does in the records.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from natsdb.schema.datasets import DATASETS
from natsdb.schema.spaces import SPACES

if TYPE_CHECKING:
    import numpy as np


def costs(space: str, dataset: str) -> tuple[np.ndarray, np.ndarray]:
    """FLOPs and parameters of every architecture of a space, both in millions, in index order.

    Raises:
        NatsdbError: the size of the data set's images is not known.
    """
    images = DATASETS[dataset]
    return SPACES[space].costs(images.height, images.classes)
