"""The way back: rows of the tables become records as official files hold them, order and types included.

`StoredBlock` holds the rows of 1,024 architectures at one hp as arrays. A run's rows are found by position:
its form says how many there are, and rows are sorted by key; so neither keys nor text are read to answer for one run.
Readers share nothing that can be in a bad state: a block may be read by several threads, and by the children of a fork.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable
from contextlib import suppress
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from natsdb.ingest.archive.stored import KINDS, TYPES, StoredForm, stored_form
from natsdb.schema.errors import Damaged, Missing
from natsdb.schema.spaces import arch_str
from natsdb.store.damage import table_file
from natsdb.store.manifest import Manifest, Part
from natsdb.store.pages import Pages, Strange, floats, read_page
from natsdb.store.parquet import as_numpy, open_parquet, reading

# Columns of `seed` that are read as dictionaries: each text is made once.
_CODED = ("dataset", "form")
_ASKED_TOGETHER = ("accuracy", "loss")
_SECONDS = {split: f"{split.replace('-', '_')}_seconds" for split in ("train", "x-valid", "x-test", "ori-test")}


class Recent:
    """The last columns that were asked for, by key, up to so many bytes, and one at least. It holds nothing else, so
    that it keeps no handle alive."""

    def __init__(self, room: int = 16 << 20) -> None:
        self._room, self._bytes = room, 0
        self._held: OrderedDict[Hashable, Any] = OrderedDict()

    def __call__(self, key: Hashable, make: Callable[[], Any]) -> Any:
        found = self._held.get(key)
        if found is None:
            found = make()
            # Two threads may make the same arrays: the first one's stay, both are right.
            if self._held.setdefault(key, found) is found:
                self._bytes += _bytes_of(found)
            while self._bytes > self._room and len(self._held) > 1:
                with suppress(KeyError):
                    self._bytes -= _bytes_of(self._held.popitem(last=False)[1])
        return found


def _bytes_of(columns: Any) -> int:
    return sum(column.nbytes for column in columns.values()) if isinstance(columns, dict) else columns.nbytes


def blocks_of(manifest: Manifest, source: str, space: str) -> dict[int, dict[tuple[str, str], Part]]:
    """Files of each block of a space by (table, hp).

    Raises:
        NatsdbError: the source is a published table, of which no record can be made.
    """
    if source in manifest.published_sources():
        raise Missing(
            f"rows of source {source!r} are of a published table: no official record can be made of them",
            remedy="ask for them in SQL, or name another source",
        )
    blocks: dict[int, dict[tuple[str, str], Part]] = {}
    for part in manifest.parts:
        if (part.source, part.space) == (source, space):
            blocks.setdefault(part.block, {})[part.table, part.hp] = part
    return blocks


class StoredBlock:
    """The rows of a block of one source at one hp.

    `arch`, `dataset` (a code into `datasets`), `seed`, `position`: a value a run, sorted by (arch, dataset,
    seed); `forms`, `form_of`: the forms of the runs; `rows`, `last`: where a run's rows start in `metric` and `final`.

    Args:
        database, space, hp: where the files lie, and what they are.
        parts: what the manifest says of its files, by table.
        keep: remembers pages of columns, or columns of row groups; by default those of this block.
        check: read the key columns of `metric` too, and compare them with what the forms say.

    Raises:
        Damaged: a file is not as it was written; reading from it later may raise this too.
        Missing: a file is gone.
        NatsdbError: the files contradict each other.
    """

    def __init__(
        self,
        database: Path,
        space: str,
        hp: str,
        parts: dict[str, Part],
        keep: Recent | None = None,
        *,
        check: bool = False,
    ) -> None:
        self.space, self.hp, self._database, self._parts, self._check = space, hp, database, parts, check
        self._footers: dict[str, Any] = {}
        self._metric = str(self._path("metric"))
        self._pages: dict[tuple[int, str], Pages | None] = {}
        seed = self._read("seed", ["arch", "dataset", "seed", "position", "form"])
        self.arch, self.seed, self.position = (as_numpy(seed[name]) for name in ("arch", "seed", "position"))
        self.dataset, self.datasets = _codes(seed["dataset"])
        self.form_of, texts = _codes(seed["form"])
        self.forms = [stored_form(text) for text in texts]
        rows = np.array([form.rows for form in self.forms], np.int64)[self.form_of]
        last = np.array([len(form.last) for form in self.forms], np.int64)[self.form_of]
        self.rows, self.last = _cumulative(rows), _cumulative(last)
        self._keep = keep or Recent()
        self._small: dict[tuple[str, str], np.ndarray] = {}

    def _column_of(self, table: str, name: str, rows: int) -> np.ndarray:
        """A column of a small table, read when it is asked for; some 0.15 ms."""
        key = table, name
        if key not in self._small:
            column = self._read(table, [name])[name]
            if len(column) != rows:
                self._damaged(table, "it has other rows than its table seed says")
            self._small[key] = as_numpy(column)
        return self._small[key]

    @cached_property
    def _starts(self) -> list[int]:
        with self._opened("metric") as file, reading(self._path("metric")):
            footer = file.metadata
            if footer.num_rows != self.rows[-1]:
                self._damaged("metric", "it has other rows than its table seed says")
            groups = range(footer.num_row_groups)
            return list(accumulate((footer.row_group(n).num_rows for n in groups), initial=0))

    @cached_property
    def weights(self) -> np.ndarray:
        """Whether natsdb holds the trained weights, a value a run."""
        return self._column_of("seed", "weights", len(self.arch))

    @cached_property
    def _varying(self) -> pa.ChunkedArray | None:
        column = self._read("cost", ["seconds"])["seconds"]
        return column if column.null_count < len(column) else None

    @cached_property
    def _latencies(self) -> pa.ChunkedArray | None:
        if "latencies" not in self._parts["cost"].columns:
            return None
        return self._read("cost", ["latencies"])["latencies"]

    def _path(self, table: str) -> Path:
        return self._database / table_file(self._parts, table, self._database).path

    def _opened(self, table: str) -> Any:
        """A file, opened anew each time: threads and forked processes share nothing but its footer."""
        footer = self._footers.get(table)
        coded = _CODED if table == "seed" else ()
        file = open_parquet(self._path(table), self._parts[table], coded=coded, metadata=footer)
        if footer is None:
            self._footers[table] = file.metadata
        return file

    def _read(self, table: str, columns: list[str]) -> pa.Table:
        with self._opened(table) as file, reading(self._path(table)):
            return file.read(columns, use_threads=False)

    def _read_columns(self, group: int, names: tuple[str, ...]) -> dict[str, np.ndarray]:
        columns = ["arch", "dataset", "seed", "split", "epoch", *names] if self._check else list(names)
        with self._opened("metric") as file, reading(self._path("metric")):
            read = file.read_row_group(group, columns, use_threads=False)
        if self._check:
            self._check_keys(group, read)
        return {name: as_numpy(read[name]) for name in names}

    def _check_keys(self, group: int, read: pa.Table) -> None:
        runs = range(*np.searchsorted(self.rows, self._starts[group : group + 2]))
        forms = [self.forms[self.form_of[run]] for run in runs]
        counts = [form.rows for form in forms]
        splits = [split for form in forms for split, _ in form.keys]
        epochs = [epoch for form in forms for _, epoch in form.keys]
        expected = {
            "arch": np.repeat(self.arch[runs.start : runs.stop], counts),
            "dataset": np.repeat(np.array(self.datasets, object)[self.dataset[runs.start : runs.stop]], counts),
            "seed": np.repeat(self.seed[runs.start : runs.stop], counts),
            "split": np.array(splits, object),
            "epoch": np.array(epochs),
        }
        for name, values in expected.items():
            if not np.array_equal(read[name].to_numpy(zero_copy_only=False), values):
                self._damaged("metric", f"its column {name} is not what the table seed says")

    def _damaged(self, table: str, what: str) -> None:
        raise Damaged(what, where=str(self._path(table)), remedy="ingest the sources again into a new folder")

    def runs(self, arch: int) -> range:
        """Numbers of an architecture's runs; empty when it has none."""
        return range(*np.searchsorted(self.arch, [arch, arch + 1]))

    def measured(self, run: int, name: str) -> np.ndarray:
        """A column of a run's rows, by (split, epoch)."""
        return self.gathered(name, np.arange(self.rows[run], self.rows[run + 1]))

    def gathered(self, name: str, rows: np.ndarray) -> np.ndarray:
        """A column of `metric` at some rows, which are in order."""
        pieces, at = [np.zeros(0)], 0
        while at < len(rows):
            first, values = self._around(name, int(rows[at]))
            end = at + int(np.searchsorted(rows[at:], first + len(values)))
            pieces.append(floats(values[rows[at:end] - first]))
            at = end
        return np.concatenate(pieces)

    def value(self, name: str, row: int) -> float:
        """A column of `metric` at a row."""
        first, values = self._around(name, row)
        return float(floats(values[row - first])[0])

    def _around(self, name: str, row: int) -> tuple[int, np.ndarray]:
        """A piece of a column of `metric` that holds a row, for `floats`, and its first row: a page, or else the row
        group."""
        group = bisect_right(self._starts, row) - 1
        start, path = self._starts[group], self._metric
        pages = self._pages_of(group, name)
        if pages is not None:
            with suppress(Strange):
                page = pages.page(row - start)
                return start + page.first, self._keep((path, page.at), lambda: read_page(path, page))
        # What is wrong with a page, where it is not just written in another way, PyArrow says.
        names = _ASKED_TOGETHER if name in _ASKED_TOGETHER else (name,)
        columns = self._keep((path, group, names), lambda: self._read_columns(group, names))
        return start, columns[name].view(np.uint8).reshape(-1, 8)

    def _pages_of(self, group: int, name: str) -> Pages | None:
        """The pages of a column; None where it is not read by pages."""
        key = group, name
        if key not in self._pages:
            footer, pages = self._footers["metric"], None
            if not self._check:
                with suppress(Strange):
                    column = footer.row_group(group).column(footer.schema.names.index(name))
                    pages = Pages(self._metric, column)
            self._pages[key] = pages
        return self._pages[key]

    def at_last(self, name: str) -> np.ndarray:
        """A column of `final`: accuracy or loss, of all runs, by (split)."""
        return self._column_of("final", name, int(self.last[-1]))

    def costs(self, name: str) -> np.ndarray:
        """A column of `cost`, a value a run; NaN where there is none, which the form knows."""
        return self._column_of("cost", name, len(self.arch))

    @property
    def any_varying(self) -> bool:
        """Whether the seconds of some run vary by epoch."""
        return self._varying is not None

    def varying(self, run: int) -> list[float] | None:
        """All seconds of a run in the order of its record, where they vary by epoch."""
        return self._varying[run].as_py() if self._varying is not None else None

    def latencies(self, run: int) -> list[float]:
        """All latencies of a run that has several."""
        return (self._latencies[run].as_py() or []) if self._latencies is not None else []


def _codes(column: pa.ChunkedArray) -> tuple[np.ndarray, list[str]]:
    whole = column.unify_dictionaries().combine_chunks()
    array = whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
    return as_numpy(array.indices), array.dictionary.to_pylist()


def _cumulative(counts: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros(1, np.int64), np.cumsum(counts)])


class StoredRun:
    """A run's rows, from which each field of its official record is made when it is asked for.

    `superseded_by`: the published table whose result counts after the last epoch, if any.
    """

    __slots__ = ("arch", "block", "form", "key", "number", "superseded_by")

    def __init__(self, block: StoredBlock, number: int, superseded_by: str = "") -> None:
        self.block, self.number, self.superseded_by = block, number, superseded_by
        self.arch = int(block.arch[number])
        self.key = (block.datasets[block.dataset[number]], int(block.seed[number]))
        self.form: StoredForm = block.forms[block.form_of[number]]

    def record(self) -> dict[str, Any]:
        """The run as its official record holds it, without trained weights."""
        return {name: self.field(name) for name in self.form.fields}

    def field(self, name: str) -> Any:
        """A field of the official record.

        Raises:
            KeyError: the record has no such field.
        """
        form = self.form
        if name in form.series:
            return self._series(name)
        how = form.fields[name]
        if name == "name":
            return self.key[0]
        if name == "epochs":
            return form.epochs
        if name == "net_state_dict":
            return None
        if name == "arch_config":
            kind, items = how[0]
            return KINDS[kind]((k, arch_str(self.block.space, self.arch) if v is None else v) for k, v in items)
        if name in ("params", "flop"):
            return TYPES[how[0]](self.cost("params" if name == "params" else "flops"))
        if name == "latency" and how[0] is not None:
            several = self.block.latencies(self.number) if len(how[0]) > 1 else [self.cost("latency")] * len(how[0])
            return [TYPES[tag](value) for tag, value in zip(how[0], several, strict=True)]
        return list(how[0]) if isinstance(how[0], list) else how[0]  # seed, eval_names, top-5 accuracies that are not

    def cost(self, name: str) -> float:
        """A number of the table `cost`, NaN where there is none."""
        return float(self.block.costs(name)[self.number])

    def _series(self, name: str) -> Any:
        one = self.form.series[name]
        if one.column:
            values = self.block.measured(self.number, one.column)[one.take].tolist()
        elif (varying := self.block.varying(self.number)) is not None:
            values = varying[one.start : one.start + len(one.keys)]
        else:
            values = [self.cost(_SECONDS[split]) for split in one.splits]
        if one.tags != "f":
            tags = one.tags * len(values) if len(one.tags) == 1 else one.tags
            values = [TYPES[tag](value) for tag, value in zip(tags, values, strict=True)]
        return one.kind(zip(one.keys, values, strict=True))

    def at(self, split: str, epoch: int) -> tuple[float, float, float] | None:
        """Loss, accuracy and seconds an epoch of a split at an epoch; None when its record is not as most are."""
        form = self.form
        span = form.spans.get(split)
        if span is None or split not in form.steady or not span.first <= epoch < span.end:
            return None
        block = self.block
        if block.varying(self.number) is not None:
            return None
        if epoch == form.epochs - 1:
            row = block.last[self.number] + form.last[split]
            loss, accuracy = block.at_last("loss")[row], block.at_last("accuracy")[row]
        else:
            row = int(block.rows[self.number]) + span.offset + epoch - span.first
            loss, accuracy = (block.value(name, row) for name in ("loss", "accuracy"))
        return float(loss), float(accuracy), self.cost(_SECONDS[split])

    def seconds(self, split: str) -> float | None:
        """Seconds an epoch of a split, None where they vary or are not there for every epoch."""
        steady = split in self.form.steady and self.block.varying(self.number) is None
        return self.cost(_SECONDS[split]) if steady else None


def result(space: str, arch: int, runs: Iterable[StoredRun], make: Callable[[StoredRun], Any]) -> dict[str, Any]:
    """What an official record holds of one hp: its fields in order, with `make(run)` for each run."""
    runs = list(runs)
    form = runs[0].form
    kind, listed = form.dataset_seed
    fields = {
        "arch_index": arch,
        "arch_str": arch_str(space, arch),
        "all_results": KINDS[form.all_results]((run.key, make(run)) for run in runs),
        "dataset_seed": KINDS[kind]((dataset, list(seeds)) for dataset, seeds in listed),
        "clear_net_done": form.clear_net_done,
    }
    # Runs that came from other sources than the form are listed too.
    for dataset, number in fields["all_results"]:
        seeds = fields["dataset_seed"].setdefault(dataset, [])
        if number not in seeds:
            seeds.append(number)
            seeds.sort()
    return {name: fields[name] for name in form.record}


def in_order(by_hp: dict[str, Any], form: StoredForm) -> dict[str, Any]:
    """The hps of a record in the order of the record that a form is of, those that it does not know last."""
    kind, order = form.hps
    known = [hp for hp in order if hp in by_hp]
    return KINDS[kind]((hp, by_hp[hp]) for hp in [*known, *(hp for hp in by_hp if hp not in known)])


class RecordBlock:
    """A block's records of one source, built from its files: a few columns of row groups in memory."""

    def __init__(self, database: Path, space: str, parts: dict[tuple[str, str], Part]) -> None:
        self._space = space
        self._blocks = {
            hp: StoredBlock(
                database, space, hp, {table: part for (table, h), part in parts.items() if h == hp}, check=True
            )
            for hp in sorted({hp for _, hp in parts}, key=int)
        }

    def archs(self) -> list[int]:
        """Architectures that have a run in this block."""
        return sorted({int(arch) for block in self._blocks.values() for arch in np.unique(block.arch)})

    def record(self, arch: int, hps: frozenset[str] | None = None) -> dict[str, Any] | None:
        """Record of an architecture, with the types and order of keys that its source had; None if there is none."""
        by_hp: dict[str, Any] = {}
        form = None
        for hp, block in self._blocks.items():
            runs = sorted(block.runs(arch), key=lambda run: int(block.position[run]))
            if runs and (hps is None or hp in hps):
                every = [StoredRun(block, run) for run in runs]
                form = every[-1].form
                by_hp[hp] = result(self._space, arch, every, StoredRun.record)
        return in_order(by_hp, form) if form is not None else None
