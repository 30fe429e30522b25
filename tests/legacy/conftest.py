"""Handles of both packages on the same records."""

from __future__ import annotations

import copy
import pickle
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from pairs import opened, pair


@pytest.fixture(scope="session", autouse=True)
def _copied_by_pickle() -> Iterator[None]:
    """Lets the official package copy its results through a pickle: to the same copies, in a tenth of the time."""

    def deepcopy(value: Any) -> Any:
        try:
            return pickle.loads(pickle.dumps(value, protocol=pickle.HIGHEST_PROTOCOL))
        except Exception:
            return copy.deepcopy(value)

    instead = types.ModuleType("copy")
    instead.deepcopy = deepcopy  # type: ignore[attr-defined]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("nats_bench.api_utils.copy", instead)
        yield


@pytest.fixture(scope="session")
def real_pair(official: dict[str, Path], real_db: Path) -> Callable[..., tuple[Any, Any]]:
    """Makes a fresh pair of handles on the real records of a space."""
    kept: dict[str, bytes] = {}

    def made(space: str, verbose: bool = False) -> tuple[Any, Any]:
        if space not in kept:
            kept[space] = pickle.dumps(opened(official[space], space))
        return pair(pickle.loads(kept[space]), real_db, space, verbose)

    return made


@pytest.fixture(scope="session")
def generated(made_up: dict[str, Path], made_up_db: Path) -> tuple[dict[str, Path], Path]:
    """Generated archive folders of the architectures `pairs.ARCHS` of each space, and their database. Read only."""
    return made_up, made_up_db
