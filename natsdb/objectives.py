"""Several objectives at once: what is asked, the exact front of a space, and how good another front is beside it.

An objective is a measure: accuracy, of which more is better, or any other, of which less is; MEASURE:max and
MEASURE:min say otherwise (SQL decides it: `sql/objective_name.sql`, `sql/objective_sign.sql`). Points are arrays of
shape (points, objectives) of which less is better: values times signs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from natsdb.schema.errors import Missing, NatsdbError

if TYPE_CHECKING:
    import polars as pl


class Objective(NamedTuple):
    """An objective as it was written, its measure, and its sign: 1 where less is better, -1 where more is."""

    text: str
    measure: str
    sign: int


class Quality(NamedTuple):
    """How good a front is.

    `hypervolume`: the share of the box between the best and the worst value of each objective in the space that the
    front dominates, 0 to 1; `igd_plus`: IGD+ (Ishibuchi et al. 2015) to the exact front, in that box, 0 for the front
    itself; None where the front is empty.
    """

    hypervolume: float
    igd_plus: float | None


def read_objectives(connection: Any, asked: str | Sequence[str]) -> tuple[Objective, ...]:
    """Two or three objectives, of a list or with commas between them.

    Raises:
        NatsdbError: there are fewer or more, one comes twice, or there is no such measure.
    """
    texts = [one.strip() for one in (asked.split(",") if isinstance(asked, str) else asked)]
    found = []
    for text in texts:
        # To the end, else what another statement needs is made out of this one's sight.
        ((measure, sign, _),) = connection.execute(
            "select objective_name($1), objective_sign($1), attached_name(objective_name($1))", [text]
        ).fetchall()
        found.append(Objective(text, measure, int(sign)))
    if len({one.measure for one in found}) < len(found) or len(found) not in (2, 3):
        raise NatsdbError(
            f"objectives {', '.join(texts)}: a front is of two or three objectives",
            remedy="name measures, each once, as in accuracy,flops or accuracy,zero_cost.nwot:max",
        )
    return tuple(found)


def values(
    connection: Any, objectives: Sequence[Objective], space: str, dataset: str, split: str, hp: str
) -> tuple[np.ndarray, np.ndarray]:
    """Indexes of the architectures that have a value of each objective, ascending, and the values: a row each."""
    found = connection.execute(
        "select arch, value_1, value_2, value_3 from valued(?, ?, ?, ?, ?) order by arch",
        [[one.measure for one in objectives], dataset, split, hp, space],
    ).fetchnumpy()
    columns = [np.asarray(found[f"value_{place}"], float) for place in range(1, len(objectives) + 1)]
    return found["arch"], np.stack(columns, axis=1)


@dataclass(frozen=True)
class ExactFront:
    """The front of a whole space, and the box in which others are measured.

    `ideal`, `reference`: the best and the worst value of each objective in the space, times its sign; `points`: the
    front, scaled so that these are 0 and 1; `hypervolume`: that of the front.
    """

    ideal: np.ndarray
    reference: np.ndarray
    points: np.ndarray
    hypervolume: float

    @classmethod
    def of(cls, points: np.ndarray) -> ExactFront:
        """The front of points, the reference point at the worst of them in each objective.

        Raises:
            NatsdbError: a value is infinite, or moocore is not installed.
        """
        moocore = _moocore()
        if not np.isfinite(points).all():
            raise NatsdbError("an objective has infinite values, so no front can be measured", remedy="choose another")
        ideal, reference = points.min(axis=0), points.max(axis=0)
        front = _scaled(points[nondominated(points)], ideal, reference)
        return cls(ideal, reference, front, float(moocore.hypervolume(front, ref=1.0)))

    @property
    def values(self) -> np.ndarray:
        """The front, not scaled."""
        return self.points * (self.reference - self.ideal) + self.ideal

    def quality(self, points: np.ndarray) -> Quality:
        """How good a front is; points that others of it dominate change nothing."""
        if not len(points):
            return Quality(0.0, None)
        moocore, scaled = _moocore(), _scaled(points, self.ideal, self.reference)
        volume = moocore.hypervolume(scaled, ref=1.0)
        return Quality(float(volume), float(moocore.igd_plus(scaled, ref=self.points)))


def nondominated(points: np.ndarray) -> np.ndarray:
    """Which of some points no other beats; of equal ones the first.

    Raises:
        NatsdbError: moocore is not installed.
    """
    found: np.ndarray = _moocore().is_nondominated(points)
    return found


def _scaled(points: np.ndarray, ideal: np.ndarray, reference: np.ndarray) -> np.ndarray:
    return (points - ideal) / np.where(reference > ideal, reference - ideal, 1.0)


def _moocore() -> Any:
    try:
        import moocore
    except ImportError as error:
        raise NatsdbError("hypervolume and IGD+ need moocore", remedy="pip install 'natsdb[objectives]'") from error
    return moocore


def pareto(
    connection: Any, asked: str | Sequence[str], dataset: str, split: str, hp: str, space: str = "tss"
) -> pl.DataFrame:
    """See `natsdb.pareto`."""
    objectives = read_objectives(connection, asked)
    about = {"dataset": dataset, "split": split, "hp": hp, "space": space}
    rows: pl.DataFrame = connection.sql(
        "from front($objectives, $dataset, $split, $hp, $space)",
        params={"objectives": [one.text for one in objectives]} | about,
    ).pl()
    named = {f"value_{place}": one.measure for place, one in enumerate(objectives, 1)}
    return rows.drop([name for name in ("value_3",) if name not in named]).rename(named)


def front_quality(
    connection: Any,
    archs: Sequence[int],
    asked: str | Sequence[str],
    dataset: str,
    split: str,
    hp: str,
    space: str = "tss",
) -> dict[str, Any]:
    """See `natsdb.front_quality`."""
    objectives = read_objectives(connection, asked)
    held, every = values(connection, objectives, space, dataset, split, hp)
    if lacking := sorted(set(map(int, archs)) - set(held.tolist())):
        raise Missing(
            f"architecture {lacking[0]} of {space} has no value of {', '.join(one.measure for one in objectives)} on "
            f"{dataset}, {split}, hp {hp}",
            remedy="leave it out, or choose other objectives",
        )
    signs = np.array([one.sign for one in objectives])
    exact = ExactFront.of(every * signs)
    found = exact.quality((every * signs)[np.searchsorted(held, np.asarray(archs, int))])
    return {
        **found._asdict(),
        "exact_hypervolume": exact.hypervolume,
        "ideal": dict(zip([one.measure for one in objectives], (exact.ideal * signs).tolist(), strict=True)),
        "reference": dict(zip([one.measure for one in objectives], (exact.reference * signs).tolist(), strict=True)),
    }
