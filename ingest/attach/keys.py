"""Which columns of a table are its key: architectures, in which encoding of which space, data sets, further columns."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from natsdb.ingest.attach.reading import Plain
from natsdb.schema.encodings import INDEX, STRING, encodings_of, readings
from natsdb.schema.errors import Contradiction, NatsdbError
from natsdb.schema.names import did_you_mean, either
from natsdb.schema.space import Space
from natsdb.schema.spaces import SPACES

if TYPE_CHECKING:
    import polars as pl

CANONICAL = "canonical"
# Rows in the order of the index, without a column that says which they are.
IN_ORDER = "order"
# Columns of whole numbers that are indices by their names; the others only where their numbers are not those of rows.
_INDICES = ("arch", "arch_index", "arch_idx", "architecture")
_MAYBE_INDICES = ("index", "idx", "id", "net", "", "unnamed: 0")


@dataclass(frozen=True)
class Reading:
    """A column as architectures: `archs` has an index a row, null where the value is none; `sure`: its texts can hardly
    be anything else."""

    column: str
    space: str
    encoding: str
    archs: pl.Series = field(repr=False)
    sure: bool = True

    @property
    def strangers(self) -> int:
        """How many rows are no architectures."""
        return self.archs.null_count()


def asked_key(key: str | Sequence[str] | None, encoding: str | None, columns: Sequence[str]) -> dict[str, str | None]:
    """The columns of a key that the caller named, each with its encoding if that was said.

    Raises:
        NatsdbError: there is no such column, or two of them have an encoding.
    """
    asked: dict[str, str | None] = {}
    for one in [key] if isinstance(key, str) else key or ():
        name, _, said = (one, "", "") if one in columns else one.rpartition("=") if "=" in one else (one, "", "")
        if name not in columns:
            raise NatsdbError(f"it has no column {name!r} to be a key", remedy=did_you_mean(name, columns))
        asked[name] = said or None
    if encoding is not None and asked and not any(asked.values()):
        asked[next(iter(asked))] = encoding
    if len([name for name, said in asked.items() if said]) > 1:
        raise NatsdbError("two columns of the key have an encoding", remedy="say it of the one that has architectures")
    return asked


def architectures(plain: Plain, space: str | None, asked: dict[str, str | None], encoding: str | None) -> list[Reading]:
    """The ways in which a table's rows are architectures: one, or several in which the same texts are read.

    Raises:
        NatsdbError: no column says which architecture a row is, several may, they contradict each other, or the space
            is not clear.
    """
    spaces = [SPACES[space]] if space else list(SPACES.values())
    named = next((name for name, said in asked.items() if said), None)
    if named:
        return _one_space(_named(plain, spaces, named, asked[named]), named)
    if encoding is not None and plain.keyed:
        return _one_space(_named(plain, spaces, plain.keyed, encoding), plain.keyed)
    every = [one for column in plain.frame.columns for one in column_readings(plain, column, spaces)]
    if encoding is not None:
        fit = [column for column in dict.fromkeys(one.column for one in every) if column not in asked]
        read = [one for column in fit for one in _named(plain, spaces, column, encoding, missing=True)]
        if not read:
            raise NatsdbError(f"no column is written as {encoding}", remedy="name it: --key COLUMN=ENCODING")
        return _one_space(read, read[0].column)
    sure = [one for one in every if one.sure]
    if any(one.encoding != INDEX for one in sure):
        return _agreeing(sure, plain, asked)
    if indices := _indices(every, plain, asked):
        return _one_space(indices, indices[0].column)
    return [_in_order(plain, spaces, every)]


def column_readings(plain: Plain, column: str, spaces: Sequence[Space]) -> list[Reading]:
    """The ways in which most values of a column are architectures."""
    import polars as pl

    values = plain.frame[column]
    kind = values.dtype
    if isinstance(kind, (pl.List, pl.Array)):
        if kind.inner.is_float():
            return []
        values = as_texts(values)
    elif not (kind == pl.String or kind.is_integer() or isinstance(kind, (pl.Categorical, pl.Enum))):
        return []
    unique = values.cast(pl.String).unique(maintain_order=True).drop_nulls()
    found = []
    for space in spaces:
        sample = readings(space, unique[:200].to_list())
        for name in sample:
            if 2 * sample[name].count(None) > len(sample[name]):
                continue
            archs = readings(space, unique.to_list()).get(name)
            if archs is not None and 2 * archs.count(None) < len(archs):
                whole = None not in archs
                by_name = column == plain.keyed or (whole and column.lower() in _INDICES)
                sure = by_name if name == INDEX else kind == pl.String or whole
                found.append(Reading(column, space.name, name, each(values, unique, archs), sure))
    return found


def _named(
    plain: Plain, spaces: Sequence[Space], column: str, encoding: str | None, missing: bool = False
) -> list[Reading]:
    """A column in the encoding that was named, in each space that has it."""
    import polars as pl

    having = [space for space in spaces if encoding in encodings_of(space)]
    if not having:
        every = dict.fromkeys(name for space in spaces for name in encodings_of(space))
        raise NatsdbError(f"there is no encoding {encoding!r}", remedy=did_you_mean(str(encoding), every))
    values = plain.frame[column]
    if isinstance(values.dtype, (pl.List, pl.Array)):
        values = as_texts(values)
    unique = values.cast(pl.String).unique(maintain_order=True).drop_nulls()
    found = []
    for space in having:
        archs = readings(space, unique.to_list(), encoding)[str(encoding)]
        if 2 * archs.count(None) < len(archs):
            found.append(Reading(column, space.name, str(encoding), each(values, unique, archs)))
    if not found and not missing:
        shown = unique[0] if len(unique) else None
        what = f"the values of column {column!r}, such as {shown!r}, are not written as {encoding}"
        raise NatsdbError(what, remedy="leave the encoding out, to have it recognised")
    return found


def as_texts(values: pl.Series) -> pl.Series:
    """Lists as texts."""
    import polars as pl

    texts = [None if one is None else str(list(one)) for one in values.to_list()]
    return pl.Series(values.name, texts, dtype=pl.String)


def each(values: pl.Series, unique: pl.Series, archs: Sequence[int | None]) -> pl.Series:
    """The architecture of each value, from those of all different ones."""
    import polars as pl

    mapped = pl.Series("arch", archs, dtype=pl.Int32)
    return values.cast(pl.String).replace_strict(unique, mapped, default=None, return_dtype=pl.Int32).alias("arch")


def _one_space(found: Sequence[Reading], column: str) -> list[Reading]:
    """Readings of a column, of the one space that it can be of: the smallest that has room, if one is full."""
    spaces = list(dict.fromkeys(one.space for one in found))
    if len(spaces) > 1:
        full = [one.space for one in found if one.archs.n_unique() == SPACES[one.space].size and not one.strangers]
        whole = [one.space for one in found if not one.strangers]
        for chosen in (list(dict.fromkeys(full)), list(dict.fromkeys(whole))):
            if len(chosen) == 1:
                return [one for one in found if one.space == chosen[0]]
        raise NatsdbError(f"column {column!r} may be of {either(spaces)}", remedy="say which with --space")
    return [one for one in found if one.column == column]


def _agreeing(sure: list[Reading], plain: Plain, asked: dict[str, str | None]) -> list[Reading]:
    """The readings of one column, after those of others have been compared with it."""
    named = [one for one in sure if one.column in asked]
    best = min(named or sure, key=lambda one: (one.strangers, _rank(one), one.column != plain.keyed))
    chosen = [one for one in sure if (one.column, one.space) == (best.column, best.space)]
    chosen = [one for one in chosen if one.strangers == best.strangers]
    for column in dict.fromkeys(one.column for one in sure if one.column != best.column):
        others = [one for one in sure if one.column == column]
        left = [one for one in chosen if any(equal(one, other) for other in others)]
        if left:
            chosen = left
            continue
        raise _contradiction(plain, best, others)
    return chosen


def _rank(one: Reading) -> int:
    order = [STRING, *(name for name in SPACES[one.space].encodings if name != CANONICAL), CANONICAL, INDEX]
    return order.index(one.encoding)


def equal(one: Reading, other: Reading) -> bool:
    """Whether two columns say the same of each row; a canonical string is that of a class."""
    import polars as pl

    if one.space != other.space:
        return False
    a, b = one.archs, other.archs
    canonical = SPACES[one.space].canonical
    if canonical and CANONICAL in (one.encoding, other.encoding):
        classes = pl.Series(canonical(), dtype=pl.Int32)
        a, b = (classes.gather(series) for series in (a, b))
    return bool(a.equals(b, check_names=False))


def repeats(plain: Plain, column: str, one: Reading) -> bool:
    """Whether another column says again which architecture a row is; numbers do by name only, as they may count."""
    named = column.lower() in (*_INDICES, *_MAYBE_INDICES)
    others = column_readings(plain, column, [SPACES[one.space]]) if column != one.column else []
    return any(equal(one, other) for other in others if other.sure or named)


def _contradiction(plain: Plain, best: Reading, others: list[Reading]) -> NatsdbError:
    other = others[0]
    space = SPACES[best.space]
    for name in encodings_of(space):
        for column, against in ((other.column, best), (best.column, other)):
            read = _named(plain, [space], column, name, missing=True)
            if read and equal(read[0], against):
                remedy = f"{column!r} as {name} would agree: say which is right, as in --key {column}={name}"
                return _contradicting(best, other, remedy)
    return _contradicting(best, other, "leave out the one that is wrong, or say which is right with --key")


def _contradicting(best: Reading, other: Reading, remedy: str) -> NatsdbError:
    differ = best.archs.ne_missing(other.archs).sum()
    columns = f"{best.column!r} ({best.encoding}) and {other.column!r} ({other.encoding})"
    rows = f"{differ:,} of {len(best.archs):,} rows"
    return Contradiction(f"columns {columns} are different architectures in {rows}", remedy=remedy)


def _indices(every: list[Reading], plain: Plain, asked: dict[str, str | None]) -> list[Reading]:
    """The column of whole numbers that are indices: keys of a dictionary, one that was named, or has such a name."""
    for name in (plain.keyed, *asked):
        if found := [one for one in every if one.column == name]:
            return found
    for name in (*_INDICES, *_MAYBE_INDICES):
        # (Of one that can be nothing else strangers are told, as rows are not in an order that it contradicts.)
        found = [one for one in every if one.column.lower() == name and (name in _INDICES or not one.strangers)]
        if found and (name in _INDICES or not _numbers_rows(found[0])):
            return found
    return []


def _numbers_rows(one: Reading) -> bool:
    """Whether a column counts rows, and not all architectures of a space: frames are often written with one."""
    import polars as pl

    rows = len(one.archs)
    return rows not in {space.size for space in SPACES.values()} and one.archs.equals(
        pl.int_range(rows, dtype=pl.Int32, eager=True), check_names=False
    )


def _in_order(plain: Plain, spaces: Sequence[Space], every: list[Reading]) -> Reading:
    import polars as pl

    rows = len(plain.frame)
    if (column := dataset_column(plain.frame)) is not None:
        lengths = plain.frame.group_by(column).len()["len"].unique().to_list()
        rows = lengths[0] if len(lengths) == 1 else -1
    fit = [space for space in spaces if space.size == rows]
    if len(fit) != 1:
        weak = [one.column for one in every if not one.strangers]
        hint = f" ({either(map(repr, dict.fromkeys(weak)))} may be an index)" if weak else ""
        sizes = either(f"{space.size:,} of {space.name}" for space in spaces)
        raise NatsdbError(
            f"no column says which architecture a row is{hint}, and its {len(plain.frame):,} rows are not all {sizes}",
            remedy="name the column: --key COLUMN or --key COLUMN=ENCODING",
        )
    if named := [name for name in plain.frame.columns if _orders_rows(plain.frame[name])]:
        values = plain.frame[named[0]]
        sizes = either(f"0 to {space.size - 1:,} of {space.name}" for space in spaces)
        shown = f", which goes from {values.min()!r} to {values.max()!r}," if values.dtype.is_integer() else ""
        raise NatsdbError(
            f"column {named[0]!r}{shown} is written in no encoding that is known; indices are {sizes}",
            remedy="mend it, name the key with --key COLUMN=ENCODING, or leave the column out if rows are in order",
        )
    if named := [name for name in plain.frame.columns if _names_rows(plain.frame[name])]:
        raise NatsdbError(
            f"column {named[0]!r} names each row, as {plain.frame[named[0]][0]!r}, and is written in no known encoding",
            remedy="name the key: --key COLUMN=ENCODING, or leave the column out if rows are in the order of the index",
        )
    order = pl.int_range(rows, dtype=pl.Int32, eager=True)
    # Rows of a data set follow one another in their order, wherever the others stand.
    archs = (
        order if column is None else plain.frame.select(pl.int_range(pl.len()).over(column).cast(pl.Int32)).to_series()
    )
    return Reading("", fit[0].name, IN_ORDER, archs.alias("arch"))


def _orders_rows(values: pl.Series) -> bool:
    """Whether a column, which is no index, is called one, or numbers rows in another order than theirs."""
    import polars as pl

    if values.name.lower() in _INDICES:
        return True
    numbers = values.cast(pl.Int64, strict=False) if values.dtype == pl.String else values
    whole = numbers.dtype.is_integer() and not numbers.null_count()
    return values.name.lower() in _MAYBE_INDICES and whole and not numbers.is_sorted()


def _names_rows(values: pl.Series) -> bool:
    """Whether a column has another text in each row, none of them a number."""
    import polars as pl

    if values.dtype != pl.String or values.n_unique() < len(values):
        return False
    return values.cast(pl.Float64, strict=False).null_count() == len(values)


def dataset_column(frame: pl.DataFrame) -> str | None:
    """The column that says which data set a row is of."""
    import polars as pl

    for column in frame.columns:
        if column.lower() == "dataset" and frame[column].dtype in (pl.String, pl.Categorical, pl.Enum):
            return column
    return None


def further(frame: pl.DataFrame, key: Sequence[str], asked: Sequence[str]) -> list[str]:
    """Columns that a row needs beside its key to be told from others: those that were asked for, else texts.

    Raises:
        NatsdbError: there are several rows of a key all the same.
    """
    import polars as pl

    own = [*key, *asked]
    count = frame.select(pl.struct(own).n_unique()).item()
    for column in frame.columns:
        if count == len(frame) or asked:
            break
        if column in own or frame[column].dtype != pl.String:
            continue
        grown = frame.select(pl.struct([*own, column]).n_unique()).item()
        if grown > count:
            own, count = [*own, column], grown
    if count == len(frame):
        return own[len(key) :]
    doubles = frame.filter(pl.struct(own).is_duplicated())
    first = ", ".join(f"{name} {value}" for name, value in doubles.select(own).row(0, named=True).items())
    what = f"{len(frame) - count:,} of {len(frame):,} rows are of a key that another row has, the first of {first}"
    more = [column for column in frame.columns if column not in own and _tells(frame, [*own, column])]
    hint = f": {either(more)} would tell them apart" if more else ", or leave all but one of them out"
    raise NatsdbError(what, remedy=f"name the columns that tell them apart with --key{hint}")


def _tells(frame: pl.DataFrame, columns: list[str]) -> bool:
    import polars as pl

    # A measure tells rows apart too: as a key its values would have to come again and again.
    few = frame[columns[-1]].n_unique() <= 100
    return few and frame.select(pl.struct(columns).n_unique()).item() == len(frame)
