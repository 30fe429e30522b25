"""Row groups and pages of `metric`, by hp: what each choice costs in bytes, and what one curve then costs to read.

`GROUPS` and `PAGE_ROWS` of `schema.tables` are chosen by this table. NATSDB_BENCH_SCALE limits the
architectures, 1,024 of each space without it.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from fsspec.implementations.local import LocalFileSystem

from full_scale import HOME, JOBS, SCALE, Results
from natsdb.ingest import ingest
from natsdb.ingest.merge import plain
from natsdb.schema.tables import BLOCK, GROUPS, arrow_schema
from natsdb.store.pages import Pages, floats, read_page
from natsdb.store.parquet import write_options
from natsdb.store.snapshot import read_manifest
from synthetic import write_folder


class _Counted(LocalFileSystem):
    """Local files as a server would give them: it counts the bytes that are asked for."""

    protocol = "counted"
    cachable = False

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0

    def open(self, path: str, mode: str = "rb", **_: Any) -> Any:
        counter = self

        class File(io.FileIO):
            def read(self, size: int = -1) -> bytes:
                data = super().read(size)
                counter.bytes += len(data)
                return data

        return File(path.removeprefix("counted://"), "r")


@pytest.fixture(scope="module")
def blocks() -> dict[tuple[str, str], pa.Table]:
    """The rows of the first block of each (space, hp)."""
    count = min(SCALE or BLOCK, BLOCK)
    home = HOME / f"storage-{count}"
    folders = [
        write_folder(HOME / f"storage-{space}-{count}", space, range(count), jobs=JOBS, level=9)
        for space in ("tss", "sss")
    ]
    ingest(folders, home, source="synthetic")
    parts = read_manifest(home).of("metric")
    return {
        (part.space, part.hp): plain(pq.read_table(home / part.path, partitioning=None), "metric") for part in parts
    }


def _write(rows: pa.Table, path: Path, group: int, page: int) -> None:
    options = write_options(arrow_schema("metric"), page)
    archs = rows["arch"].to_numpy()
    starts = np.searchsorted(archs, np.arange(0, archs[-1] + 1 + group, group))
    with pq.ParquetWriter(path, rows.schema, **options) as writer:
        for start, end in pairwise(starts):
            if end > start:
                writer.write_table(rows.slice(start, end - start), row_group_size=int(end - start))


def _milliseconds(ask: Callable[[], object], times: int = 15) -> float:
    taken = []
    for _ in range(times):
        start = time.perf_counter()
        ask()
        taken.append(time.perf_counter() - start)
    return 1000 * median(taken)


def _figures(path: Path, rows: int, archs: int) -> list[str]:
    """What a file costs, and one curve of the architecture in its middle."""
    footer, arch = pq.read_metadata(path), archs // 2
    spans = [footer.row_group(n).column(0).statistics for n in range(footer.num_row_groups)]
    number = next(n for n, span in enumerate(spans) if span.max >= arch)
    where = f"where arch = {arch} and dataset = 'cifar100' and split = 'x-valid'"

    def facade() -> object:
        columns = [footer.row_group(number).column(footer.schema.names.index(name)) for name in ("accuracy", "loss")]
        return [
            floats(read_page(str(path), Pages(str(path), column).page(column.num_values // 2))) for column in columns
        ]

    counted = _Counted()
    with duckdb.connect() as db:
        db.register_filesystem(counted)
        curve = _milliseconds(lambda: db.sql(f"select epoch, accuracy from '{path}' {where}").fetchall())
        scan = _milliseconds(lambda: db.sql(f"select avg(accuracy) from '{path}'").fetchall(), 5)
        db.sql(f"select epoch, accuracy from read_parquet('counted://{path}') {where}").fetchall()
    return [
        f"{path.stat().st_size / rows:.2f} B a row",
        f"footer {footer.serialized_size / 1000 * BLOCK / archs:.0f} kB a block",
        f"a page of accuracy and one of loss {_milliseconds(facade):.2f} ms",
        f"a curve {curve:.2f} ms",
        f"scan {scan:.1f} ms",
        f"a curve reads {counted.bytes / 1000:.0f} kB",
    ]


@pytest.mark.slow
@pytest.mark.parametrize(("space", "hp"), [("tss", "200"), ("tss", "12"), ("sss", "90"), ("sss", "12"), ("sss", "01")])
def test_groups_and_pages(
    blocks: dict[tuple[str, str], pa.Table],
    results: Results,
    tmp_path: Path,
    benchmark: Any,
    space: str,
    hp: str,
) -> None:
    rows = blocks[space, hp]
    archs = int(rows["arch"].to_numpy()[-1]) + 1
    for group in (8, 16, 32, 64, 256, 1024):
        if group != GROUPS[hp] and not 12_000 <= group * len(rows) // archs <= 300_000:
            continue
        for page in (6_000, 10_000, 20_000):
            path = tmp_path / f"{group}-{page}.parquet"
            _write(rows, path, group, page)
            figures = ", ".join(_figures(path, len(rows), archs))
            results.add(f"{space} {hp}, groups of {group}, pages of {page} rows", figures, "")
    benchmark.pedantic(lambda: None, rounds=1)
