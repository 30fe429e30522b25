"""Training schedules: an hp is a number of epochs by its name, with a cosine learning rate.

Four are official. Any other number of epochs is a schedule of its own, by its digits: '600'.
"""

from __future__ import annotations

import math

from natsdb.schema.errors import NatsdbError
from natsdb.schema.names import did_you_mean

# Epochs of each official hp.
HPS = {"01": 1, "12": 12, "90": 90, "200": 200}
# Of the longest schedule: epochs are 16-bit numbers in the tables.
MOST = (1 << 15) - 1


def hp_of(epochs: int) -> str:
    """The name of the schedule of so many epochs: '12', and '01' for one."""
    return next((hp for hp, of in HPS.items() if of == epochs), str(epochs))


def is_schedule(hp: str) -> bool:
    """Whether there is a schedule of this name."""
    return hp in HPS or (
        hp.isascii() and hp.isdecimal() and len(hp) <= 5 and hp_of(int(hp)) == hp and 0 < int(hp) <= MOST
    )


def epochs_of(hp: str) -> int:
    """Epochs of a schedule.

    Raises:
        NatsdbError: there is none of this name; the nearest official one is named.
    """
    if not is_schedule(hp):
        raise NatsdbError(
            f"there is no schedule {hp!r}", remedy=f"{did_you_mean(hp, HPS)}, and any other number of epochs by its own"
        )
    return int(hp)


def learning_rate(hp: str, epoch: int) -> float:
    """Learning rate during an epoch: cosine from 0.1 to 0, constant inside the epoch (official training recipe)."""
    return cosine(epoch, epochs_of(hp))


def cosine(epoch: int, epochs: int) -> float:
    """Learning rate of an epoch, counted from 0, of a schedule of so many epochs."""
    return 0.1 * (1 + math.cos(math.pi * epoch / epochs)) / 2
