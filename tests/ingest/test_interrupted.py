"""Kills, ^C and a full disk: the old database stays whole, the same command resumes and ends in the same bytes."""

from __future__ import annotations

import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import psutil
import pytest

import archives
import natsdb
from databases import contents
from natsdb.ingest import ingest
from natsdb.store.snapshot import read_manifest

COMMAND = [sys.executable, "-c", "from natsdb.cli import app; app()", "ingest"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An archive over six blocks."""
    place = tmp_path_factory.mktemp("kill") / archives.FOLDERS["sss"]
    return archives.write_folder(place, "sss", range(0, 6 * 1024, 64), jobs=2)


@pytest.fixture(scope="module")
def uninterrupted(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, float]:
    """The database of a run that nothing disturbed, and the seconds that the command took."""
    home = tmp_path_factory.mktemp("whole") / "db"
    started = time.monotonic()
    subprocess.run([*COMMAND, str(folder), "--db", str(home), "--jobs", "2"], check=True, capture_output=True)
    return home, time.monotonic() - started


def _kill_loop(folder: Path, whole: Path, seconds: float, tmp_path: Path, kills: int) -> int:
    """Kill the command at random instants until it has been killed so often; the number of times it was done before."""
    draw = random.Random(kills)
    home = tmp_path / "db"
    done = 0
    for _ in range(kills):
        process = subprocess.Popen(
            [*COMMAND, str(folder), "--db", str(home), "--jobs", "2"],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        try:
            process.wait(draw.uniform(0.2, seconds * 1.2))
            done += 1
        except subprocess.TimeoutExpired:
            process.kill()  # the main process only: its workers must go by themselves
            process.wait()
        _wait_until_alone(process.pid)
        if (home / "natsdb.json").exists():
            # A published database is whole, whatever happened since.
            assert natsdb.query("select count(*) from metric", home).item() == 96 * 1651
            shutil.rmtree(home)
    subprocess.run([*COMMAND, str(folder), "--db", str(home), "--jobs", "2"], check=True, capture_output=True)
    assert contents(home) == contents(whole)
    return done


def _wait_until_alone(group: int) -> None:
    """Until no process of a killed command is left."""
    for _ in range(100):
        left = [p for p in psutil.process_iter() if _group(p) == group and p.status() != psutil.STATUS_ZOMBIE]
        if not left:
            return
        time.sleep(0.05)
    raise AssertionError(f"workers outlived their main process: {left}")


def _group(process: psutil.Process) -> int:
    try:
        return os.getpgid(process.pid)
    except ProcessLookupError:
        return -1


def test_killed_thrice_it_ends_the_same(folder: Path, uninterrupted: tuple[Path, float], tmp_path: Path) -> None:
    _kill_loop(folder, *uninterrupted, tmp_path, kills=3)


@pytest.mark.slow
def test_killed_fifty_times_it_ends_the_same(folder: Path, uninterrupted: tuple[Path, float], tmp_path: Path) -> None:
    assert _kill_loop(folder, *uninterrupted, tmp_path, kills=50) < 40


def test_interrupted_it_says_so_and_resumes(folder: Path, uninterrupted: tuple[Path, float], tmp_path: Path) -> None:
    home, seconds = tmp_path / "db", uninterrupted[1]
    process = subprocess.Popen(
        [*COMMAND, str(folder), "--db", str(home), "--jobs", "2"],
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    receipts = home / ".ingest"
    deadline = time.monotonic() + seconds + 60
    while not list(receipts.glob("*/*-sss-*.json")) and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGINT)
    _, message = process.communicate()
    assert process.returncode == 130
    assert message.endswith("natsdb: interrupted; the database is as it was, the same command goes on from here\n")
    assert not (home / "natsdb.json").exists()
    again = ingest([folder], home, jobs=1)
    assert again.resumed >= 1
    assert contents(home) == contents(uninterrupted[0])


def test_a_full_disk_leaves_the_old_database(folder: Path, few: Path, tmp_path: Path) -> None:
    home = tmp_path / "db"
    ingest([few], home, source="mine")
    before = contents(home)

    def small_files_only() -> None:
        # Stands in for a full disk: writes beyond 100 kB fail.
        signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))

    result = subprocess.run(
        [*COMMAND, str(folder), "--db", str(home), "--jobs", "1"],
        capture_output=True,
        text=True,
        preexec_fn=small_files_only,
    )
    assert result.returncode == 1
    assert "cannot write (" in result.stderr
    assert "run the same command again" in result.stderr
    assert {path: data for path, data in contents(home).items() if not path.startswith(".ingest")} == before
    ingest([folder], home, jobs=1)
    assert len(read_manifest(home).ingests) == 2


def test_two_writers_do_not_mix(folder: Path, few: Path, tmp_path: Path) -> None:
    home = tmp_path / "db"
    process = subprocess.Popen([*COMMAND, str(folder), "--db", str(home), "--jobs", "1"])
    while not (home / ".ingest").exists():
        time.sleep(0.01)
    with pytest.raises(natsdb.NatsdbError, match="another process is writing"):
        ingest([few], home)
    assert process.wait() == 0
