"""Trained weights as scripts expect them: dictionaries of torch tensors; of NumPy arrays where there is no torch."""

from __future__ import annotations

from collections import OrderedDict
from typing import TYPE_CHECKING, Any

import numpy as np

from natsdb.ingest.archive.unpickle import DAMAGE, damaged
from natsdb.store.weights import run_weights, weights_file

if TYPE_CHECKING:
    from natsdb.ingest.archive.rebuild import StoredRun
    from natsdb.ingest.archive.unpickle import Tensor
    from natsdb.store.snapshot import Snapshot


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


def stored_weights(snapshot: Snapshot, source: str, run: StoredRun) -> OrderedDict[str, Any] | None:
    """The weights of a run that `natsdb ingest --weights` kept, None where it kept none."""
    if not run.block.weights[run.number]:
        return None
    kept = weights_file(snapshot.manifest, source, run.block.space, run.arch)
    if kept is None:
        return None
    found = run_weights(snapshot.path(kept.path), f"{run.block.hp}/{run.key[0]}/{run.key[1]}")
    return OrderedDict((name, _tensor(values)) for name, values in found.items())
