"""A table of one's own → rows by architecture: what it is, is recognised from its contents, checked, and said."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from natsdb.ingest.attach.checks import Known, datasets_of, right_reading
from natsdb.ingest.attach.keys import (
    CANONICAL,
    IN_ORDER,
    Reading,
    architectures,
    asked_key,
    column_readings,
    dataset_column,
    further,
    repeats,
)
from natsdb.ingest.attach.reading import Plain, dataset_named, read_plain
from natsdb.schema.datasets import DATASETS
from natsdb.schema.errors import NatsdbError
from natsdb.schema.names import did_you_mean, either
from natsdb.schema.spaces import SPACES, space_of

if TYPE_CHECKING:
    import polars as pl

__all__ = ["Read", "read_attached"]

# Lists of up to so many numbers become a column for each.
_PLACES = 32


@dataclass(frozen=True)
class Read:
    """A table as natsdb takes it.

    `frame`: space (String), arch (Int32), dataset (String) if it has data sets, further key columns, measures, sorted
    by key; `key`, `measures`: names of columns; `encoding`: how its architectures were written (`order`: by their place
    alone); `file`: its name, empty if it came from no file; `said`: what was recognised, in words.
    """

    frame: pl.DataFrame
    key: tuple[str, ...]
    measures: tuple[str, ...]
    encoding: str
    file: str
    said: str


def read_attached(
    source: Any,
    *,
    space: str | None = None,
    dataset: str | None = None,
    key: str | Sequence[str] | None = None,
    encoding: str | None = None,
    null: float | str | Sequence[float | str] | None = None,
    partial: bool = False,
    known: Known = None,
) -> Read:
    """Read a table whose rows are architectures, or architectures on data sets.

    Args:
        source: a CSV, JSON, Parquet or Arrow file, a pickle or torch file of plain containers; a frame of polars,
            pandas or Arrow; lists and dictionaries.
        space: of which its architectures are, where its contents leave that open.
        dataset: of which its rows are, where it does not say that itself; without, they are of each data set.
        key: a column, or several, as COLUMN or COLUMN=ENCODING: the one that has architectures, and those that tell
            several rows of an architecture apart.
        encoding: how the architectures are written (see `natsdb.encodings`), where that is not clear.
        null: what stands in measures for no value, such as -1 for a latency; an empty list if nothing does.
        partial: whether it may lack architectures of the space.
        known: accuracies to compare the table's own with, so that a wrong order of edges shows, or what gives them:
            columns space, arch, dataset, accuracy (percent), and such as tell several of them apart.

    Raises:
        Missing: there is no such file.
        Contradiction: its FLOPs, parameters or accuracies are those of other architectures; the encoding that would fit
            is named.
        NatsdbError: it cannot be read, what it is is not clear, or some of its rows are no architectures, come twice,
            are missing or hold a number that stands for none.
    """
    import polars as pl

    plain = read_plain(source)
    where = str(source) if plain.file else ""
    try:
        frame = _with_plain_columns(plain.frame)
        plain = replace(plain, frame=frame)
        if not len(frame):
            raise NatsdbError("it has no rows", remedy="give a table with a row an architecture")
        column = _space_column(frame)
        if column is None:
            return _read(plain, space, dataset, key, encoding, null, partial, known)
        spaces = frame[column].unique(maintain_order=True).to_list()
        if space is not None and spaces != [space]:
            raise NatsdbError(f"it is of {either(spaces)} itself", remedy="leave the space out")
        parts = [replace(plain, frame=frame.filter(pl.col(column) == name).drop(column)) for name in sorted(spaces)]
        read = [
            _read(part, name, dataset, key, encoding, null, partial, known)
            for part, name in zip(parts, sorted(spaces), strict=True)
        ]
        if len({(one.key, one.measures) for one in read}) > 1:
            raise NatsdbError("its spaces have different keys", remedy="attach each as a table of its own")
        return replace(
            read[0],
            frame=pl.concat([one.frame for one in read]).sort(read[0].key),
            said="; ".join(dict.fromkeys(one.said for one in read)),
        )
    except NatsdbError as error:
        if error.where or not where:
            raise
        raise type(error)(error.what, where=where, remedy=error.remedy) from error


def _space_column(frame: pl.DataFrame) -> str | None:
    """The column that says of which space a row is."""
    import polars as pl

    for column in frame.columns:
        if column.lower() == "space" and frame[column].dtype == pl.String:
            return column
    return None


def _read(
    plain: Plain,
    space: str | None,
    dataset: str | None,
    key: str | Sequence[str] | None,
    encoding: str | None,
    null: float | str | Sequence[float | str] | None,
    partial: bool,
    known: Known,
) -> Read:
    import polars as pl

    if space is not None:
        space_of(space)
    frame = plain.frame
    asked = asked_key(key, encoding, frame.columns)
    datasets, of = _datasets(frame, dataset)
    found = architectures(plain, space, asked, encoding)
    one, known_by = right_reading(plain, found, datasets, known)
    _refuse_strangers(plain, one)
    also = [column for column in frame.columns if column != one.column and repeats(plain, column, one)]
    dropped = {one.column, *also, *([of] if of else [])}
    rest = frame.drop([column for column in frame.columns if column in dropped])
    keys = [
        pl.Series("space", [one.space], dtype=pl.String).new_from_index(0, len(frame)),
        one.archs.cast(pl.Int32).alias("arch"),
        *([datasets.alias("dataset")] if datasets is not None else []),
    ]
    names = [series.name for series in keys]
    others = [name for name in asked if name in rest.columns]
    given, rest = rest.columns, _unlike(rest, names)
    called = dict(zip(given, rest.columns, strict=True))
    others = [called[name] for name in others]
    whole = pl.DataFrame(keys).hstack(_typed(rest))
    names += further(whole, names, others)
    if empty := [name for name in names if whole[name].null_count()]:
        what = f"{whole[empty[0]].null_count():,} of {len(whole):,} rows have no {empty[0]}, which is of the key"
        raise NatsdbError(what, remedy="fill the column, or leave those rows out")
    measures = [column for column in whole.columns if column not in names]
    if not measures:
        raise NatsdbError("it has no measures, its columns are all of its key", remedy="give a table with values")
    whole, nulls = _without_sentinels(whole, measures, null)
    missing = _missing(whole, one.space, partial)
    whole = whole.select(*names, *measures).sort(names)
    said = [
        f"architectures are its {len(whole):,} rows in the order of the index"
        if one.encoding == IN_ORDER
        else f"architectures are {_where(plain, one)}, read as {one.encoding}"
        + (" (the lowest index of each class)" if one.encoding == CANONICAL else "")
        + (f", {known_by}" if known_by.startswith("by ") else ""),
        f"{missing or 'all'} {SPACES[one.space].size:,} architectures of {one.space}",
        _said_of_datasets(datasets),
        f"further key: {', '.join(names[len(keys) :])}" if len(names) > len(keys) else "",
        "" if known_by.startswith("by ") else known_by,
        f"{', '.join(also)} repeats the key and is left out" if also else "",
        nulls,
        f"{len(measures)} measure{'s' if len(measures) > 1 else ''}: {', '.join(measures)}",
    ]
    return Read(whole, tuple(names), tuple(measures), one.encoding, plain.file, "; ".join(filter(None, said)))


def _where(plain: Plain, one: Reading) -> str:
    return "the keys of its dictionary" if one.column == plain.keyed else f"in column {one.column!r}"


def _with_plain_columns(frame: pl.DataFrame) -> pl.DataFrame:
    """A frame without structs and lists of numbers: each field, and each place, is a column named after both.

    Lists that are architectures stay.
    """
    import polars as pl

    while structs := [name for name, kind in frame.schema.items() if isinstance(kind, pl.Struct)]:
        for name in structs:
            frame = frame.with_columns(pl.col(name).name.prefix_fields(f"{name}_")).unnest(name)
    columns: list[pl.Series] = []
    for values in frame.get_columns():
        listed = isinstance(values.dtype, (pl.List, pl.Array))
        alike = listed and column_readings(Plain(frame, "", ""), values.name, list(SPACES.values()))
        columns += _places(values) if listed and not alike else [values]
    return pl.DataFrame({values.name: values for values in columns})


def _datasets(frame: pl.DataFrame, dataset: str | None) -> tuple[pl.Series | None, str | None]:
    """The data set of each row, None if there is none, and the column that says it."""
    import polars as pl

    column = dataset_column(frame)
    if column is not None:
        if dataset is not None:
            raise NatsdbError(f"it says in column {column!r} of which data sets it is", remedy="leave the data set out")
        texts = frame[column].cast(pl.String)
        if texts.null_count():
            what = f"{texts.null_count():,} of {len(frame):,} rows have no data set"
            raise NatsdbError(what, remedy="fill the column, or leave it out")
        return texts.replace(datasets_of(texts)), column
    if dataset is None:
        return None, None
    name = dataset_named(dataset)
    if name is None:
        raise NatsdbError(f"there is no data set {dataset!r}", remedy=did_you_mean(dataset, DATASETS))
    return pl.Series("dataset", [name]).new_from_index(0, len(frame)), None


def _said_of_datasets(datasets: pl.Series | None) -> str:
    if datasets is None:
        return "of no data set: its rows are for each of them"
    names = datasets.unique().sort().to_list()
    strange = [name for name in names if name not in DATASETS]
    unknown = f" ({', '.join(strange)} unknown to natsdb)" if strange else ""
    return f"data set {', '.join(names)}{unknown}"


def _refuse_strangers(plain: Plain, one: Reading) -> None:
    if not one.strangers:
        return
    first = plain.frame[one.column].filter(one.archs.is_null())[0]
    raise NatsdbError(
        f"{one.strangers:,} of {len(one.archs):,} rows are no architectures of {one.space}, the first is {first!r} in "
        f"{one.column!r}, read as {one.encoding}",
        remedy="leave them out, or name the key: --key COLUMN=ENCODING",
    )


def _unlike(frame: pl.DataFrame, keys: Sequence[str]) -> pl.DataFrame:
    """A frame whose columns have names, none of them twice in SQL, and none that of a key."""
    renamed: dict[str, str] = {}
    taken = set(keys)
    for n, column in enumerate(frame.columns):
        name = " ".join(column.split()) or f"column_{n}"
        while name.lower() in taken:
            name += "_of_table"
        taken.add(name.lower())
        renamed[column] = name
    return frame.rename(renamed)


def _typed(frame: pl.DataFrame) -> pl.DataFrame:
    """A frame of whole numbers, floats, truth values and texts; columns without any value are left out."""
    import polars as pl

    columns: list[pl.Series] = []
    for values in frame.get_columns():
        kind = values.dtype
        if kind == pl.String:
            columns.append(_number_of_text(values))
        elif kind.is_integer():
            whole = values.cast(pl.Int64, strict=False)
            columns.append(whole if whole.null_count() == values.null_count() else values.cast(pl.Float64))
        elif kind.is_numeric():
            columns.append(values.cast(pl.Float64))
        elif kind == pl.Boolean:
            columns.append(values)
        elif kind == pl.Null:
            continue
        else:
            columns.append(values.cast(pl.String))
    return pl.DataFrame({values.name: values for values in columns})


def _number_of_text(values: pl.Series) -> pl.Series:
    """Texts as numbers, if all are."""
    import polars as pl

    for kind in (pl.Int64, pl.Float64):
        cast = values.cast(kind, strict=False)
        if cast.null_count() == values.null_count():
            return cast
    return values


def _places(values: pl.Series) -> list[pl.Series]:
    import polars as pl

    lists = values.cast(pl.List(values.dtype.inner)) if isinstance(values.dtype, pl.Array) else values
    most = max(lists.list.len().drop_nulls().to_list(), default=0)
    if not lists.dtype.inner.is_numeric() or most > _PLACES:  # type: ignore[attr-defined]
        what = f"column {values.name!r} has lists of up to {most:,} values"
        raise NatsdbError(what, remedy=f"give numbers, or lists of at most {_PLACES} of them")
    return [
        lists.list.get(place, null_on_oob=True).cast(pl.Float64).alias(f"{values.name}_{place}")
        for place in range(most)
    ]


def _without_sentinels(
    frame: pl.DataFrame, measures: Sequence[str], null: float | str | Sequence[float | str] | None
) -> tuple[pl.DataFrame, str]:
    """Measures in which what stands for no value is null, and NaN too; and what was done, in words.

    Raises:
        NatsdbError: a measure looks as if a number stood for none.
    """
    import polars as pl

    given = [null] if isinstance(null, (int, float, str)) else list(null or [])
    made, counted = [], 0
    for name in measures:
        values = frame[name]
        before = values.null_count()
        for one in given:
            if values.dtype == pl.String or not isinstance(one, str):
                same = isinstance(one, str) == (values.dtype == pl.String) and values.dtype != pl.Boolean
                values = values.set(values == one, None) if same else values
        if values.dtype == pl.Float64:
            values = values.fill_nan(None)
        counted += values.null_count() - before
        if null is None:
            _refuse_sentinel(values)
        made.append(values)
    return frame.with_columns(made), f"{counted:,} values are none" if counted else ""


def _refuse_sentinel(values: pl.Series) -> None:
    """Refuse -1 where no other number is below 0, and another whole number below 0 where all others are above it."""
    if not values.dtype.is_numeric():
        return
    finite = values.filter(values.is_finite())
    negative = finite.filter(finite < 0)
    few = 0 < len(negative) < len(finite) and negative.n_unique() == 1
    if few and (negative[0] == -1 or (float(negative[0]).is_integer() and not (finite == 0).any())):
        number = f"{negative[0]:g}"
        rows = f"{len(negative):,} of {len(values):,} rows"
        raise NatsdbError(
            f"{values.name!r} is {number} in {rows} and not below 0 in any other, as if that stood for no value",
            remedy=f"say so with --null {number}, or --null none that it is a value (in Python null={number} or [])",
        )


def _missing(frame: pl.DataFrame, space: str, partial: bool) -> str:
    """What a table lacks of a space, in words.

    Raises:
        NatsdbError: it lacks some, and that was not allowed.
    """
    size = SPACES[space].size
    counts = (
        frame.group_by("dataset").n_unique().select("dataset", "arch").sort("dataset").rows()
        if "dataset" in frame.columns
        else [("", frame["arch"].n_unique())]
    )
    lacking = [(name, size - count) for name, count in counts if count < size]
    if not lacking:
        return ""
    said = ", ".join(f"{count:,}{f' on {name}' if name else ''}" for name, count in lacking)
    if not partial:
        raise NatsdbError(
            f"it lacks architectures of {space}: {said} of {size:,}",
            remedy="with --partial it may (in Python partial=True)",
        )
    return f"{frame['arch'].n_unique():,} (missing: {said}) of"
