"""Measures that a search heeds besides accuracy, by architecture: a limit, what it warms up with, objectives."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from natsdb.objectives import Objective, read_objectives, values
from natsdb.schema.errors import NatsdbError
from natsdb.schema.spaces import SPACES


class WarmUp(NamedTuple):
    """What a search starts with: the best of `of` random architectures by a measure, the highest first.

    `value`: the measure by architecture, -inf where there is none; `seconds`: what measuring it cost, 0 where that is
    not known; `counted`: whether the database says what it cost.
    """

    of: int
    value: list[float]
    seconds: list[float]
    counted: bool


class Several(NamedTuple):
    """What a search is told besides one accuracy: the objectives in order, and of each the value by architecture; None
    for accuracy, which is that of the training."""

    objectives: tuple[Objective, ...]
    values: list[list[float] | None]


def checked_limit(cost: str | None, at_most: float | None) -> tuple[str, float] | None:
    """A measure and its highest value; None without a limit.

    Raises:
        NatsdbError: one is given without the other, or the value is no number.
    """
    if cost is None and at_most is None:
        return None
    if cost is None or at_most is None:
        lacking, remedy = ("measure", "--cost") if cost is None else ("highest value", "--at_most")
        raise NatsdbError(f"a limit without a {lacking}", remedy=f"name it with {remedy}")
    if not math.isfinite(at_most):
        raise NatsdbError(f"the limit {at_most} is no finite number", remedy="name one with --at_most")
    return cost, float(at_most)


def checked_warm_up(measure: str | None, of: int | None) -> tuple[str, int] | None:
    """A measure, and of how many random architectures the best by it are the first ones; None without a warm-up.

    Raises:
        NatsdbError: a number without a measure, or no number above 0.
    """
    if measure is None:
        if of is not None:
            raise NatsdbError("a number of random architectures without a measure", remedy="name it with --warm_up")
        return None
    if of is not None and of < 1:
        raise NatsdbError(f"the best of {of} architectures are none", remedy="leave --of out: 1,000")
    return measure, 1000 if of is None else of


def by_arch(connection: Any, measure: str, space: str, dataset: str) -> np.ndarray:
    """A measure, as in the view `measure`, of every architecture of a space, in index order; NaN where it has none.

    Raises:
        NatsdbError: there is no such measure.
    """
    found = connection.execute(
        "select arch, value from measured(?) where space = ? and dataset = ?", [measure, space, dataset]
    ).fetchnumpy()
    every = np.full(SPACES[space].size, np.nan)
    every[found["arch"]] = found["value"]
    return every


def read_warm_up(connection: Any, space: str, dataset: str, warm: tuple[str, int], where: str) -> WarmUp:
    """A measure of all architectures, and the seconds that it took: the measure of that name and `_seconds`, where an
    architecture has a value and no seconds the mean of those that do.

    Args:
        where: the database, for what is said.

    Raises:
        NatsdbError: no architecture has a value.
    """
    measure, of = warm
    value = by_arch(connection, measure, space, dataset)
    lacking = np.isnan(value)
    if lacking.all():
        raise NatsdbError(
            f"it has no {measure} of {space} on {dataset}, to warm up with",
            where=where,
            remedy="choose another measure: `select distinct name from measure` lists them",
        )
    value, name = np.where(lacking, -np.inf, value), f"{measure}_seconds"
    if not connection.execute("select count(*) from measure where name = ?", [name]).fetchone()[0]:
        return WarmUp(of, value.tolist(), [0.0] * len(value), False)
    seconds = by_arch(connection, name, space, dataset)
    known = ~np.isnan(seconds)
    mean = float(seconds[known].mean()) if known.any() else 0.0
    took = np.where(known, seconds, np.where(lacking, 0.0, mean))
    return WarmUp(of, value.tolist(), took.tolist(), bool(known.any()))


def read_over(
    connection: Any,
    space: str,
    dataset: str,
    limit: tuple[str, float],
    starts: list[int],
    nearest: list[int] | None,
    where: str,
) -> list[float]:
    """By how much each architecture, or the one that answers for it, exceeds a limit; see `Trainings.over`.

    Raises:
        NatsdbError: all that are held do.
    """
    cost, at_most = limit
    value = by_arch(connection, cost, space, dataset)
    over = np.where(np.isnan(value), np.inf, value - at_most)
    held = over[np.diff(starts) > 0]
    if not (held <= 0).any():
        known = held[np.isfinite(held)]
        said = f"the least is {known.min() + at_most:g}" if len(known) else "it has no value of any"
        raise NatsdbError(
            f"no architecture of {space} that it holds has a {cost} of at most {at_most:g} on {dataset}",
            where=where,
            remedy=f"{said}: choose another limit or measure",
        )
    return (over if nearest is None else over[nearest]).tolist()


def read_several(
    connection: Any,
    asked: str | Sequence[str],
    space: str,
    dataset: str,
    hp: str,
    nearest: list[int] | None,
    limit: tuple[str, float] | None,
    over: list[float] | None,
    where: str,
) -> tuple[Several, list[float] | None]:
    """Objectives besides accuracy by architecture, and by how much each exceeds the limit: infinitely where it lacks a
    value, which is the worst of the space then.

    Raises:
        NatsdbError: these are no objectives, accuracy is not among them, or no architecture within the limit has them.
    """
    objectives, size = read_objectives(connection, asked), SPACES[space].size
    if all(one.measure != "accuracy" for one in objectives):
        said = ",".join(one.text for one in objectives)
        raise NatsdbError(f"the objectives {said} lack accuracy", remedy=f"name it too, as in accuracy,{said}")
    found: list[list[float] | None] = []
    for one in objectives:
        if one.measure == "accuracy":
            found.append(None)
            continue
        archs, column = values(connection, [one], space, dataset, "x-valid", hp)
        if not len(archs):
            raise NatsdbError(
                f"no architecture of {space} has a {one.measure} on {dataset}", remedy="choose another objective"
            )
        every = np.full(size, (column * one.sign).max() * one.sign)
        every[archs] = column[:, 0]
        lacking = np.ones(size, bool)
        lacking[archs] = False
        if nearest is not None:
            every, lacking = every[nearest], lacking[nearest]
        if lacking.any():
            over = np.where(lacking, np.inf, 0.0 if over is None else np.array(over)).tolist()
        found.append(every.tolist())
    if over is not None and min(over) > 0:
        said = " and ".join(one.measure for one in objectives if one.measure != "accuracy")
        within = f" and {limit[0]} of at most {limit[1]:g}" if limit is not None else ""
        raise NatsdbError(
            f"no architecture of {space} that it holds has {said}{within} on {dataset}",
            where=where,
            remedy=f"choose other objectives{' or another limit' if limit is not None else ''}",
        )
    return Several(objectives, found), over
