"""A full-scale database and a sample of its archives, made once, and the table of results.

`NATSDB_BENCH_DIR` (default `.bench`) holds them: 4 GB. `NATSDB_BENCH_ARCHIVES` says how many architectures of each
space have an archive file, 4,096 without it; `NATSDB_BENCH_SCALE` limits those of the database, to try them out.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path

import pytest

import archives
from natsdb.ingest.archive.records import read_record
from natsdb.ingest.blocks import BlockTask, Job, Read, stage_records
from natsdb.ingest.fanout import fan_out
from natsdb.ingest.write import Provenance
from natsdb.schema.spaces import SPACES, arch_str
from natsdb.schema.tables import BLOCK
from natsdb.store.manifest import with_parts
from natsdb.store.staging import Staging, open_manifest, with_catalogue
from natsdb.store.writing import only_writer
from synthetic import record, write_folder

HOME = Path(os.environ.get("NATSDB_BENCH_DIR") or Path(__file__).parents[2] / ".bench").resolve()
SCALE = int(os.environ.get("NATSDB_BENCH_SCALE") or 0)
ARCHIVES = min(int(os.environ.get("NATSDB_BENCH_ARCHIVES") or 4096), SCALE or 1 << 20)
JOBS = os.cpu_count() or 1


class Results:
    """Rows of the table: what was measured, the figure, and what it must be."""

    def __init__(self) -> None:
        self.rows: list[tuple[str, str, str]] = []

    def add(self, measure: str, figure: str, must: str) -> None:
        """Note a measurement."""
        self.rows.append((measure, figure, must))
        print(f"\n{measure}: {figure} (must: {must})")


@pytest.fixture(scope="session")
def results() -> Iterator[Results]:
    """Collects measurements; written to results.md at the end."""
    table = Results()
    yield table
    lines = [f"| {measure} | {figure} | {must} |" for measure, figure, must in table.rows]
    head = ["| measure | measured | must |", "|---|---|---|"]
    text = "\n".join([f"{platform.machine()}, {JOBS} cores, Python {platform.python_version()}", "", *head, *lines])
    (HOME / "results.md").write_text(text + "\n", encoding="utf-8")
    print(f"\n\n{text}\n")


@pytest.fixture(scope="session")
def folders() -> list[Path]:
    """Archive folders of both spaces, of their first architectures."""
    made = []
    for space, name in archives.FOLDERS.items():
        count = min(ARCHIVES, SPACES[space].size)
        folder = HOME / (name if count == SPACES[space].size else f"{name}-{count}")
        print(f"\nmaking {folder} where it is not there", flush=True)
        made.append(write_folder(folder, space, range(count), jobs=JOBS, level=9))
    return made


@pytest.fixture(scope="session")
def database() -> Path:
    """Database of all architectures of both spaces."""
    count = f"-{SCALE}" if SCALE else ""
    return make_database(HOME / f"db{count}")


def make_database(home: Path) -> Path:
    """A database of made-up records, staged block by block as an ingest does, without 8 GB of archives in between."""
    if (home / "natsdb.json").exists():
        return home
    print(f"\nmaking {home}", flush=True)
    with only_writer(home):
        staging = Staging(home, "made-up")
        manifest = with_catalogue(open_manifest(home), staging)
        tasks = []
        for space, size in ((name, one.size) for name, one in SPACES.items()):
            count = min(SCALE or size, size)
            job = Job(str(staging.folder), "synthetic", space, replace=False, keep_going=False, weights=False)
            for number in range(-(-count // BLOCK)):
                archs = range(number * BLOCK, min(count, (number + 1) * BLOCK))
                tasks.append((job, BlockTask(f"{space}-{number}", number, ()), archs))
        todo = [task for task in tasks if staging.receipt(task[1].name, []) is None]
        for done, _ in enumerate(fan_out(_stage_made_up, todo, min(JOBS, max(1, len(todo))))):
            print(f"\r{done + 1} of {len(todo)} blocks", end="", flush=True)
        for _, block, _ in tasks:
            receipt = staging.receipt(block.name, [])
            assert receipt is not None
            manifest = with_parts(manifest, receipt.parts)
        staging.publish(manifest, "make a database of made-up records")
    return home


def _stage_made_up(task: tuple[Job, BlockTask, range]) -> None:
    job, block, archs = task

    def read() -> Iterator[Read]:
        for arch in archs:
            found = read_record(record(job.space, arch), arch, arch_str(job.space, arch), f"made-up {arch}")
            yield arch, found, Provenance("made up", None)

    stage_records(job, block, read())


@pytest.fixture(scope="session")
def records(folders: list[Path]) -> list[str]:
    """Paths of all record files."""
    return [str(path) for folder in folders for path in sorted(folder.glob("[0-9]*.pbz2"))]
