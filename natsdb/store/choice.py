"""Which rows count where several sources have the same architecture: one rule, for SQL, facade, search and page.

One source is chosen for each (space, hp, arch, dataset), never for each seed, and a mean never mixes two. Mixing by
seed was tried: one reduced run beside two official ones changed the mean of an architecture by 12 points.
"""

from __future__ import annotations

OFFICIAL, REGENERATED, SYNTHETIC = "official", "regenerated", "synthetic"


def rank(source: str, *, published: bool = False, reduced: bool = False) -> tuple[int, str]:
    """Sort key of a source's rows among those of others; the lowest counts.

    Official records, then the user's own by name, regenerated ones, published tables, reduced runs of any source, and
    synthetic rows last. A reduced run never stands before a full result.

    Args:
        source: value of the column `source`.
        published: the rows are of a published table, so there are no curves.
        reduced: the runs saw fewer images or epochs than their schedule says.
    """
    if source == SYNTHETIC:
        return 5, source
    if reduced:
        return 4, source
    if source == OFFICIAL:
        return 0, source
    if published:
        return 3, source
    return (2, source) if source == REGENERATED else (1, source)
