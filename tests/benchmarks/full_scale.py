"""Full-scale archives, made once, and the table of results.

`NATSDB_BENCH_DIR` (default `.bench`) holds archives and databases: 8 GB at full scale. `NATSDB_BENCH_SCALE` limits the
architectures of each space, to try the benchmarks out.
"""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator
from pathlib import Path

import pytest

import archives
from natsdb.ingest import ingest
from natsdb.schema.spaces import SIZES
from synthetic import write_folder

HOME = Path(os.environ.get("NATSDB_BENCH_DIR") or Path(__file__).parents[2] / ".bench").resolve()
SCALE = int(os.environ.get("NATSDB_BENCH_SCALE") or 0)
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
    """Complete archive folders of both spaces."""
    made = []
    for space, name in archives.FOLDERS.items():
        count = min(SCALE or SIZES[space], SIZES[space])
        folder = HOME / (name if count == SIZES[space] else f"{name}-{count}")
        print(f"\nmaking {folder} where it is not there", flush=True)
        made.append(write_folder(folder, space, range(count), jobs=JOBS))
    return made


@pytest.fixture(scope="session")
def database(folders: list[Path]) -> Path:
    """Database of both complete folders."""
    home = HOME / "db"
    ingest(folders, home, source="synthetic")
    return home


@pytest.fixture(scope="session")
def records(folders: list[Path]) -> list[str]:
    """Paths of all record files."""
    return [str(path) for folder in folders for path in sorted(folder.glob("[0-9]*.pbz2"))]
