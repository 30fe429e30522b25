"""Repair: damaged and missing files of a database are made again from their sources, to the same bytes.

A file is a function of the rows in it, so what is made again either has the digest that the manifest says, and takes
the damaged file's place, or it is of other rows and is left out. Only blocks with damage are read again.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from natsdb.ingest.archive.sources import Source, open_source
from natsdb.ingest.forms import ingested_form
from natsdb.ingest.into_tables import Job, Progress, stage_source
from natsdb.ingest.trained import collect, may_be_of
from natsdb.schema.datasets import added
from natsdb.schema.errors import Contradiction
from natsdb.schema.tables import BLOCK, CATALOGUE
from natsdb.store.check import Finding, Listed, check, listed_files
from natsdb.store.locations import local
from natsdb.store.manifest import NAME, Manifest, Part, with_parts, with_weights
from natsdb.store.snapshot import read_manifest
from natsdb.store.staging import Staging, with_catalogue
from natsdb.store.versions import kept_manifests, manifest_files, name_as
from natsdb.store.writing import only_writer, sync_folder, write_whole, writing


@dataclass(frozen=True)
class Repaired:
    """What a repair did: paths that are as they were written again, and what is left."""

    mended: list[str]
    left: list[Finding]


def repair(
    sources: Sequence[str | os.PathLike[str]],
    database: str | os.PathLike[str] | None = None,
    *,
    jobs: int | None = None,
    progress: Progress | None = None,
) -> Repaired:
    """Make damaged and missing files of a database again.

    Args:
        sources: what its rows came from, under the same names, in any order: archives in any official form, published
            tables (.parquet), blackboxes, folders of training runs. The tables of the catalogue are computed, and
            manifests have a copy, so they need none.
        database: folder of the database; the default one when None.
        jobs: processes; by default one a core, at most six.
        progress: called now and then with (name, files done, files in all, rows or bytes done).

    Raises:
        Missing: there is no database, or no such source.
        NatsdbError: a source is damaged too; what was mended before stays so.
    """
    home, paths = local(database), list(map(Path, sources))
    before = check(home, progress=progress).findings
    if not before:
        return Repaired([], [])
    with only_writer(home), writing(home):
        _restore_manifests(home, before)
        read = [read_manifest(home), *kept_manifests(home).values()]
        every = listed_files(read)
        damaged = {finding.path: every[finding.path] for finding in before if finding.path in every}
        staging = Staging(home, "repair")
        shutil.rmtree(staging.folder)
        staging.folder.mkdir()
        try:
            if any(isinstance(one, Part) and one.table in CATALOGUE for one in damaged.values()):
                used = {(one.space, one.hp) for one in read_manifest(home).of("seed")}
                _put(home, staging.folder, damaged, with_catalogue(Manifest(), staging, used))
            for name in sorted({one.source for one in damaged.values() if one.source}):
                mine = [one for one in damaged.values() if one.source == name]
                for made in _made_again(paths, name, _ingested(read), mine, staging, jobs, progress):
                    _put(home, staging.folder, damaged, made)
        finally:
            staging.clear()
    after = check(home, progress=progress).findings
    left = {finding.path for finding in after}
    return Repaired([finding.path for finding in before if finding.path not in left], after)


def _restore_manifests(home: Path, findings: Iterable[Finding]) -> None:
    """Manifests that are damaged or gone are written again from their copies, and copies from them."""
    read = {path: one for path, one in manifest_files(home).items() if isinstance(one, Manifest)}
    wrong = {finding.path for finding in findings}
    for good in read:
        text = good.read_text(encoding="utf-8")
        for path in (good.with_suffix(".json"), good.with_suffix(".copy")):
            if path.relative_to(home).as_posix() in wrong or not path.exists():
                write_whole(path, text)
    if NAME in wrong and read:
        # The newest of which all files are there: a writer may have been killed before it published a later one.
        whole = [path for path, one in read.items() if all((home / file).exists() for file in one.listed())]
        name_as(max(whole or read).with_suffix(".json"), home / NAME)


def _ingested(manifests: Iterable[Manifest]) -> list[tuple[str, str]]:
    """What was ingested, the newest manifest's first, each in its order: the file's or folder's name, and its rows'
    source."""
    return [(Path(one.name).name, one.source) for manifest in manifests for one in manifest.ingests]


def _made_again(
    paths: Sequence[Path],
    name: str,
    ingested: Sequence[tuple[str, str]],
    damaged: Sequence[Listed],
    staging: Staging,
    jobs: int | None,
    progress: Progress | None,
) -> Iterator[Manifest]:
    """What the sources make in the staging folder of rows of one name: after each what those of its kind make together.

    They come in the order in which they were ingested, as later ones were added to earlier ones or replaced their
    rows. One that is known by other names only is left out. Of one that is not known, as a copy under another name is,
    nobody knows what it was added to: it is apart from those that it contradicts.

    Args:
        ingested: see `_ingested`.
    """
    order: dict[str, int] = {}
    for file, source in ingested:
        if source == name:
            order.setdefault(file, len(order))
    others = {file for file, _ in ingested} - order.keys()
    together: dict[tuple[str, int], Manifest] = {}
    for path in sorted(paths, key=lambda path: order.get(path.name, len(order))):
        rows = ingested_form(path)
        runs = rows is None and path.is_dir() and any(path.glob("*/*/*.json"))
        if path.name in others or (runs and not may_be_of(path, name)):
            continue
        kind = rows.source if rows is not None else "runs" if runs else "records"
        apart = sum(one == kind for one, _ in together)
        tries = [(0, False), (0, True)] if path.name in order else [(number, False) for number in range(apart + 1)]
        for number, replacing in tries:
            before = together.get((kind, number), Manifest())
            aside = staging.folder / f"{kind}-{number}"
            try:
                if rows is not None and rows.ingest is not None:
                    rows.ingest([path], aside, source=name, replace=replacing)
                elif runs:
                    collect(path, aside, source=name, replace=replacing)
                else:
                    opened = open_source(path)
                    made = _staged(opened, name, damaged, before, staging, jobs, progress, replace_rows=replacing)
            except Contradiction:
                continue
            if kind != "records":
                shutil.copytree(aside, staging.folder, dirs_exist_ok=True)
                made = read_manifest(aside)
            together[kind, number] = made
            yield made
            break


def _staged(
    source: Source,
    name: str,
    damaged: Sequence[Listed],
    manifest: Manifest,
    staging: Staging,
    jobs: int | None,
    progress: Progress | None,
    *,
    replace_rows: bool,
) -> Manifest:
    """The manifest with the blocks that are damaged, as an archive makes them beside what others made."""
    mine = [one for one in damaged if one.space == source.space]
    blocks = {one.block if isinstance(one, Part) else one.arch // BLOCK for one in mine}
    entries = tuple(entry for entry in source.entries if entry.arch // BLOCK in blocks)
    if not mine or (source.entries and not entries):
        return manifest
    # Tables say which runs have weights, so they are made as they were: with weights where there are any.
    listed = read_manifest(staging.database).weights
    weights = any((one.source, one.space) == (name, source.space) for one in listed)
    job = Job(
        str(staging.folder),
        name,
        source.space,
        replace=replace_rows,
        keep_going=True,
        weights=weights,
        datasets=tuple(added()),
    )
    receipts, _ = stage_source(replace(source, entries=entries), job, staging, manifest, jobs, progress)
    for receipt in receipts:
        manifest = with_weights(with_parts(manifest, receipt.parts), receipt.weights)
    return manifest


def _put(home: Path, folder: Path, damaged: dict[str, Listed], made: Manifest) -> None:
    """Files that were made again and are what was written take their places."""
    for path, one in listed_files([made]).items():
        wanted = damaged.get(path)
        # A file's name has the first digits of its digest, so equal paths are of equal contents, but for one in 2^48.
        if wanted is None or wanted.sha256 != one.sha256 or not (folder / path).exists():
            continue
        (home / path).parent.mkdir(parents=True, exist_ok=True)
        os.replace(folder / path, home / path)
        sync_folder((home / path).parent)
