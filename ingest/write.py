"""Arrays become Parquet: a block of 1,024 architectures is one file a table and hp, with row groups of some of them.

A block's files are a function of the rows they hold, byte for byte: rows are sorted by key, row groups lie at fixed
places, names end in the digest of the contents. So an interrupted run that resumes, or the same rows from another
form of the archive, end in the same files.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from natsdb.ingest.archive.records import SPLITS, TIME_SPLITS, HpRecord, Layout
from natsdb.schema.errors import Contradiction
from natsdb.schema.schedules import HPS
from natsdb.schema.tables import BLOCK_TABLES, GROUPS, arrow_schema
from natsdb.store.manifest import Part
from natsdb.store.parquet import named_after_contents, open_parquet, write_options

_SMALL = tuple(name for name in BLOCK_TABLES if name != "metric")
_RUN = ("arch", "dataset", "seed")
_SPLIT_NAMES = pa.array(SPLITS)
_CODED = pa.dictionary(pa.int8(), pa.string())


@dataclass(frozen=True)
class Provenance:
    """Where an architecture's record came from: file name, MD5 (None for the single file), code and device if known;
    whether its runs saw fewer images than the data set has."""

    file: str
    md5: str | None
    code: str | None = None
    device: str | None = None
    fewer_images: bool = False


def _texts(codes: np.ndarray, names: Any) -> pa.DictionaryArray:
    return pa.DictionaryArray.from_arrays(pa.array(codes, pa.int8()), names)


class Rows:
    """The rows of some architectures at one hp, as Arrow tables, one a table of the database."""

    def __init__(self) -> None:
        self._items: list[tuple[int, HpRecord, Provenance]] = []

    def add(self, arch: int, record: HpRecord, provenance: Provenance) -> None:
        self._items.append((arch, record, provenance))

    def __len__(self) -> int:
        return sum(len(record.layout.split) for _, record, _ in self._items)

    def tables(self) -> dict[str, pa.Table]:
        """The rows, sorted by key as the architectures were added in order."""
        items = self._items
        layouts = [record.layout for _, record, _ in items]
        datasets = sorted({run.dataset for layout in set(layouts) for run in layout.runs})
        keys = {id(layout): _RunKeys.of(layout, datasets) for layout in set(layouts)}
        archs = np.array([arch for arch, _, _ in items], np.int32)
        measured = {
            name: np.concatenate([record.values[getattr(record.layout, name)] for _, record, _ in items])
            for name in ("accuracy", "top5", "loss")
        }
        absent = np.concatenate([layout.top5 < 0 for layout in layouts])
        metric = pa.table(
            {
                "arch": np.repeat(archs, [len(layout.split) for layout in layouts]),
                "dataset": _texts(np.concatenate([keys[id(layout)].dataset_of_row for layout in layouts]), datasets),
                "seed": np.concatenate([keys[id(layout)].seed_of_row for layout in layouts]),
                "split": _texts(np.concatenate([layout.split for layout in layouts]), _SPLIT_NAMES),
                "epoch": np.concatenate([layout.epoch for layout in layouts]),
                "accuracy": measured["accuracy"],
                "top5": pa.array(measured["top5"], mask=absent),
                "loss": measured["loss"],
            }
        )
        starts = np.cumsum([0] + [len(layout.split) for layout in layouts[:-1]])
        last = np.concatenate([start + layout.last for start, layout in zip(starts, layouts, strict=True)])
        runs = {
            "arch": np.repeat(archs, [len(layout.runs) for layout in layouts]),
            "dataset": _texts(np.concatenate([keys[id(layout)].dataset for layout in layouts]), datasets),
            "seed": np.concatenate([keys[id(layout)].seed for layout in layouts]),
        }
        return {
            "seed": self._seeds(runs),
            "metric": metric,
            "final": metric.take(pa.array(last)),
            "cost": self._costs(runs),
        }

    def _seeds(self, runs: dict[str, Any]) -> pa.Table:
        every = [(run, provenance, record) for _, record, provenance in self._items for run in record.layout.runs]
        return pa.table(
            {
                **runs,
                "epochs": np.array([run.epochs for run, _, _ in every], np.int16),
                "position": np.array([run.position for run, _, _ in every], np.int16),
                "form": pa.array([run.form for run, _, _ in every], pa.string()),
                "file": pa.array([provenance.file for _, provenance, _ in every], pa.string()),
                "file_md5": pa.array([provenance.md5 for _, provenance, _ in every], pa.string()),
                "code": pa.array([provenance.code for _, provenance, _ in every], pa.string()),
                "device": pa.array([provenance.device for _, provenance, _ in every], pa.string()),
                "weights": np.array([(run.dataset, run.seed) in record.weights for run, _, record in every], bool),
                "reduced": np.array(
                    [provenance.fewer_images or run.epochs < HPS[r.layout.hp] for run, provenance, r in every], bool
                ),
            }
        )

    def _costs(self, runs: dict[str, Any]) -> pa.Table:
        count = len(runs["arch"])
        cost = np.concatenate([record.values[record.layout.cost] for _, record, _ in self._items])
        no_latency = np.concatenate([record.layout.cost[:, 2] < 0 for _, record, _ in self._items])
        seconds = np.full((count, len(TIME_SPLITS)), np.nan)
        absent = np.ones((count, len(TIME_SPLITS)), bool)
        varying: list[Any] = [None] * count
        start = 0
        for _, record, _ in self._items:
            layout = record.layout
            times = record.values[layout.times]
            first = times[layout.time_start]
            lengths = np.diff(np.append(layout.time_start, len(times)))
            at = start + layout.time_run, layout.time_split
            seconds[at], absent[at] = first, False
            if (times.view(np.int64) != np.repeat(first, lengths).view(np.int64)).any():
                self._keep_varying(layout, times, start, seconds, varying)
            start += len(layout.runs)
        return pa.table(
            {
                **runs,
                "flops": cost[:, 0],
                "params": cost[:, 1],
                "latency": pa.array(cost[:, 2], mask=no_latency),
                **{
                    f"{split.replace('-', '_')}_seconds": pa.array(seconds[:, n].copy(), mask=absent[:, n].copy())
                    for n, split in enumerate(TIME_SPLITS)
                },
                "seconds": pa.array(varying, pa.list_(pa.float64())),
            }
        )

    @staticmethod
    def _keep_varying(layout: Layout, times: np.ndarray, start: int, seconds: np.ndarray, varying: list[Any]) -> None:
        pieces = np.split(times, layout.time_start[1:])
        for run in range(len(layout.runs)):
            own = [(s, p) for s, p, r in zip(layout.time_split, pieces, layout.time_run, strict=True) if r == run]
            if any((piece.view(np.int64) != piece[:1].view(np.int64)).any() for _, piece in own):
                order = np.argsort(
                    np.concatenate(
                        [layout.times[_span(layout, n)] for n in range(len(pieces)) if layout.time_run[n] == run]
                    )
                )
                varying[start + run] = np.concatenate([piece for _, piece in own])[order].tolist()
                for split, piece in own:
                    seconds[start + run, split] = piece.mean()


def _span(layout: Layout, n: int) -> slice:
    ends = [*layout.time_start[1:], len(layout.times)]
    return slice(layout.time_start[n], ends[n])


@dataclass(frozen=True)
class _RunKeys:
    dataset: np.ndarray
    seed: np.ndarray
    dataset_of_row: np.ndarray
    seed_of_row: np.ndarray

    @staticmethod
    def of(layout: Layout, datasets: list[str]) -> _RunKeys:
        dataset = np.array([datasets.index(run.dataset) for run in layout.runs], np.int8)
        seed = np.array([run.seed for run in layout.runs], np.int32)
        return _RunKeys(dataset, seed, dataset[layout.run_of_row], seed[layout.run_of_row])


class BlockWriter:
    """Writes a block's files for one source and space. Architectures come in ascending order.

    Rows that the database holds already are kept: `old` names its files of this block by (table, hp). A run that is
    there with other numbers is refused, or replaced if `replace`.
    """

    def __init__(
        self, folder: Path, source: str, space: str, block: int, old: dict[tuple[str, str], Path], replace: bool
    ) -> None:
        self._folder, self._source, self._space, self._block = folder, source, space, block
        self._replace = replace
        self._old = {hp: _Held(old, hp) for hp in sorted({hp for _, hp in old})}
        self._writers: dict[str, _HpWriter] = {}
        self._rows: dict[str, tuple[int, Rows]] = {}
        self.changed = False
        self.rows = 0

    def add(self, arch: int, records: list[HpRecord], provenance: Provenance) -> None:
        """Add an architecture's rows.

        Raises:
            NatsdbError: they contradict rows already there.
        """
        for record in records:
            hp = record.layout.hp
            group = arch // GROUPS[hp]
            if hp in self._rows and self._rows[hp][0] != group:
                self._flush(hp)
            self._rows.setdefault(hp, (group, Rows()))[1].add(arch, record, provenance)
            self.rows += len(record.layout.split)

    def add_tables(self, hp: str, group: int, tables: dict[str, pa.Table]) -> None:
        """Add a row group's rows as tables, sorted by key; groups come in ascending order.

        Raises:
            NatsdbError: they contradict rows already there.
        """
        self.rows += len(tables["metric"])
        self._put(hp, group, tables)

    def _flush(self, hp: str) -> None:
        group, rows = self._rows.pop(hp)
        self._put(hp, group, rows.tables())

    def _put(self, hp: str, group: int, tables: dict[str, pa.Table]) -> None:
        before = self._old[hp].group(group) if hp in self._old else None
        changed = True
        if before is not None:
            tables, changed = _merge(tables, before, self._replace, f"{self._space}, hp {hp}")
        self.changed |= changed
        self._writer(hp).write(group, tables)

    def _writer(self, hp: str) -> _HpWriter:
        if hp not in self._writers:
            self._writers[hp] = _HpWriter(self._folder, hp, self._old.get(hp))
        return self._writers[hp]

    def close(self) -> list[Part]:
        """Finish the files and return them, by paths relative to the folder; none when no row is new."""
        for hp in list(self._rows):
            self._flush(hp)
        parts = []
        for hp, writer in sorted(self._writers.items()):
            folder = f"source={self._source}/space={self._space}/hp={hp}/block={self._block:02d}"
            for table, (path, rows, reduced) in writer.close().items():
                part = Part(table, self._source, self._space, hp, self._block, f"{table}/{folder}", rows, 0)
                parts.append(named_after_contents(path, self._folder, replace(part, reduced=reduced)))
        return parts if self.changed else []

    def abort(self) -> None:
        """Close what is open; the files stay in the staging folder, unnamed, and go with it."""
        for writer in self._writers.values():
            writer.abort()


class _HpWriter:
    """The files of one (block, hp): `metric` grows a row group at a time, small tables are written last."""

    def __init__(self, folder: Path, hp: str, held: _Held | None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._paths = {table: folder / f"{table}-{hp}-{os.getpid()}.tmp" for table in BLOCK_TABLES}
        self._metric = pq.ParquetWriter(
            self._paths["metric"], _file_schema("metric"), **write_options(arrow_schema("metric"))
        )
        self._small: dict[str, list[pa.Table]] = {table: [] for table in _SMALL}
        self._held = held
        self._pending = held.groups() if held is not None else []
        self._rows = 0

    def write(self, group: int, tables: dict[str, pa.Table]) -> None:
        self._copy_held(before=group)
        if self._pending and self._pending[0] == group:
            self._pending.pop(0)
        self._write(tables)

    def _copy_held(self, before: int | None = None) -> None:
        while self._pending and (before is None or self._pending[0] < before):
            assert self._held is not None
            tables = self._held.group(self._pending.pop(0))
            assert tables is not None
            self._write(tables)

    def _write(self, tables: dict[str, pa.Table]) -> None:
        metric = _plain(tables["metric"], "metric")
        self._rows += len(metric)
        self._metric.write_table(metric, row_group_size=len(metric))
        for table in _SMALL:
            self._small[table].append(_plain(tables[table], table))

    def close(self) -> dict[str, tuple[Path, int, int]]:
        """Path, rows, and for `seed` reduced runs, by table."""
        self._copy_held()
        self._metric.close()
        done = {"metric": (self._paths["metric"], self._rows, 0)}
        for table, pieces in self._small.items():
            whole = pa.concat_tables(pieces)
            pq.write_table(whole, self._paths[table], row_group_size=1 << 20, **write_options(arrow_schema(table)))
            reduced = pc.sum(whole["reduced"]).as_py() if table == "seed" else 0
            done[table] = (self._paths[table], len(whole), reduced or 0)
        return done

    def abort(self) -> None:
        self._metric.close()


class _Held:
    """A block's rows that the database holds already, at one hp."""

    def __init__(self, old: dict[tuple[str, str], Path], hp: str) -> None:
        self._size = GROUPS[hp]
        self._metric = open_parquet(old["metric", hp])
        self._small = {table: open_parquet(old[table, hp]).read() for table in _SMALL}
        column = self._metric.schema_arrow.get_field_index("arch")
        self._row_group = {
            self._metric.metadata.row_group(n).column(column).statistics.min // self._size: n
            for n in range(self._metric.metadata.num_row_groups)
        }

    def groups(self) -> list[int]:
        return sorted(self._row_group)

    def group(self, group: int) -> dict[str, pa.Table] | None:
        if group not in self._row_group:
            return None
        tables = {"metric": self._metric.read_row_group(self._row_group[group])}
        for table, rows in self._small.items():
            tables[table] = rows.filter(pc.equal(pc.divide(rows["arch"], self._size), group))
        return tables


def _merge(
    new: dict[str, pa.Table], old: dict[str, pa.Table], replace: bool, where: str
) -> tuple[dict[str, pa.Table], bool]:
    """Old and new rows of a group together, and whether that changes anything."""
    new = {name: _plain(table, name) for name, table in new.items()}
    old = {name: _plain(table, name) for name, table in old.items()}
    mine, theirs = _by_run(new), _by_run(old)
    keep_new = set(mine) - set(theirs)
    gained_weights = set()
    for key in sorted(set(mine) & set(theirs)):
        difference = _difference(mine[key], theirs[key])
        if difference and not replace:
            arch, dataset, seed = key
            raise Contradiction(
                f"architecture {arch}, {dataset}, seed {seed}: {difference}",
                where=where,
                remedy="keep the database, replace its rows with --replace, or name the new rows with --source NAME",
            )
        if difference:
            keep_new.add(key)
        elif mine[key]["seed"]["weights"][0].as_py() and not theirs[key]["seed"]["weights"][0].as_py():
            gained_weights.add(key)
    if not keep_new and not gained_weights:
        return old, False
    merged = {}
    for name in BLOCK_TABLES:
        pieces = []
        for key in sorted(set(mine) | set(theirs)):
            take = mine if key in keep_new or (name == "seed" and key in gained_weights) else theirs
            pieces.append(take[key][name])
        merged[name] = pa.concat_tables(pieces)
    return merged, True


def _by_run(tables: dict[str, pa.Table]) -> dict[tuple[int, str, int], dict[str, pa.Table]]:
    runs: dict[tuple[int, str, int], dict[str, pa.Table]] = {}
    for name, table in tables.items():
        for key, start, stop in _stretches(table):
            runs.setdefault(key, {})[name] = table.slice(start, stop - start)
    return runs


def _stretches(table: pa.Table) -> Iterator[tuple[tuple[int, str, int], int, int]]:
    # Rows are sorted by run, so a run is one stretch: found where any key column changes.
    if not len(table):
        return
    columns = [table[name].to_numpy() for name in _RUN]
    change = np.any([column[1:] != column[:-1] for column in columns], axis=0)
    starts = [0, *(np.flatnonzero(change) + 1), len(table)]
    for start, stop in pairwise(starts):
        yield (int(columns[0][start]), str(columns[1][start]), int(columns[2][start])), int(start), int(stop)


def _difference(new: dict[str, pa.Table], old: dict[str, pa.Table]) -> str:
    """The first number that differs between two versions of a run, in words; empty when none does."""
    for name, keys in (("metric", ("split", "epoch")), ("cost", ())):
        mine, theirs = new[name], old[name]
        if any(not mine[key].equals(theirs[key]) for key in keys):
            return "it has measurements of other epochs or splits than the database holds"
        for column in mine.column_names:
            if column in (*_RUN, *keys):
                continue
            at = _first_difference(mine[column], theirs[column])
            if at is not None:
                place = "".join(f", {key} {mine[key][at].as_py()}" for key in keys)
                return f"{column}{place} is {mine[column][at].as_py()}, the database holds {theirs[column][at].as_py()}"
    return ""


def _first_difference(mine: Any, theirs: Any) -> int | None:
    if not pa.types.is_floating(mine.type):
        return (
            None
            if mine.equals(theirs)
            else next(n for n, (a, b) in enumerate(zip(mine, theirs, strict=True)) if a != b)
        )
    bits = [
        column.combine_chunks().fill_null(0.0).to_numpy(zero_copy_only=False).view(np.int64)
        for column in (mine, theirs)
    ]
    nulls = [column.is_null().to_numpy() for column in (mine, theirs)]
    differ = np.flatnonzero((bits[0] != bits[1]) | (nulls[0] != nulls[1]))
    return int(differ[0]) if len(differ) else None


def _plain(table: pa.Table, name: str) -> pa.Table:
    """Columns in the table's order and of its types. `metric` keeps its texts as codes, as the writer wants them."""
    columns = []
    for field in _file_schema(name):
        if field.name not in table.column_names:  # a file of an earlier format
            columns.append(pa.nulls(len(table), field.type))
            continue
        column = table[field.name]
        if column.type != field.type:
            if pa.types.is_dictionary(field.type):
                names = _SPLIT_NAMES if field.name == "split" else pc.unique(column).sort()
                codes = pc.index_in(column, names).combine_chunks()
                column = pa.DictionaryArray.from_arrays(codes.cast(pa.int8()), names)
            else:
                column = column.cast(field.type)
        columns.append(column)
    return pa.table(columns, schema=_file_schema(name))


def _file_schema(name: str) -> pa.Schema:
    schema = arrow_schema(name).remove_metadata()
    if name == "metric":
        for text in ("dataset", "split"):
            schema = schema.set(schema.get_field_index(text), pa.field(text, _CODED))
    return schema
