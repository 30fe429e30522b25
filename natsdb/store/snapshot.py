"""A database at one version, as a reader opens it: where it is, what it holds, and a hold on that version's files.

Publishing never changes a file: it adds new ones and replaces the manifest. So a reader that keeps the manifest which
it opened sees one version for as long as it likes; `versions.vacuum` removes files of older versions that nobody holds.

What asks opens `open_with_builtin`: natsdb's own database where there is no other, and beside another one those tables
of it that join. What writes, compares or copies a database opens `open_snapshot`.
"""

from __future__ import annotations

import os
import re
import sys
import weakref
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path

from natsdb.schema.datasets import DATASETS, DataSet
from natsdb.schema.errors import Damaged, Missing, NatsdbError
from natsdb.schema.names import did_you_mean
from natsdb.store.damage import remedy_of
from natsdb.store.locations import BUILTIN, default_database, local, located
from natsdb.store.manifest import NAME, Manifest, WeightsFile, parse_manifest

# A hidden folder of manifests, the current one among them: the same file as `natsdb.json`, by another name.
VERSIONS = ".versions"
# What a file of natsdb's own database is called beside those of another one.
BESIDE = ".builtin/"
# Whether it was said that natsdb's own database answers.
_said = False


@dataclass(frozen=True)
class Snapshot:
    """A database at one version. `home` is its folder, or its URL.

    Keep the object as long as its files are read: it holds the version against `vacuum`. `own`: the same without
    natsdb's own database beside it.
    """

    home: Path | str
    manifest: Manifest
    own: Snapshot | None = None

    def path(self, relative: str) -> str:
        """Absolute path, or URL, of one of the database's files."""
        return f"{self.root(relative)}/{relative.removeprefix(BESIDE)}"

    def file(self, relative: str) -> Path:
        """Path of one of the files of a database on disk."""
        return Path(self.path(relative))

    def root(self, relative: str) -> Path | str:
        """The folder or URL below which one of the database's files lies."""
        return BUILTIN if relative.startswith(BESIDE) else self.home

    @cached_property  # scripts ask it of each architecture
    def builtin(self) -> bool:
        """Whether it is natsdb's own database."""
        return isinstance(self.home, Path) and (self.home == BUILTIN or self.home.resolve() == BUILTIN)


def version_name(version: int) -> str:
    """File of a version's manifest, relative to the database."""
    return f"{VERSIONS}/{version:06d}.json"


def open_snapshot(db: str | os.PathLike[str] | None, version: int | None = None, *, check: bool = True) -> Snapshot:
    """A database, in a folder or behind a URL, at its newest version or at an earlier one.

    Args:
        check: compare the sizes of the listed files (on disk; behind a URL each read does).

    Raises:
        Missing: there is no database, or not this version of it.
        Damaged: its manifest cannot be read, or one of the files that it lists is gone or of another size.
        NatsdbError: a newer natsdb wrote it.
    """
    home = located(db)
    if isinstance(home, str):
        from natsdb.store.remote import pinned, remote_text

        home = pinned(home)
        name = NAME if version is None else version_name(version)
        return Snapshot(home, parse_manifest(remote_text(home, name), f"{home}/{name}"))
    # A script may change its working directory.
    home = home.absolute()
    if version is not None:
        newest = open_snapshot(home, check=check)
        if version == newest.manifest.version:
            return newest
        if version > newest.manifest.version:  # of a writer that was killed on its way
            raise _no_version(home, version)
    name = NAME if version is None else version_name(version)
    text, held = _held_text(home, name, version)
    snapshot = Snapshot(home, with_old_weights(home, parse_manifest(text, str(home / name))))
    if held is not None:
        weakref.finalize(snapshot, os.close, held)
    if check:
        check_sizes(home, snapshot.manifest)
    return snapshot


def open_with_builtin(db: str | os.PathLike[str] | None, version: int | None = None) -> Snapshot:
    """A database as questions see it, with natsdb's own beside it; see `with_builtin`.

    Where none is named, by the caller or by `$NATSDB_HOME`, and the user has none, it is natsdb's own, and a line on
    standard error says so, once a process.

    Raises:
        As `open_snapshot`.
    """
    if falls_back(db):
        if version is None:
            say_builtin()
        return open_snapshot(BUILTIN, version)
    return with_builtin(open_snapshot(db, version))


def open_local_with_builtin(db: str | os.PathLike[str] | None) -> Snapshot:
    """`open_with_builtin` for what works on files.

    Raises:
        NatsdbError: it is behind a URL.
        As `open_snapshot`.
    """
    return open_with_builtin(None if falls_back(db) else local(db))


def falls_back(db: str | os.PathLike[str] | None) -> bool:
    """Whether questions go to natsdb's own database, since no other is named and the user has none.

    One that has lost its manifest is there all the same.
    """
    if db is not None or os.environ.get("NATSDB_HOME"):
        return False
    home = default_database()
    return not (home / NAME).exists() and not any((home / VERSIONS).glob("[0-9]*"))


def asked_first(db: str | os.PathLike[str] | None) -> str | os.PathLike[str] | None:
    """What a command asks whose answers go to the database `db`: natsdb's own where there is none there yet."""
    home = located(db)
    there = isinstance(home, str) or (home / NAME).exists()
    return db if there or falls_back(db) else BUILTIN


def data_set_of(name: str, db: str | os.PathLike[str] | None) -> DataSet:
    """A data set by its name; a database brings those that natsdb does not know by itself.

    Raises:
        NatsdbError: there is none.
        As `open_snapshot`, of a database that is there.
    """
    if name not in DATASETS:
        home = located(db)
        if isinstance(home, str) or (home / NAME).exists():
            open_snapshot(home, check=False)
    if name not in DATASETS:
        raise NatsdbError(f"there is no data set {name!r}", remedy=did_you_mean(name, DATASETS))
    return DATASETS[name]


def say_builtin() -> None:
    """Say on standard error, once a process, that natsdb's own database answers."""
    global _said
    if not _said:
        _said = True
        print(
            "natsdb: no database of yours, so the built-in one answers: final accuracies of all topologies, curves of "
            "architectures 0 and 11, hardware costs, proxies; `natsdb ingest ARCHIVE` brings the rest",
            file=sys.stderr,
        )


@cache  # it never changes, and each question opens its database anew
def _beside(home: Path) -> Manifest:
    return open_snapshot(home, check=False).manifest


def with_builtin(snapshot: Snapshot) -> Snapshot:
    """A database, and natsdb's own where it has nothing itself: attached tables of names that it has not, and all
    measurements if it has none, so that what counts its rows counts only these."""
    own = snapshot.manifest
    if snapshot.builtin or not (BUILTIN / NAME).exists():
        return snapshot
    beside = _beside(BUILTIN)
    # (SQL does not tell names by their case.)
    names = {table.name.lower() for table in own.attached}
    attached = [table for table in beside.attached if table.name.lower() not in names]
    measured = any(part.space for part in own.parts)
    tables = {table.name for table in attached}
    parts = [part for part in beside.parts if part.table in tables or (part.space and not measured)]
    return Snapshot(
        snapshot.home,
        replace(
            own,
            parts=(*own.parts, *(replace(part, path=BESIDE + part.path) for part in parts)),
            attached=tuple(sorted([*own.attached, *attached], key=lambda table: table.name)),
            ingests=own.ingests if measured else (*own.ingests, *beside.ingests),
        ),
        own=snapshot,
    )


def in_one(manifest: Manifest) -> Manifest:
    """The manifest of a copy that has natsdb's own files among its others; none of their names are the same."""
    return replace(manifest, parts=tuple(replace(part, path=part.path.removeprefix(BESIDE)) for part in manifest.parts))


def check_sizes(home: Path, manifest: Manifest) -> None:
    """Look at the size of every listed file.

    Raises:
        Damaged: one is gone, or of another size.
    """
    for path, size in manifest.listed().items():
        try:
            found = os.stat(f"{home}/{path}").st_size
        except OSError as error:
            raise Damaged(
                f"the file is listed and cannot be read ({error.strerror})",
                where=f"{home}/{path}",
                remedy=remedy_of(f"{home}/{path}"),
            ) from None
        if found != size:
            raise Damaged(
                f"the file has {found:,} bytes and not {size:,}",
                where=f"{home}/{path}",
                remedy=remedy_of(f"{home}/{path}"),
            )


def read_manifest(database: Path) -> Manifest:
    """Newest manifest of a database on disk, for who holds the database for writing.

    Raises:
        Missing: no manifest there.
        Damaged: it cannot be read.
        NatsdbError: a newer natsdb wrote it.
    """
    try:
        text = (database / NAME).read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise _no_database(database) from None
    except (OSError, ValueError) as error:
        raise unreadable(database / NAME, error) from error
    return with_old_weights(database, parse_manifest(text, str(database / NAME)))


def with_old_weights(home: Path, manifest: Manifest) -> Manifest:
    """Format 1 did not list trained weights: what lies where it put them is there."""
    if manifest.format > 1:
        return manifest
    found = []
    for path in sorted(home.glob("weights/source=*/space=*/*.safetensors")):
        if not re.fullmatch(r"\d{6}", path.stem):  # of format 2, on its way in
            continue
        source, space = (folder.name.partition("=")[2] for folder in (path.parents[1], path.parent))
        relative = path.relative_to(home).as_posix()
        found.append(WeightsFile(source, space, int(path.stem), relative, path.stat().st_size, ""))
    return replace(manifest, weights=tuple(found))


def _held_text(home: Path, name: str, version: int | None) -> tuple[str, int | None]:
    """Text of a manifest, and a descriptor with a shared lock on it, where the file system has such locks.

    Versions of a database are told apart by file, not by name, so the lock holds the version and not what replaces it.
    """
    path = home / name
    while True:
        try:
            file = os.open(path, os.O_RDONLY)
        except (FileNotFoundError, NotADirectoryError):
            raise _no_database(home) if version is None else _no_version(home, version) from None
        except OSError as error:
            raise unreadable(path, error) from error
        held = shared_lock(file)
        try:
            # Removed by `vacuum` between opening and locking: there is a newer one.
            if held and os.fstat(file).st_nlink == 0:
                os.close(file)
                continue
            with os.fdopen(os.dup(file), encoding="utf-8") as text:
                found = text.read()
        except (OSError, ValueError) as error:
            os.close(file)
            raise unreadable(path, error) from error
        if held:
            return found, file
        os.close(file)
        return found, None


def shared_lock(file: int) -> bool:
    """Hold a file together with other readers, until it is closed; False where there are no such locks."""
    try:
        import fcntl

        fcntl.flock(file, fcntl.LOCK_SH)
    except (ImportError, OSError):
        # Windows refuses to remove files that are open; elsewhere the grace period is what readers have.
        return False
    return True


def _no_database(home: Path) -> Missing:
    return Missing(
        "there is no natsdb database here",
        where=str(home),
        remedy="make one with `natsdb ingest SOURCE --db DIR`, or name another with --db or $NATSDB_HOME",
    )


def _no_version(home: Path, version: int) -> Missing:
    have = sorted(int(found[1]) for path in home.glob(f"{VERSIONS}/*.json") if (found := re.match(r"(\d+)", path.name)))
    if not (home / NAME).exists():
        return _no_database(home)
    return Missing(
        f"there is no version {version}",
        where=str(home),
        remedy=f"there are {', '.join(map(str, have)) or 'no versions'}; `natsdb log` lists them",
    )


def unreadable(path: Path, error: Exception) -> Damaged:
    """The error of a manifest that is there and cannot be read."""
    return Damaged(f"the manifest cannot be read ({error})", where=str(path), remedy="check the file and its folder")
