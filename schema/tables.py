"""The tables of a natsdb database, once: name, key, and for each column its type, unit and meaning.

Readers, writers, `natsdb info` and the docs derive from here. No import of pyarrow or polars at module level: `natsdb
info` and `import natsdb` stay light; `arrow_schema` builds the Arrow schema when a writer asks for it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache
from typing import TYPE_CHECKING, Any, NamedTuple

from natsdb.schema.datasets import DATASETS, searched
from natsdb.schema.names import either
from natsdb.schema.schedules import HPS, epochs_of
from natsdb.schema.spaces import SPACES

if TYPE_CHECKING:
    import polars as pl
    import pyarrow as pa

# Format 2 (2026): columns, digests and versions in the manifest, page checksums in the files. Format 3 (2026): attached
# tables. Earlier ones are read still.
FORMAT_VERSION = 3

# Measurements lie in blocks of this many consecutive architectures: a unit of work, a file per table and hp.
BLOCK = 1024
# Rows of this many consecutive architectures share a Parquet row group, by hp, and pages hold this many rows: a page is
# what the facade reads for one curve, and DuckDB too, by the page index. Chosen by tests/benchmarks/test_storage.py. Of
# tss at hp 200, groups of 8, 16, 32, 64 architectures in pages of 6,000 rows: a page of accuracy and one of loss take
# 0.59, 0.44, 0.51, 1.30 ms to find and read (headers are read one after another), a curve by SQL 14.6, 7.0, 5.8, 4.9
# ms, a scan 71, 89, 45, 63 ms, a curve over HTTP 329, 169, 176, 192 kB; footers 82, 41, 21, 11 kB a block. Pages of
# 10,000 rows save 0.2 B of 11.5 B a row, and of 20,000 another 0.3.
GROUPS = {"01": 1024, "12": 256, "90": 64, "200": 32}
PAGE_ROWS = {"01": 20_000, "12": 10_000, "90": 10_000, "200": 6_000}


def group_size(hp: str) -> int:
    """How many consecutive architectures share a row group."""
    return GROUPS[_official(hp)]


def page_rows(hp: str) -> int:
    """How many rows a page holds."""
    return PAGE_ROWS[_official(hp)]


def _official(hp: str) -> str:
    """The shortest official schedule of at least as many epochs, else the longest."""
    return min(HPS, key=lambda of: (HPS[of] < epochs_of(hp), abs(HPS[of] - epochs_of(hp))))


@dataclass(frozen=True)
class Column:
    """A column: `type` in DuckDB's words; `meaning` with its unit; `partition` when it is a folder's name; `since`: the
    format that brought it. Files of an earlier one lack it, and it reads as null."""

    name: str
    type: str
    meaning: str
    partition: bool = False
    since: int = 1


@dataclass(frozen=True)
class Table:
    """A table: what a row is, the columns that identify a row, and all columns."""

    name: str
    row: str
    key: tuple[str, ...]
    columns: tuple[Column, ...]

    @property
    def partitioned(self) -> bool:
        """Whether rows lie in folders `source=…/space=…/hp=…`, in one file a block of architectures."""
        return any(column.partition for column in self.columns)


_SOURCE = Column(
    "source", "VARCHAR", "where the row came from: official, regenerated, synthetic, or a name the user gave", True
)
_SPACE = Column(
    "space",
    "VARCHAR",
    f"search space: {either(f'{one.name} ({one.size:,} {one.about})' for one in SPACES.values())}",
)
_SPACE_DIR = replace(_SPACE, partition=True)
_HP = Column(
    "hp",
    "VARCHAR",
    "training schedule by its official name: "
    + "; ".join(f"{', '.join(one.hps)} ({one.name})" for one in SPACES.values())
    + "; others are numbers of epochs",
    True,
)
_ARCH = Column("arch", "INTEGER", "official index of the architecture in its space, from 0")
_DATASET = Column("dataset", "VARCHAR", f"data set as trained on: {either(DATASETS)}")
_SEED = Column("seed", "INTEGER", "random seed of the training run: 111, 777, 888 or 999 in the official files")
_SPLIT = Column("split", "VARCHAR", "images measured on: train, x-valid, x-test or ori-test (see table dataset)")
_EPOCH = Column("epoch", "SMALLINT", "epoch, counted from 0")
_RUN = (_SOURCE, _SPACE_DIR, _HP, _ARCH, _DATASET, _SEED)
_RUN_KEY = tuple(column.name for column in _RUN)
_SEARCH = (
    Column(
        "search", "VARCHAR", "which search: a digest of algorithm, options, space, data set, schedule, budget, seed"
    ),
    Column("run", "INTEGER", "number of the run in its search, from 0"),
)
_MEASURED = (
    Column(
        "accuracy", "DOUBLE", "top-1 accuracy in percent; split train: running mean over the epoch, with augmentation"
    ),
    Column("top5", "DOUBLE", "top-5 accuracy in percent; only split train has it, and tss at hp 200 has none"),
    Column("loss", "DOUBLE", "mean cross entropy in nats"),
)

TABLES: dict[str, Table] = {
    table.name: table
    for table in (
        Table(
            "arch",
            "an architecture of a search space (all of each: 48,393 of tss and sss, and those of registered spaces)",
            ("space", "arch"),
            (
                _SPACE,
                _ARCH,
                Column("arch_str", "VARCHAR", "the official string: |op~0|+|op~0|op~1|+… (tss), c0:c1:c2:c3:c4 (sss)"),
                Column("ops", "VARCHAR[]", "tss: operations on edges 1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2; sss: null"),
                Column("channels", "SMALLINT[]", "sss: output channels of the five layers; tss: null"),
                Column("canonical", "INTEGER", "lowest index of the architectures that compute the same function"),
            ),
        ),
        Table(
            "arch_cost",
            "what the closed formulas say that an architecture costs on a data set",
            ("space", "arch", "dataset"),
            (
                _SPACE,
                _ARCH,
                _DATASET,
                Column("flops", "DOUBLE", "multiply-adds of one image's forward pass, in millions, by formula"),
                Column("params", "DOUBLE", "trainable parameters, in millions (10^6), by formula"),
            ),
        ),
        Table(
            "dataset",
            "a split of a data set as trained on",
            ("dataset", "split"),
            (
                _DATASET,
                _SPLIT,
                Column("classes", "SMALLINT", "number of classes"),
                Column("image_size", "SMALLINT", "height and width of an image in pixels"),
                Column("images", "INTEGER", "number of images in the split"),
                Column("meaning", "VARCHAR", "which images these are"),
            ),
        ),
        Table(
            "epoch",
            "an epoch of a training schedule",
            ("space", "hp", "epoch"),
            (
                _SPACE,
                Column("hp", "VARCHAR", _HP.meaning),
                _EPOCH,
                Column("learning_rate", "DOUBLE", "learning rate during the epoch: 0.1·(1+cos(pi·epoch/epochs))/2"),
            ),
        ),
        Table(
            "seed",
            "a training run",
            _RUN_KEY,
            (
                *_RUN,
                Column("epochs", "SMALLINT", "number of epochs trained"),
                Column("position", "SMALLINT", "place of the run in its official record, from 0"),
                Column(
                    "form", "VARCHAR", "JSON: key order and types of the official record, for a byte-faithful export"
                ),
                Column("file", "VARCHAR", "name of the file that the run was read from"),
                Column("file_md5", "VARCHAR", "MD5 of that file, in hexadecimal; null for the single benchmark file"),
                Column(
                    "code", "VARCHAR", "JSON: versions of the code and torch, precision, data set's digest; when known"
                ),
                Column("device", "VARCHAR", "device that trained the run, when known"),
                Column("weights", "BOOLEAN", "whether natsdb holds the trained weights of the run"),
                Column(
                    "reduced",
                    "BOOLEAN",
                    "whether the run saw fewer images or epochs than its schedule says; a full one counts before it",
                    since=2,
                ),
            ),
        ),
        Table(
            "metric",
            "a measurement: one run, one epoch, one split",
            (*_RUN_KEY, "split", "epoch"),
            (*_RUN, _SPLIT, _EPOCH, *_MEASURED),
        ),
        Table(
            "final",
            "a measurement at the last epoch of a run: the rows of metric with epoch = epochs - 1, apart for speed",
            (*_RUN_KEY, "split"),
            (*_RUN, _SPLIT, _EPOCH, *_MEASURED),
        ),
        Table(
            "cost",
            "what a training run cost",
            _RUN_KEY,
            (
                *_RUN,
                Column("flops", "DOUBLE", "multiply-adds of one image's forward pass, in millions, as recorded"),
                Column("params", "DOUBLE", "trainable parameters, in millions (10^6), as recorded"),
                Column("latency", "DOUBLE", "seconds for a batch of 256 images, as recorded; null when not recorded"),
                Column("train_seconds", "DOUBLE", "seconds of training an epoch (calibrated by the authors)"),
                Column("x_valid_seconds", "DOUBLE", "seconds of one pass over x-valid; null when not evaluated"),
                Column("x_test_seconds", "DOUBLE", "seconds of one pass over x-test; null when not evaluated"),
                Column("ori_test_seconds", "DOUBLE", "seconds of one pass over ori-test; null when not evaluated"),
                Column("seconds", "DOUBLE[]", "each epoch's seconds in the record's order where they vary; else null"),
                Column(
                    "latencies", "DOUBLE[]", "all latencies of a run that has several; latency is their mean", since=3
                ),
            ),
        ),
        Table(
            "search_run",
            "a run of a search algorithm",
            ("search", "run"),
            (
                *_SEARCH,
                Column(
                    "algorithm",
                    "VARCHAR",
                    "random, regularized_ea, …, optuna:TPESampler, …, darts-v1, …, or a user's own",
                ),
                _SPACE,
                Column("dataset", "VARCHAR", f"data set searched on: {either(searched())}"),
                Column("hp", "VARCHAR", "schedule of the runs that were asked; null for weight sharing"),
                Column("options", "VARCHAR", "JSON: options of the algorithm that are not the published ones"),
                Column("budget", "DOUBLE", "simulated seconds to spend; null for weight sharing"),
                Column("seed", "INTEGER", "seed that all chance comes from, with the run's number"),
                Column("steps", "INTEGER", "number of evaluations; for weight sharing of epochs"),
                Column("seconds", "DOUBLE", "simulated seconds spent; for weight sharing those of the device"),
                Column("arch", "INTEGER", "official index of the architecture that was found"),
                Column("provenance", "VARCHAR", "JSON: version, rows or images that were searched on, device"),
            ),
        ),
        Table(
            "search_step",
            "an evaluation of a search; for weight sharing an epoch",
            ("search", "run", "step"),
            (
                *_SEARCH,
                Column("step", "INTEGER", "number of the evaluation, or of the epoch, from 0"),
                Column("epoch", "SMALLINT", "epoch that was asked at, from 0; for weight sharing that of the search"),
                Column("arch", "INTEGER", "official index of the architecture evaluated"),
                Column(
                    "accuracy", "DOUBLE", "x-valid accuracy seen, in percent; for weight sharing with shared weights"
                ),
                Column("seconds", "DOUBLE", "simulated seconds spent so far; for weight sharing those of the device"),
                Column("best", "INTEGER", "official index of the best architecture so far"),
            ),
        ),
        Table(
            "search_front",
            "an evaluation that entered the front of a run with several objectives, and what that front is worth then",
            ("search", "run", "role", "step"),
            (
                *_SEARCH,
                Column(
                    "role", "VARCHAR", "images that the front is judged on: valid, test or both, as in full_accuracy"
                ),
                Column("step", "INTEGER", "number of the evaluation, as in search_step"),
                Column("arch", "INTEGER", "official index of the architecture evaluated"),
                Column("until", "INTEGER", "evaluation that beat it; null on the front that was found"),
                Column("objectives", "VARCHAR[]", "the search's objectives, as they were written"),
                Column("seen", "DOUBLE[]", "their values that the search was told, in this order"),
                Column("judged", "DOUBLE[]", "the same with the accuracy of full training; null where there is none"),
                Column("size", "INTEGER", "architectures on the front after this evaluation"),
                Column(
                    "hypervolume", "DOUBLE", "share of the box from ideal to reference that the front dominates, judged"
                ),
                Column("igd_plus", "DOUBLE", "IGD+ of the front to the exact one of the space, in that box, judged"),
                Column("exact_hypervolume", "DOUBLE", "hypervolume of the exact front of the space"),
                Column("ideal", "DOUBLE[]", "the best value of each objective in the space"),
                Column("reference", "DOUBLE[]", "the reference point: the worst value of each objective in the space"),
            ),
        ),
    )
}

# The tables of the catalogue: computed, one file each. Those of searches have a file for each search; the last
# only of searches with several objectives.
CATALOGUE = ("arch", "arch_cost", "dataset", "epoch")
SEARCH_TABLES = ("search_run", "search_step", "search_front")

# The tables that hold a file for each (source, space, hp, block), in the order in which they are written.
BLOCK_TABLES = tuple(name for name, table in TABLES.items() if table.partitioned)


class _Type(NamedTuple):
    """What a type of DuckDB is called by PyArrow, polars and Croissant."""

    arrow: str
    polars: str
    croissant: str


# `[]` behind a type makes a list of it.
_TYPES = {
    "VARCHAR": _Type("string", "String", "sc:Text"),
    "INTEGER": _Type("int32", "Int32", "sc:Integer"),
    "BIGINT": _Type("int64", "Int64", "sc:Integer"),
    "SMALLINT": _Type("int16", "Int16", "sc:Integer"),
    "DOUBLE": _Type("float64", "Float64", "sc:Float"),
    "BOOLEAN": _Type("bool_", "Boolean", "sc:Boolean"),
}


def _of_types(table: Table, make: Callable[[_Type], Any], list_of: Callable[[Any], Any]) -> dict[str, Any]:
    found = {}
    for column in table.columns:
        one = make(_TYPES[column.type.removesuffix("[]")])
        found[column.name] = list_of(one) if column.type.endswith("[]") else one
    return found


def column_types(table: Table) -> dict[str, pa.DataType]:
    """Arrow types of all columns of a table, folder names included."""
    import pyarrow as pa

    return _of_types(table, lambda one: getattr(pa, one.arrow)(), pa.list_)


def polars_types(table: Table) -> dict[str, pl.DataType]:
    """polars types of all columns of a table, folder names included."""
    import polars as pl

    return _of_types(table, lambda one: getattr(pl, one.polars), pl.List)


def croissant_types(table: Table) -> dict[str, dict[str, Any]]:
    """What Croissant says of the type of each column of a table, folder names included."""
    return _of_types(table, lambda one: {"dataType": one.croissant}, lambda element: {**element, "repeated": True})


@cache
def arrow_schema(name: str) -> pa.Schema:
    """Arrow schema of the Parquet files of one of natsdb's tables: the columns that are not folder names."""
    return schema_of(TABLES[name])


def schema_of(table: Table) -> pa.Schema:
    """Arrow schema of a table's Parquet files."""
    import pyarrow as pa

    types = column_types(table)
    return pa.schema(
        [
            pa.field(column.name, types[column.name], metadata={"meaning": column.meaning})
            for column in table.columns
            if not column.partition
        ]
    )
