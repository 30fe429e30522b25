"""Is the database what was written? Every listed file compared with the manifest: damaged, missing and stray ones."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from natsdb.schema.errors import Damaged, Missing, NatsdbError
from natsdb.store.damage import footer_digest
from natsdb.store.locations import located
from natsdb.store.manifest import FOLDERS, NAME, Manifest, Part, WeightsFile
from natsdb.store.snapshot import VERSIONS, Snapshot, open_snapshot
from natsdb.store.versions import manifest_files

_CHUNK = 1 << 22
# What of a database's folder is not data: locks, unfinished work.
_NOT_DATA = re.compile(r"\.lock|\.ingest/.*|\.versions/pins/.*|(.*/)?\.[^/]*\.tmp")

Listed = Part | WeightsFile
Progress = Callable[[str, int, int, int], None]


@dataclass(frozen=True, order=True)
class Finding:
    """A file that is not as it was written: its path in the database, what is wrong with it, and whether the newest
    version lists it."""

    path: str
    what: str
    newest: bool = True


@dataclass(frozen=True)
class Checked:
    """What a check read: files and bytes; what it found; `unknown`: files of format 1 of whom nobody knows a digest."""

    files: int
    bytes: int
    findings: list[Finding]
    unknown: int


def check(
    db: str | os.PathLike[str] | None = None, *, quick: bool = False, progress: Progress | None = None
) -> Checked:
    """Compare every file of a database with what was written.

    Args:
        db: the database's folder, or its URL.
        quick: sizes and Parquet footers only, which finds files that are gone, cut short or another's, and not each
            flipped bit; otherwise SHA-256 of all bytes.
        progress: called now and then with (name, files done, files in all, bytes done).

    Raises:
        Missing: there is no database.
    """
    home = located(db)
    findings: list[Finding] = []
    held = None  # the version that is compared, against a vacuum beside this
    if isinstance(home, str):
        manifests = [open_snapshot(home).manifest]
    else:
        manifests, held = _manifests(home, findings)
    newest = set(max(manifests, key=lambda one: one.version).listed()) if manifests else set()
    every = listed_files(manifests)
    size = unknown = 0
    for done, (path, one) in enumerate(sorted(every.items())):
        if progress is not None:
            progress("files", done, len(every), size)
        what, read, known = _remote(home, one, quick) if isinstance(home, str) else _local(home, one, quick)
        size, unknown = size + read, unknown + (not known)
        if what:
            findings.append(Finding(path, what, path in newest))
    if not isinstance(home, str):
        findings += [Finding(path, "no version lists it", False) for path in _strays(home, every)]
    del held
    return Checked(len(every), size, sorted(findings), unknown)


def listed_files(manifests: Iterable[Manifest]) -> dict[str, Listed]:
    """All files that some of these versions list, by path."""
    every: dict[str, Listed] = {}
    for manifest in manifests:
        every |= {part.path: part for part in manifest.parts}
        every |= {one.path: one for one in manifest.weights}
    return every


def _manifests(home: Path, findings: list[Finding]) -> tuple[list[Manifest], Snapshot | None]:
    """Manifests of all versions that can be read, and a hold on the newest; what is wrong with others is a finding."""
    found: list[Manifest] = []
    snapshot = None
    try:
        snapshot = open_snapshot(home, check=False)
        found.append(snapshot.manifest)
    except Damaged as error:
        findings.append(Finding(NAME, error.what))
    except Missing:
        if not any((home / VERSIONS).glob("[0-9]*")):
            raise
        findings.append(Finding(NAME, "it is gone"))
    for path, one in manifest_files(home).items():
        if snapshot is not None and int(path.stem) > snapshot.manifest.version:
            continue  # of a writer that was killed on its way: no version
        if isinstance(one, NatsdbError):
            findings.append(Finding(f"{VERSIONS}/{path.name}", one.what, False))
        else:
            found.append(one)
    return found, snapshot


def _local(home: Path, one: Listed, quick: bool) -> tuple[str, int, bool]:
    """What is wrong with a file, in words (nothing: empty); bytes read; whether its digest is known."""
    digest = _known_digest(one)
    try:
        with (home / one.path).open("rb") as file:
            size = os.fstat(file.fileno()).st_size
            if size != one.bytes:
                return f"it has {size:,} bytes and not {one.bytes:,}", 0, True
            if isinstance(one, Part) and one.footer:
                try:
                    if footer_digest(file, size) != one.footer:
                        raise ValueError("its footer is another")
                except ValueError as error:
                    return f"its bytes are others than those that were written ({error})", 0, True
            if quick:
                return "", 0, True
            file.seek(0)
            found = hashlib.sha256()
            while data := file.read(_CHUNK):
                found.update(data)
    except FileNotFoundError:
        return "it is gone", 0, True
    except OSError as error:
        return f"it cannot be read ({error.strerror})", 0, True
    if digest and not found.hexdigest().startswith(digest):
        return "its bytes are others than those that were written", size, True
    return "", size, bool(digest)


def _remote(url: str, one: Listed, quick: bool) -> tuple[str, int, bool]:
    from natsdb.store.remote import remote_bytes, remote_size

    where, digest = f"{url}/{one.path}", _known_digest(one)
    try:
        size = remote_size(where)
        if size != one.bytes:
            return f"it has {size:,} bytes and not {one.bytes:,}", 0, True
        if quick:
            return "", 0, True
        found = hashlib.sha256()
        for start in range(0, size, _CHUNK * 4):
            found.update(remote_bytes(where, start, min(size, start + _CHUNK * 4)))
    except NatsdbError as error:
        return error.what, 0, True
    if digest and not found.hexdigest().startswith(digest):
        return "its bytes are others than those that were written", size, True
    return "", size, bool(digest)


def _known_digest(one: Listed) -> str:
    """SHA-256 of a file, or its first digits, which format 1 has in the file's name; empty where nobody knows it."""
    if one.sha256:
        return one.sha256
    name = re.fullmatch(r"([0-9a-f]{12})\.parquet", one.path.rpartition("/")[2])
    return name[1] if name else ""


def _strays(home: Path, listed: dict[str, Listed]) -> list[str]:
    found = []
    folders = {*FOLDERS, VERSIONS, ".ingest"}
    for path in home.rglob("*"):
        name = path.relative_to(home).as_posix()
        if not path.is_file() or name in listed or name == NAME or _NOT_DATA.fullmatch(name):
            continue
        if name.startswith(f"{VERSIONS}/") and path.suffix in (".json", ".copy"):
            continue
        if name.partition("/")[0] in folders or path.suffix in (".parquet", ".safetensors"):
            found.append(name)
    return sorted(found)
