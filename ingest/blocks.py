"""A block of architectures, from its records to staged files: the unit of work that processes share."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from natsdb.ingest.archive.records import HpRecord, read_record
from natsdb.ingest.archive.records_of import numbers_of
from natsdb.ingest.archive.sources import Entry, Source, check_single_md5, record_in
from natsdb.ingest.archive.templates import Templates, read_file
from natsdb.ingest.archive.torch_file import may_be_torch
from natsdb.ingest.archive.unpickle import decompress
from natsdb.ingest.fanout import note_progress
from natsdb.ingest.weights import weights_of_record
from natsdb.ingest.write import BlockWriter, Provenance
from natsdb.schema.datasets import DataSet, admit
from natsdb.schema.errors import NatsdbError
from natsdb.schema.spaces import SPACES, arch_str
from natsdb.schema.tables import BLOCK
from natsdb.store.manifest import WeightsFile
from natsdb.store.staging import Receipt, write_receipt
from natsdb.store.weights import merged_weights
from natsdb.store.writing import writing


@dataclass(frozen=True)
class Job:
    """What a command asks of every block; `datasets`: those that the source brings, for the processes."""

    folder: str
    source: str
    space: str
    replace: bool
    keep_going: bool
    weights: bool
    datasets: tuple[DataSet, ...] = ()


@dataclass(frozen=True)
class BlockTask:
    """Records to read, in ascending order of architecture; the database's files of this block by (table, hp), and of
    weights by architecture."""

    name: str
    number: int
    old: tuple[tuple[str, str, str], ...]
    weights: tuple[tuple[int, str], ...] = ()
    entries: tuple[Entry, ...] = ()

    @property
    def before(self) -> list[str]:
        """The database's files that the block goes out from."""
        return sorted([*(path for _, _, path in self.old), *(path for _, path in self.weights)])


_templates: dict[str, Templates] = {}


def stage_block(task: tuple[Job, BlockTask]) -> Receipt:
    """Read a block's records and stage its files.

    Raises:
        NatsdbError: a record is damaged or contradicts the database (unless `keep_going`), or the disk is full.
        Stopped: the command was interrupted.
    """
    job, block = task
    for dataset in job.datasets:
        admit(dataset)
    return stage_records(job, block, _read(job, block))


Read = tuple[int, "list[HpRecord] | NatsdbError", Provenance]


def _read(job: Job, block: BlockTask) -> Iterable[Read]:
    templates = _templates.setdefault(job.space, Templates())
    for entry in block.entries:
        provenance = Provenance(entry.name, None)
        try:
            raw = entry.read()
            provenance = Provenance(entry.name, hashlib.md5(raw, usedforsecurity=False).hexdigest())
            text = arch_str(job.space, entry.arch)
            if may_be_torch(raw[:32]):
                numbers = read_record(record_in(raw, entry.name), entry.arch, text, entry.name)
            else:
                numbers = read_file(decompress(raw, entry.name), entry.arch, text, entry.name, templates)
            yield entry.arch, numbers, provenance
        except NatsdbError as error:
            yield entry.arch, error, provenance


def stage_records(job: Job, block: BlockTask, records: Iterable[Read]) -> Receipt:
    """Stage the files of a block from its records, in ascending order of architecture."""
    folder = Path(job.folder)
    old = {(table, hp): Path(path) for table, hp, path in block.old}
    writer = BlockWriter(folder, job.source, job.space, block.number, old, job.replace)
    held = dict(block.weights)
    failures: list[tuple[str, str]] = []
    weights: list[WeightsFile] = []
    archs = 0
    try:
        with writing(job.folder):
            for arch, read, provenance in records:
                try:
                    record, new = _with_weights(job, held.get(arch), arch, read, provenance.file)
                except NatsdbError as error:
                    if not job.keep_going:
                        raise
                    failures.append((error.where, error.said))
                    continue
                weights += [new] if new is not None else []
                before = writer.rows
                writer.add(arch, record, provenance)
                archs += 1
                note_progress(1, writer.rows - before)
            parts = writer.close() if archs else []
            receipt = Receipt(block.before, parts, weights, archs, writer.rows, failures)
            write_receipt(folder, block.name, receipt)
            return receipt
    finally:
        writer.abort()


def _with_weights(
    job: Job, held: str | None, arch: int, read: list[HpRecord] | NatsdbError, where: str
) -> tuple[list[HpRecord], WeightsFile | None]:
    """A record as it was read, and a staged file of its weights, where these are asked for and new.

    Raises:
        Damaged: the record is, or its weights, or the file of weights that the database holds.
        NatsdbError: it is no record.
    """
    if isinstance(read, NatsdbError):
        raise read
    if not job.weights:
        return [hp._replace(weights={}) for hp in read], None
    path = Path(held) if held is not None else None
    found = weights_of_record(read, where)
    return read, merged_weights(Path(job.folder), path, job.source, job.space, arch, found, replace=job.replace)


def stage_single(
    source: Source,
    job: Job,
    block: Callable[..., BlockTask],
    done: Callable[[BlockTask], Receipt | None],
    progress: Callable[[str, int, int, int], None] | None,
) -> tuple[list[Receipt], int]:
    """Stage the blocks of a file of many records; receipts, and how many were there from an earlier run.

    Raises:
        NatsdbError: the file is damaged, or its MD5 is not the one in its name.
    """
    check_single_md5(Path(source.path))
    size = SPACES[source.space].size
    blocks = {number: block(number) for number in range(-(-size // BLOCK))}
    receipts = {number: receipt for number, one in blocks.items() if (receipt := done(one)) is not None}
    again = len(receipts)
    pending: dict[int, list[Read]] = {}
    files = rows = 0

    def stage(number: int) -> None:
        nonlocal rows
        read = sorted(pending.pop(number), key=lambda item: item[0])
        receipts[number] = stage_records(job, blocks[number], read)
        rows += receipts[number].rows

    provenance = Provenance(source.name, None)
    for arch, record in numbers_of(source):
        number = arch // BLOCK
        files += 1
        if progress is not None and files % 32 == 0:
            progress(source.name, files, size, rows)
        if number in receipts:
            continue
        pending.setdefault(number, []).append((arch, record, provenance))
        if len(pending[number]) == min(BLOCK, size - number * BLOCK):
            stage(number)
    for number in sorted(pending):
        stage(number)
    return [receipts[number] for number in sorted(receipts)], again
