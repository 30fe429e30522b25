"""Training schedules: an hp is a number of epochs by its official name, with a cosine learning rate."""

from __future__ import annotations

import math

# Epochs of each hp.
HPS = {"01": 1, "12": 12, "90": 90, "200": 200}


def learning_rate(hp: str, epoch: int) -> float:
    """Learning rate during an epoch: cosine from 0.1 to 0, constant inside the epoch (official training recipe)."""
    return cosine(epoch, HPS[hp])


def cosine(epoch: int, epochs: int) -> float:
    """Learning rate of an epoch, counted from 0, of a schedule of so many epochs."""
    return 0.1 * (1 + math.cos(math.pi * epoch / epochs)) / 2
