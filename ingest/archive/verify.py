"""Verify: every number of a source against what the database gives back, bit for bit; of records keys, order and types
too."""

from __future__ import annotations

import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from natsdb.ingest.archive.rebuild import RecordBlock, blocks_of
from natsdb.ingest.archive.records_of import record_of, records_of
from natsdb.ingest.archive.sources import Entry, Source, open_source
from natsdb.ingest.fanout import fan_out, leave_if_starting, note_progress, processes
from natsdb.ingest.forms import row_form
from natsdb.ingest.report import Difference, Verified
from natsdb.ingest.verify_rows import verify_rows
from natsdb.schema.errors import Damaged, NatsdbError
from natsdb.schema.tables import BLOCK
from natsdb.store.choice import check_source
from natsdb.store.locations import local
from natsdb.store.manifest import Part
from natsdb.store.snapshot import open_snapshot


def verify(
    source: str | os.PathLike[str],
    database: str | os.PathLike[str] | None = None,
    *,
    name: str | None = None,
    jobs: int | None = None,
    keep_going: bool = False,
    progress: Callable[[str, int, int, int], None] | None = None,
) -> Verified:
    """Compare each record of a source with the record that the database's rows make; of tables, each row.

    Args:
        source: any form that `ingest` takes.
        database: folder of the database; the default one when None.
        name: which rows to compare: the value of the column `source`; by default what `ingest` gives them.
        jobs: processes; by default one a core, at most six.
        keep_going: list damaged records in what is returned, and go on, instead of stopping.
        progress: called now and then with (source name, files done, files in all, numbers compared).

    Raises:
        Missing: the database has no rows to compare.
        NatsdbError: the source or the database cannot be read.
    """
    leave_if_starting()
    home = local(database)
    # Held until the end: what is published meanwhile changes nothing here.
    snapshot = open_snapshot(home)
    if (form := row_form(Path(source))) is not None:
        return verify_rows(Path(source), form, snapshot, name, keep_going=keep_going, progress=progress)
    opened = open_source(source)
    of = name or opened.origin
    check_source(snapshot.manifest, of, str(snapshot.home), space=opened.space)
    files = blocks_of(snapshot.manifest, of, opened.space)

    def tick(done: int, numbers: int) -> None:
        if progress is not None:
            progress(opened.name, done, len(opened.entries), numbers)

    tasks: list[_Task] = []
    if not opened.entries:
        tasks.append(_Task(home, opened, (), files, keep_going))
    else:
        by_block: dict[int, list[Entry]] = {}
        for entry in opened.entries:
            by_block.setdefault(entry.arch // BLOCK, []).append(entry)
        tasks += [_Task(home, opened, tuple(entries), files, keep_going) for _, entries in sorted(by_block.items())]
    records = numbers = differing = 0
    differences: list[Difference] = []
    failures: list[tuple[str, str]] = []
    few = jobs is None and len(opened.entries) < 64
    for part in fan_out(_verify_block, tasks, 1 if few else processes(jobs, len(tasks)), tick):
        records, numbers, differing = records + part.records, numbers + part.numbers, differing + part.count
        differences += part.differences[: 1000 - len(differences)]
        failures += part.failures
    differences.sort(key=lambda one: (one.file, one.key))
    return Verified(records, numbers, differences, differing, failures=sorted(failures))


@dataclass(frozen=True)
class _Task:
    database: Path
    source: Source
    entries: tuple[Entry, ...]
    files: dict[int, dict[tuple[str, str], Part]]
    keep_going: bool


def _verify_block(task: _Task) -> Verified:
    records = numbers = differing = 0
    kept: list[Difference] = []
    failures: list[tuple[str, str]] = []
    blocks: dict[int, RecordBlock] = {}
    for arch, file, record in _each(task):
        if not isinstance(record, dict):
            record = record if isinstance(record, NatsdbError) else Damaged("it is no record", where=file)
            if not task.keep_going:
                raise record
            failures.append((record.where, record.said))
            continue
        number = arch // BLOCK
        if number not in blocks and number in task.files:
            blocks = {number: RecordBlock(task.database, task.source.space, task.files[number])}
        found = blocks[number].record(arch, frozenset(record)) if number in blocks else None
        compared = _Comparison(file)
        if found is None:
            compared.differ("", "a record", "no row of this architecture")
        else:
            compared.values(record, found, "")
        records, numbers, differing = records + 1, numbers + compared.numbers, differing + len(compared.differences)
        kept += compared.differences[: 1000 - len(kept)]
        note_progress(1, compared.numbers)
    return Verified(records, numbers, kept, differing, failures=failures)


def _each(task: _Task) -> Iterator[tuple[int, str, Any]]:
    """Architecture and file of each record, and the record, or what is wrong with it."""
    if not task.source.entries:
        yield from records_of(task.source)
    for entry in task.entries:
        try:
            record: Any = record_of(entry)
        except NatsdbError as error:
            record = error
        yield entry.arch, entry.name, record


class _Comparison:
    """Two nested values, compared by type, order of keys, and bits."""

    def __init__(self, file: str) -> None:
        self.file = file
        self.numbers = 0
        self.differences: list[Difference] = []

    def differ(self, key: str, official: object, database: object) -> None:
        self.differences.append(Difference(self.file, key, f"{official!r:.80}", f"{database!r:.80}"))

    def values(self, official: Any, database: Any, key: str) -> None:
        if key.endswith(".net_state_dict"):
            return  # weights lie beside the tables, and are compared as tensors where they were asked for
        if type(official) is not type(database):
            self.differ(key, type(official).__name__, type(database).__name__)
        elif isinstance(official, dict):
            if list(official) != list(database):
                self.differ(key, list(official), list(database))
                return
            for name, value in official.items():
                self.values(value, database[name], f"{key}[{name!r}]" if not isinstance(name, str) else f"{key}.{name}")
        elif isinstance(official, (list, tuple)):
            if len(official) != len(database):
                self.differ(key, official, database)
                return
            for place, (mine, theirs) in enumerate(zip(official, database, strict=True)):
                self.values(mine, theirs, f"{key}[{place}]")
        elif isinstance(official, (float, np.floating)):
            self.numbers += 1
            if struct.pack("<d", official) != struct.pack("<d", database):
                self.differ(key, official, database)
        elif official != database:
            self.differ(key, official, database)
