"""The database as the tabular benchmark behind other people's optimizers: `optuna`, `syne_tune`.

Both see the same search space and the same account of time. A value is named as in the views `topology` (`edge_1_0`, an
operation) and `size` (`layer_0`, channels).
"""

from __future__ import annotations

from typing import Any

import numpy as np

from natsdb.schema.spaces import SPACES
from natsdb.search.trainings import Trainings


def arch_of(answers: Trainings, values: dict[str, Any]) -> int:
    """Index of the architecture that answers for these values: itself, or the nearest that the database holds."""
    space = SPACES[answers.space]
    arch = space.by_numbers[tuple(space.choices.index(values[name]) for name in space.positions)]
    return arch if answers.nearest is None else answers.nearest[arch]


def elapsed(answers: Trainings) -> np.ndarray:
    """Seconds of each run's training so far at each epoch that was read: shape (runs, epochs), ascending.

    The training goes on from one of these epochs to the next, with one pass over the validation images at each.
    """
    epochs = sorted(answers.seconds)
    seconds = np.array([answers.seconds[epoch] for epoch in epochs]).T
    return seconds + answers.passes[:, None] * np.arange(len(epochs))
