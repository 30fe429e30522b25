"""Work is staged beside the tables and published by one rename of the manifest: the database is the old or the new one.

`DATABASE/.ingest/<key>/` holds the files of blocks that are done, with a receipt each. The key depends on what was
asked, so the same command finds its own work again after an interruption. What a crash leaves is not listed by the
manifest, so it does not exist for readers; the next publication sweeps it out.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from natsdb.ingest.write import write_table
from natsdb.schema.errors import NatsdbError
from natsdb.schema.tables import CATALOGUE, TABLES
from natsdb.store.manifest import NAME, Ingested, Manifest, Part, read_manifest

STAGING = ".ingest"


@dataclass(frozen=True)
class Receipt:
    """A block that is done: the files it made (none if nothing changed) and the database's files it went out from."""

    old: list[str]
    parts: list[Part]
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
                [Part(**part) for part in data["parts"]],
                data["archs"],
                data["rows"],
                [(where, what) for where, what in data["failures"]],
            )
        except (OSError, ValueError, KeyError, TypeError):
            return None
        there = all(self.path(part.path).exists() for part in receipt.parts)
        return receipt if there and receipt.old == old else None

    def path(self, relative: str) -> Path:
        """Where a file of the database-to-be lies now."""
        staged = self.folder / relative
        return staged if staged.exists() else self.database / relative

    def publish(self, manifest: Manifest) -> None:
        """Move the files that a manifest lists into place, then the manifest itself, then sweep.

        Raises:
            OSError: the disk is full or cannot be written; the database is unchanged.
        """
        moved = set()
        for part in manifest.parts:
            staged = self.folder / part.path
            if staged.exists():
                target = self.database / part.path
                target.parent.mkdir(parents=True, exist_ok=True)
                os.replace(staged, target)
                moved.add(target.parent)
        for staged in sorted(self.folder.glob("weights/*/*/*.safetensors")):
            target = self.database / staged.relative_to(self.folder)
            target.parent.mkdir(parents=True, exist_ok=True)
            os.replace(staged, target)
            moved.add(target.parent)
        for folder in sorted(moved):
            _sync(folder)
        write_whole(self.database / NAME, manifest.to_json())
        self.clear()
        _sweep(self.database, manifest)

    def clear(self) -> None:
        """Remove the staging folder."""
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):  # another command's unfinished work may be there
            self.folder.parent.rmdir()


def write_receipt(folder: Path, name: str, receipt: Receipt) -> None:
    """Note that a block is done."""
    write_whole(folder / f"{name}.json", json.dumps(asdict(receipt)))


def write_whole(path: Path, text: str) -> None:
    """Write a small file so that it is there whole or not at all, also after a power cut."""
    temporary = path.with_name(path.name + f".{os.getpid()}.tmp")
    try:
        with temporary.open("w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    except OSError:
        temporary.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _sync(folder: Path) -> None:
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _sweep(database: Path, manifest: Manifest) -> None:
    listed = {part.path for part in manifest.parts}
    for table in TABLES:
        for path in (database / table).glob("**/*.parquet"):
            if path.relative_to(database).as_posix() not in listed:
                path.unlink(missing_ok=True)


@contextmanager
def only_writer(database: Path, patience: float = 0.0) -> Iterator[None]:
    """Hold the database for writing; wait for another writer so many seconds at most.

    Raises:
        NatsdbError: another process is writing to it, or the folder cannot be made.
    """
    try:
        database.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise _unwritable(database, error) from error
    with hold(database / ".lock", "another process is writing to this database", patience):
        yield


@contextmanager
def hold(path: Path, otherwise: str, patience: float = 0.0) -> Iterator[None]:
    """Hold a lock's file; wait for it so many seconds at most.

    Raises:
        NatsdbError: another process holds it (`otherwise` says what that means), or it cannot be made.
    """
    try:
        lock = path.open("w")
    except OSError as error:
        raise _unwritable(path.parent, error) from error
    with lock:
        try:
            import fcntl
        except ImportError:
            pass  # no such lock on Windows: two writers there race, and the last manifest wins, whole
        else:
            until = time.monotonic() + patience
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except OSError:
                    if time.monotonic() >= until:
                        raise NatsdbError(otherwise, where=str(path.parent), remedy="wait until it is done") from None
                    time.sleep(0.1)
        yield


@contextmanager
def writing(where: Path | str) -> Iterator[None]:
    """An error of the file system in here is raised as natsdb's: the disk is full, or cannot be written."""
    try:
        yield
    except OSError as error:
        raise NatsdbError(
            f"cannot write ({error.strerror or error})",
            where=str(where),
            remedy="free space there and run the same command again: it goes on where it was",
        ) from error


def _unwritable(folder: Path, error: OSError) -> NatsdbError:
    return NatsdbError(
        f"cannot write here ({error.strerror})", where=str(folder), remedy="name another folder with --db"
    )


def open_manifest(database: Path) -> Manifest:
    """Manifest of a database that may not exist yet.

    Raises:
        NatsdbError: the folder holds other things than a database, or its manifest cannot be read.
    """
    if (database / NAME).exists():
        return read_manifest(database)
    others = [p.name for p in database.iterdir() if p.name not in {STAGING, ".lock", *TABLES, "weights"}]
    if others:
        raise NatsdbError(
            f"the folder is not a natsdb database and not empty (it holds {sorted(others)[0]})",
            where=str(database),
            remedy="name an empty folder with --db",
        )
    return Manifest()


def with_catalogue(manifest: Manifest, staging: Staging) -> Manifest:
    """The manifest with the tables of the catalogue, which are computed and staged if it has none."""
    have = {part.table for part in manifest.parts}
    if have.issuperset(CATALOGUE):
        return manifest
    from natsdb.schema.catalogue import catalogue_tables

    parts = []
    for name, table in catalogue_tables().items():
        path = f"{name}/{name}.parquet"
        write_table(table, staging.folder / path)
        parts.append(Part(name, "", "", "", 0, path, len(table), (staging.folder / path).stat().st_size))
    return Manifest((*manifest.parts, *parts), manifest.ingests)


def with_block(manifest: Manifest, parts: list[Part]) -> Manifest:
    """The manifest with these files in place of those of the same tables and blocks."""

    def place(part: Part) -> tuple[str, str, str, str, int]:
        return part.table, part.source, part.space, part.hp, part.block

    replaced = {place(part) for part in parts}
    kept = [part for part in manifest.parts if place(part) not in replaced]
    return Manifest(tuple(sorted([*kept, *parts])), manifest.ingests)


def with_ingested(manifest: Manifest, ingested: Ingested) -> Manifest:
    """The manifest with a source noted as ingested."""
    mine = (ingested.source, ingested.space, ingested.kind, ingested.name)
    others = [one for one in manifest.ingests if (one.source, one.space, one.kind, one.name) != mine]
    return Manifest(manifest.parts, (*others, ingested))
