"""How answers are shown and written: from the first rows that come, as a stream, so that any answer fits in memory."""

from __future__ import annotations

import json
import re
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from contextlib import suppress
from decimal import Decimal
from enum import StrEnum
from itertools import islice
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, TypeVar

from natsdb.schema.errors import NatsdbError
from natsdb.store.writing import whole_file, writing

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

    from natsdb.connection import Connection

Result = TypeVar("Result")
SHOWN = 60
# So many rows more are counted; where there are more still, the number is not known until all have come.
_COUNTED = 100_000
# Rows that come at once: 64 Ki of the widest table take 15 MB.
_BATCH = 65_536
# DuckDB's types that are numbers.
_WHOLE = {f"{sign}{name}" for sign in ("", "U") for name in ("TINYINT", "SMALLINT", "INTEGER", "BIGINT")}
_NUMBERS = {*_WHOLE, "HUGEINT", "FLOAT", "DOUBLE", "DECIMAL"}
# Characters below which a column of text is not cut to fit the terminal.
_NARROW = 12


class Format(StrEnum):
    """How an answer is written."""

    table = "table"
    csv = "csv"
    json = "json"
    parquet = "parquet"


def format_of(out: Path | None) -> Format:
    """The format that a file's name says; a table where it says none."""
    suffix = out.suffix.lstrip(".") if out is not None else ""
    return Format(suffix) if suffix in ("csv", "json", "parquet") else Format.table


def reader(relation: Any) -> pa.RecordBatchReader:
    """An answer's rows as they come, a batch at a time."""
    read = "to_arrow_reader" if hasattr(relation, "to_arrow_reader") else "fetch_record_batch"
    return getattr(relation, read)(_BATCH)


def write_answer(relation: Any, format: Format, file: IO[str]) -> None:
    """Write an answer as text, as its rows come; of a table its first rows.

    Args:
        relation: of `Connection.sql`.
        format: table, csv or json.
    """
    if format is Format.table:
        file.write(first_rows(relation))
    else:
        batches = reader(relation)
        for text, _ in _csv(batches) if format is Format.csv else _json(batches):
            file.write(text)


def save_answer(relation: Any, format: Format, out: Path, progress: Callable[[int], None] = lambda rows: None) -> None:
    """Write an answer into a file, whole or not at all, as its rows come.

    Args:
        progress: is told how many rows are written so far.

    Raises:
        NotWritable: the file cannot be written.
        NatsdbError: an error in computing the rows.
    """
    with writing(out, "name another file with -o"), whole_file(out) as temporary:
        if format is Format.parquet:
            _parquet(relation, temporary, progress)
            return
        with temporary.open("w", encoding="utf-8", newline="") as file:
            if format is Format.table:
                file.write(first_rows(relation))
                return
            batches, rows = reader(relation), 0
            for text, count in _csv(batches) if format is Format.csv else _json(batches):
                file.write(text)
                rows += count
                progress(rows)


def _parquet(relation: Any, path: Path, progress: Callable[[int], None]) -> None:
    import pyarrow.parquet as pq

    batches, rows = reader(relation), 0
    with pq.ParquetWriter(path, batches.schema, compression="zstd") as file:
        for batch in batches:
            file.write_batch(batch)
            rows += batch.num_rows
            progress(rows)


def _frames(batches: pa.RecordBatchReader) -> Iterator[pl.DataFrame]:
    import polars as pl

    for batch in batches:
        if batch.num_rows:
            yield pl.DataFrame(pl.from_arrow(batch))


def _csv(batches: pa.RecordBatchReader) -> Iterator[tuple[str, int]]:
    """Text and how many rows it holds. Lists of values go as words, others and structs, which CSV lacks, as JSON."""
    yield _flat(_empty(batches)).write_csv(), 0
    for frame in _frames(batches):
        yield _flat(frame).write_csv(include_header=False), len(frame)


def _flat(frame: pl.DataFrame) -> pl.DataFrame:
    import polars as pl

    columns = []
    for column in frame:
        if isinstance(column.dtype, pl.List) and not column.dtype.inner.is_nested():
            column = column.cast(pl.List(pl.String)).list.join(" ")
        elif column.dtype.is_nested():
            texts = [None if value is None else _as_json(value) for value in column.to_list()]
            column = pl.Series(column.name, texts, dtype=pl.String)
        elif column.dtype == pl.Binary:
            column = pl.Series(column.name, [None if value is None else repr(value)[2:-1] for value in column])
        columns.append(column)
    return pl.DataFrame(columns)


def _json(batches: pa.RecordBatchReader) -> Iterator[tuple[str, int]]:
    """Text and how many rows it holds: a list of an object a row."""
    before = "["
    for frame in _frames(batches):
        yield before + frame.write_json()[1:-1], len(frame)
        before = ","
    yield ("[]" if before == "[" else "]") + "\n", 0


def _empty(batches: pa.RecordBatchReader) -> pl.DataFrame:
    import polars as pl

    return pl.DataFrame(pl.from_arrow(batches.schema.empty_table()))


def _as_json(value: Any) -> str:
    return json.dumps(
        value, ensure_ascii=False, default=lambda one: float(one) if isinstance(one, Decimal) else str(one)
    )


def first_rows(relation: Any, width: int | None = None) -> str:
    """The first rows of an answer as a table, read no further than it takes to say how many there are, if they are few.

    Args:
        width: characters of a line that it shall fit into; as wide as it is, if None.
    """
    kinds = [str(kind).partition("(")[0] for kind in relation.types]
    names = list(relation.columns)
    numeric = [kind in _NUMBERS for kind in kinds]
    rows: list[tuple[Any, ...]] = []
    hidden = 0
    for first, count in _of_plain(relation) if {*kinds} <= {*_NUMBERS, "VARCHAR", "BOOLEAN"} else _of_arrow(relation):
        rows += first[: SHOWN - len(rows)]
        hidden += count
        if hidden - len(rows) >= _COUNTED:
            break
    hidden -= len(rows)
    known = hidden < _COUNTED
    more = f"{hidden:,} more rows" if known else f"more than {_COUNTED:,} more rows"
    kept = [n for n, name in enumerate(names) if not (name == "measured" and _unasked(relation, rows, n))]
    shown = _table(
        [names[n] for n in kept], [tuple(row[n] for n in kept) for row in rows], [numeric[n] for n in kept], width
    )
    return shown + "\n" + (f"({more}: --format csv shows all)\n" if hidden else "")


def _of_plain(relation: Any) -> Iterator[tuple[list[tuple[Any, ...]], int]]:
    """The first rows of each batch, and how many it has. Without PyArrow: to load it takes 30 MB."""
    counted = relation.limit(SHOWN + _COUNTED)
    if hasattr(counted, "iter_rows"):
        rows = counted.iter_rows()
        batches = iter(lambda: list(islice(rows, _BATCH // 8)), [])
    else:  # before DuckDB 2
        batches = iter(lambda: counted.fetchmany(_BATCH // 8), [])
    for batch in batches:
        yield batch[:SHOWN], len(batch)


def _of_arrow(relation: Any) -> Iterator[tuple[list[tuple[Any, ...]], int]]:
    """As `_of_plain`, for values that DuckDB gives in other types than Arrow. Without polars, which takes longer than
    most answers to import."""
    for batch in reader(relation):
        yield list(zip(*(column.to_pylist() for column in batch.slice(0, SHOWN).columns), strict=True)), len(batch)


def _unasked(relation: Any, rows: list[tuple[Any, ...]], column: int) -> bool:
    """Whether `measured` is empty because `best` was asked for no measure; an empty one of the user's own stays."""
    asked = relation.sql_query()
    of_best = re.search(r'\bbest"?\s*\(', asked, re.I) and not re.search(r"\bmeasured?\b", asked, re.I)
    return bool(of_best) and all(row[column] is None for row in rows)


def table(frame: pl.DataFrame, width: int | None = None) -> str:
    """A plain table of a frame, numbers to the right with six significant digits."""
    return _table(frame.columns, frame.rows(), [kind.is_numeric() for kind in frame.dtypes], width)


def _table(names: list[str], found: list[tuple[Any, ...]], numeric: list[bool], width: int | None) -> str:
    """Where it is wider than a line may be, long texts are cut, and then columns are left out from the end, and it says
    so: numbers are always whole."""
    from rich import box
    from rich.cells import cell_len, set_cell_size
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    rows = [[_cell(value) for value in row] for row in found]
    widths = [max([cell_len(name), *(cell_len(row[n]) for row in rows)]) for n, name in enumerate(names)]
    if width is not None:
        widths = _fitted(widths, numeric, width)
    columns = len(widths)

    def cut(text: str, wide: int) -> str:
        return text if cell_len(text) <= wide else f"{set_cell_size(text, max(wide, 1) - 1)}…"

    drawn = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, padding=(0, 1, 0, 0), header_style="none")
    for name, right in zip(names[:columns], numeric, strict=False):
        drawn.add_column(
            Text(cut(name, widths[len(drawn.columns)])), justify="right" if right else "left", no_wrap=True
        )
    for row in rows:
        drawn.add_row(*(Text(cut(cell, wide)) for cell, wide in zip(row, widths, strict=False)))
    console = Console(width=max(sum(widths) + 2 * columns, 20), color_system=None, force_terminal=False)
    with console.capture() as captured:
        console.print(drawn)
    # The rule is one longer than the columns in some versions of rich.
    total = sum(widths) + 2 * (columns - 1)
    lines = [line.rstrip() for line in captured.get().splitlines()]
    lines[1] = lines[1][:total]
    left = names[columns:]
    return "\n".join([*lines, f"({len(left)} more columns: {', '.join(left)})"] if left else lines)


def _fitted(widths: list[int], numeric: list[bool], width: int) -> list[int]:
    """Widths of the columns that fit into a line."""

    def needed(some: list[int]) -> int:
        return sum(some) + 2 * (len(some) - 1)

    narrow = [wide if number else min(wide, _NARROW) for wide, number in zip(widths, numeric, strict=True)]
    while len(narrow) > 1 and needed(narrow) > width:
        narrow.pop()
    fitted = narrow
    # What room is left goes to the texts that were cut, from the left.
    for n in range(len(fitted)):
        fitted[n] = min(widths[n], fitted[n] + max(0, width - needed(fitted)))
    return [min(wide, max(width, 1)) for wide in fitted]


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list) and not any(isinstance(one, (list, dict)) for one in value):
        return " ".join(map(str, value))
    if isinstance(value, (list, dict)):
        return _as_json(value)
    return str(value).replace("\n", "\\n")


def stoppable(connection: Connection, work: Callable[[], Result]) -> Result:
    """What `work` returns; ^C stops the query that it waits for, of which Python would hear only at its end."""
    with ThreadPoolExecutor(1) as pool:
        future = pool.submit(work)
        try:
            while True:
                with suppress(TimeoutError):
                    # On Windows a wait without an end cannot be interrupted.
                    return future.result(timeout=0.5)
                if future.done():
                    return future.result()
        except KeyboardInterrupt:
            while not future.done():
                connection.interrupt()
                wait([future], timeout=0.1)
            raise


class Progress:
    """Says on standard error, where that is a terminal, how many rows are written, and at what rate."""

    def __init__(self) -> None:
        self._started = self._said = time.monotonic()
        self._on = sys.stderr.isatty()

    def __call__(self, rows: int) -> None:
        now = time.monotonic()
        if self._on and now - self._said > 0.2:
            self._said = now
            rate = rows / max(now - self._started, 0.001)
            print(f"\r{rows:,} rows, {rate:,.0f} rows/s", end="\x1b[K", file=sys.stderr, flush=True)

    def __enter__(self) -> Progress:
        return self

    def __exit__(self, *_: object) -> None:
        if self._on:
            print("\r\x1b[K", end="", file=sys.stderr, flush=True)


def answer_of(relation: Any) -> Any:
    """The relation of a statement that has an answer.

    Raises:
        NatsdbError: there was no statement, or it has none.
    """
    if relation is None:
        raise NatsdbError("the statement has no answer", remedy="ask with `select …`; see `natsdb info`")
    return relation
