"""What natsdb's own database answers to a script: it has records of two architectures, and final accuracies of others.

The accuracies are published ones, to the bit those of the records where both are known. There are no losses, times or
epochs beside them, so questions for these name the archive that has them.
"""

from __future__ import annotations

import numpy as np

from natsdb.api.results import mean
from natsdb.schema.costs import costs
from natsdb.schema.errors import Missing
from natsdb.schema.spaces import SPACES
from natsdb.store.choice import rank
from natsdb.store.parquet import as_numpy, read_columns
from natsdb.store.snapshot import Snapshot


def lacking(space: str, what: str) -> Missing:
    """The error of a question that needs an archive."""
    archive = SPACES[space].base_name
    remedy = f"`natsdb ingest {archive}-simple`, or name the archive: a folder, a tar or {archive}.pickle.pbz2"
    return Missing(what, where="the built-in database", remedy=remedy)


def lacks(space: str, arch: int) -> Missing:
    """The error of a question about an architecture that it has no records of."""
    return lacking(space, f"it has no records of {space} {arch}, which has accuracies after the last epoch at most")


def best(
    snapshot: Snapshot,
    space: str,
    dataset: str,
    split: str,
    hp: str,
    flop_max: float | None = None,
    param_max: float | None = None,
) -> tuple[int, float | None]:
    """`find_best` over all architectures of a space.

    Args:
        dataset, split: as in the tables.
        flop_max, param_max: at most so many FLOPs and parameters, in millions.

    Returns:
        Index and accuracy (percent), a mean over seeds; (-1, None) where none is within the limits.

    Raises:
        Missing: it does not have this accuracy of all of them.
    """
    size = SPACES[space].size
    found: dict[int, float] = {}
    tables = snapshot.manifest.published_sources()
    for source in sorted(
        {part.source for part in snapshot.manifest.of("final")}, key=lambda one: rank(one, published=one in tables)
    ):
        means = _means(snapshot, source, space, dataset, split, hp)
        found = {**means, **found}
    if len(found) < size:
        what = f"it has the accuracy on {dataset}, {split}, hp {hp}, of {len(found):,} of {size:,} architectures"
        raise lacking(space, what)
    flops, params = costs(space, dataset)
    allowed = np.ones(size, bool)
    if flop_max is not None:
        allowed &= flops <= flop_max
    if param_max is not None:
        allowed &= params <= param_max
    if not allowed.any():
        return -1, None
    accuracy = np.array([found[arch] for arch in range(size)])
    index = int(np.argmax(np.where(allowed, accuracy, -np.inf)))
    return index, found[index]


def _means(snapshot: Snapshot, source: str, space: str, dataset: str, split: str, hp: str) -> dict[int, float]:
    of_arch: dict[int, list[float]] = {}
    for part in snapshot.manifest.of("final"):
        if (part.source, part.space, part.hp) == (source, space, hp):
            path = snapshot.file(part.path)
            table = read_columns(path, part, ["arch", "dataset", "split", "accuracy"])
            wanted = np.array(table["dataset"].to_pylist()) == dataset
            wanted &= np.array(table["split"].to_pylist()) == split
            archs, values = as_numpy(table["arch"])[wanted], as_numpy(table["accuracy"])[wanted]
            # Rows are sorted by architecture and seed, as the official package adds them up.
            for arch, value in zip(archs.tolist(), values.tolist(), strict=True):
                of_arch.setdefault(arch, []).append(value)
    return {arch: mean(values) for arch, values in of_arch.items()}
