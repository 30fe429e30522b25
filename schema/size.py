"""The space sss: channels of five layers of one network. Its costs and networks; costs were checked as those of tss."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from natsdb.schema.space import Choices, Encoding, Skeleton, Space
from natsdb.schema.topology import ops_of

if TYPE_CHECKING:
    import random

    import numpy as np

CHANNELS = tuple(range(8, 65, 8))
LAYERS = 5
# The one topology of sss: index 9930 of tss, the best on CIFAR-100's x-valid.
SSS_CELL = "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|skip_connect~0|nor_conv_3x3~1|nor_conv_3x3~2|"


def sizes_string(channels: Sequence[int]) -> str:
    """Official string of the channels of the five layers."""
    return ":".join(map(str, channels))


def skeleton(text: str) -> Skeleton:
    """A size's network: two of its five layers are reductions, the others cells of the one topology."""
    return Skeleton(ops_of(SSS_CELL), [int(width) for width in text.split(":")], (1, 3))


def _costs(height: int, classes: int) -> tuple[np.ndarray, np.ndarray]:
    import numpy as np

    c0, c1, c2, c3, c4 = np.array(SSS.every).T
    # A cell that changes its width has a 1×1 convolution and batch normalization on its skip edge.
    d1, d2 = (c1 != c2).astype(int), (c3 != c4).astype(int)
    a = 27 * c0 + 45 * c0**2
    b = 10 * c0 * c1 + 9 * c1**2 + (18 + d1) * c1 * c2 + 27 * c2**2
    d = 10 * c2 * c3 + 9 * c3**2 + (18 + d2) * c3 * c4 + 27 * c4**2
    head = (c4 + 1) * classes
    flops = height**2 * a + (height // 2) ** 2 * b + (height // 4) ** 2 * d + head
    params = a + b + d + 12 * c0 + 4 * c1 + (10 + 2 * d1) * c2 + 4 * c3 + (12 + 2 * d2) * c4 + head
    return flops / 1e6, params / 1e6


def _config(text: str, classes: int) -> dict[str, Any]:
    return {
        "name": "infer.shape.tiny",
        "channels": text,
        "arch_str": text,
        "genotype": SSS_CELL,
        "class_num": classes,
    }


def _mutated(space: Space, choices: Choices, chance: random.Random) -> Choices:
    """A layer gets a uniform width, which may be the one that it has, as in the authors' script."""
    at = int(chance.random() * LAYERS)
    value = int(chance.random() * len(CHANNELS))
    return (*choices[:at], value, *choices[at + 1 :])


SSS = Space(
    name="sss",
    title="size",
    about="channel sizes",
    archive="NATS-sss-v1_0",
    digits="50262",
    positions=tuple(f"layer_{layer}" for layer in range(LAYERS)),
    choices=CHANNELS,
    text=sizes_string,
    pattern=r"\d+(:\d+)+",
    hps=("01", "12", "90"),
    costs=_costs,
    config=_config,
    mutated=_mutated,
    skeleton=skeleton,
    references={"largest": sizes_string([CHANNELS[-1]] * LAYERS)},
    budgets={"ImageNet16-120": 60_000.0},
    encodings={
        "channels": Encoding(
            "a list of the output channels of the five layers",
            form="[{0}, {1}, {2}, {3}, {4}]",
            words=tuple(map(str, CHANNELS)),
            pattern=r"[\[(]\s*\d+(,\s*\d+){4}\s*[\])]",
            ignored=r"[\s\[\]()]",
        ),
    },
)
