"""Arrays become Parquet: a block of 1,024 architectures is one file a table and hp, with row groups of some of them.

A block's files are a function of the rows they hold, byte for byte: rows are sorted by key, row groups lie at fixed
places, names end in the digest of the contents. So an interrupted run that resumes, or the same rows from another
form of the archive, end in the same files.
"""

from __future__ import annotations

import os
from collections import Counter
from dataclasses import dataclass, replace
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from natsdb.ingest.archive.records import SPLITS, TIME_SPLITS, HpRecord, Layout
from natsdb.ingest.merge import Tables, file_schema, merge, plain
from natsdb.schema.schedules import epochs_of
from natsdb.schema.tables import BLOCK, BLOCK_TABLES, arrow_schema, group_size, page_rows
from natsdb.store.damage import table_file
from natsdb.store.manifest import Part
from natsdb.store.parquet import named_after_contents, open_parquet, write_options

_SMALL = tuple(name for name in BLOCK_TABLES if name != "metric")


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

    def tables(self) -> Tables:
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
                "split": _texts(np.concatenate([layout.split for layout in layouts]), list(SPLITS)),
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
                    [provenance.fewer_images or run.epochs < epochs_of(r.layout.hp) for run, provenance, r in every],
                    bool,
                ),
            }
        )

    def _costs(self, runs: dict[str, Any]) -> pa.Table:
        count = len(runs["arch"])
        cost = np.concatenate([record.values[record.layout.cost] for _, record, _ in self._items])
        no_latency = np.concatenate([record.layout.cost[:, 2] < 0 for _, record, _ in self._items])
        latencies = self._several_latencies(cost)
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
                "latencies": pa.array(latencies, pa.list_(pa.float64())),
            }
        )

    def _several_latencies(self, cost: np.ndarray) -> list[Any]:
        """All latencies of each run that has several; in `cost` their mean takes the place of the first."""
        every: list[Any] = []
        for _, record, _ in self._items:
            for place, count in zip(record.layout.cost[:, 2], record.layout.latencies, strict=True):
                every.append(record.values[place : place + count].tolist() if count > 1 else None)
                if count > 1:
                    # Not `sum`, which rounds otherwise from Python 3.12 on.
                    cost[len(every) - 1, 2] = reduce(add, every[-1]) / count
        return every

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
    there with other numbers is refused, or replaced if `replace`. `published`: rows are of published tables: they are
    few, so that all of a block's are one row group, and two tables may measure one run (see `join` of `merge`).
    """

    def __init__(
        self,
        folder: Path,
        source: str,
        space: str,
        block: int,
        old: dict[tuple[str, str], Path],
        replace: bool,
        published: Counter[str] | None = None,
    ) -> None:
        self._folder, self._source, self._space, self._block = folder, source, space, block
        self._replace, self._published = replace, published
        self._old = {hp: HeldRows(old, hp, self._size(hp)) for hp in sorted({hp for _, hp in old})}
        self._writers: dict[str, _HpWriter] = {}
        self._rows: dict[str, tuple[int, Rows]] = {}
        self.changed = False
        self.rows = 0

    def _size(self, hp: str) -> int:
        return group_size(hp) if self._published is None else BLOCK

    def add(self, arch: int, records: list[HpRecord], provenance: Provenance) -> None:
        """Add an architecture's rows.

        Raises:
            Contradiction: they contradict rows already there.
        """
        for record in records:
            hp = record.layout.hp
            group = arch // self._size(hp)
            if hp in self._rows and self._rows[hp][0] != group:
                self._flush(hp)
            self._rows.setdefault(hp, (group, Rows()))[1].add(arch, record, provenance)
            self.rows += len(record.layout.split)

    def add_tables(self, hp: str, tables: Tables, group: int | None = None) -> None:
        """Add all rows of the block at an hp, or of a row group, as tables, sorted by key.

        Raises:
            Contradiction: they contradict rows already there.
        """
        self.rows += len(tables["metric"])
        self._put(hp, self._block if group is None else group, tables)

    def _flush(self, hp: str) -> None:
        group, rows = self._rows.pop(hp)
        self._put(hp, group, rows.tables())

    def _put(self, hp: str, group: int, tables: Tables) -> None:
        before = self._old[hp].group(group) if hp in self._old else None
        changed = True
        if before is not None:
            where = f"{self._space}, hp {hp}"
            tables, changed = merge(tables, before, where, replace=self._replace, join=self._published)
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
                doubled = writer.doubled() if table == "seed" and self._published is not None else None
                part = replace(part, reduced=reduced, doubled=doubled)
                parts.append(named_after_contents(path, self._folder, part))
        return parts if self.changed else []

    def abort(self) -> None:
        """Close what is open; the files stay in the staging folder, unnamed, and go with it."""
        for writer in self._writers.values():
            writer.abort()


class _HpWriter:
    """The files of one (block, hp): `metric` grows a row group at a time, small tables are written last."""

    def __init__(self, folder: Path, hp: str, held: HeldRows | None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self._paths = {table: folder / f"{table}-{hp}-{os.getpid()}.tmp" for table in BLOCK_TABLES}
        self._metric = pq.ParquetWriter(
            self._paths["metric"], file_schema("metric"), **write_options(arrow_schema("metric"), page_rows(hp))
        )
        self._small: dict[str, list[pa.Table]] = {table: [] for table in _SMALL}
        self._held = held
        self._pending = held.groups() if held is not None else []
        self._rows = 0

    def write(self, group: int, tables: Tables) -> None:
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

    def _write(self, tables: Tables) -> None:
        metric = plain(tables["metric"], "metric")
        self._rows += len(metric)
        self._metric.write_table(metric, row_group_size=len(metric))
        for table in _SMALL:
            self._small[table].append(plain(tables[table], table))

    def doubled(self) -> int:
        """How many accuracies are of seed 0 beside others of the same architecture, data set and split."""
        key = ["arch", "dataset", "split"]
        final = pa.concat_tables(self._small["final"])
        rows = final.select(key).append_column("mean", pc.equal(final["seed"], 0))
        each = rows.group_by(key).aggregate([("mean", "min"), ("mean", "max")])
        return pc.sum(pc.and_not(each["mean_max"], each["mean_min"])).as_py() or 0

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


class HeldRows:
    """A block's rows that the database holds already, at one hp, in groups of `size` architectures.

    The row groups of its file may be others: an earlier natsdb, or another choice of groups, wrote it.
    """

    def __init__(self, old: dict[tuple[str, str], Path], hp: str, size: int) -> None:
        self._size = size
        paths = {table: table_file(old, (table, hp), f"its rows at hp {hp}") for table in BLOCK_TABLES}
        self._metric = open_parquet(paths["metric"])
        self._small = {table: open_parquet(paths[table]).read() for table in _SMALL}
        self._archs = {table: rows["arch"].to_numpy() for table, rows in self._small.items()}
        footer = self._metric.metadata
        column = self._metric.schema_arrow.get_field_index("arch")
        spans = [footer.row_group(n).column(column).statistics for n in range(footer.num_row_groups)]
        self._spans = [(one.min, one.max) for one in spans]
        self._read: tuple[int, pa.Table] | None = None

    def groups(self) -> list[int]:
        """The groups that have rows, in order."""
        return [int(group) for group in np.unique(self._archs["seed"] // self._size)]

    def group(self, group: int) -> Tables | None:
        """The rows of a group's architectures, None when there are none."""
        first, end = group * self._size, (group + 1) * self._size
        tables = {
            table: rows.slice(start := int(np.searchsorted(archs, first)), int(np.searchsorted(archs, end)) - start)
            for (table, rows), archs in zip(self._small.items(), self._archs.values(), strict=True)
        }
        if not len(tables["seed"]):
            return None
        pieces = []
        for n, (low, high) in enumerate(self._spans):
            if low < end and high >= first:
                rows = self._row_group(n)
                archs = rows["arch"].to_numpy()
                start = int(np.searchsorted(archs, first))
                pieces.append(rows.slice(start, int(np.searchsorted(archs, end)) - start))
        return {"metric": pa.concat_tables(pieces), **tables}

    def _row_group(self, n: int) -> pa.Table:
        # A larger row group of an older file is asked for several times in a row.
        if self._read is None or self._read[0] != n:
            self._read = n, self._metric.read_row_group(n)
        return self._read[1]
