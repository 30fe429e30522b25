"""FLOPs and parameters of both spaces' networks, by closed formulas.

One multiply-add counts as one FLOP, batch normalization, activations, pooling and sums as none; parameters are all that
are trained. Terms derive from the layer lists of the official networks and agree with all of 111 official records that
were compared with them. A convolution that leads nowhere counts all the same, as it does in the records.
"""

from __future__ import annotations

import numpy as np

from natsdb.schema.spaces import sss_channels, tss_ops

# Height of the images and number of classes.
IMAGES = {"cifar10-valid": (32, 10), "cifar10": (32, 10), "cifar100": (32, 100), "ImageNet16-120": (16, 120)}


def costs(space: str, dataset: str) -> tuple[np.ndarray, np.ndarray]:
    """FLOPs and parameters of every architecture of a space, both in millions, in index order."""
    height, classes = IMAGES[dataset]
    return (_tss if space == "tss" else _sss)(height, classes)


def _tss(height: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    ops = np.array(tss_ops())
    conv3, conv1 = (ops == "nor_conv_3x3").sum(axis=1), (ops == "nor_conv_1x1").sum(axis=1)
    # 7600: stem 432 and two reductions of 3584; an edge has 5 cells in each of 3 stages. 65: 64 weights and a bias.
    flops = (7600 + 34560 * conv3 + 3840 * conv1) * height**2 + 65 * classes
    params = 72656 + 243040 * conv3 + 28000 * conv1 + 65 * classes
    return flops / 1e6, params / 1e6


def _sss(height: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    c0, c1, c2, c3, c4 = np.array(sss_channels()).T
    # A cell that changes its width has a 1×1 convolution and batch normalization on its skip edge.
    d1, d2 = (c1 != c2).astype(int), (c3 != c4).astype(int)
    a = 27 * c0 + 45 * c0**2
    b = 10 * c0 * c1 + 9 * c1**2 + (18 + d1) * c1 * c2 + 27 * c2**2
    d = 10 * c2 * c3 + 9 * c3**2 + (18 + d2) * c3 * c4 + 27 * c4**2
    head = (c4 + 1) * classes
    flops = height**2 * a + (height // 2) ** 2 * b + (height // 4) ** 2 * d + head
    params = a + b + d + 12 * c0 + 4 * c1 + (10 + 2 * d1) * c2 + 4 * c3 + (12 + 2 * d2) * c4 + head
    return flops / 1e6, params / 1e6
