"""Every record of a source, or its numbers, whatever its form."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from natsdb.ingest.archive.gathered import gathered
from natsdb.ingest.archive.hpobench import extracted_records
from natsdb.ingest.archive.records import HpRecord, read_record, with_hps
from natsdb.ingest.archive.single import single_numbers, single_records
from natsdb.ingest.archive.sources import Entry, Source, record_in
from natsdb.schema.errors import Damaged, NatsdbError
from natsdb.schema.spaces import arch_str


def records_of(source: Source) -> Iterator[tuple[int, str, Any]]:
    """Every record of a source, unpickled: (architecture, file name, record). A few at a time in memory.

    Raises:
        NatsdbError: see `sources.open_source` and `unpickle`.
    """
    if source.kind == "single":
        yield from single_records(Path(source.path), source.space)
    if source.kind == "gathered":
        for arch, record in gathered(Path(source.path)).items():
            yield arch, f"{source.name}: {arch}", record
    for entry in source.entries:
        yield entry.arch, entry.name, record_of(entry)


def numbers_of(source: Source) -> Iterator[tuple[int, list[HpRecord] | NatsdbError]]:
    """The numbers of every record of a file of many, or what is wrong with it, by architecture.

    Raises:
        NatsdbError: the file cannot be read to its end.
    """
    path = Path(source.path)
    if source.kind == "single":
        yield from single_numbers(path, source.space)
        return
    found: Iterable[tuple[int, Any]] = gathered(path).items() if source.kind == "gathered" else extracted_records(path)
    for arch, record in found:
        yield arch, _numbers(record, arch, source)


def _numbers(record: Any, arch: int, source: Source) -> list[HpRecord] | NatsdbError:
    if isinstance(record, NatsdbError):
        return record
    try:
        return read_record(record, arch, arch_str(source.space, arch), f"{source.name}: {arch}")
    except NatsdbError as error:
        return error


def record_of(entry: Entry) -> dict[str, Any]:
    """A record, unpickled, with the names of hps that NATS-Bench has.

    Raises:
        Damaged: it cannot be read, or is none.
    """
    record = record_in(entry.read(), entry.name)
    if not isinstance(record, dict):
        raise Damaged("the pickle holds no record", where=entry.name, remedy="get the file again")
    return with_hps(record)
