"""Every record of a source, whatever its form."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from natsdb.ingest.archive.single import single_records
from natsdb.ingest.archive.sources import Source
from natsdb.ingest.archive.unpickle import decompress, unpickle


def records_of(source: Source) -> Iterator[tuple[int, str, Any]]:
    """Every record of a source, unpickled: (architecture, file name, record). A few at a time in memory.

    Raises:
        NatsdbError: see `sources.open_source` and `unpickle`.
    """
    if source.kind == "single":
        yield from single_records(Path(source.path), source.space)
        return
    for entry in source.entries:
        yield entry.arch, entry.name, unpickle(decompress(entry.read(), entry.name), entry.name)
