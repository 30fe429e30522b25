"""What every way of adding rows says when it is done, and what it asks first."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from natsdb.schema.errors import NatsdbError


@dataclass(frozen=True)
class IngestReport:
    """What an ingest did: architectures and rows read, whether the database changed, files left out, what a reader of
    the numbers should know, seconds."""

    database: Path
    archs: int = 0
    rows: int = 0
    changed: bool = False
    resumed: int = 0
    failures: list[tuple[str, str]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    seconds: float = 0.0


def check_name(source: str) -> None:
    """Refuse what cannot be a value of the column `source`, which is part of a folder's name.

    Raises:
        NatsdbError: it has other characters, or none.
    """
    if not source or not all(c.isalnum() or c in "-_." for c in source) or source.startswith("."):
        raise NatsdbError(
            f"{source!r} cannot be a source's name", remedy="use letters, digits, '-', '_' and '.', as in --source mine"
        )


@dataclass(frozen=True)
class Difference:
    """A place where source and database differ: file, key, and both values in words."""

    file: str
    key: str
    official: str
    database: str


@dataclass(frozen=True)
class Verified:
    """What was compared: records (of tables without them, runs) and numbers; the differences, at most 1,000 of them
    kept, and how many there are; notes on what differs rightly; files, or records, that could not be read, and why."""

    records: int
    numbers: int
    differences: list[Difference]
    count: int
    notes: list[str] = field(default_factory=list)
    failures: list[tuple[str, str]] = field(default_factory=list)
    unit: str = "records"
