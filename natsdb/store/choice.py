"""Which rows count where several sources have the same architecture: one rule, for SQL, facade, search and page.

One source is chosen for each (space, hp, arch, dataset), never for each seed, and a mean never mixes two. Mixing by
seed was tried: one reduced run beside two official ones changed the mean of an architecture by 12 points.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import NamedTuple

from natsdb.schema.errors import Missing
from natsdb.schema.names import did_you_mean
from natsdb.schema.schedules import epochs_of
from natsdb.store.manifest import Manifest, Part

OFFICIAL, REGENERATED, SYNTHETIC = "official", "regenerated", "synthetic"
# Rows of NAS-Bench-201's own records, which `natsdb.api.nas_201` asks for, and of HPOBench's extraction of these.
NAS_201, HPOBENCH = "nas-bench-201", "hpobench"
# Sources that have a place by name; others are the user's own.
_PLACES = {OFFICIAL: 0, NAS_201: 1, HPOBENCH: 2, REGENERATED: 4}
_OWN, _PUBLISHED, _REDUCED, _SYNTHETIC = 3, 5, 6, 7


def rank(source: str, *, published: bool = False, reduced: bool = False) -> tuple[int, str]:
    """Sort key of a source's rows among those of others; the lowest counts.

    Official records, those of NAS-Bench-201, HPOBench's extraction of these, which has less of them, then the user's
    own by name, regenerated ones, published tables and Syne Tune's curves, reduced runs of any source, and synthetic
    rows last. A reduced run never stands before a full result.

    Args:
        source: value of the column `source`.
        published: the rows are of a published table, so there are no curves.
        reduced: the runs saw fewer images or epochs than their schedule says.
    """
    if source == SYNTHETIC:
        return _SYNTHETIC, source
    if reduced:
        return _REDUCED, source
    if published and source != OFFICIAL:
        return _PUBLISHED, source
    return _PLACES.get(source, _OWN), source


class Place(NamedTuple):
    """Where the runs of a source stand among those of all sources, from 0: those of the lowest place count.

    `place` is for results after the last epoch, `curve_place` for curves, which published tables have none of.
    """

    source: str
    reduced: bool
    place: int
    curve_place: int


def places(sources: Iterable[str], manifest: Manifest) -> list[Place]:
    """The place of each source's full and of its reduced runs, by `rank`."""
    published, curveless = manifest.published_sources(), manifest.sources_without_curves()
    every = [(source, reduced) for source in sources for reduced in (False, True)]

    def by_rank(one: tuple[str, bool]) -> tuple[tuple[int, str], bool]:
        return rank(one[0], published=one[0] in published, reduced=one[1]), one[1]

    place = {one: number for number, one in enumerate(sorted(every, key=by_rank))}
    return [Place(*one, place[one], place[one] + len(every) * (one[0] in curveless)) for one in every]


def contested(manifest: Manifest, source: str | None = None) -> set[tuple[str, str, int]]:
    """Where it must be asked run by run which rows count, as (space, hp, block): elsewhere all do.

    That is where several sources lie, reduced runs beside full ones, or a published table that has means and seeds of
    the same split, or may have, as nobody counted. Format 1 did not count reduced runs.

    Args:
        source: as if there were only this one.
    """
    cells: dict[tuple[str, str, int], list[Part]] = {}
    for part in manifest.parts:
        if part.table == "seed" and source in (None, part.source):
            cells.setdefault((part.space, part.hp, part.block), []).append(part)
    tables = manifest.sources_without_curves()

    def alike(part: Part) -> bool:
        single = part.doubled == 0 or part.source not in tables
        return single and "reduced" in part.columns and part.reduced in (0, part.rows)

    return {cell for cell, parts in cells.items() if len(parts) > 1 or not alike(parts[0])}


def check_source(
    manifest: Manifest, source: str, where: str, *, space: str | None = None, hp: str | None = None
) -> None:
    """Refuse a source that a database has not, or not of a space and hp.

    Raises:
        Missing: it has no rows; the remedy names those that have, the nearest first, or all that there is.
    """
    parts = [part for part in manifest.parts if part.source]  # the catalogue has none
    if not any(part.source == source and space in (None, part.space) and hp in (None, part.hp) for part in parts):
        have = sorted({part.source for part in parts})
        of = "".join(f", {name} {value!r}" for name, value in (("space", space), ("hp", hp)) if value is not None)
        there = did_you_mean(source, have) if source not in have else f"it holds {manifest.contents()}"
        raise Missing(f"there are no rows of source {source!r}{of}", where=where, remedy=there)


def is_reduced(hp: str, epochs: int, code: str | None) -> bool:
    """Whether a run is a reduced one, where its file is of format 1 and does not say so in a column."""
    return epochs < epochs_of(hp) or (code is not None and json.loads(code).get("images") is not None)
