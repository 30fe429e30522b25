"""Single pages of a column of floats: PyArrow reads whole row groups, a hundred times what one curve needs.

Only what `store.parquet` writes is read here (a page: format version 1, zstd, plain or split by bytes, with a checksum,
without nulls); a column of any other kind is not `paged`, and whoever asks reads its row group with PyArrow.
Layout after https://parquet.apache.org/docs/file-format/data-pages/ and Thrift's compact protocol.
"""

from __future__ import annotations

import re
import zlib
from bisect import bisect_right
from io import FileIO
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa

from natsdb.store.damage import damaged
from natsdb.store.parquet import reading

# A `PageHeader`: a data page; its size, compressed size and checksum; then its `DataPageHeader`: rows, encoding, levels
# as runs. Before each number stand how far its field is from the last one and its kind; it is a varint.
_VARINT = rb"\x15([\x80-\xff]*[\x00-\x7f])"
_PAGE_HEADER = re.compile(rb"\x15\x00" + 3 * _VARINT + rb"\x1c" + 2 * _VARINT + rb"\x15\x06\x15\x06\x00\x00")
_PLAIN, _BYTE_STREAM_SPLIT = 0, 9
# Bytes that hold a header: it takes 20 to 40.
_HEADER = 128


class Page(NamedTuple):
    """A page: its rows `first` to before `end`, counted in its row group; its bytes lie at `at` in the file."""

    first: int
    end: int
    at: int
    compressed: int
    size: int
    checksum: int
    encoding: int


class Strange(Exception):
    """A page is not as `store.parquet` writes them: it is for PyArrow to read, or damaged."""


class Pages:
    """The pages of one column of a row group, found from the first on as far as somebody asks.

    Args:
        path: the file.
        chunk: PyArrow's metadata of the column in the row group.

    Raises:
        Strange: the column is not as natsdb writes it.
    """

    def __init__(self, path: str, chunk: Any) -> None:
        if chunk.compression != "ZSTD" or chunk.physical_type != "DOUBLE" or chunk.has_dictionary_page:
            raise Strange("it is no column of floats, zstd, without a dictionary")
        # What the footer says is compared with the manifest; no checksum covers what a page's header says.
        known = {("PLAIN", "RLE"): _PLAIN, ("BYTE_STREAM_SPLIT", "RLE"): _BYTE_STREAM_SPLIT}
        encoding = known.get(tuple(sorted(chunk.encodings)))
        if encoding is None:
            raise Strange("its pages are encoded in several ways")
        self._encoding = encoding
        self._path, self._rows, self._start = path, chunk.num_values, chunk.data_page_offset
        self._end = self._start + chunk.total_compressed_size
        self._found: list[Page] = []

    def page(self, row: int) -> Page:
        """The page that holds a row of the row group.

        Raises:
            Damaged, Missing: the file cannot be read, or a page is not encoded as the footer says.
            Strange: a page is not as natsdb writes them.
        """
        found = self._found
        if not found or found[-1].end <= row:
            with reading(self._path), open(self._path, "rb", buffering=0) as file:
                while not found or found[-1].end <= row:
                    # A list of its own: another thread may find the same pages meanwhile.
                    found = self._found = [*found, self._after(file, found)]
        return found[bisect_right(found, row, key=lambda page: page.first) - 1]

    def _after(self, file: FileIO, found: list[Page]) -> Page:
        at, first = (found[-1].at + found[-1].compressed, found[-1].end) if found else (self._start, 0)
        file.seek(at)
        header = _PAGE_HEADER.match(file.read(_HEADER))
        if header is None:
            raise Strange("it is no data page with a checksum")
        size, compressed, checksum, rows, encoding = map(_number, header.groups())
        page = Page(first, first + rows, at + header.end(), compressed, size, checksum & 0xFFFFFFFF, encoding)
        if encoding != self._encoding:
            # PyArrow would believe it.
            raise damaged(self._path, ValueError("a page is encoded in another way than its footer says"))
        # What a header says twice must agree: also of a page that nobody reads.
        if rows <= 0 or size != len(_levels(rows)) + 8 * rows:
            raise Strange("it is no page of floats without nulls")
        if compressed <= 0 or page.at + compressed > self._end or page.end > self._rows:
            raise Strange("a page reaches beyond its column")
        return page


def read_page(path: str, page: Page) -> np.ndarray:
    """The values of a page, as the eight bytes of each: uint8, (rows, 8); for `floats`.

    Raises:
        Damaged, Missing: the file cannot be read.
        Strange: it holds nulls, or is not as it was written.
    """
    with reading(path), open(path, "rb", buffering=0) as file:
        file.seek(page.at)
        raw = file.read(page.compressed)
    if len(raw) != page.compressed or zlib.crc32(raw) != page.checksum:
        raise Strange("a page is not what its checksum says")
    data, rows = pa.decompress(raw, page.size, codec="zstd", asbytes=True), page.end - page.first
    levels = _levels(rows)
    if not data.startswith(levels):
        raise Strange("it holds nulls")
    values = np.frombuffer(data, np.uint8, offset=len(levels))
    # Split bytes are put together in `floats`, for the few rows that are asked for.
    return values.reshape(8, rows).T if page.encoding == _BYTE_STREAM_SPLIT else values.reshape(rows, 8)


def floats(values: np.ndarray) -> np.ndarray:
    """Rows of what `read_page` gives, (rows, 8) or one of them, (8,), as float64, (rows,)."""
    return np.ascontiguousarray(values).reshape(-1).view("<f8")


def _levels(rows: int) -> bytes:
    """Levels of definition of a page without nulls: their length, and one run of as many ones as there are rows."""
    count, run = rows << 1, b""
    while count > 127:
        run, count = run + bytes([count & 127 | 128]), count >> 7
    run += bytes([count, 1])
    return len(run).to_bytes(4, "little") + run


def _number(varint: bytes) -> int:
    value = 0
    for place, byte in enumerate(varint):
        value |= (byte & 127) << 7 * place
    return value >> 1 ^ -(value & 1)
