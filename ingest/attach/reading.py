"""A file, a frame or plain containers → one table of columns, before it is known what any of them is."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from natsdb.ingest.archive.unpickle import DAMAGE, LARGEST_RECORD, TORCH_MAGIC, Tensor, restricted
from natsdb.schema.datasets import DATASETS
from natsdb.schema.encodings import readings
from natsdb.schema.errors import Damaged, Missing, NatsdbError, said_by
from natsdb.schema.spaces import SPACES

if TYPE_CHECKING:
    import polars as pl

# The name of a column that has none: values of a list, keys of a dictionary.
VALUE, KEYS = "value", "architecture"
_LEAVES = {float, int, str, bool, type(None)}
# A number whose decimals follow a comma, points between thousands; and one that may be of thousands.
_DECIMAL_COMMA = r"^[+-]?(\d+|\d{1,3}(\.\d{3})+)(,\d+)?([eE][+-]?\d+)?$"
_THOUSANDS = r"^[+-]?[1-9]\d{0,2},\d{3}$"
_NULLS = ["", "NA", "N/A", "NaN", "nan", "null", "None"]


@dataclass(frozen=True)
class Plain:
    """A table as it was found: `file` is its name, `keyed` the column that held the keys of a dictionary, if any, and
    `form` what the file was, in words."""

    frame: pl.DataFrame
    file: str
    form: str
    keyed: str | None = None


def read_plain(source: Any) -> Plain:
    """The table in a file, in a frame of polars, pandas or Arrow, or in lists and dictionaries.

    Files are known by their first bytes. Texts in CSV files stay texts, so that no zero before a number is lost.

    Raises:
        Missing: there is no such file.
        NatsdbError: it cannot be read, or is no table.
    """
    import polars as pl

    if isinstance(source, (str, Path)):
        return _read_file(Path(source))
    if isinstance(source, pl.LazyFrame):
        source = source.collect()
    if isinstance(source, pl.DataFrame):
        return Plain(source, "", "a polars frame")
    if isinstance(source, (dict, list, tuple)):
        return _read_containers(source, "", "containers")
    kind = type(source).__module__.partition(".")[0]
    try:
        if kind == "pandas":
            numbered = type(source.index).__name__ == "RangeIndex"
            frame = pl.from_pandas(source if numbered else source.reset_index())
            return Plain(frame, "", "a pandas frame")
        if kind == "pyarrow":
            return Plain(pl.DataFrame(pl.from_arrow(source)), "", "an Arrow table")
    except (TypeError, ValueError, ImportError, pl.exceptions.PolarsError) as error:
        raise NatsdbError(f"the frame cannot be read ({said_by(error)})", remedy="give it as a polars frame") from error
    raise NatsdbError(
        f"{type(source).__name__} is no table", remedy="give a path, a frame of polars, pandas or Arrow, or containers"
    )


def dataset_named(text: Any) -> str | None:
    """The data set that a name means, whatever its case and dashes: `CIFAR-10`, `imagenet`; None if there is none."""
    plain = {name.lower().replace("-", "").replace("_", ""): name for name in DATASETS}
    plain |= {one.short: name for name, one in DATASETS.items() if one.short not in plain}
    return plain.get(str(text).lower().replace("-", "").replace("_", ""))


def _read_file(path: Path) -> Plain:
    import polars as pl

    try:
        data = path.read_bytes()
    except FileNotFoundError:
        raise Missing("there is no such file", where=str(path), remedy="name a file or give a frame") from None
    except OSError as error:
        raise NatsdbError(f"it cannot be read ({error.strerror})", where=str(path), remedy="name a file") from error
    where = str(path)
    try:
        for begins, form, read in _FRAMES:
            if data.startswith(begins):
                return Plain(read(data), path.name, form)
        if data.startswith(b"PK"):
            return _read_containers(_torch(data, where), path.name, "a torch file", where)
        if data.startswith(b"\x80"):
            return _read_containers(_unpickled(data, where), path.name, "a pickle", where)
        text = data.decode("utf-8-sig")
        if text.lstrip()[:1] in ("{", "["):
            return _read_containers(_json(text), path.name, "JSON", where)
        return Plain(_csv(text, where), path.name, "CSV")
    except UnicodeDecodeError:
        forms = "CSV, JSON, Parquet, Arrow, a pickle or a torch file of plain containers"
        raise NatsdbError("its form is not known", where=where, remedy=f"give {forms}") from None
    except json.JSONDecodeError as error:
        raise Damaged(f"the JSON cannot be read ({error})", where=where, remedy="mend it or write it again") from error
    except (pl.exceptions.PolarsError, OSError) as error:
        raise Damaged(f"the table cannot be read ({said_by(error)})", where=where, remedy="write it again") from error


def _parquet(data: bytes) -> pl.DataFrame:
    import polars as pl

    return pl.read_parquet(data)


def _arrow(data: bytes) -> pl.DataFrame:
    import polars as pl

    return pl.read_ipc(data)


def _arrow_stream(data: bytes) -> pl.DataFrame:
    import polars as pl

    return pl.read_ipc_stream(data)


# By the bytes that a file begins with.
_FRAMES: tuple[tuple[bytes, str, Callable[[bytes], Any]], ...] = (
    (b"PAR1", "Parquet", _parquet),
    (b"ARROW1", "Arrow", _arrow),
    (b"\xff\xff\xff\xff", "an Arrow stream", _arrow_stream),
)


def _csv(text: str, where: str) -> pl.DataFrame:
    import polars as pl

    header = text.partition("\n")[0]
    separator = max(",\t;", key=header.count)
    frame = pl.read_csv(io.StringIO(text), infer_schema=False, separator=separator)
    # Many write a blank after each comma.
    names = [name.strip() for name in frame.columns]
    if len(set(names)) == len(names):
        frame.columns = names
    bare = pl.all().str.strip_chars()
    return _with_points(frame.select(pl.when(~bare.is_in(_NULLS)).then(bare)), where)


def _with_points(frame: pl.DataFrame, where: str) -> pl.DataFrame:
    """Texts of a CSV file with decimal points, where it has decimal commas: 93,5 in a column of such numbers.

    Raises:
        NatsdbError: its commas may as well stand between thousands: each has three digits behind it, 1,234.
    """
    import polars as pl

    columns = [
        values.name
        for values in frame.get_columns()
        if values.str.contains(",", literal=True).any() and values.str.contains(_DECIMAL_COMMA).all()
    ]
    if not columns:
        return frame
    commas = pl.concat([frame[name].filter(frame[name].str.contains(",", literal=True)) for name in columns])
    if commas.str.contains(_THOUSANDS).all():
        raise NatsdbError(
            f"{commas[0]!r} in {columns[0]!r} may have a decimal comma or be thousands",
            where=where,
            remedy="write its numbers with decimal points, and nothing between thousands",
        )
    return frame.with_columns(
        pl.col(name).str.replace_all(".", "", literal=True).str.replace(",", ".") for name in columns
    )


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except json.JSONDecodeError as error:
        if not error.msg.startswith("Extra data"):
            raise
        return [json.loads(line) for line in text.splitlines() if line.strip()]


def _torch(data: bytes, where: str) -> Any:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as file:
            inner = [one for one in file.infolist() if one.filename.rpartition("/")[2] == "data.pkl"]
            if len(inner) != 1:
                raise NatsdbError("the zip is no torch file", where=where, remedy="unpack it and name the file inside")
            if inner[0].file_size > LARGEST_RECORD:
                raise NatsdbError("it holds more than 1 GiB", where=where, remedy="write its values as Parquet")
            return _unpickled(file.read(inner[0]), where)
    except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
        raise Damaged(f"the zip cannot be read ({error})", where=where, remedy="download the file again") from error


def _unpickled(data: bytes, where: str) -> Any:
    try:
        stream = io.BytesIO(data)
        value = restricted(stream)
        if value == TORCH_MAGIC:
            # torch.save before 1.6: its format's number and the machine, each a pickle, come before the object.
            _, _, value = restricted(stream), restricted(stream), restricted(stream)
        return value
    except DAMAGE as error:
        what = f"the pickle is not made of plain containers and numbers only ({said_by(error)})"
        raise Damaged(what, where=where, remedy="write its values as CSV, JSON or Parquet") from error


def _read_containers(value: Any, file: str, form: str, where: str = "") -> Plain:
    import polars as pl

    rows, keyed = _rows(_plain(value), where)
    names = dict.fromkeys(name for row in rows for name in row)
    frame = pl.DataFrame([_column(name, [row.get(name) for row in rows], where) for name in names])
    return Plain(frame, file, form, KEYS if keyed else None)


def _column(name: str, values: list[Any], where: str) -> pl.Series:
    """Values of a leaf; where they are neither numbers nor lists all, as texts, so that none is lost."""
    import polars as pl

    kinds = {type(one) for one in values} - {type(None)}
    if kinds == {int, float}:
        values = [None if one is None else float(one) for one in values]
    elif len(kinds) > 1 or not kinds <= {int, float, str, bool, list}:
        values = [None if one is None else str(one) for one in values]
    try:
        return pl.Series(name, values)
    except (TypeError, ValueError, OverflowError, pl.exceptions.PolarsError) as error:
        what = f"the values of {name!r} make no column ({said_by(error)})"
        raise NatsdbError(what, where=where, remedy="write it as CSV") from error


Rows = list[dict[str, Any]]


def _rows(value: Any, where: str) -> tuple[Rows, bool]:
    """The rows that plain containers hold, and whether these have keys of a dictionary in a column KEYS."""
    if isinstance(value, list):
        if value and all(isinstance(one, dict) for one in value):
            return [_flat(one) for one in value], False
        if value and not any(isinstance(one, list) for one in value):
            return [{VALUE: one} for one in value], False
        raise NatsdbError(
            "it is a list of neither numbers nor rows", where=where, remedy="write it as CSV, with a header"
        )
    if not isinstance(value, dict) or not value:
        raise NatsdbError("there is no table in it", where=where, remedy="give a list or a dictionary of values")
    inner = list(value.values())
    if all(map(dataset_named, value)) and all(isinstance(one, (dict, list)) for one in inner):
        rows, keyed = [], False
        for name, one in value.items():
            found, keyed = _rows(one, where)
            rows += [{"dataset": name, **row} for row in found]
        return rows, keyed
    if are_architectures(list(value)):
        return [{KEYS: _key(key), **row} for key, one in value.items() for row in _by_dataset(one)], True
    if all(isinstance(one, list) for one in inner) and len({len(one) for one in inner}) == 1:
        return [dict(zip(map(str, value), row, strict=True)) for row in zip(*inner, strict=True)], False
    if all(isinstance(one, dict) and are_architectures(list(one)) for one in inner):
        joined: dict[Any, dict[Any, Any]] = {}
        for name, one in value.items():
            for key, leaf in one.items():
                joined.setdefault(key, {})[name] = leaf
        return [{KEYS: _key(key), **_flat(row)} for key, row in joined.items()], True
    if len(value) == 1:
        return _rows(inner[0], where)
    keys = ", ".join(repr(key) for key in list(value)[:3])
    raise NatsdbError(
        f"it is a dictionary of {len(value):,} keys ({keys}, …) that are neither architectures, data sets nor columns",
        where=where,
        remedy="write it as CSV, with a column for each",
    )


def _by_dataset(value: Any) -> Rows:
    """The rows of an architecture: one, or one a data set."""
    if isinstance(value, dict) and value and all(map(dataset_named, value)):
        return [{"dataset": name, **_flat(one)} for name, one in value.items()]
    return [_flat(value)]


def _key(key: Any) -> Any:
    return str(list(key)) if isinstance(key, tuple) else key


def are_architectures(values: Sequence[Any]) -> bool:
    """Whether most of some keys are architectures, in one encoding of one space."""
    for space in SPACES.values():
        for archs in readings(space, values[:1000]).values():
            if 2 * archs.count(None) < len(archs):
                return True
    return False


def _flat(value: Any, name: str = "") -> dict[str, Any]:
    """Leaves of nested dictionaries by their path, joined by _: {"synflow": {"score": 1}} has a leaf synflow_score."""
    if not isinstance(value, dict):
        return {name or VALUE: value}
    if not any(isinstance(one, dict) for one in value.values()):
        return {f"{name}_{key}": one for key, one in value.items()} if name else {str(k): v for k, v in value.items()}
    leaves: dict[str, Any] = {}
    for key, one in value.items():
        for path, leaf in _flat(one, f"{name}_{key}" if name else str(key)).items():
            while path in leaves:
                path += "_"
            leaves[path] = leaf
    return leaves


def _plain(value: Any) -> Any:
    """Containers of Python's own, lists in place of tuples and arrays, but for keys."""
    if isinstance(value, Tensor):
        value = value.numpy()
    if isinstance(value, (np.ndarray, np.generic)):
        return value.tolist()
    if isinstance(value, Mapping):
        return {
            key.item() if isinstance(key, np.generic) else key: one if type(one) in _LEAVES else _plain(one)
            for key, one in value.items()
        }
    if isinstance(value, (list, tuple)):
        return [one if type(one) in _LEAVES else _plain(one) for one in value]
    return value
