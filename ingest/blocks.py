"""A block of architectures, from its records to staged files: the unit of work that processes share."""

from __future__ import annotations

import hashlib
import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from natsdb.ingest.publish import Receipt, write_receipt
from natsdb.ingest.records import HpRecord
from natsdb.ingest.shapes import Shapes, read_file
from natsdb.ingest.sources import Entry
from natsdb.ingest.unpickle import decompress
from natsdb.ingest.weights import write_weights
from natsdb.ingest.write import BlockWriter, Provenance
from natsdb.schema.errors import NatsdbError
from natsdb.schema.spaces import arch_str


@dataclass(frozen=True)
class Job:
    """What a command asks of every block."""

    folder: str
    source: str
    space: str
    replace: bool
    keep_going: bool
    weights: bool


@dataclass(frozen=True)
class Block:
    """Records to read, in ascending order of architecture, and the database's files of this block by (table, hp)."""

    name: str
    number: int
    old: tuple[tuple[str, str, str], ...]
    entries: tuple[Entry, ...] = ()


class Stopped(Exception):
    """The command was interrupted."""


# Shared with the main process: files and rows done so far, and whether to stop. None in a single process.
_done: Any = None
_stop: Any = None
_shapes: dict[str, Shapes] = {}


def start_worker(done: Any, stop: Any, parent: int) -> None:
    """Set up a worker process: it leaves ^C to the main process, and ends when that is gone, however it went."""
    global _done, _stop
    _done, _stop = done, stop
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def shared_state() -> tuple[Any, Any]:
    """Counters and stop flag for worker processes."""
    context = multiprocessing.get_context("spawn")
    return context.Array("q", 2), context.Event()


def stage_block(job: Job, block: Block) -> Receipt:
    """Read a block's records and stage its files.

    Raises:
        NatsdbError: a record is damaged or contradicts the database (unless `keep_going`), or the disk is full.
        Stopped: the command was interrupted.
    """
    return stage_records(job, block, _read(job, block))


Read = tuple[int, "list[HpRecord] | NatsdbError", Provenance]


def _read(job: Job, block: Block) -> Iterable[Read]:
    shapes = _shapes.setdefault(job.space, Shapes())
    for entry in block.entries:
        if _stop is not None and _stop.is_set():
            raise Stopped
        provenance = Provenance(entry.name, None)
        try:
            raw = entry.read()
            provenance = Provenance(entry.name, hashlib.md5(raw, usedforsecurity=False).hexdigest())
            data = decompress(raw, entry.name)
            yield entry.arch, read_file(data, entry.arch, arch_str(job.space, entry.arch), entry.name, shapes), provenance
        except NatsdbError as error:
            yield entry.arch, error, provenance


def stage_records(job: Job, block: Block, records: Iterable[Read]) -> Receipt:
    """Stage the files of a block from its records, in ascending order of architecture."""
    folder = Path(job.folder)
    old = {(table, hp): Path(path) for table, hp, path in block.old}
    writer = BlockWriter(folder, job.source, job.space, block.number, old, job.replace)
    failures = []
    archs = 0
    try:
        for arch, record, provenance in records:
            if isinstance(record, NatsdbError):
                if not job.keep_going:
                    raise record
                failures.append((record.where, f"{record.what}; {record.remedy}"))
                continue
            if job.weights:
                write_weights(folder, job.source, job.space, arch, record, provenance.file)
            else:
                record = [hp._replace(weights={}) for hp in record]
            before = writer.rows
            writer.add(arch, record, provenance)
            archs += 1
            if _done is not None:
                with _done.get_lock():
                    _done[0] += 1
                    _done[1] += writer.rows - before
        parts = writer.close() if archs else []
        receipt = Receipt(sorted(path for _, _, path in block.old), parts, archs, writer.rows, failures)
        write_receipt(folder, block.name, receipt)
        return receipt
    except OSError as error:
        raise NatsdbError(
            f"cannot write ({error.strerror or error})",
            where=job.folder,
            remedy="free space there and run the same command again: it goes on where it was",
        ) from error
    finally:
        writer.abort()
