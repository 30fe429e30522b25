"""Ingest: sources → blocks → staged files → a published database."""

from __future__ import annotations

import hashlib
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path

from natsdb.ingest.archive.sources import Entry, Source, open_source
from natsdb.ingest.blocks import BlockTask, Job, stage_block, stage_single
from natsdb.ingest.fanout import fan_out, leave_if_starting, processes
from natsdb.ingest.forms import ingested_form
from natsdb.ingest.report import IngestReport, check_name
from natsdb.schema.datasets import DATASETS, added, register
from natsdb.schema.errors import Damaged, NatsdbError
from natsdb.schema.tables import BLOCK
from natsdb.store.locations import local
from natsdb.store.manifest import Ingested, Manifest, with_ingested, with_parts, with_weights
from natsdb.store.staging import Receipt, Staging, open_manifest, with_catalogue
from natsdb.store.writing import only_writer

# Below this, starting processes costs more than it gains.
_FEW = 64

Progress = Callable[[str, int, int, int], None]


def ingest(
    sources: Sequence[str | os.PathLike[str]],
    database: str | os.PathLike[str] | None = None,
    *,
    source: str | None = None,
    jobs: int | None = None,
    replace: bool = False,
    keep_going: bool = False,
    weights: bool = False,
    progress: Progress | None = None,
) -> IngestReport:
    """Turn official archives into tables of a database, all or nothing.

    Args:
        sources: archive folders, tars or their chunks, record files, single benchmark files, those of NAS-Bench-201
            (.pth), HPOBench's extraction of it (.json), published tables of results (see
            `natsdb.ingest.published.read_published`), or the folder of Syne Tune's blackbox (see
            `natsdb.ingest.syne_tune`).
        database: folder of the database; the default one when None (see `default_database`).
        source: what the column `source` says of these rows; by default official, of NAS-Bench-201's nas-bench-201, of
            HPOBench's hpobench, of published tables published, of a blackbox syne-tune.
        jobs: processes; by default one a core, at most six.
        replace: overwrite runs that the database holds with other numbers, instead of refusing.
        keep_going: leave out damaged records and list them in the report, instead of stopping.
        weights: keep trained weights, where the archive has them, as safetensors.
        progress: called now and then with (source name, files done, files in all, rows done).

    Raises:
        NatsdbError: a source is damaged or contradicts the database; the database is unchanged.
        KeyboardInterrupt: interrupted; the database is unchanged, the same call resumes.
    """
    leave_if_starting()
    if not sources:
        raise NatsdbError("no source is named", remedy="name an archive folder, tar or file")
    home = local(database)
    paths = [Path(path) for path in sources]
    forms = [ingested_form(path) for path in paths]
    if (form := forms[0]) is not None or len(set(forms)) > 1:
        if form is None or len(set(forms)) > 1 or (len(paths) > 1 and not form.together):
            raise NatsdbError(
                "published tables, blackboxes and archives are of different sources",
                remedy="ingest them one after the other",
            )
        assert form.ingest is not None
        return form.ingest(paths, home, source=source, replace=replace)
    return ingest_opened(
        [open_source(path) for path in sources],
        home,
        source=source,
        jobs=jobs,
        replace=replace,
        keep_going=keep_going,
        weights=weights,
        progress=progress,
    )


def ingest_opened(
    opened: Sequence[Source],
    home: Path,
    *,
    source: str | None = None,
    jobs: int | None = None,
    replace: bool = False,
    keep_going: bool = False,
    weights: bool = False,
    progress: Progress | None = None,
) -> IngestReport:
    """`ingest` of archives that were opened."""
    origins = sorted({one.origin for one in opened})
    if source is None and len(origins) > 1:
        raise NatsdbError(
            f"rows of {' and '.join(origins)} are of different sources", remedy="ingest them one after the other"
        )
    source = source or origins[0]
    check_name(source)
    with only_writer(home):
        before = before_records(home, source)
        for dataset in (dataset for one in opened for dataset in one.datasets):
            if dataset.name not in DATASETS:  # what the database, or the caller, says of it counts
                register(dataset)
        asked = [(s.kind, s.space, s.name, s.fingerprint) for s in opened]
        options = (source, replace, keep_going, weights, [s.path for s in opened if not s.entries])
        staging = Staging(home, hashlib.sha256(repr((asked, options)).encode()).hexdigest()[:16])
        manifest = with_catalogue(before, staging)
        job = Job(str(staging.folder), source, opened[0].space, replace, keep_going, weights, tuple(added()))
        command = f"ingest {' '.join(one.name for one in opened)} --source {source}"
        return add_sources(opened, job, staging, before, manifest, command, jobs, progress)


def before_records(home: Path, source: str) -> Manifest:
    """The manifest of a database that records of a source are about to come into.

    Raises:
        NatsdbError: its rows of this source are of tables without records; or see `open_manifest`.
    """
    before = open_manifest(home)
    if source in before.published_sources():
        raise NatsdbError(
            f"its rows of source {source!r} are of a published table or a blackbox",
            where=str(home),
            remedy="name an archive's rows otherwise, with --source NAME",
        )
    return before


def add_sources(
    sources: Sequence[Source],
    job: Job,
    staging: Staging,
    before: Manifest,
    manifest: Manifest,
    command: str,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> IngestReport:
    """Stage archives, and publish a version with what came of them, if it is another one; the database is held.

    Args:
        job: what is asked; its space is that of each archive.
        before, manifest: the database's, as it is, and with a catalogue that may be staged.
        command: what `natsdb log` says.

    Raises:
        NatsdbError: an archive is damaged or contradicts the database, which is unchanged.
    """
    started = time.monotonic()
    archs = rows = resumed = 0
    failures: list[tuple[str, str]] = []
    known = set() if job.replace else {(one.source, one.fingerprint) for one in before.ingests}
    for one in sources:
        fingerprint = one.fingerprint + ("+weights" if job.weights else "")
        if (job.source, fingerprint) in known:
            continue
        receipts, again = stage_source(one, replace(job, space=one.space), staging, manifest, jobs, progress)
        resumed += again
        for receipt in receipts:
            manifest = with_weights(with_parts(manifest, receipt.parts), receipt.weights)
            failures += receipt.failures
        archs += (count := sum(receipt.archs for receipt in receipts))
        rows += sum(receipt.rows for receipt in receipts)
        if not any(receipt.failures for receipt in receipts):
            ingested = Ingested(job.source, one.space, one.kind, one.name, fingerprint, count, *one.said)
            manifest = with_ingested(manifest, ingested)
    manifest = with_catalogue(manifest, staging)  # with the schedules that came in
    changed = set(manifest.parts) != set(before.parts) or manifest.weights != before.weights
    if failures and not archs:
        staging.clear()
        raise Damaged(f"no record could be read; the first: {failures[0][1]}", where=failures[0][0])
    if manifest.same_contents(before):
        staging.clear()
    else:
        staging.publish(manifest, command)
    return IngestReport(staging.database, archs, rows, changed, resumed, failures, seconds=time.monotonic() - started)


def stage_source(
    source: Source, job: Job, staging: Staging, manifest: Manifest, jobs: int | None, progress: Progress | None
) -> tuple[list[Receipt], int]:
    """Receipts of a source's blocks, and how many of them an earlier run had done already."""

    def block(number: int, entries: Sequence[Entry] = ()) -> BlockTask:
        mine = [p for p in manifest.parts if (p.source, p.space, p.block) == (job.source, job.space, number)]
        old = tuple((part.table, part.hp, str(staging.path(part.path))) for part in mine if part.hp)
        weights = tuple(
            (one.arch, str(staging.path(one.path)))
            for one in manifest.weights
            if job.weights and (one.source, one.space, one.arch // BLOCK) == (job.source, job.space, number)
        )
        name = f"{source.fingerprint}-{source.space}-{number:04d}"
        return BlockTask(name, number, old, weights, tuple(entries))

    def done(one: BlockTask) -> Receipt | None:
        return staging.receipt(one.name, one.before)

    if not source.entries:
        return stage_single(source, job, block, done, progress)
    by_number: dict[int, list[Entry]] = {}
    for entry in source.entries:
        by_number.setdefault(entry.arch // BLOCK, []).append(entry)
    todo, receipts = [], []
    for number, entries in sorted(by_number.items()):
        one = block(number, entries)
        receipt = done(one)
        if receipt is None:
            todo.append(one)
        else:
            receipts.append(receipt)
    again, before, total = len(receipts), sum(receipt.archs for receipt in receipts), len(source.entries)

    def tick(files: int, rows: int) -> None:
        if progress is not None:
            progress(source.name, before + files, total, rows)

    if jobs is None and sum(len(one.entries) for one in todo) < _FEW:
        jobs = 1
    receipts += fan_out(stage_block, [(job, one) for one in todo], processes(jobs, len(todo)), tick)
    return receipts, again
