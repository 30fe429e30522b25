"""Forms that hold rows and no whole records, told apart in one place: published tables, Syne Tune's blackbox, and
HPOBench's files, which `ingest` reads as records, though each has one data set's part of them."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from natsdb.ingest import published, syne_tune
from natsdb.ingest.archive import hpobench
from natsdb.ingest.archive.records_of import numbers_of
from natsdb.ingest.archive.sources import open_source
from natsdb.ingest.merge import Tables
from natsdb.ingest.report import IngestReport
from natsdb.ingest.write import Provenance, Rows
from natsdb.schema.errors import NatsdbError
from natsdb.schema.tables import BLOCK, GROUPS
from natsdb.store.choice import HPOBENCH
from natsdb.store.manifest import PUBLISHED, SYNE_TUNE


@dataclass(frozen=True)
class Piece:
    """Some rows of a source: those of a group of `size` architectures, none if none of them could be read; `failures`:
    what was wrong with those that could not."""

    space: str
    hp: str
    group: int
    size: int
    rows: Tables | None
    failures: tuple[NatsdbError, ...] = ()


@dataclass(frozen=True)
class RowForm:
    """A form of rows: what the column `source` says of them, where nobody says otherwise; whether a path is of it; its
    rows; how they come into a database, None where as records; whether several `together` make one run."""

    source: str
    fits: Callable[[Path], bool]
    pieces: Callable[[Path], Iterator[Piece]]
    ingest: Callable[..., IngestReport] | None = None
    together: bool = False


def _published(path: Path) -> Iterator[Piece]:
    for space, hp, block, made in published.tables_of(published.read_published(path)):
        yield Piece(space, hp, block, BLOCK, made)


def _blackbox(path: Path) -> Iterator[Piece]:
    for group, made, _ in syne_tune.tables_of(syne_tune.read_blackbox(path)):
        yield Piece("tss", syne_tune.HP, group, GROUPS[syne_tune.HP], made)


def _ingest_blackbox(
    paths: Sequence[Path], home: Path, *, source: str | None = None, replace: bool = False
) -> IngestReport:
    (path,) = paths
    return syne_tune.ingest_blackbox(path, home, source=source, replace=replace)


def _is_extracted(path: Path) -> bool:
    if not path.is_file():
        return False
    with path.open("rb") as file:
        return hpobench.is_extracted(file.read(512))


def _extracted(path: Path) -> Iterator[Piece]:
    source, size = open_source(path), GROUPS[hpobench.HP]
    for group, records in itertools.groupby(numbers_of(source), lambda one: one[0] // size):
        rows, failures = Rows(), []
        for arch, record in records:
            if isinstance(record, NatsdbError):
                failures.append(record)
            else:
                rows.add(arch, record[0], Provenance(path.name, None))
        yield Piece(source.space, hpobench.HP, group, size, rows.tables() if len(rows) else None, tuple(failures))


ROW_FORMS = (
    RowForm(PUBLISHED, published.is_published, _published, published.ingest_published, together=True),
    RowForm(SYNE_TUNE, syne_tune.is_blackbox, _blackbox, _ingest_blackbox),
    RowForm(HPOBENCH, _is_extracted, _extracted),
)


def ingested_form(path: Path) -> RowForm | None:
    """The form of rows that a path is of, None also where `ingest` reads it as records."""
    form = row_form(path)
    return form if form is not None and form.ingest is not None else None


def row_form(path: Path) -> RowForm | None:
    """The form of rows that a path is of, None if it holds records, or nothing that natsdb knows."""
    return next((form for form in ROW_FORMS if form.fits(path)), None)
