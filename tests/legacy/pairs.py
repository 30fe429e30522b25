"""A handle of each package on the same records."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nats_bench

from natsdb import api

# Architectures of each space in the generated archives, see `made_up`.
ARCHS = range(0, 1400, 20)


def opened(folder: Path, space: str) -> Any:
    """The official handle with every record of the folder loaded."""
    official = nats_bench.create(str(folder), space, fast_mode=True, verbose=False)
    for path in sorted(folder.glob("[0-9]*.pbz2")):
        official.reload(str(folder), int(path.name.split(".")[0]))
    return official


def pair(official: Any, database: Path, space: str, verbose: bool = False) -> tuple[Any, Any]:
    """An official handle, and natsdb's on the database."""
    mine = api.create(str(database), space, fast_mode=True, verbose=False)
    official.verbose = mine.verbose = verbose
    return official, mine


def both(folder: Path, database: Path, space: str) -> tuple[Any, Any]:
    """The official handle with every record of the folder loaded, and natsdb's on the database."""
    return pair(opened(folder, space), database, space)
