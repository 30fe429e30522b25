"""Fronts of searches with several objectives: what each run holds after each evaluation, and what that is worth.

A run's front is of what the search was told, at the schedule's last epoch. It is judged as the best of other searches
is: by the accuracy of full training, in place of the accuracy that was seen; the other objectives stay. The exact
front, the ideal and the reference point are those of the whole space, judged likewise (`natsdb.objectives.ExactFront`).
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from natsdb.objectives import ExactFront
from natsdb.schema.errors import NatsdbError
from natsdb.schema.schedules import epochs_of
from natsdb.schema.tables import arrow_schema
from natsdb.search.trainings import Trainings

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class Judges:
    """What fronts of a search are judged by.

    `names`, `signs`: of the objectives; `seen`: their values by architecture, shape (architectures, objectives), NaN in
    place of accuracy; `judged`, by role: the same with the accuracy of full training, NaN where it is not known;
    `exact`, by role: the front of the space; `epoch`: of the evaluations that count.
    """

    names: tuple[str, ...]
    signs: np.ndarray
    seen: np.ndarray
    judged: dict[str, np.ndarray]
    exact: dict[str, ExactFront]
    epoch: int

    def digest(self) -> str:
        """Digest of all that the figures depend on."""
        digest = hashlib.sha256(repr((self.names, self.signs.tolist(), self.epoch)).encode())
        for role, values in sorted(self.judged.items()):
            digest.update(role.encode())
            digest.update(values.tobytes())
        return digest.hexdigest()[:12]

    def said(self) -> tuple[str, ...]:
        """Where the box lies in which hypervolume is measured, a sentence a role."""
        return tuple(
            f"{role}: the reference point of hypervolume is the worst of the space, {self._point(exact.reference)}; "
            f"the best is {self._point(exact.ideal)}; the exact front has {len(exact.points):,} points, hypervolume "
            f"{exact.hypervolume:.4f}"
            for role, exact in self.exact.items()
        )

    def _point(self, point: np.ndarray) -> str:
        return ", ".join(f"{name} {value:.4g}" for name, value in zip(self.names, point * self.signs, strict=True))


def read_judges(
    answers: Trainings, db: str | os.PathLike[str] | None = None, source: str | None = None
) -> Judges | None:
    """What the fronts of a search on these trainings are judged by; None where accuracy is the only objective.

    Raises:
        NatsdbError: no role's accuracies of full training are there, or moocore is not installed.
    """
    if answers.several is None:
        return None
    import natsdb

    objectives, size = answers.several.objectives, len(answers.start) - 1
    signs = np.array([one.sign for one in objectives])
    held = np.diff(answers.start) > 0
    seen = np.stack([np.full(size, np.nan) if one is None else np.array(one) for one in answers.several.values], axis=1)
    # What lacks a value is infeasible, and no point of the space.
    held &= True if answers.over is None else np.isfinite(answers.over)
    place = [one.measure for one in objectives].index("accuracy")
    with natsdb.connect(db, source=source) as connection:
        rows = connection.execute(
            "select role, arch, accuracy from full_accuracy where space = ? and dataset = ?",
            [answers.space, answers.dataset],
        ).fetchall()
    judged, exact = {}, {}
    for role in sorted({role for role, _, _ in rows}):
        values = seen.copy()
        for one, arch, accuracy in rows:
            if one == role:
                values[arch, place] = accuracy
        every = values[held & np.isfinite(values).all(axis=1)]
        if len(every):
            judged[role], exact[role] = values, ExactFront.of(every * signs)
    if not judged:
        raise NatsdbError(
            f"no accuracies of full training of {answers.space} on {answers.dataset} are there to judge fronts by",
            remedy="ingest rows of the longest schedule",
        )
    return Judges(tuple(one.text for one in objectives), signs, seen, judged, exact, epochs_of(answers.hp) - 1)


def front_rows(judges: Judges, search: str, steps: pa.Table) -> pa.Table:
    """Rows of `search_front` of all runs.

    Args:
        steps: rows of `search_step`, in order of run and step.
    """
    import pyarrow as pa

    columns = {name: steps[name].to_numpy() for name in ("run", "step", "epoch", "arch", "accuracy")}
    points = judges.seen[columns["arch"]]
    points = np.where(np.isnan(points), columns["accuracy"][:, None], points)
    starts = np.flatnonzero(np.diff(columns["run"], prepend=-1))
    rows: list[dict[str, Any]] = []
    for first, end in zip(starts, np.append(starts[1:], len(points)), strict=True):
        counted = np.flatnonzero(columns["epoch"][first:end] == judges.epoch) + first
        for at, until, front in fronts((points[counted] * judges.signs).tolist()):
            row = counted[at]
            rows += _judged(
                judges,
                {
                    "search": search,
                    "run": int(columns["run"][row]),
                    "step": int(columns["step"][row]),
                    "arch": int(columns["arch"][row]),
                    "until": None if until is None else int(columns["step"][counted[until]]),
                    "seen": points[row].tolist(),
                },
                columns["arch"][counted[front]],
            )
    return pa.Table.from_pylist(rows, schema=arrow_schema("search_front").remove_metadata())


def _judged(judges: Judges, row: dict[str, Any], front: np.ndarray) -> list[dict[str, Any]]:
    """A row a role, with what the front of these architectures is worth."""
    rows = []
    for role, values in judges.judged.items():
        exact, own = judges.exact[role], values[front]
        quality = exact.quality(own[np.isfinite(own).all(axis=1)] * judges.signs)
        judged = values[row["arch"]]
        rows.append(
            {
                **row,
                "role": role,
                "objectives": list(judges.names),
                "judged": judged.tolist() if np.isfinite(judged).all() else None,
                "size": len(front),
                **quality._asdict(),
                "exact_hypervolume": exact.hypervolume,
                "ideal": (exact.ideal * judges.signs).tolist(),
                "reference": (exact.reference * judges.signs).tolist(),
            }
        )
    return rows


def fronts(points: list[list[float]]) -> list[tuple[int, int | None, list[int]]]:
    """Points that enter the front of those up to them: number, that of the point that beats it later or None, and the
    front then. Less is better; of equal points the first counts."""
    entered: dict[int, int | None] = {}
    held: list[list[int]] = []
    front: list[int] = []
    for number, point in enumerate(points):
        if any(all(a <= b for a, b in zip(points[one], point, strict=True)) for one in front):
            continue
        left = [one for one in front if all(b <= a for a, b in zip(points[one], point, strict=True))]
        entered |= dict.fromkeys(left, number)
        front = [*(one for one in front if one not in left), number]
        entered[number] = None
        held.append(front)
    return [(number, until, at) for (number, until), at in zip(entered.items(), held, strict=True)]
