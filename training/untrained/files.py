"""Figures of architectures, kept as they come: what was worked out for hours is there after a kill.

FOLDER/tss/cifar10/000031.parquet     figures of 32 architectures on a data set; a row is one of them

A file is whole or not there, and written anew every few seconds while figures are added to it.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from natsdb.schema.errors import Damaged, said_by
from natsdb.store.writing import whole_file, writing

ARCHS = 32
# Seconds of work that a kill may cost each process.
_UNKEPT = 5.0
_SCHEMA = pa.schema(
    {"arch": pa.int32(), "name": pa.string(), "key": pa.string(), "value": pa.float64(), "why": pa.string()}
)


class Figure(NamedTuple):
    """A number of an architecture.

    `name`: which, a column's name; `key`: a digest of all that decides it but the architecture, empty of what failed
    and is to be tried again; `value`: None where there is none, and then `why` says the reason.
    """

    arch: int
    name: str
    key: str
    value: float | None
    why: str = ""


# By architecture, name and key: a file holds figures of several settings beside each other.
Figures = dict[tuple[int, str, str], Figure]
# Works out figures of an architecture, at least those of the names that are lacking.
Compute = Callable[[int, Sequence[str]], Iterable[Figure]]


def digest(*parts: Any) -> str:
    """First digits of the SHA-256 of values, for a figure's key."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def finite(arch: int, name: str, key: str, value: float) -> Figure:
    """A figure of a value, or of none where it is not finite."""
    number = float(value)
    if math.isfinite(number):
        return Figure(arch, name, key, number)
    return Figure(arch, name, key, None, f"it is {number}")


def blocks(folder: Path, space: str, dataset: str, archs: Iterable[int]) -> dict[Path, list[int]]:
    """The files of architectures' figures, and which of the architectures are in each."""
    found: dict[Path, list[int]] = {}
    for arch in sorted(archs):
        found.setdefault(folder / space / dataset / f"{arch // ARCHS:06d}.parquet", []).append(arch)
    return found


def read(path: Path) -> Figures:
    """The figures of a file; none if it is not there.

    Raises:
        Damaged: it is no such file.
    """
    try:
        table = pq.read_table(path)
        rows = zip(*(table[name].to_pylist() for name in _SCHEMA.names), strict=True)
    except FileNotFoundError:
        return {}
    except (OSError, KeyError, pa.ArrowException) as error:
        what = f"kept figures cannot be read ({said_by(error)})"
        raise Damaged(what, where=str(path), remedy="remove the file, and the same command makes it again") from error
    return {row[:3]: Figure(*row) for row in rows}


def lacking(figures: Figures, archs: Iterable[int], keys: Mapping[str, str]) -> dict[int, list[str]]:
    """By architecture the names of which there is no figure of the key; architectures that lack none are left out."""
    found = {}
    for arch in archs:
        names = [name for name, key in keys.items() if (arch, name, key) not in figures]
        if names:
            found[arch] = names
    return found


def figure_of(figures: Figures, arch: int, name: str, key: str) -> Figure:
    """An architecture's figure, or why it failed."""
    return figures.get((arch, name, key)) or figures[arch, name, ""]


def fill(
    path: Path, archs: Iterable[int], keys: Mapping[str, str], compute: Compute, done: Callable[[int], None]
) -> Figures:
    """Work out the figures that a file lacks, and keep them there.

    Args:
        archs, keys: of which architectures, and by name the key of each figure.
        done: called after each architecture with how many figures were worked out for it; what it raises ends the
            work, and what was worked out is kept.

    Returns:
        All figures of the file.
    """
    figures = read(path)
    written, unkept = time.monotonic(), False
    try:
        for arch, names in lacking(figures, archs, keys).items():
            for name in names:
                figures.pop((arch, name, ""), None)
            for figure in compute(arch, names):
                figures[figure[:3]] = figure
                unkept = True
            if time.monotonic() - written > _UNKEPT:
                _write(path, figures)
                written, unkept = time.monotonic(), False
            done(len(names))
    finally:
        if unkept:
            _write(path, figures)
    return figures


def _write(path: Path, figures: Figures) -> None:
    columns = zip(*(figures[key] for key in sorted(figures)), strict=True)
    arrays = [pa.array(list(column), field.type) for column, field in zip(columns, _SCHEMA, strict=True)]
    with writing(path):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary:
            pq.write_table(pa.Table.from_arrays(arrays, schema=_SCHEMA), temporary, compression="zstd")
