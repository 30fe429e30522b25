"""Handles of both packages on the same records."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import archives
from natsdb.ingest import ingest
from pairs import COUNT, both


@pytest.fixture(scope="session")
def real_pair(official: dict[str, Path], real_db: Path) -> Callable[..., tuple[Any, Any]]:
    """Makes a fresh pair of handles on the real records of a space."""

    def made(space: str, verbose: bool = False) -> tuple[Any, Any]:
        return both(official[space], real_db, space, verbose)

    return made


@pytest.fixture(scope="session")
def generated(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Path], Path]:
    """Generated archive folders of 200 architectures of each space, and a database of them. Read only."""
    home = tmp_path_factory.mktemp("generated")
    folders = {
        space: archives.write_folder(home / name, space, range(COUNT), jobs=2)
        for space, name in archives.FOLDERS.items()
    }
    ingest(list(folders.values()), home / "db", source="synthetic")
    return folders, home / "db"
