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

import natsdb
from full_scale import HOME, JOBS, SCALE, Results
from natsdb.schema.spaces import strings
from single_file import write_single_stream

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
    home = HOME / "db-ingested"
    shutil.rmtree(home, ignore_errors=True)
    bare = _bare(records)
    seconds, peak = benchmark.pedantic(
        lambda: _watched([*INGEST, *folders, "--db", home, "--source", "synthetic", "--jobs", JOBS]), rounds=1
    )
    again = _bare(records)
    rows, _ = natsdb.info(home).tables["metric"]
    ratio = seconds / ((bare + again) / 2)
    results.add(
        f"ingest of both folders ({len(records):,} files, {rows:,} rows), wall",
        f"{ratio:.2f} × ({seconds:.0f} s; bz2 + pickle alone before and after: {bare:.0f}, {again:.0f} s)",
        "≤ 1.2 ×",
    )
    results.add("ingest, peak memory of all processes", f"{peak:.2f} GB", "≤ 1.5 GB")
    shutil.rmtree(home)


def test_size(benchmark: Any, database: Path, results: Results) -> None:
    rows, size = benchmark.pedantic(lambda: natsdb.info(database).tables["metric"], rounds=1)
    results.add(f"size of metric, {rows:,} rows", f"{size / rows:.2f} B a row", "≤ 12.2 B")


def _single_file() -> tuple[Path, int]:
    """The single file of all topologies, and how many these are: written once, in some minutes."""
    whole = len(strings("tss"))
    archs = min(SCALE or whole, whole)
    folder = HOME / (f"single-file-{SCALE}" if SCALE else "single-file")
    found = list(folder.glob("*.pbz2"))
    if not found:
        print(f"\nmaking {folder}", flush=True)
        found = [write_single_stream(folder, "tss", range(archs), jobs=JOBS, different=256)]
    return found[0], archs


def test_single_file(benchmark: Any, results: Results) -> None:
    """Every record has the length and entropy of a real one; unpickled, they would take 2.1 MB each, 33 GB."""
    file, archs = _single_file()
    home = HOME / "db-single"
    shutil.rmtree(home, ignore_errors=True)
    started = time.perf_counter()
    with bz2.open(file) as opened:
        while opened.read(1 << 22):
            pass
    bare = time.perf_counter() - started
    seconds, peak = benchmark.pedantic(
        lambda: _watched([*INGEST, file, "--db", home, "--source", "synthetic"]), rounds=1
    )
    count = natsdb.query("select count(distinct arch) from seed", home).item()
    assert count == archs
    size = file.stat().st_size / 1e9
    results.add(
        f"single file of {archs:,} architectures ({size:.2f} GB): wall, against libbz2 alone on one core",
        f"{seconds / bare:.2f} × ({seconds:.0f} s; {seconds / archs * 1000:.1f} ms an architecture)",
        "",
    )
    results.add("single file, peak memory of all processes", f"{peak:.2f} GB", "≤ 3 GB")
    shutil.rmtree(home)
