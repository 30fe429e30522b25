"""Ingest at full scale: against bz2 and pickle alone, in memory, and in bytes a row."""

from __future__ import annotations

import bz2
import multiprocessing
import pickle
import shutil
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import psutil
import pytest

import archives
import natsdb
from full_scale import HOME, JOBS, Results

pytestmark = pytest.mark.slow
INGEST = [sys.executable, "-c", "from natsdb.cli import app; app()", "ingest"]


def _load(paths: list[str]) -> int:
    for path in paths:
        pickle.loads(bz2.decompress(Path(path).read_bytes()))
    return len(paths)


def _bare(records: list[str]) -> float:
    """Seconds that decompressing and unpickling alone take, over the same number of processes."""
    chunks = [records[n : n + 512] for n in range(0, len(records), 512)]
    started = time.perf_counter()
    with multiprocessing.get_context("spawn").Pool(JOBS) as pool:
        assert sum(pool.imap_unordered(_load, chunks)) == len(records)
    return time.perf_counter() - started


def _watched(command: list[Any]) -> tuple[float, float]:
    """Seconds and peak memory (GB, proportional set size of all processes) of a command."""
    started = time.perf_counter()
    process = psutil.Popen([str(part) for part in command], stdout=subprocess.DEVNULL)
    peak, done = [0], threading.Event()

    def watch() -> None:
        while not done.wait(0.25):
            total = 0
            for one in [process, *process.children(recursive=True)]:
                try:
                    total += one.memory_full_info().pss
                except psutil.Error:
                    continue
            peak[0] = max(peak[0], total)

    thread = threading.Thread(target=watch)
    thread.start()
    code = process.wait()
    done.set()
    thread.join()
    assert code == 0
    return time.perf_counter() - started, peak[0] / 1e9


def test_folders(benchmark: Any, folders: list[Path], records: list[str], results: Results) -> None:
    home = HOME / "db"
    shutil.rmtree(home, ignore_errors=True)
    bare = _bare(records)
    seconds, peak = benchmark.pedantic(
        lambda: _watched([*INGEST, *folders, "--db", home, "--source", "synthetic", "--jobs", JOBS]), rounds=1
    )
    again = _bare(records)
    rows, size = natsdb.info(home).tables["metric"]
    ratio = seconds / ((bare + again) / 2)
    results.add(
        f"ingest of both folders ({len(records):,} files, {rows:,} rows), wall",
        f"{ratio:.2f} × ({seconds:.0f} s; bz2 + pickle alone before and after: {bare:.0f}, {again:.0f} s)",
        "≤ 1.25 ×",
    )
    results.add("ingest, peak memory of all processes", f"{peak:.2f} GB", "≤ 1.5 GB")
    results.add("size of metric", f"{size / rows:.2f} B a row", "≤ 12.0 B")


def _single(archs: int) -> Path:
    folder = HOME / f"single-{archs}"
    found = list(folder.glob("*.pbz2"))
    return (
        found[0]
        if found
        else archives.write_single(folder, "tss", {n: archives.record("tss", n) for n in range(archs)})
    )


def test_single_file(benchmark: Any, results: Results) -> None:
    """The pickler that makes the file needs 2.1 MB an architecture: not all of tss, but two points and a line."""
    few, many = 300, 1200
    small, large = _single(few), _single(many)
    for archs in (few, many):
        shutil.rmtree(HOME / f"db-single-{archs}", ignore_errors=True)
    _, peak_few = _watched([*INGEST, small, "--db", HOME / f"db-single-{few}"])
    seconds, peak_many = benchmark.pedantic(
        lambda: _watched([*INGEST, large, "--db", HOME / f"db-single-{many}"]), rounds=1
    )
    started = time.perf_counter()
    with bz2.open(large) as file:
        while file.read(1 << 22):
            pass
    bare = time.perf_counter() - started
    slope = (peak_many - peak_few) / (many - few)
    results.add(
        f"single file, {many:,} architectures: wall, against libbz2 alone on one core",
        f"{seconds / bare:.2f} × ({seconds / many * 1000:.1f} ms an architecture)",
        "",
    )
    results.add(
        f"single file, peak memory: {few} and {many:,} architectures, and the line through both at 15,625",
        f"{peak_few:.2f}, {peak_many:.2f}, {peak_many + slope * (15_625 - many):.2f} GB",
        "≤ 16 GB, aim ≤ 4 GB",
    )
