"""A database answers the same wherever its folder lies: names that DuckDB or polars would read something into."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

import archives
import natsdb
from natsdb import api
from natsdb.ingest import ingest, verify

ASK = "select source, space, hp, block, count(*), sum(accuracy) from all_metric group by all order by all"
# Each with a neighbour that the name would match as a pattern.
NAMES = {"space=foo": "x", "hp=7": "x", "source=x": "x", "a*b": "axb", "w?": "wx", "a[1]": "a1", "it's": "x"}


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """An archive and its database. Read only."""
    folder = tmp_path_factory.mktemp("home")
    archives.write_folder(folder / "archive", "sss", [3, 1030], jobs=1)
    ingest([folder / "archive"], folder / "db")
    return folder / "archive", folder / "db"


@pytest.mark.parametrize("name", NAMES)
def test_a_folders_name_changes_no_answer(name: str, home: tuple[Path, Path], tmp_path: Path) -> None:
    archive, plain = home
    moved = tmp_path / name / "db"
    shutil.copytree(plain, moved)
    shutil.copytree(plain, tmp_path / NAMES[name] / "db")
    for unlocked in (False, True):
        with natsdb.connect(plain) as before, natsdb.connect(moved, unlocked=unlocked) as after:
            assert after.execute(ASK).fetchall() == before.execute(ASK).fetchall()
    key = ["source", "space", "hp", "arch", "dataset", "seed"]
    assert natsdb.scan("seed", moved).collect().sort(key).equals(natsdb.scan("seed", plain).collect().sort(key))
    handles = [api.create(str(path), "sss", verbose=False) for path in (moved, plain)]
    assert handles[0].get_more_info(3, "cifar10", hp="90", is_random=False) == handles[1].get_more_info(
        3, "cifar10", hp="90", is_random=False
    )
    assert not verify(archive, moved).differences
