"""Single pages of columns of floats: what PyArrow reads of the same file, to the bit, or nothing."""

from __future__ import annotations

import struct
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from natsdb.schema.errors import Damaged
from natsdb.schema.tables import arrow_schema
from natsdb.store import parquet
from natsdb.store.pages import Pages, Strange, floats, read_page
from natsdb.store.parquet import write_options

FLOATS = ("accuracy", "top5", "loss")
GROUP = 700


def _table(values: np.ndarray, nulls: bool = False) -> pa.Table:
    schema = arrow_schema("metric")
    keys = {name: pa.nulls(len(values), schema.field(name).type) for name in schema.names if name not in FLOATS}
    mask = np.arange(len(values)) % 50 == 49 if nulls else None
    return pa.table({**keys, **{name: pa.array(values, mask=mask) for name in FLOATS}})


def _write(path: Path, table: pa.Table, page_rows: int, **options: Any) -> Path:
    written = {"row_group_size": GROUP, **write_options(table.schema, page_rows), **options}
    pq.write_table(table, path, **written)
    return path


def _read(path: Path, group: int, name: str, rows: list[int]) -> list[float]:
    """Some rows of a row group, page by page."""
    footer = pq.read_metadata(path)
    pages = Pages(str(path), footer.row_group(group).column(footer.schema.names.index(name)))
    found = []
    for row in rows:
        page = pages.page(row)
        assert page.first <= row < page.end
        found.append(float(floats(read_page(str(path), page)[row - page.first])[0]))
    return found


@settings(max_examples=25, deadline=None)
@given(
    values=st.lists(st.integers(0, 2**64 - 1), min_size=1, max_size=2000),
    page_rows=st.sampled_from([1, 7, 64, 128, 600, 5000]),
    data=st.data(),
)
def test_pages_hold_what_pyarrow_reads(
    tmp_path_factory: pytest.TempPathFactory, values: list[int], page_rows: int, data: st.DataObject
) -> None:
    """Any bits, NaN with a payload among them."""
    floats = np.array(values, np.uint64).view(np.float64)
    path = _write(tmp_path_factory.mktemp("pages") / "a.parquet", _table(floats), page_rows)
    group = data.draw(st.integers(0, (len(floats) - 1) // GROUP))
    expected = pq.ParquetFile(path).read_row_group(group, ["loss"])["loss"].to_numpy()
    rows = data.draw(st.lists(st.integers(0, len(expected) - 1), max_size=10))
    for name in FLOATS:
        found = np.array(_read(path, group, name, rows))
        assert found.view(np.int64).tolist() == expected[rows].view(np.int64).tolist()


@pytest.mark.parametrize("rows", [63, 64, 65, 8191, 8192])
def test_a_page_s_levels_say_how_many_rows_it_has(tmp_path: Path, rows: int) -> None:
    """At the bounds of the bytes that the number takes: seven bits a byte, of twice as many."""
    path = _write(tmp_path / "a.parquet", _table(np.arange(rows, dtype=float)), rows, row_group_size=rows)
    assert _read(path, 0, "loss", [0, rows - 1]) == [0, rows - 1]


@pytest.mark.skipif(not parquet._PAGES_BY_ROWS, reason="this PyArrow cannot limit a page's rows")
def test_each_page_is_small(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.parquet", _table(np.arange(2000.0)), 100)
    pages = Pages(str(path), pq.read_metadata(path).row_group(1).column(5))
    assert [(pages.page(row).first, pages.page(row).end) for row in (650, 0, 99, 100)] == [
        (600, 700),
        (0, 100),
        (0, 100),
        (100, 200),
    ]


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "snappy", "compression_level": None},
        {"use_dictionary": True, "column_encoding": None},
        {"data_page_version": "2.0"},
        {"write_page_checksum": False},
    ],
    ids=str,
)
def test_what_natsdb_does_not_write_is_left_to_pyarrow(tmp_path: Path, options: dict[str, Any]) -> None:
    path = _write(tmp_path / "a.parquet", _table(np.arange(700.0)), 100, **options)
    with pytest.raises(Strange):
        _read(path, 0, "loss", [5])


def test_nulls_are_left_to_pyarrow(tmp_path: Path) -> None:
    path = _write(tmp_path / "a.parquet", _table(np.arange(700.0), nulls=True), 100)
    with pytest.raises(Strange):
        _read(path, 0, "accuracy", [5])


def test_a_header_that_names_another_encoding_is_damage(tmp_path: Path) -> None:
    """Two bits make plain values split ones: no checksum covers a header, and PyArrow would read other numbers."""
    path = _write(tmp_path / "a.parquet", _table(np.random.default_rng(0).random(300)), 60)
    start, whole = pq.read_metadata(path).row_group(0).column(5).data_page_offset, path.read_bytes()
    found = 0
    for at in range(start, start + 40):
        data = bytearray(whole)
        data[at] ^= 0x12
        path.write_bytes(data)
        with suppress(Strange):
            try:
                _read(path, 0, "accuracy", [5])
            except Damaged:
                found += 1
    assert found == 1


def test_every_flipped_bit_of_a_column_gives_an_error_or_exact_values(tmp_path: Path) -> None:
    """Headers, which no checksum covers, as well as pages."""
    values = np.random.default_rng(0).random(300)
    path = _write(tmp_path / "a.parquet", _table(values), 60)
    column = pq.read_metadata(path).row_group(0).column(5)
    start, whole = column.data_page_offset, path.read_bytes()
    # Of 300 numbers in pages of 60; an older PyArrow has one page, and one header.
    assert column.total_compressed_size > (2400 if parquet._PAGES_BY_ROWS else 2300)
    rows = list(range(0, 300, 20))
    wrong = []
    for bit in range(0, 8 * column.total_compressed_size, 17):
        data = bytearray(whole)
        data[start + bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        try:
            found = _read(path, 0, "accuracy", rows)
        except (Strange, Damaged):
            continue
        if struct.pack("15d", *found) != struct.pack("15d", *values[rows]):
            wrong.append(bit)
    assert wrong == []
