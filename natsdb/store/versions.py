"""The versions of a database: publishing the next one, the log, the way back, and what nobody reads any more goes.

A version's manifest is `.versions/NNNNNN.json`; the newest is `natsdb.json` too, the same file by another name, so that
whoever opened it holds it when it is superseded (see `snapshot`).
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import chain
from pathlib import Path

from natsdb.schema.errors import NatsdbError
from natsdb.store.choice import check_source
from natsdb.store.locations import local
from natsdb.store.manifest import FOLDERS, NAME, Manifest, parse_manifest
from natsdb.store.snapshot import VERSIONS, open_snapshot, read_manifest, unreadable, version_name, with_old_weights
from natsdb.store.weights import without_schedule
from natsdb.store.writing import only_writer, sync_folder, write_whole, writing

# Seconds for which files that a newer version does without stay: who opened the older one reads on.
GRACE = 86_400.0
_PINS = f"{VERSIONS}/pins"


@dataclass(frozen=True)
class Version:
    """A version of a database that can be opened: when it was published (ISO 8601, UTC) and by what command, its rows
    in all tables, bytes, and whether it is the newest."""

    version: int
    when: str
    command: str
    rows: int
    bytes: int
    newest: bool


@dataclass(frozen=True)
class Removed:
    """What `vacuum` removed: versions, files and bytes; `held`: older versions that stay, since somebody reads them."""

    versions: list[int]
    files: int
    bytes: int
    held: list[int]


def log(db: str | os.PathLike[str] | None = None) -> list[Version]:
    """Versions of a database that can be opened, the newest first.

    Raises:
        Missing: there is no database.
    """
    database = local(db)
    newest = read_manifest(database)
    every = {**kept_manifests(database), newest.version: newest}
    return [
        Version(
            version,
            manifest.when,
            manifest.command,
            sum(part.rows for part in manifest.parts),
            sum(manifest.listed().values()),
            version == newest.version,
        )
        for version, manifest in sorted(every.items(), reverse=True)
        if version <= newest.version
    ]


def rollback(version: int, db: str | os.PathLike[str] | None = None) -> Version:
    """Make an earlier version's contents those of a new, newest version.

    Raises:
        Missing: there is no such version (any more).
        Damaged: one of its files is gone or of another size.
        NotWritable: another process is writing, or the disk is full; the database is unchanged.
    """
    database = local(db)
    with only_writer(database), writing(database):
        publish_manifest(database, open_snapshot(database, version).manifest, f"rollback {version}")
    return log(database)[0]


def drop(
    source: str,
    db: str | os.PathLike[str] | None = None,
    *,
    space: str | None = None,
    hp: str | None = None,
) -> Version:
    """Take a source's rows and weights out of the database, as a new version; `rollback` brings them back.

    Args:
        source: value of the column `source`.
        space, hp: only of this space, of this schedule.

    Raises:
        Missing: there is no database, or no such rows.
        NotWritable: another process is writing, or the disk is full; the database is unchanged.
    """
    database = local(db)
    with only_writer(database), writing(database):
        before = read_manifest(database)
        check_source(before, source, str(database), space=space, hp=hp)

        def dropped(of: str, its_space: str, its_hp: str | None) -> bool:
            return of == source and space in (None, its_space) and hp in (None, its_hp)

        parts = tuple(part for part in before.parts if not dropped(part.source, part.space, part.hp))
        left = {(part.source, part.space) for part in parts}
        after = replace(
            before,
            parts=parts,
            # What was read can be read again: an ingest of the same archive shall not take it for there.
            ingests=tuple(
                replace(one, fingerprint="") if dropped(one.source, one.space, hp) else one
                for one in before.ingests
                if (one.source, one.space) in left or not dropped(one.source, one.space, hp)
            ),
            weights=tuple(
                without_schedule(database, one, hp) if hp is not None and dropped(one.source, one.space, hp) else one
                for one in before.weights
                if (one.source, one.space) in left or not dropped(one.source, one.space, hp)
            ),
        )
        asked = {"source": source, "space": space, "hp": hp}
        said = " ".join(f"--{name} {value}" for name, value in asked.items() if value is not None)
        publish_manifest(database, after, f"drop {said}")
    return log(database)[0]


def vacuum(db: str | os.PathLike[str] | None = None, keep: float = GRACE) -> Removed:
    """Remove versions that were superseded more than `keep` seconds ago and that nobody reads, with their files.

    Raises:
        Missing: there is no database.
        NotWritable: another process is writing.
    """
    database = local(db)
    read_manifest(database)
    with only_writer(database), writing(database):
        return remove_superseded(database, keep)


def publish_manifest(database: Path, manifest: Manifest, command: str) -> Manifest:
    """Make a manifest the newest version of a database whose files are all in place; what was published.

    For who holds the database for writing. Versions older than the grace period go, with files that no other lists.

    Raises:
        OSError: it cannot be written; the database is unchanged.
    """
    there = (database / NAME).exists()
    before = read_manifest(database) if there else Manifest()
    (database / VERSIONS).mkdir(exist_ok=True)
    if there and not _same_file(database / version_name(before.version), database / NAME):
        # Format 1 knew no versions (its last state is version 0), and a copied folder has two files where one was: what
        # readers hold is `natsdb.json`.
        name_as(database / NAME, database / version_name(before.version))
    new = replace(manifest, version=before.version + 1, when=_now(), command=command)
    # The new version gets its name among the versions first; until it is `natsdb.json` too, nothing has happened.
    text = new.to_json()
    write_whole(copy_of(database, new.version), text)
    write_whole(database / version_name(new.version), text)
    name_as(database / version_name(new.version), database / NAME)
    # It is published, whatever happens to files of older versions now.
    with suppress(OSError):
        remove_superseded(database, GRACE)
    return new


def copy_of(database: Path, version: int) -> Path:
    """A second copy of a version's manifest, on other blocks of the disk: `natsdb repair` restores the first by it."""
    return (database / version_name(version)).with_suffix(".copy")


def _same_file(path: Path, other: Path) -> bool:
    return path.exists() and os.path.samefile(path, other)


def name_as(path: Path, other: Path) -> None:
    """Give a file another name too, at once; where files have one name only, a copy."""
    temporary = other.with_name(f".{other.name}.{os.getpid()}.tmp")
    try:
        temporary.unlink(missing_ok=True)
        try:
            os.link(path, temporary)
        except OSError:
            shutil.copyfile(path, temporary)
        os.replace(temporary, other)
    finally:
        # Where both were names of one file already, POSIX leaves the first one there.
        with suppress(OSError):
            temporary.unlink(missing_ok=True)
    sync_folder(other.parent)


def _now() -> str:
    # reproducible-builds.org: what shall be the same bytes each time is made at a time that is given.
    given = os.environ.get("SOURCE_DATE_EPOCH")
    return datetime.fromtimestamp(float(given) if given else time.time(), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def pin(snapshot_home: Path, version: int, file: Path) -> None:
    """Keep a version for as long as a file that reads it (of `natsdb duckdb`) is there."""
    name = hashlib.sha256(str(file).encode()).hexdigest()[:12]
    folder = snapshot_home / _PINS
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / f"{name}.json", json.dumps({"version": version, "file": str(file)}))


def _pinned(database: Path) -> set[int]:
    found = set()
    for path in (database / _PINS).glob("*.json"):
        with suppress(OSError, ValueError, KeyError, TypeError):
            one = json.loads(path.read_text(encoding="utf-8"))
            if os.path.exists(one["file"]):
                found.add(one["version"])
            else:
                path.unlink()
    return found


def remove_superseded(database: Path, keep: float) -> Removed:
    """`vacuum` of who holds the database for writing."""
    newest = read_manifest(database)
    kept = kept_manifests(database)
    now = _time(_now())
    pinned = _pinned(database)
    removed, held = [], []
    alive: list[Manifest] = [newest]
    followers = {**kept, newest.version: newest}
    for version, manifest in kept.items():
        if version > newest.version:
            # On its way when its writer was killed: it never happened.
            _remove_manifest(database, version)
        if version >= newest.version:
            continue
        superseded = followers[min(one for one in followers if one > version)].when
        if (now - _time(superseded)).total_seconds() < keep:
            alive.append(manifest)
        elif version in pinned or not _remove_manifest(database, version):
            alive.append(manifest)
            held.append(version)
        else:
            removed.append(version)
    for path in (database / VERSIONS).glob("[0-9]*.copy"):
        if int(path.stem) > newest.version or not path.with_suffix(".json").exists():
            path.unlink(missing_ok=True)
    if any(int(path.stem) not in kept for path in (database / VERSIONS).glob("[0-9]*.json")):
        # A manifest is damaged, and nobody knows which files it lists: `natsdb check` says so.
        return Removed(removed, 0, 0, held)
    files, size = _remove_unlisted(database, alive)
    return Removed(removed, files, size, held)


def kept_manifests(database: Path) -> dict[int, Manifest]:
    """Manifests of the versions that are there, by version, ascending; a damaged one is read from its copy."""
    files = manifest_files(database)
    found: dict[int, Manifest] = {}
    for path in files:
        for one in (files[path], files.get(path.with_suffix(".copy"))):
            if path.suffix == ".json" and isinstance(one, Manifest):
                found.setdefault(int(path.stem), one)
    return dict(sorted(found.items()))


def manifest_files(database: Path) -> dict[Path, Manifest | NatsdbError]:
    """Every file of a version's manifest, its copy too: what it says, or what is wrong with it."""
    found: dict[Path, Manifest | NatsdbError] = {}
    for path in sorted((database / VERSIONS).glob("[0-9]*")):
        if path.suffix not in (".json", ".copy"):
            continue
        try:
            text = path.read_text(encoding="utf-8")
            found[path] = with_old_weights(database, parse_manifest(text, str(path)))
        except FileNotFoundError:
            continue  # `vacuum` removed it meanwhile
        except (OSError, ValueError) as error:
            found[path] = unreadable(path, error)
        except NatsdbError as error:
            found[path] = error
    return found


def _time(text: str) -> datetime:
    try:
        return datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ").replace(tzinfo=UTC)
    except ValueError:
        return datetime.fromtimestamp(0, UTC)


def _remove_manifest(database: Path, version: int) -> bool:
    """Remove a version's manifest, unless a reader holds it; whether it is gone.

    The lock is kept while the name goes: a reader that opened the file and waits for it sees that the file has no name.
    """
    path = database / version_name(version)
    try:
        import fcntl
    except ImportError:
        fcntl = None  # type: ignore[assignment]
    try:
        with path.open("rb") as file:
            if fcntl is not None:
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except BlockingIOError:
                    return False
                except OSError:
                    pass  # no such locks on this file system: readers have the grace period
            # The copy first: alone it would be taken for a manifest that is damaged.
            copy_of(database, version).unlink(missing_ok=True)
            path.unlink()
    except FileNotFoundError:
        return True
    except OSError:
        return False  # Windows does not remove what somebody has open
    return True


def _remove_unlisted(database: Path, alive: Iterable[Manifest]) -> tuple[int, int]:
    """Remove data files that none of these manifests lists, and folders that are empty then; how many, and bytes."""
    listed = {path for manifest in alive for path in manifest.listed()}
    files = size = 0
    walks = (os.walk(database / table, topdown=False) for table in FOLDERS)
    for folder, _, names in chain.from_iterable(walks):
        for name in names:
            path = Path(folder, name)
            if path.suffix in (".parquet", ".safetensors") and path.relative_to(database).as_posix() not in listed:
                with suppress(OSError):
                    size += path.stat().st_size
                    path.unlink()
                    files += 1
        with suppress(OSError):
            os.rmdir(folder)
    return files, size
