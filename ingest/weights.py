"""Trained weights of a full archive, kept as safetensors: one file an architecture, loaded without running a pickle."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from natsdb.ingest.records import HpRecord
from natsdb.ingest.unpickle import DAMAGE, Tensor, damaged
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
