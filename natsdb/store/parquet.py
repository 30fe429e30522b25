"""How natsdb writes and reads Parquet: one set of options, checksums of pages, and what a manifest says of a file.

Neither DuckDB nor polars looks at a page's checksum; PyArrow does when it is told to. So what natsdb itself reads for
the facade, `verify` and `export` goes through `open_parquet`, and `natsdb check` compares all else with the manifest.
"""

from __future__ import annotations

import hashlib
import inspect
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from natsdb.schema.errors import Missing
from natsdb.schema.tables import arrow_schema
from natsdb.store.damage import damaged, footer_digest
from natsdb.store.manifest import Part

# Of a file that an interrupted command left.
MADE_AGAIN = "remove it, and the same command makes it again"

# Pages of so many rows; a PyArrow that cannot say it cuts them by bytes.
_PAGE_ROWS = 20_000
_PAGES_BY_ROWS = "max_rows_per_page" in inspect.signature(pq.write_table).parameters


def write_options(schema: pa.Schema, page_rows: int | None = None) -> dict[str, Any]:
    """Options of every Parquet file that natsdb writes; `page_rows`: rows a page, where 20,000 are not right.

    The page index lets DuckDB read only the pages that an architecture lies in. Statistics are of `arch` only: every
    group and page of measurements holds all the other keys, and footers are read whole.

    Measured on the real samples of tss at hp 200: accuracy plain and loss split by bytes, zstd, take 4.7 + 6.6 B a row;
    loss plain 0.3 B more, dictionaries or splitting by bytes 1.5 B more for accuracy. Level 5 saves 0.25 B a row over
    level 3, for 5 s more of a full ingest; higher levels save less than 0.1 B, but for loss from level 11 on, where
    zstd looks for matches in another way: 0.24 B, for 10 s more.
    """
    floats = [field.name for field in schema if pa.types.is_floating(field.type)]
    paths = [f"{field.name}.list.element" if pa.types.is_list(field.type) else field.name for field in schema]
    rows = page_rows or _PAGE_ROWS
    return {
        "compression": "zstd",
        "compression_level": {path: 11 if path == "loss" else 5 for path in paths},
        "store_schema": False,
        "use_dictionary": [name for name in schema.names if name not in (*floats, "seconds", "latencies")],
        "column_encoding": {"loss": "BYTE_STREAM_SPLIT"} if "loss" in floats else None,
        "write_statistics": [name for name in ("arch",) if name in schema.names],
        "data_page_size": 1 << 20 if _PAGES_BY_ROWS else 8 * rows,
        "write_page_checksum": True,
        "write_page_index": True,
        **({"max_rows_per_page": rows} if _PAGES_BY_ROWS else {}),
    }


def write_part(table: pa.Table, folder: Path, part: Part, schema: pa.Schema | None = None, **options: Any) -> Part:
    """Write a table's rows as one file below `folder`, named after its contents.

    Args:
        table: rows with the columns of the schema.
        part: what it is; `path` is the folder that the file goes into. Path, rows, size and digests are filled in.
        schema: of the file; that of natsdb's table, `schema.tables.arrow_schema`, if None.
        options: of PyArrow's writer, instead of those of `write_options`.
    """
    schema = (arrow_schema(part.table) if schema is None else schema).remove_metadata()
    rows = table.select(schema.names).cast(schema)
    temporary = folder / f"{part.table}-{os.getpid()}.tmp"
    temporary.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(rows, temporary, **{**write_options(schema), **options})
    return named_after_contents(temporary, folder, replace(part, rows=len(rows), columns=tuple(schema.names)))


def named_after_contents(temporary: Path, folder: Path, part: Part) -> Part:
    """Move a written file into `part.path`, a folder below `folder`, under a name made of its digest."""
    with temporary.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        os.fsync(file.fileno())
    size = temporary.stat().st_size
    with temporary.open("rb") as file:
        footer = footer_digest(file, size)
    path = f"{part.path}/{digest[:12]}.parquet"
    target = folder / path
    target.parent.mkdir(parents=True, exist_ok=True)
    os.replace(temporary, target)
    columns = part.columns or tuple(arrow_schema(part.table).names)
    return replace(part, path=path, bytes=size, sha256=digest, footer=footer, columns=columns)


def open_parquet(
    path: Path, part: Part | None = None, *, coded: Sequence[str] = (), metadata: Any = None, remedy: str | None = None
) -> Any:
    """A `pyarrow.parquet.ParquetFile` that checks pages against their checksums, for use in a `with`.

    Without threads and read-ahead: a process that forks later takes no half-used pool along.

    Args:
        part: what the manifest says of the file; its footer is compared with that unless `metadata` is given.
        coded: columns to read as dictionaries.
        metadata: the footer, when it was read before.
        remedy: what mends a file that is damaged; `remedy_of` it if not given.

    Raises:
        Damaged: the file is no Parquet file, or another than the manifest says.
        Missing: it is gone.
    """
    with reading(path, remedy):
        if part is not None and part.footer and metadata is None:
            with path.open("rb") as file:
                if footer_digest(file, os.fstat(file.fileno()).st_size) != part.footer:
                    raise ValueError("its footer is not the one that was written")
        # A map, as PyArrow takes as long to find out what a path is as to open it.
        return pq.ParquetFile(
            pa.memory_map(os.fspath(path)),
            metadata=metadata,
            read_dictionary=list(coded),
            pre_buffer=False,
            page_checksum_verification=True,
        )


def read_columns(path: Path, part: Part, columns: Sequence[str]) -> pa.Table:
    """Some columns of a file, checked as `open_parquet` says.

    Raises:
        Damaged: the file is not as it was written.
        Missing: it is gone.
    """
    with open_parquet(path, part) as file, reading(path):
        return file.read(list(columns), use_threads=False)


def as_numpy(column: pa.Array | pa.ChunkedArray) -> np.ndarray:
    """A column of numbers as an array, null as NaN.

    PyArrow's own `to_numpy` imports pandas, where it is installed, which takes longer than a script's first answer.
    """
    if pa.types.is_boolean(column.type):
        return np.array(column.to_pylist(), bool)
    chunks = column.chunks if isinstance(column, pa.ChunkedArray) else [column]
    values = [_values(one) for one in chunks if len(one)]
    return values[0] if len(values) == 1 else np.concatenate([np.zeros(0, _dtype(column.type)), *values])


def _dtype(kind: pa.DataType) -> np.dtype:
    # `to_pandas_dtype` is the one, but PyArrow 18's imports pandas.
    return np.dtype({"double": "float64", "float": "float32"}.get(str(kind), str(kind)))


def _values(array: pa.Array) -> np.ndarray:
    valid, data = array.buffers()
    mine = slice(array.offset, array.offset + len(array))
    values = np.frombuffer(data, _dtype(array.type))[mine]
    if not array.null_count:
        return values
    return np.where(np.unpackbits(np.frombuffer(valid, np.uint8), bitorder="little")[mine], values, np.nan)


@contextmanager
def reading(path: Path | str, remedy: str | None = None) -> Iterator[None]:
    """What PyArrow raises in here while it reads a file is raised as natsdb's.

    Raises:
        Damaged: the file is not as it was written.
        Missing: it is gone.
    """
    try:
        yield
    except FileNotFoundError:
        what = "the file is gone, and with it the database or the version that was opened"
        raise Missing(what, where=str(path), remedy="open the database again") from None
    except (OSError, ValueError, pa.ArrowException) as error:
        raise damaged(path, error, remedy) from error
