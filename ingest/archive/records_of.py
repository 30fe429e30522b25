"""Every record of a source, whatever its form."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from natsdb.ingest.archive.gathered import gathered
from natsdb.ingest.archive.hpobench import extracted_records
from natsdb.ingest.archive.records import with_hps
from natsdb.ingest.archive.single import single_records
from natsdb.ingest.archive.sources import Entry, Source, record_in
from natsdb.schema.errors import Damaged
from natsdb.store.choice import HPOBENCH


def records_of(source: Source) -> Iterator[tuple[int, str, Any]]:
    """Every record of a source, unpickled: (architecture, file name, record). A few at a time in memory.

    Raises:
        NatsdbError: see `sources.open_source` and `unpickle`.
    """
    if source.kind == "single":
        yield from single_records(Path(source.path), source.space)
    if source.kind in ("gathered", HPOBENCH):
        read = (
            gathered(Path(source.path)).items() if source.kind == "gathered" else extracted_records(Path(source.path))
        )
        for arch, record in read:
            yield arch, f"{source.name}: {arch}", record
    for entry in source.entries:
        yield entry.arch, entry.name, record_of(entry)


def record_of(entry: Entry) -> dict[str, Any]:
    """A record, unpickled, with the names of hps that NATS-Bench has.

    Raises:
        Damaged: it cannot be read, or is none.
    """
    record = record_in(entry.read(), entry.name)
    if not isinstance(record, dict):
        raise Damaged("the pickle holds no record", where=entry.name, remedy="get the file again")
    return with_hps(record)
