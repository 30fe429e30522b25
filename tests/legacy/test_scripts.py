"""Scripts in the style of those that people have, unchanged: they print the same under both packages.

Each opens the archives named by `$TSS` and `$SSS`, which hold the architectures `$ARCHS`.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from natsdb import api

NATSDB = [sys.executable, "-m", "natsdb", "run"]
SCRIPTS = sorted((Path(__file__).parent / "scripts").glob("*.py"))


def _printed(command: list[str], script: Path, places: dict[str, str], archs: list[int]) -> str:
    environment = {**os.environ, **places, "ARCHS": ",".join(map(str, archs)), "PYTHONWARNINGS": "ignore"}
    for name in ("NATSDB_HOME", "PYTHONPATH"):
        environment.pop(name, None)
    done = subprocess.run([*command, str(script)], capture_output=True, text=True, env=environment, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def _compare(script: Path, folders: dict[str, Path], database: Path, archs: list[int]) -> None:
    official = {space.upper(): str(folder) for space, folder in folders.items()}
    mine = {space.upper(): str(database) for space in folders}
    expected = _printed([sys.executable], script, official, archs)
    assert expected.count("\n") > 3
    assert _printed(NATSDB, script, mine, archs) == expected


def test_there_are_scripts() -> None:
    assert len(SCRIPTS) >= 10


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_script_prints_the_same(script: Path, official: dict[str, Path], real_db: Path) -> None:
    _compare(script, official, real_db, [0, 11])


@pytest.mark.slow
@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_script_prints_the_same_on_generated_records(script: Path, made_up: dict[str, Path], made_up_db: Path) -> None:
    _compare(script, made_up, made_up_db, list(range(0, 1400, 20)))


def test_official_archives_print_the_same_too(official: dict[str, Path]) -> None:
    places = {space.upper(): str(folder) for space, folder in official.items()}
    script = next(script for script in SCRIPTS if script.stem == "benchmark_builder")
    expected = _printed([sys.executable], script, places, [0, 11])
    assert _printed(NATSDB, script, places, [0, 11]) == expected


def test_changing_one_import_is_enough(real_db: Path, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "from natsdb import api as nats_bench\n"
        "from natsdb.api.api_topology import ALL_BASE_NAMES\n"
        f"api = nats_bench.create({str(real_db)!r}, 'topology', verbose=False)\n"
        "print(ALL_BASE_NAMES, api.get_more_info(11, 'cifar10', hp='200', is_random=False)['test-accuracy'])\n"
    )
    done = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    known = api.create(str(real_db), "tss", verbose=False).get_more_info(11, "cifar10", hp="200", is_random=False)
    assert done.stdout == f"['NATS-tss-v1_0-3ffb9'] {known['test-accuracy']}\n"
