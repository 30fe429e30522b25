"""Trained weights as archives and training runs hold them, as arrays."""

from __future__ import annotations

import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from natsdb.ingest.archive.records import HpRecord
from natsdb.ingest.archive.unpickle import DAMAGE, Tensor, damaged
from natsdb.schema.errors import Damaged


def weights_of_record(record: Sequence[HpRecord], where: str) -> dict[str, dict[str, np.ndarray]]:
    """The weights of an architecture's runs, a state by `hp/dataset/seed`.

    Raises:
        Damaged: the weights are no dictionary of tensors, or damaged.
    """
    return {
        f"{hp.layout.hp}/{dataset}/{seed}": _arrays(state, f"{where}: {hp.layout.hp}/{dataset}/{seed}")
        for hp in record
        for (dataset, seed), state in hp.weights.items()
    }


def weights_of_run(path: Path) -> dict[str, np.ndarray]:
    """A training run's weights, an `.npz` of its state dict.

    Raises:
        Damaged: the file cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return {name: np.array(arrays[name], order="C") for name in arrays.files}
    except (OSError, ValueError, zipfile.BadZipFile) as error:
        raise Damaged(
            "the weights cannot be read", where=str(path), remedy="remove the file to collect without weights"
        ) from error


def _arrays(state: Any, where: str) -> dict[str, np.ndarray]:
    if not isinstance(state, Mapping) or not all(isinstance(value, Tensor) for value in state.values()):
        raise Damaged(
            "the weights are no dictionary of tensors",
            where=where,
            remedy="ingest without --weights, or get the file again",
        )
    try:
        return {name: np.array(tensor.numpy(), order="C") for name, tensor in state.items()}
    except DAMAGE as error:
        raise damaged(where, error) from error
