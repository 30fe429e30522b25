"""How files are written: whole or not at all, by one writer at a time, with one sentence where that fails."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from natsdb.schema.errors import NotWritable
from natsdb.store.locations import BUILTIN

LOCK = ".lock"


@contextmanager
def writing(where: Path | str, remedy: str = "") -> Iterator[None]:
    """An error of the file system in here is raised as natsdb's: the disk is full, or cannot be written.

    Raises:
        NotWritable: with the remedy that is given, by default that of a command that goes on where it was.
    """
    try:
        yield
    except OSError as error:
        raise NotWritable(
            f"cannot write ({error.strerror or error})",
            where=str(where),
            remedy=remedy or "free space there and run the same command again: it goes on where it was",
        ) from error


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A temporary file beside `path` that takes its place when the block ends, and goes when it fails.

    The file is on disk before it gets its name, so after a power cut there is the old one or the new one.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    sync_folder(path.parent)


def write_whole(path: Path, text: str) -> None:
    """Write a small text file, whole or not at all."""
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")


@contextmanager
def whole_folder(path: Path) -> Iterator[Path]:
    """A new folder beside `path` that takes its place when the block ends, and goes when it fails."""
    new, old = path.with_name(f".{path.name}.new"), path.with_name(f".{path.name}.old")
    try:
        # What a killed run left.
        shutil.rmtree(new, ignore_errors=True)
        new.mkdir(parents=True)
        yield new
        if path.exists():
            shutil.rmtree(old, ignore_errors=True)
            os.replace(path, old)
        os.replace(new, path)
    except BaseException:
        if old.exists() and not path.exists():
            os.replace(old, path)
        raise
    finally:
        shutil.rmtree(new, ignore_errors=True)
        shutil.rmtree(old, ignore_errors=True)


def sync_folder(folder: Path) -> None:
    """See that names in a folder are on disk, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def only_writer(database: Path, patience: float = 0.0) -> Iterator[None]:
    """Hold the database for writing; wait for another writer so many seconds at most.

    Raises:
        NotWritable: another process is writing to it, the folder cannot be made, or it is natsdb's own database.
    """
    if database.resolve() == BUILTIN:
        raise NotWritable(
            "natsdb's own database is only read", where=str(database), remedy="name another folder with --db"
        )
    with writing(database, "name another folder with --db"):
        database.mkdir(parents=True, exist_ok=True)
    with hold(database / LOCK, "another process is writing to this database", patience):
        yield


@contextmanager
def hold(path: Path, otherwise: str, patience: float = 0.0) -> Iterator[None]:
    """Hold a lock's file; wait for it so many seconds at most.

    Raises:
        NotWritable: another process holds it (`otherwise` says what that means), or it cannot be made.
    """
    import filelock

    lock = filelock.FileLock(path, timeout=patience)
    try:
        lock.acquire(poll_interval=0.05)
    except filelock.Timeout:
        raise NotWritable(otherwise, where=str(path.parent), remedy="wait until it is done") from None
    except (OSError, NotImplementedError) as error:
        raise NotWritable(
            f"cannot write here ({error})", where=str(path.parent), remedy="name another folder with --db"
        ) from error
    try:
        yield
    finally:
        lock.release()
