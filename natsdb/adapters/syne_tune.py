"""A Syne Tune blackbox made from the database: fidelity is the epoch, objectives are accuracy and elapsed time."""

from __future__ import annotations

import os
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from syne_tune import config_space

from natsdb.adapters import elapsed
from natsdb.schema.errors import NatsdbError
from natsdb.schema.schedules import epochs_of
from natsdb.schema.spaces import SPACES, space_of
from natsdb.search.trainings import read_trainings

if TYPE_CHECKING:
    from syne_tune.blackbox_repository.blackbox_tabular import BlackboxTabular

FIDELITY, ACCURACY, ELAPSED, OVER = "epoch", "accuracy", "elapsed_time", "over"


def configuration_space(space: str) -> dict[str, Any]:
    """The search space: an operation on each edge (tss), or channels of each layer in their order (sss).

    Raises:
        NatsdbError: there is no such space.
    """
    of = space_of(space)
    domain = config_space.ordinal if of.numeric else config_space.choice
    return {name: domain(list(of.choices)) for name in of.positions}


def blackbox(
    space: str,
    dataset: str,
    hp: str = "12",
    db: str | os.PathLike[str] | None = None,
    *,
    epochs: Sequence[int] | None = None,
    cost: str | None = None,
    at_most: float | None = None,
) -> BlackboxTabular:
    """A tabular blackbox of a whole search space, for Syne Tune's simulator (`UserBlackboxBackend`).

    Its objectives at each fidelity: `accuracy`, of x-valid in percent; `elapsed_time`, simulated seconds so far, of a
    training that is validated at each fidelity. Its seeds are the runs of an architecture; one that has fewer
    than others answers with the same again. Where the database lacks an architecture, the nearest that it holds does.
    Under a limit there is a third objective, `over`, by how much it is exceeded, for schedulers that heed constraints;
    an infeasible architecture's accuracy is 0 at each epoch, in the time of its training, as the simulator refuses
    nothing and ends by time.

    Args:
        space, dataset: tss or sss; cifar10, cifar100 or ImageNet16-120.
        hp: schedule of the trainings.
        db: folder or URL of the database.
        epochs: fidelities, counted from 1 as Syne Tune does; by default every epoch of the schedule.
        cost, at_most: a measure, as in the view `measure`, and its highest value: architectures above it, or without a
            value, are infeasible.

    Raises:
        NatsdbError: no such space, data set, schedule, epoch or measure; nothing is feasible; the database lacks the
            rows (tss at hp 200 has x-valid of cifar100 and ImageNet16-120 at the last epoch only: epochs=[200]).
    """
    import pandas as pd
    from syne_tune.blackbox_repository.blackbox_tabular import BlackboxTabular

    last = epochs_of(hp)
    fidelities = sorted({*(range(1, last + 1) if epochs is None else epochs), last})
    if fidelities[0] < 1 or fidelities[-1] > last:
        raise NatsdbError(f"not all epochs are in 1 to {last}", remedy="count them from 1")
    answers = read_trainings(space, dataset, hp, db, [epoch - 1 for epoch in fidelities], cost=cost, at_most=at_most)
    archs = np.array(answers.nearest if answers.nearest is not None else range(len(answers.start) - 1))
    start = np.array(answers.start)
    count = np.diff(start)
    seeds = np.arange(count.max())
    runs = start[archs][:, None] + seeds % count[archs][:, None]
    accuracy = np.array([answers.accuracy[epoch - 1] for epoch in fidelities]).T
    objectives = [accuracy[runs], elapsed(answers)[runs]]
    if answers.over is not None:
        over = np.broadcast_to(np.array(answers.over)[:, None, None], objectives[0].shape)
        objectives = [np.where(over > 0, 0.0, objectives[0]), objectives[1], over]
    of = SPACES[space]
    return BlackboxTabular(
        hyperparameters=pd.DataFrame(of.every, columns=list(of.positions)),
        configuration_space=configuration_space(space),
        fidelity_space={FIDELITY: config_space.randint(fidelities[0], fidelities[-1])},
        objectives_evaluations=np.stack(objectives, axis=-1),
        fidelity_values=np.array(fidelities),
        objectives_names=[ACCURACY, ELAPSED, OVER][: len(objectives)],
    )
