"""Rows of a block that come from two places become one: new ones are added, contradictions refused or replaced.

All of it is done on whole columns: a run is a number, a measurement is a number, and both are joined by sorting.
"""

from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from natsdb.ingest.archive.records import SPLITS
from natsdb.schema.errors import Contradiction
from natsdb.schema.tables import BLOCK_TABLES, arrow_schema

Tables = dict[str, pa.Table]

# Published tables are rounded, each in its own way: accuracies to six decimals, which is less than one image of a split
# makes; seconds, latencies and parameters to four digits. (absolute, relative)
_ROUNDING = {"accuracy": (1e-6, 0.0)}
_ROUNDING_OF_COSTS = (0.0, 1e-4)
_RUN = ("arch", "dataset", "seed")
_CODED = pa.dictionary(pa.int8(), pa.string())
_REMEDY = "keep the database, replace its rows with --replace, or name the new rows with --source NAME"


def merge(
    new: Tables,
    old: Tables,
    where: str,
    *,
    replace: bool,
    join: Counter[str] | None = None,
    holder: str = "the database",
) -> tuple[Tables, bool]:
    """Old and new rows of some architectures at one hp together, sorted by key, and whether they are more than the old.

    Args:
        new, old: rows by table, sorted by key.
        where: space and hp, for errors.
        replace: a run that is there with other numbers is replaced, instead of refused.
        join: the rows are of published tables: two that measure other splits of a run, or say other things of its
            costs, make one run; what is null in one is taken from the other. It counts, by file, the runs whose
            parameters are others in the new table: the old ones are kept, for the official records themselves disagree
            there, by seed. None: a run is one record's, as it is.
        holder: whose the old rows are, for errors; when empty, the file that the run was read from.

    Raises:
        Contradiction: a run is there with other numbers; the file it came from and its key are named.
    """
    new = {name: plain(table, name) for name, table in new.items()}
    old = {name: plain(table, name) for name, table in old.items()}
    datasets = sorted({name for side in (new, old) for name in pc.unique(side["seed"]["dataset"]).to_pylist()})
    runs = np.union1d(*(run_keys(side["seed"], datasets) for side in (new, old)))
    mine, theirs = ({name: row_numbers(side[name], datasets, runs) for name in BLOCK_TABLES} for side in (new, old))
    fresh = ~np.isin(np.arange(len(runs)), theirs["seed"])
    faults = _Faults(len(runs), new, old)
    for name in ("metric", "final"):
        _measured(faults, name, mine[name], theirs[name], len(runs), join is not None)
    _costs(faults, mine["cost"], theirs["cost"], None if replace else join, join is not None)
    if faults.first and not replace:
        raise faults.error(where, mine["seed"], theirs["seed"], holder)
    take = fresh | faults.differ
    masks = {}
    for name in ("metric", "final"):
        from_new, not_old = take[mine[name] >> 17], take[theirs[name] >> 17]
        if join is not None:  # what one of them lacks is the other's
            from_new |= ~np.isin(mine[name], theirs[name])
            not_old &= np.isin(theirs[name], mine[name])
        masks[name] = from_new, ~not_old
    gained = np.zeros(len(runs), bool)
    gained[mine["seed"]] = new["seed"]["weights"].to_numpy()
    gained[theirs["seed"]] &= ~old["seed"]["weights"].to_numpy()
    masks["seed"] = (take | gained)[mine["seed"]], ~(take | gained)[theirs["seed"]]
    masks["cost"] = take[mine["cost"]], ~take[theirs["cost"]]
    merged = {}
    for name, (from_new, from_old) in masks.items():
        every = pa.concat_tables([_texts(old[name]).filter(from_old), _texts(new[name]).filter(from_new)])
        order = np.argsort(np.concatenate([theirs[name][from_old], mine[name][from_new]]), kind="stable")
        merged[name] = plain(every.take(order), name)
    changed = any(from_new.any() for from_new, _ in masks.values())
    if join is not None:
        filled = _filled(merged["cost"], new["cost"], old["cost"], mine["cost"], theirs["cost"], take)
        changed |= not filled.equals(merged["cost"])
        merged["cost"], merged["seed"] = filled, _positions(merged["seed"])
    return (merged, True) if changed else (old, False)


def run_keys(table: pa.Table, datasets: list[str]) -> np.ndarray:
    """A number for the run of each row, in the order of the runs' keys."""
    dataset = pc.index_in(table["dataset"].cast(pa.string()), pa.array(datasets, pa.string())).to_numpy()
    arch, seed = (table[name].to_numpy().astype(np.int64) for name in ("arch", "seed"))
    return arch << 36 | dataset.astype(np.int64) << 32 | seed + (1 << 31)


def row_numbers(table: pa.Table, datasets: list[str], runs: np.ndarray) -> np.ndarray:
    """A number for each row, in the order of keys: the place of its run, above split and epoch if it has them."""
    run = np.searchsorted(runs, run_keys(table, datasets))
    if "split" not in table.column_names:
        return run
    split = pc.index_in(table["split"].cast(pa.string()), pa.array(SPLITS)).to_numpy()
    return run << 17 | split.astype(np.int64) << 15 | table["epoch"].to_numpy()


class _Faults:
    """What differs between two versions of runs: which runs (`differ`), and the first of it in words."""

    def __init__(self, runs: int, new: Tables, old: Tables) -> None:
        self.differ = np.zeros(runs, bool)
        self.new, self.old = new, old
        self.first: tuple[int, str] | None = None

    def add(self, runs: np.ndarray, what: str) -> None:
        """Note runs that differ, and what is wrong with the first of them."""
        if len(runs):
            self.differ[runs] = True
            if self.first is None or runs[0] < self.first[0]:
                self.first = int(runs[0]), what

    def compare(self, table: str, column: str, runs: np.ndarray, at: tuple[np.ndarray, np.ndarray], join: bool) -> None:
        """Note where rows at some places of the new and the old table differ in a column; `runs`: the run of each."""
        mine, theirs = (side[table][column].take(place) for side, place in zip((self.new, self.old), at, strict=True))
        differ = differing(mine, theirs, rounding_of(column) if join else None)
        if differ.any():
            n = int(np.flatnonzero(differ)[0])
            keys = [self.new[table][key][int(at[0][n])] for key in ("split", "epoch") if table != "cost"]
            place = "".join(f", {key} {value}" for key, value in zip(("split", "epoch"), keys, strict=False))
            self.add(runs[differ], f"{column}{place} is {mine[n]}, HOLDER holds {theirs[n]}")

    def error(self, where: str, mine: np.ndarray, theirs: np.ndarray, holder: str) -> Contradiction:
        """The first difference, with the file and the key of its run."""
        assert self.first is not None
        run, what = self.first
        row, held = (
            side["seed"].slice(int(np.searchsorted(numbers, run)), 1).to_pylist()[0]
            for side, numbers in ((self.new, mine), (self.old, theirs))
        )
        return Contradiction(
            f"architecture {row['arch']}, {row['dataset']}, seed {row['seed']}: "
            + what.replace("HOLDER", holder or str(held["file"])),
            where=f"{row['file']}: {where}",
            remedy=_REMEDY,
        )


def _measured(faults: _Faults, name: str, mine: np.ndarray, theirs: np.ndarray, runs: int, join: bool) -> None:
    """Compare measurements of so many runs."""
    _, at_new, at_old = np.intersect1d(mine, theirs, assume_unique=True, return_indices=True)
    if not join:
        lone = np.concatenate([np.delete(mine, at_new), np.delete(theirs, at_old)]) >> 17
        known, held = np.zeros(runs, bool), np.zeros(runs, bool)
        known[theirs >> 17] = True
        held[mine >> 17] = True
        faults.add(
            np.sort(lone[known[lone] & held[lone]]),
            "it has measurements of other epochs or splits than the database holds",
        )
    for column in ("accuracy", "top5", "loss"):
        faults.compare(name, column, mine[at_new] >> 17, (at_new, at_old), join)


def _costs(faults: _Faults, mine: np.ndarray, theirs: np.ndarray, kept: Counter[str] | None, join: bool) -> None:
    runs, at_new, at_old = np.intersect1d(mine, theirs, assume_unique=True, return_indices=True)
    for column in faults.new["cost"].column_names:
        if column == "params" and kept is not None:
            a, b = (t["cost"][column].take(at) for t, at in ((faults.new, at_new), (faults.old, at_old)))
            differ = differing(a, b, _ROUNDING_OF_COSTS)
            kept.update(faults.new["seed"]["file"].take(np.flatnonzero(np.isin(mine, runs[differ]))).to_pylist())
        elif column not in _RUN:
            faults.compare("cost", column, runs, (at_new, at_old), join)


def rounding_of(column: str) -> tuple[float, float]:
    """By how much two published tables may differ in a column and say the same: absolute, and relative."""
    return _ROUNDING.get(column, _ROUNDING_OF_COSTS)


def differing(mine: Any, theirs: Any, rounding: tuple[float, float] | None = None) -> np.ndarray:
    """Where two columns differ: in bits, nulls too; or beyond rounding, where both have a value."""
    absent = [column.is_null().to_numpy(zero_copy_only=False) for column in (_whole(mine), _whole(theirs))]
    if pa.types.is_list(mine.type):
        differ = np.zeros(len(mine), bool)
        for n in np.flatnonzero(~absent[0] & ~absent[1]):  # few runs have a list of seconds
            differ[n] = mine[n].values.to_numpy().tobytes() != theirs[n].values.to_numpy().tobytes()
    else:
        a, b = (_whole(column).fill_null(0.0).to_numpy(zero_copy_only=False) for column in (mine, theirs))
        if rounding is not None:
            differ = np.abs(a - b) > rounding[0] + rounding[1] * np.maximum(np.abs(a), np.abs(b))
        else:
            differ = a.view(np.int64) != b.view(np.int64)
        differ &= ~absent[0] & ~absent[1]
    return differ if rounding is not None else differ | (absent[0] != absent[1])


def _filled(
    merged: pa.Table, new: pa.Table, old: pa.Table, mine: np.ndarray, theirs: np.ndarray, take: np.ndarray
) -> pa.Table:
    """Costs with nulls filled from the side that a run's row was not taken from."""
    runs = np.union1d(mine, theirs)
    other = [_place(mine, runs), _place(theirs, runs)]
    from_new, from_old = (
        table.take(pa.array(place, mask=place < 0)) for table, place in zip((new, old), other, strict=True)
    )
    newer = pa.array(take[runs])
    for n, name in enumerate(merged.column_names):
        if name in _RUN or pa.types.is_list(merged.schema.field(name).type):
            continue
        first = pc.if_else(newer, from_new[name], from_old[name])
        column = pc.coalesce(first, from_old[name], from_new[name])
        merged = merged.set_column(n, merged.schema.field(name), column)
    return merged


def _place(numbers: np.ndarray, runs: np.ndarray) -> np.ndarray:
    """Where each run is among some numbers, -1 where it is not."""
    at = np.minimum(np.searchsorted(numbers, runs), len(numbers) - 1)
    return np.where(numbers[at] == runs, at, -1)


def _positions(seed: pa.Table) -> pa.Table:
    """The table `seed` with the runs of each architecture counted anew."""
    arch = seed["arch"].to_numpy()
    position = np.arange(len(arch)) - np.searchsorted(arch, arch)
    at = seed.schema.get_field_index("position")
    return seed.set_column(at, seed.schema.field(at), pa.array(position.astype(np.int16)))


def _whole(column: Any) -> Any:
    return column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column


def _texts(table: pa.Table) -> pa.Table:
    """With texts instead of codes, which mean other things in another table."""
    for n, field in enumerate(table.schema):
        if pa.types.is_dictionary(field.type):
            table = table.set_column(n, field.name, table[field.name].cast(pa.string()))
    return table


def plain(table: pa.Table, name: str) -> pa.Table:
    """Columns in the table's order and of its types. `metric` keeps its texts as codes, as the writer wants them."""
    columns = []
    for field in file_schema(name):
        if field.name not in table.column_names:  # a file of an earlier format
            columns.append(pa.nulls(len(table), field.type))
            continue
        column = table[field.name]
        if column.type != field.type:
            if pa.types.is_dictionary(field.type):
                names = pa.array(SPLITS) if field.name == "split" else pc.unique(column).sort()
                codes = pc.index_in(column, names).combine_chunks()
                column = pa.DictionaryArray.from_arrays(codes.cast(pa.int8()), names)
            else:
                column = column.cast(field.type)
        columns.append(column)
    return pa.table(columns, schema=file_schema(name))


def file_schema(name: str) -> pa.Schema:
    """Types of a table's columns as the writer gets them."""
    schema = arrow_schema(name).remove_metadata()
    if name == "metric":
        for text in ("dataset", "split"):
            schema = schema.set(schema.get_field_index(text), pa.field(text, _CODED))
    return schema
