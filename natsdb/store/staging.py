"""Work is staged beside the tables and published by one rename of the manifest: the database is the old or the new one.

`DATABASE/.ingest/<key>/` holds the files of blocks that are done, with a receipt each. The key depends on what was
asked, so the same command finds its own work again after an interruption. What a crash leaves is not listed by a
manifest, so it does not exist for readers; `versions.remove_unlisted` sweeps it out.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from natsdb.schema.datasets import DATASETS, added
from natsdb.schema.errors import Damaged, NatsdbError
from natsdb.schema.spaces import SPACES
from natsdb.schema.tables import CATALOGUE, TABLES
from natsdb.store.manifest import FOLDERS, NAME, Manifest, Part, WeightsFile, with_parts
from natsdb.store.parquet import read_columns, write_part
from natsdb.store.snapshot import VERSIONS, read_manifest
from natsdb.store.versions import publish_manifest
from natsdb.store.writing import LOCK, sync_folder, write_whole, writing

if TYPE_CHECKING:
    import pyarrow as pa

STAGING = ".ingest"
# Unfinished work that nobody took up again goes after so many seconds: a month.
ABANDONED = 30 * 86_400.0


@dataclass(frozen=True)
class Receipt:
    """A block that is done: the files that it made (no parts if no row is new), and those that it went out from."""

    old: list[str]
    parts: list[Part]
    weights: list[WeightsFile]
    archs: int
    rows: int
    failures: list[tuple[str, str]]


class Staging:
    """The staging folder of one command."""

    def __init__(self, database: Path, key: str) -> None:
        self.database = database
        self.folder = database / STAGING / key
        self.folder.mkdir(parents=True, exist_ok=True)
        for left in self.folder.glob("*.tmp"):
            left.unlink()

    def receipt(self, name: str, old: list[str]) -> Receipt | None:
        """Receipt of a block, if it is done and the files of the database that it went out from are still the same."""
        try:
            data = json.loads((self.folder / f"{name}.json").read_text(encoding="utf-8"))
            receipt = Receipt(
                data["old"],
                [Part(**{**part, "columns": tuple(part["columns"])}) for part in data["parts"]],
                [WeightsFile(**one) for one in data["weights"]],
                data["archs"],
                data["rows"],
                [(where, what) for where, what in data["failures"]],
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None
        made: list[Part | WeightsFile] = [*receipt.parts, *receipt.weights]
        there = all(self.path(one.path).exists() for one in made)
        return receipt if there and receipt.old == old else None

    def path(self, relative: str) -> Path:
        """Where a file of the database-to-be lies now."""
        staged = self.folder / relative
        return staged if staged.exists() else self.database / relative

    def publish(self, manifest: Manifest, command: str) -> None:
        """Move the files that a manifest lists into place, then the manifest itself as the next version.

        Args:
            manifest: what the database shall hold; its version and time are set here.
            command: what was done, in words, for `natsdb log`.

        Raises:
            NotWritable: the disk is full or cannot be written; the database is unchanged.
        """
        with writing(self.database):
            moved = set()
            for path in manifest.listed():
                staged = self.folder / path
                if staged.exists():
                    target = self.database / path
                    target.parent.mkdir(parents=True, exist_ok=True)
                    os.replace(staged, target)
                    moved.add(target.parent)
            for folder in sorted(moved):
                sync_folder(folder)
            publish_manifest(self.database, manifest, command)
        self.clear()

    def clear(self) -> None:
        """Remove the staging folder, and what others left in its neighbourhood long ago."""
        shutil.rmtree(self.folder, ignore_errors=True)
        remove_abandoned(self.database)


def remove_abandoned(database: Path) -> None:
    """Remove unfinished work that nobody took up for a month, and locks of searches that are done."""
    folder = database / STAGING
    now = time.time()
    with suppress(OSError):
        for left in folder.iterdir():
            with suppress(OSError):
                newest = max((p.stat().st_mtime for p in (left, *left.rglob("*"))), default=now)
                if now - newest > ABANDONED:
                    shutil.rmtree(left) if left.is_dir() else left.unlink()
        folder.rmdir()  # another command's unfinished work may be there


def write_receipt(folder: Path, name: str, receipt: Receipt) -> None:
    """Note that a block is done."""
    write_whole(folder / f"{name}.json", json.dumps(asdict(receipt)))


def open_manifest(database: Path) -> Manifest:
    """Manifest of a database that may not exist yet.

    Raises:
        NatsdbError: the folder holds other things than a database, or its manifest cannot be read.
    """
    if (database / NAME).exists():
        return read_manifest(database)
    if any((database / VERSIONS).glob("[0-9]*")):
        raise Damaged(
            "the manifest is gone", where=str(database / NAME), remedy="`natsdb repair` restores it from its copy"
        )
    ours = {STAGING, LOCK, VERSIONS, *FOLDERS}
    others = [p.name for p in database.iterdir() if p.name not in ours]
    if others:
        raise NatsdbError(
            f"the folder is not a natsdb database and not empty (it holds {sorted(others)[0]})",
            where=str(database),
            remedy="name an empty folder with --db",
        )
    return Manifest()


def with_catalogue(manifest: Manifest, staging: Staging, used: Iterable[tuple[str, str]] = ()) -> Manifest:
    """The manifest with the tables of the catalogue, computed and staged if it has none, or none of some space, data
    set or schedule that there is. Rows of those that this process knows nothing of are kept. It lists the data sets
    that natsdb does not know by itself.

    Args:
        used: (space, hp) of runs that are about to come in.

    Raises:
        Damaged: a table of the catalogue is not as it was written.
    """
    known_by_name = {one.name: one for one in (*manifest.datasets, *added())}
    manifest = replace(manifest, datasets=tuple(known_by_name[name] for name in sorted(known_by_name)))
    held = {part.table: part for part in manifest.parts if part.table in CATALOGUE}
    used = {*used, *((part.space, part.hp) for part in manifest.parts if part.table == "seed")}
    from natsdb.schema.catalogue import catalogue_tables, own_schedules

    if len(held) == len(CATALOGUE):
        schedules = set(_held(held["epoch"], staging, ["space", "hp"]))
        spaces = {space for space, _ in schedules}
        datasets = {name for (name,) in _held(held["dataset"], staging, ["dataset"])}
        new = own_schedules(used) - schedules
        if not new and spaces.issuperset(SPACES) and datasets.issuperset(DATASETS):
            return manifest

    parts = []
    for name, table in catalogue_tables(used).items():
        if name in held:
            old = read_columns(staging.path(held[name].path), held[name], table.column_names)
            table = _with_others(table, old, name)
        parts.append(write_part(table, staging.folder, Part(name, "", "", "", 0, name, len(table), 0)))
    return with_parts(manifest, parts)


def _held(part: Part, staging: Staging, columns: list[str]) -> list[tuple[str, ...]]:
    """The distinct values of columns of a table of the catalogue."""
    rows = read_columns(staging.path(part.path), part, columns).group_by(columns).aggregate([])
    return list(zip(*(rows[column].to_pylist() for column in columns), strict=True))


def _with_others(table: pa.Table, old: pa.Table, name: str) -> pa.Table:
    """A table of the catalogue with those of its old rows whose space or data set is not known here."""
    import pyarrow as pa
    import pyarrow.compute as pc

    known = pa.array([True] * len(old))
    for column, names in (("space", SPACES), ("dataset", DATASETS)):
        if column in old.column_names:
            known = pc.and_(known, pc.is_in(old[column], value_set=pa.array(list(names))))
    others = old.filter(pc.invert(known))
    if not len(others):
        return table
    both = pa.concat_tables([table, others.cast(table.schema)])
    return both.sort_by([(column, "ascending") for column in TABLES[name].key])
