"""Trained weights: a safetensors file for each architecture and source, loaded without running a pickle.

Tensors are named `hp/dataset/seed/name`. A file is named after its contents and never changed: more runs of an
architecture make a new file, which the manifest lists in place of the old one.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from natsdb.schema.errors import Damaged
from natsdb.schema.schedules import epochs_of
from natsdb.store.choice import rank
from natsdb.store.manifest import Manifest, WeightsFile

if TYPE_CHECKING:
    import numpy as np

    from natsdb.store.snapshot import Snapshot

State = Mapping[str, "np.ndarray"]


def weights_file(manifest: Manifest, source: str, space: str, arch: int) -> WeightsFile | None:
    """The file of an architecture's weights, None where there is none."""
    return next((one for one in manifest.weights if (one.source, one.space, one.arch) == (source, space, arch)), None)


def merged_weights(
    folder: Path, held: Path | None, source: str, space: str, arch: int, runs: Mapping[str, State], *, replace: bool
) -> WeightsFile | None:
    """Put the weights of runs together with those of the architecture's other runs, in a new file.

    Args:
        folder: where the new file goes, below `weights/`.
        held: the architecture's present file.
        runs: a run's state by `hp/dataset/seed`, in the network's order.
        replace: take these also where the present file has some of the same run.

    Returns:
        The new file; None where it would hold nothing new.

    Raises:
        Damaged: the present file cannot be read.
    """
    tensors: dict[str, np.ndarray] = {}
    names: dict[str, None] = {}
    there: set[str] = set()
    if held is not None:
        tensors, order = _read(held)
        names = dict.fromkeys(order)
        there = {name.rpartition("/")[0] for name in tensors}
    new = {run: state for run, state in runs.items() if state and (replace or run not in there)}
    if not new:
        return None
    for run, state in new.items():
        tensors = {name: values for name, values in tensors.items() if name.rpartition("/")[0] != run}
        tensors |= {f"{run}/{name}": values for name, values in state.items()}
        names |= dict.fromkeys(state)
    return _saved(folder, source, space, arch, tensors, list(names))


def without_schedule(folder: Path, one: WeightsFile, hp: str) -> WeightsFile:
    """An architecture's weights without those of a schedule, as a new file below `folder`, the database.

    Raises:
        Damaged: the present file cannot be read.
    """
    tensors, names = _read(folder / one.path)
    left = {name: values for name, values in tensors.items() if not name.startswith(f"{hp}/")}
    return one if len(left) == len(tensors) else _saved(folder, one.source, one.space, one.arch, left, names)


def _read(path: Path) -> tuple[dict[str, np.ndarray], list[str]]:
    with _opened(path) as file:
        names = json.loads((file.metadata() or {}).get("names", "[]"))
        return {name: file.get_tensor(name) for name in file.keys()}, names  # noqa: SIM118


def _runs(path: Path) -> set[tuple[str, ...]]:
    """Schedule, data set and seed of the runs of a file, without their tensors."""
    with _opened(path) as file:
        return {tuple(name.split("/")[:3]) for name in file.keys()}  # noqa: SIM118


@contextmanager
def _opened(path: str | Path) -> Iterator[Any]:
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy") as file:
            yield file
    except (SafetensorError, OSError, ValueError) as error:
        raise Damaged(
            f"the weights cannot be read ({error})", where=str(path), remedy="mend them: `natsdb repair SOURCE…`"
        ) from error


def _saved(
    folder: Path, source: str, space: str, arch: int, tensors: Mapping[str, np.ndarray], names: list[str]
) -> WeightsFile:
    from safetensors.numpy import save_file

    temporary = folder / f"weights-{os.getpid()}.tmp"
    # The format sorts tensors by itself: their order in the network is kept beside them.
    save_file(dict(tensors), temporary, metadata={"names": json.dumps(names)})
    with temporary.open("rb") as written:
        digest = hashlib.file_digest(written, "sha256").hexdigest()
        os.fsync(written.fileno())
    path = f"weights/source={source}/space={space}/{arch:06d}-{digest[:12]}.safetensors"
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(temporary, target)
    return WeightsFile(source, space, arch, path, target.stat().st_size, digest)


class Kept(NamedTuple):
    """A run whose trained weights are kept. `path`: of the file that has them, in the database's folder."""

    source: str
    hp: str
    dataset: str
    seed: int
    path: str

    def __str__(self) -> str:
        return f"{self.dataset}, hp {self.hp}, seed {self.seed} ({self.source})"


def kept_runs(snapshot: Snapshot, space: str, arch: int) -> list[Kept]:
    """The runs of an architecture whose weights are kept: those of the source that counts first (by `choice.rank`;
    whether a run was reduced is not asked), of the longest schedule first, then by seed.

    Raises:
        Damaged: a file cannot be read.
    """
    manifest = snapshot.manifest
    published = manifest.published_sources()
    found = [
        Kept(one.source, hp, dataset, int(seed), one.path)
        for one in manifest.weights
        if (one.space, one.arch) == (space, arch)
        for hp, dataset, seed in _runs(snapshot.file(one.path))
    ]
    return sorted(
        found,
        key=lambda one: (
            rank(one.source, published=one.source in published),
            -epochs_of(one.hp),
            one.dataset,
            one.seed,
        ),
    )


def run_weights(path: str | Path, run: str) -> dict[str, np.ndarray]:
    """A run's weights in the network's order.

    Args:
        path: of an architecture's file.
        run: `hp/dataset/seed`.

    Raises:
        Damaged: the file cannot be read.
    """
    prefix = f"{run}/"
    with _opened(path) as file:
        names = [name.removeprefix(prefix) for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
        order = {name: place for place, name in enumerate(json.loads((file.metadata() or {}).get("names", "[]")))}
        names.sort(key=lambda name: order.get(name, len(order)))
        return {name: file.get_tensor(prefix + name) for name in names}
