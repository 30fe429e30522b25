"""What several test processes read is made by one of them."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import filelock
import pytest


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """A folder that `make` fills: in the first process that asks for this name; the others wait for it. Read only."""
    common = factory.getbasetemp()
    if common.name.startswith("popen-"):  # of one of xdist's processes, whose folders lie side by side
        common = common.parent
    folder, whole = common / name, common / f"{name}.whole"
    with filelock.FileLock(common / f"{name}.lock"):
        if not whole.exists():
            shutil.rmtree(folder, ignore_errors=True)  # what a failure left
            folder.mkdir()
            make(folder)
            whole.touch()
    return folder
