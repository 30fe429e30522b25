"""Trained weights of a full archive, kept as safetensors: one file an architecture, loaded without running a pickle."""

from __future__ import annotations

import json
import os
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from natsdb.ingest.archive.records import HpRecord
from natsdb.ingest.archive.unpickle import DAMAGE, Tensor, damaged
from natsdb.schema.errors import NatsdbError


def weights_path(root: Path, source: str, space: str, arch: int) -> Path:
    """File of an architecture's weights below a database."""
    return root / "weights" / f"source={source}" / f"space={space}" / f"{arch:06d}.safetensors"


def write_weights(root: Path, source: str, space: str, arch: int, record: list[HpRecord], where: str) -> None:
    """Write the weights of an architecture's runs, if it has any: tensors named `hp/dataset/seed/name`.

    Raises:
        NatsdbError: the weights are no dictionary of tensors, or damaged.
    """
    tensors: dict[str, np.ndarray] = {}
    names: dict[str, None] = {}
    for hp in record:
        for (dataset, seed), state in hp.weights.items():
            names |= dict.fromkeys(state)
            tensors.update(_tensors(state, f"{hp.layout.hp}/{dataset}/{seed}", where))
    if not tensors:
        return
    from safetensors.numpy import save_file

    path = weights_path(root, source, space, arch)
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_suffix(".tmp")
    # The format sorts tensors by itself: their order in the network is kept beside them.
    save_file(tensors, temporary, metadata={"names": json.dumps(list(names))})
    os.replace(temporary, path)


def add_weights(
    root: Path, database: Path, source: str, space: str, arch: int, prefix: str, weights: Path, replace: bool
) -> None:
    """Put a run's weights, an `.npz` of its state dict, with those of the architecture's other runs.

    Args:
        root: staging folder, where the architecture's new file goes.
        database: the database, whose file of this architecture is added to.
        prefix: `hp/dataset/seed`, the run's name in the file.
        replace: also where the database holds weights of this run.

    Raises:
        NatsdbError: the file is damaged.
    """
    from safetensors.numpy import load_file, save_file

    staged, held = (weights_path(folder, source, space, arch) for folder in (root, database))
    tensors = load_file(staged if staged.exists() else held) if staged.exists() or held.exists() else {}
    if not replace and any(name.startswith(f"{prefix}/") for name in tensors):
        return
    try:
        with np.load(weights, allow_pickle=False) as arrays:
            tensors |= {f"{prefix}/{name}": np.array(arrays[name], order="C") for name in arrays.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise NatsdbError(
            "the weights cannot be read", where=str(weights), remedy="remove the file to collect without weights"
        ) from error
    staged.parent.mkdir(parents=True, exist_ok=True)
    temporary = staged.with_suffix(".tmp")
    save_file(tensors, temporary)
    os.replace(temporary, staged)


def _tensors(state: Any, prefix: str, where: str) -> dict[str, np.ndarray]:
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise NatsdbError(
            "the weights are no dictionary of tensors",
            where=f"{where}: {prefix}",
            remedy="ingest without --weights, or get the file again",
        )
    try:
        return {f"{prefix}/{name}": np.array(tensor.numpy(), order="C") for name, tensor in state.items()}
    except DAMAGE as error:
        raise damaged(f"{where}: {prefix}", error) from error
