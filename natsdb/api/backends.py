"""Where a handle's numbers come from: a natsdb database, or an official archive that is read record by record."""

from __future__ import annotations

import os
import shutil
import tempfile
import warnings
import weakref
from collections import OrderedDict
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

import numpy as np

from natsdb.api.builtin import lacks
from natsdb.api.results import ArchResults, ResultsCount
from natsdb.api.weights import stored_weights, torch_tensors
from natsdb.ingest.archive.rebuild import Recent, StoredBlock, StoredRun, blocks_of, in_order, result
from natsdb.ingest.archive.records_of import record_of
from natsdb.ingest.archive.stored import StoredForm
from natsdb.ingest.archive.unpickle import Tensor
from natsdb.schema.errors import Damaged, NatsdbError
from natsdb.schema.spaces import SPACES
from natsdb.schema.tables import BLOCK
from natsdb.store.choice import check_source, contested, is_reduced, places
from natsdb.store.manifest import NAME, Part
from natsdb.store.parquet import as_numpy, read_columns
from natsdb.store.snapshot import open_snapshot

if TYPE_CHECKING:
    from natsdb.ingest.archive.sources import Source

Results = OrderedDict[str, ArchResults]


class Counted(NamedTuple):
    """The runs of a block that count: `own` has a value a run, None where all do.

    `superseded`: those runs that have the curves where a published table has the result after the last epoch, and
    `by` its source; None where there are none.
    """

    source: str
    block: StoredBlock
    own: np.ndarray | None = None
    superseded: np.ndarray | None = None
    by: str = ""


class Backend(Protocol):
    """What a handle asks: where it lies, which hps and architectures there are, and the results of one."""

    path: str

    def hps(self) -> set[str]:
        """Schedules that some architecture was trained with."""

    def archs(self) -> list[int]:
        """Architectures that there are results of, ascending."""

    def has(self, arch: Any) -> bool:
        """Whether there are results of an architecture."""

    def results(self, arch: int) -> Results:
        """Results of an architecture by hp, made anew each time; KeyError where there are none."""

    def result(self, arch: int, hp: str) -> ArchResults | None:
        """Results at one hp, None where there are none at this hp or at any."""


class DatabaseBackend:
    """One space of a natsdb database.

    It keeps the version that it opened, whatever is published meanwhile; it opens the newest when it is unpickled.
    What it remembers are blocks that were asked for (some 1 ms and 1 MB each) and the last few pages of columns.
    It has no state that threads or forked processes could break.

    Raises:
        Damaged: a file of the database is not as it was written; whatever reads one may raise this.
        NatsdbError: there is no database, a newer natsdb wrote it, or it holds nothing of this space.
    """

    def __init__(
        self,
        path: str,
        space: str,
        home: Path | None = None,
        source: str | None = None,
        kind: type[ArchResults] = ArchResults,
    ) -> None:
        self.path, self.space, self.source, self.kind = path, space, source, kind
        # A script may change its working directory.
        self.home = (home or Path(path)).absolute()
        self._recent = Recent()
        self._open()

    def __reduce__(self) -> tuple[Any, ...]:
        return DatabaseBackend, (self.path, self.space, self.home, self.source, self.kind)

    def _open(self) -> None:
        self._mark = _mark(self.home)
        self.snapshot = open_snapshot(self.home)
        manifest = self.snapshot.manifest
        every: dict[tuple[str, int], list[tuple[str, dict[str, Part]]]] = {}
        if self.source is not None:
            check_source(manifest, self.source, self.path)
        found = {part.source for part in manifest.parts if part.space == self.space}
        sources = sorted(found if self.source is None else found & {self.source})
        tables = manifest.published_sources()
        self._places = {(one.source, one.reduced): one.place for one in places(sources, manifest)}
        for source in sources if self.source is not None else [one for one in sources if one not in tables]:
            for number, files in blocks_of(manifest, source, self.space).items():
                for hp in {hp for _, hp in files}:
                    of_hp = {table: file for (table, h), file in files.items() if h == hp}
                    every.setdefault((hp, number), []).append((source, of_hp))
        asked = contested(manifest, self.source)
        self._contested = {(hp, number) for space, hp, number in asked if space == self.space}
        self._published = {
            (part.hp, part.block, part.source): part
            for part in manifest.parts
            if (part.table, part.space) == ("seed", self.space) and part.source in tables.intersection(sources)
        }
        if not every:
            raise NatsdbError(
                f"it holds nothing of the space {self.space}",
                where=self.path,
                remedy=f"it holds {manifest.contents()}; add an archive with `natsdb ingest`",
            )
        self._files = every
        self._blocks: dict[tuple[str, int], list[Counted]] = {}

    def newest(self) -> bool:
        """Whether nothing was published since it was opened."""
        return self._mark is not None and self._mark == _mark(self.home)

    def __deepcopy__(self, memo: dict[int, Any]) -> DatabaseBackend:
        return self

    def hps(self) -> set[str]:
        return {hp for hp, _ in self._files}

    def numbers(self, hp: str) -> list[int]:
        """Numbers of the blocks that there are at an hp."""
        return sorted(number for h, number in self._files if h == hp)

    def blocks(self, hp: str, number: int) -> list[Counted]:
        """The blocks of a number at an hp, and which of their runs count; none where there are no rows."""
        key = (hp, number)
        found = self._blocks.get(key)
        if found is None:
            if key not in self._files:
                return []
            every = [
                Counted(source, StoredBlock(self.home, self.space, hp, files, keep=self._recent))
                for source, files in self._files[key]
            ]
            found = self._blocks[key] = self._counted(hp, number, every) if key in self._contested else every
        return found

    def _counted(self, hp: str, number: int, every: list[Counted]) -> list[Counted]:
        """Which runs count where several sources lie, or reduced runs beside full ones: `natsdb.store.choice`."""
        names = sorted({name for one in every for name in one.block.datasets})
        code = {name: at for at, name in enumerate(names)}

        def keys(arch: np.ndarray, dataset: np.ndarray, datasets: list[str]) -> np.ndarray:
            """A number for each (architecture, data set) of the block."""
            return (arch - number * BLOCK) * len(names) + np.array([code[name] for name in datasets])[dataset]

        def lowest(keys: list[np.ndarray], places: list[np.ndarray]) -> np.ndarray:
            """The lowest place of each (architecture, data set)."""
            found = np.full(BLOCK * len(names), len(self._places))
            for key, place in zip(keys, places, strict=True):
                np.minimum.at(found, key, place)
            return found

        of_run = [keys(one.block.arch, one.block.dataset, one.block.datasets) for one in every]
        place = [
            np.where(self._reduced(files["seed"]), *(self._places[source, kind] for kind in (True, False)))
            for source, files in self._files[hp, number]
        ]
        best = lowest(of_run, place)
        tables: dict[str, np.ndarray] = {}
        for source in [source for h, n, source in self._published if (h, n) == (hp, number)]:
            part = self._published[hp, number, source]
            table = read_columns(self.home / part.path, part, ["arch", "dataset"])
            datasets = np.array([code.get(name, -1) for name in table["dataset"].to_pylist()], np.int64)
            known = datasets >= 0
            tables[source] = keys(as_numpy(table["arch"])[known], datasets[known], names)
        place_of = {source: self._places[source, False] for source in tables}
        first = lowest(list(tables.values()), [np.full(len(key), place_of[name]) for name, key in tables.items()])
        by_place = {place: source for source, place in place_of.items()}
        found = []
        for one, key, at in zip(every, of_run, place, strict=True):
            own = at == best[key]
            superseded = own & (first[key] < at)
            by = by_place[int(first[key][superseded].min())] if superseded.any() else ""
            found.append(Counted(one.source, one.block, own, superseded if by else None, by))
        return found

    def archs(self) -> list[int]:
        there = np.zeros(SPACES[self.space].size, bool)
        # What is read already comes first; a block that is full needs no other hp.
        for key in sorted(self._files, key=lambda key: key not in self._blocks):
            block = there[key[1] * BLOCK : (key[1] + 1) * BLOCK]
            if block.all():
                continue
            if key in self._blocks:
                found = [one.block.arch for one in self._blocks[key]]
            else:
                parts = [files["cost"] for _, files in self._files[key]]
                found = [as_numpy(read_columns(self.home / part.path, part, ["arch"])["arch"]) for part in parts]
            for archs in found:
                there[archs] = True
        return np.flatnonzero(there).tolist()

    def has(self, arch: Any) -> bool:
        if not isinstance(arch, (int, np.integer, float)) or arch != arch // 1:
            return False
        index = int(arch)  # 3.0 is a key as 3 is
        hps = sorted(self.hps())
        return any(one.block.runs(index) for hp in hps for one in self.blocks(hp, index // BLOCK))

    def runs(self, hp: str, arch: int) -> Iterator[tuple[str, StoredRun]]:
        """An architecture's runs at an hp with their sources: of each data set those of the source that counts."""
        for source, block, own, superseded, by in self.blocks(hp, arch // BLOCK):
            for number in sorted(block.runs(arch), key=lambda number: int(block.position[number])):
                if own is None or own[number]:
                    yield source, StoredRun(block, number, by if superseded is not None and superseded[number] else "")

    def result(self, arch: int, hp: str) -> ArchResults | None:
        found = self._result(arch, hp)
        if found is None and self.snapshot.builtin and not self.has(arch):
            raise lacks(self.space, arch)
        return found[0] if found is not None else None

    def _result(self, arch: int, hp: str) -> tuple[ArchResults, StoredForm] | None:
        sources = {run.key: (source, run) for source, run in self.runs(hp, arch)}
        if not sources:
            return None
        runs = [run for _, run in sources.values()]

        def made(run: StoredRun) -> ResultsCount:
            return kind._run_kind._of_run(run, partial(stored_weights, self.snapshot, sources[run.key][0]))

        kind = self.kind
        results = kind(arch, "")
        results.__dict__.update(result(self.space, arch, runs, made))
        return results, runs[-1].form

    def results(self, arch: int) -> Results:
        arch = int(arch)
        every = {hp: self._result(arch, hp) for hp in sorted(self.hps(), key=int)}
        found = {hp: each for hp, each in every.items() if each is not None}
        if not found:
            raise KeyError(arch)
        if self.kind._by_epochs:
            return OrderedDict((hp, results) for hp, (results, _) in found.items())
        form = next(iter(found.values()))[1]
        return OrderedDict(in_order({hp: results for hp, (results, _) in found.items()}, form))

    def _reduced(self, part: Part) -> np.ndarray:
        """Which runs of a block are reduced ones, from its file of `seed`."""
        path = self.home / part.path
        if "reduced" in part.columns:
            return as_numpy(read_columns(path, part, ["reduced"])["reduced"].fill_null(False))
        table = read_columns(path, part, ["epochs", "code"])
        every = list(zip(table["epochs"].to_pylist(), table["code"].to_pylist(), strict=True))
        known = {pair: is_reduced(part.hp, *pair) for pair in set(every)}
        return np.array([known[pair] for pair in every])


def _mark(home: Path) -> tuple[int, int] | None:
    """What tells one state of a database from another, None where there is none."""
    try:
        found = os.stat(home / NAME)
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns


class SingleFileBackend(DatabaseBackend):
    """The single benchmark file: a stream from end to end, so it is ingested into a database that ends with the handle
    and its results.

    That takes 10 ms an architecture and some 2.5 GB at full size, where the official package takes 2.1 MB each.

    Raises:
        NatsdbError: the file is damaged.
    """

    def __init__(self, path: str, space: str, kind: type[ArchResults] = ArchResults) -> None:
        folder = tempfile.mkdtemp(prefix="natsdb-")
        made = weakref.finalize(self, _remove, folder, os.getpid())
        _ingest_single(Path(path).absolute(), folder)
        super().__init__(path, space, Path(folder), kind=kind)
        # Results outlive the handle that gave them, and hold what they read.
        made.detach()
        weakref.finalize(self.snapshot, _remove, folder, os.getpid())
        self._file = os.path.abspath(path)

    def __reduce__(self) -> tuple[Any, ...]:
        return SingleFileBackend, (self._file, self.space, self.kind)


def _ingest_single(path: Path, folder: str) -> None:
    from natsdb.ingest import ingest
    from natsdb.ingest.archive.sources import check_single_md5

    with tempfile.TemporaryDirectory() as other:
        named = path
        try:
            check_single_md5(path)
        except Damaged as error:
            warnings.warn(f"{path}: {error.what}; it is read all the same, as nats_bench does", stacklevel=6)
            named = Path(other) / "single.pickle.pbz2"  # a name without digits
            named.symlink_to(path)
        try:
            ingest([named], folder)
        except Damaged as error:
            if named == path:
                raise
            raise Damaged(error.what, where=str(path), remedy=error.remedy) from error


def _remove(folder: str, process: int) -> None:
    if os.getpid() == process:  # a forked child ends earlier than its parent
        shutil.rmtree(folder, ignore_errors=True)


class ArchiveBackend:
    """An official archive of one file (tar, chunks, a record's file), read record by record, none of them kept.

    Raises:
        NatsdbError: it is no official form, or damaged.
    """

    def __init__(self, source: Source, kind: type[ArchResults] = ArchResults) -> None:
        self.path, self.space, self.kind = os.path.abspath(source.path), source.space, kind
        self._entries = {entry.arch: entry for entry in source.entries}
        self._hps: set[str] = set()

    def __reduce__(self) -> tuple[Any, ...]:
        return _reopened, (self.path, self.kind)

    def __deepcopy__(self, memo: dict[int, Any]) -> ArchiveBackend:
        return self

    def hps(self) -> set[str]:
        if not self._hps:
            self._hps = set(self.results(next(iter(self._entries))))
        return self._hps

    def archs(self) -> list[int]:
        return sorted(self._entries)

    def has(self, arch: Any) -> bool:
        return arch in self._entries

    def result(self, arch: int, hp: str) -> ArchResults | None:
        return self.results(arch).get(hp) if arch in self._entries else None

    def results(self, arch: int) -> Results:
        return results_of(record_of(self._entries[arch]), self.kind)


def _reopened(path: str, kind: type[ArchResults]) -> ArchiveBackend:
    from natsdb.ingest.archive.sources import open_source

    return ArchiveBackend(open_source(path), kind)


def results_of(record: dict[str, Any], kind: type[ArchResults] = ArchResults) -> Results:
    """Results by hp from an official record; trained weights become tensors when they are asked for."""
    by_hp: Results = OrderedDict()
    for hp, fields in sorted(record.items(), key=lambda item: int(item[0])) if kind._by_epochs else record.items():
        by_hp[hp] = kind.create_from_state_dict(fields)
        for run in by_hp[hp].all_results.values():
            state = run.net_state_dict
            if isinstance(state, dict) and any(isinstance(value, Tensor) for value in state.values()):
                del run.__dict__["net_state_dict"]
                run._lazily(None, partial(torch_tensors, state))
    return by_hp


def is_database(path: str) -> bool:
    """Whether a folder is a natsdb database."""
    return os.path.isfile(os.path.join(path, NAME))
