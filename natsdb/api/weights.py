"""Trained weights as scripts expect them: dictionaries of torch tensors; of NumPy arrays where there is no torch."""

from __future__ import annotations

import json
from collections import OrderedDict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from natsdb.ingest.archive.unpickle import DAMAGE, damaged
from natsdb.store.weights import weights_path

if TYPE_CHECKING:
    from natsdb.ingest.archive.rebuild import StoredRun
    from natsdb.ingest.archive.unpickle import Tensor


def _tensor(values: np.ndarray) -> Any:
    try:
        import torch
    except ImportError:
        return values
    return torch.from_numpy(values)


def torch_tensors(state: dict[str, Tensor], _: StoredRun | None) -> OrderedDict[str, Any]:
    """The weights of a run of a full archive, read without running its pickles.

    Raises:
        NatsdbError: they are damaged.
    """
    try:
        return OrderedDict((name, _tensor(np.array(tensor.numpy(), order="C"))) for name, tensor in state.items())
    except DAMAGE as error:
        raise damaged("trained weights", error) from error


def stored_weights(home: Path, source: str, run: StoredRun) -> OrderedDict[str, Any] | None:
    """The weights of a run that `natsdb ingest --weights` kept, None where it kept none."""
    if not run.block.weights[run.number]:
        return None
    from safetensors import safe_open

    prefix = f"{run.block.hp}/{run.key[0]}/{run.key[1]}/"
    with safe_open(weights_path(home, source, run.block.space, run.arch), "numpy") as file:
        names = [name.removeprefix(prefix) for name in file.keys() if name.startswith(prefix)]  # noqa: SIM118
        order = {name: place for place, name in enumerate(json.loads((file.metadata() or {}).get("names", "[]")))}
        names.sort(key=lambda name: order.get(name, len(order)))
        return OrderedDict((name, _tensor(file.get_tensor(prefix + name))) for name in names)
