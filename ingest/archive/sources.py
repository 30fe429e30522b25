"""What is this file? Every official form of the benchmark, told apart by looking inside, as a list of records."""

from __future__ import annotations

import bz2
import hashlib
import os
import re
import tarfile
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from io import BufferedReader, RawIOBase
from itertools import pairwise
from pathlib import Path, PurePosixPath
from typing import Any

from natsdb.ingest.archive.gathered import are_records, gathered, may_be_gathered
from natsdb.ingest.archive.hpobench import is_extracted
from natsdb.ingest.archive.single import single_records
from natsdb.ingest.archive.torch_file import is_torch, may_be_torch, open_pickle, unpickle_torch
from natsdb.ingest.archive.unpickle import DAMAGE, DOWNLOAD_AGAIN, damaged, decompress, unpickle
from natsdb.schema.datasets import DataSet, learnt
from natsdb.schema.errors import Damaged, Missing, NatsdbError
from natsdb.schema.spaces import SPACES
from natsdb.store.choice import HPOBENCH, NAS_201, OFFICIAL

_RECORD = re.compile(r"(\d{1,6})(\.pickle\.pbz2|-(FULL|SIMPLE)\.pth)")
_SINGLE_NAME = re.compile(r"-([0-9a-f]{5})\.pickle\.pbz2$")
# What stands before a text of less than 256 bytes in a pickle: an opcode, and the length.
_TEXT = re.compile(rb"\x8c(.)|X(.)\0\0\0", re.DOTALL)
_CHUNK = re.compile(r"\.tar(-?[a-z]{1,2}){1,2}$")


@dataclass(frozen=True)
class Entry:
    """A record's bytes: `size` of them from `offset` in the file, or in files put end to end. `name` is for errors."""

    arch: int
    name: str
    paths: tuple[str, ...]
    offset: int
    size: int

    def read(self) -> bytes:
        """The bytes, as they lie on disk.

        Raises:
            NatsdbError: the file cannot be read or ends too early.
        """
        try:
            with _Joined(self.paths) as file:
                file.seek(self.offset)
                data = file.read(self.size)
        except OSError as error:
            raise Missing(f"cannot be read ({error.strerror})", where=self.name, remedy="check the file") from error
        if len(data) != self.size:
            raise Damaged("the file ends inside this record", where=self.name, remedy=DOWNLOAD_AGAIN)
        return data


@dataclass(frozen=True)
class Source:
    """A source of records. `kind`: folder, tar, file (one architecture), single (all in one pickle), gathered,
    hpobench; `origin`: what the column `source` says of its rows, where nobody says otherwise; `datasets`: those that
    its first record has and natsdb knows nothing of; `said`: where it comes from, its licence, what to cite, of one
    that was fetched."""

    kind: str
    space: str
    name: str
    entries: tuple[Entry, ...]
    fingerprint: str
    path: str = ""
    origin: str = OFFICIAL
    datasets: tuple[DataSet, ...] = ()
    said: tuple[str, str, str] = ("", "", "")


class _Joined(RawIOBase):
    """Files read as if they were one: a tar cut in chunks is never put together on disk."""

    def __init__(self, paths: tuple[str, ...]) -> None:
        self._paths = paths
        self._ends: list[int] = []
        for path in paths:
            self._ends.append((self._ends[-1] if self._ends else 0) + os.path.getsize(path))
        self._at = 0
        self._open: tuple[int, BufferedReader] | None = None

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._at

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        self._at = offset + {os.SEEK_SET: 0, os.SEEK_CUR: self._at, os.SEEK_END: self._ends[-1]}[whence]
        return self._at

    def readinto(self, buffer: Any) -> int:
        number = next((n for n, end in enumerate(self._ends) if self._at < end), None)
        if number is None:
            return 0
        if self._open is None or self._open[0] != number:
            if self._open is not None:
                self._open[1].close()
            self._open = (number, Path(self._paths[number]).open("rb"))  # noqa: SIM115 (closed in close)
        start = self._ends[number - 1] if number else 0
        self._open[1].seek(self._at - start)
        count = self._open[1].readinto(memoryview(buffer)[: self._ends[number] - self._at])
        self._at += count
        return count

    def read(self, size: int = -1) -> bytes:
        # RawIOBase may return less than asked at a chunk's end; a record may lie across it.
        size = self._ends[-1] - self._at if size < 0 else size
        pieces = []
        while size > 0:
            piece = super().read(min(size, 1 << 24))
            if not piece:
                break
            pieces.append(piece)
            size -= len(piece)
        return b"".join(pieces)

    def close(self) -> None:
        if self._open is not None:
            self._open[1].close()
            self._open = None
        super().close()


def record_in(raw: bytes, where: str) -> Any:
    """The record in a file of one architecture, as its bytes lie on disk.

    Raises:
        Damaged: they hold no record that the restricted unpickler can read.
    """
    return unpickle_torch(raw, where) if may_be_torch(raw[:32]) else unpickle(decompress(raw, where), where)


def open_source(name: str | os.PathLike[str]) -> Source:
    """What a name stands for, as a source of records: of the first of `FORMS` that fits.

    Raises:
        NatsdbError: nothing is there, it is no official form, it holds no record or one record twice, a tar member
            would leave its folder, or a single benchmark file's MD5 is not the one in its name.
    """
    name = os.fspath(name)
    head = b""
    if os.path.isfile(name):
        with _Joined(_chunks(Path(name))) as file:
            head = file.read(512)
    form = next((form for form in FORMS if form.fits(name, head)), None)
    if form is not None:
        return form.opened(name)
    if not os.path.exists(name):
        raise Missing("there is no such file or folder", where=name, remedy=_name_one())
    raise NatsdbError("this is no official form of the benchmark", where=name, remedy=_name_one())


def _name_one() -> str:
    *others, last = (form.words for form in FORMS)
    return f"name {', '.join(others)}, or {last}"


def _chunks(path: Path) -> tuple[str, ...]:
    """The file, or, of any chunk of a cut tar, all chunks beside it in order."""
    found = _CHUNK.search(path.name)
    if not found:
        return (str(path),)
    stem = path.name[: found.start()] + ".tar"
    chunks = sorted(p.name for p in path.parent.iterdir() if p.name.startswith(stem) and _CHUNK.search(p.name))
    _check_no_gap(path, stem, chunks)
    return tuple(str(path.parent / chunk) for chunk in chunks)


def _check_no_gap(path: Path, stem: str, chunks: list[str]) -> None:
    # Chunks end in letters counted up from a (or aa): a missing one would garble all that follows it.
    suffixes = [chunk.removeprefix(stem) for chunk in chunks]
    letters = "abcdefghijklmnopqrstuvwxyz"
    for prefix in sorted({re.sub(r"[a-z]{1,2}$", "", s) if "-" in s else "" for s in suffixes} | {""}):
        tails = sorted({re.split("-", s.removeprefix(prefix))[0] for s in suffixes if s.startswith(prefix)})
        tails = [tail for tail in tails if tail]
        if not tails:
            continue
        width = len(tails[0])
        names = list(letters) if width == 1 else [a + b for a in letters for b in letters]
        missing = (
            [name for name in names[: names.index(tails[-1]) + 1] if name not in tails] if tails[-1] in names else []
        )
        if missing:
            raise Missing(
                f"the chunk {stem}{prefix}{missing[0]} is missing",
                where=str(path),
                remedy="put all chunks of the tar into one folder",
            )


def _folder(name: str) -> Source:
    path = Path(name)
    found = []
    with os.scandir(path) as listing:
        for item in listing:
            match = _RECORD.fullmatch(item.name)
            if match and item.is_file():
                status = item.stat()
                found.append((int(match[1]), item.name, status.st_size, status.st_mtime_ns))
    entries = [
        Entry(arch, f"{path.name}/{file}", (str(path / file),), 0, size) for arch, file, size, _ in sorted(found)
    ]
    return _listed("folder", path, entries, sorted(found))


def _tar(name: str) -> Source:
    path = Path(name)
    chunks = _chunks(path)
    entries = []
    listing: list[Any] = [(Path(chunk).name, os.stat(chunk).st_size, os.stat(chunk).st_mtime_ns) for chunk in chunks]
    try:
        with _Joined(chunks) as file, tarfile.open(fileobj=file, mode="r:") as archive:
            end = 0
            for member in archive:
                inside = PurePosixPath(member.name)
                if inside.is_absolute() or ".." in inside.parts or member.islnk() or member.issym():
                    raise NatsdbError(
                        f"member {member.name!r} would leave the archive's folder",
                        where=str(path),
                        remedy="do not trust this file; get the archive from the official place",
                    )
                match = _RECORD.fullmatch(inside.name)
                if match and member.isfile():
                    where = f"{path.name}:{member.name}"
                    entries.append(Entry(int(match[1]), where, chunks, member.offset_data, member.size))
                end = (member.offset_data + member.size + 511) // 512 * 512
            size = file.seek(0, os.SEEK_END)
    except (tarfile.TarError, OSError, EOFError, ValueError) as error:
        raise Damaged(f"the tar is damaged ({error})", where=str(path), remedy=DOWNLOAD_AGAIN) from error
    if end > size or size % 512:
        raise Damaged("the tar is truncated", where=str(path), remedy="download it, or its last chunk, again")
    # tarfile stops silently at a damaged header: official tars end in two empty blocks.
    with _Joined(chunks) as file:
        file.seek(-1024, os.SEEK_END)
        if file.read(1024).strip(b"\0"):
            raise Damaged("the tar is truncated or damaged", where=str(path), remedy="download it again")
        file.seek(end)
        if file.read(512).strip(b"\0"):
            raise Damaged(f"the tar has a damaged header at byte {end}", where=str(path), remedy="download it again")
    return _listed("tar", path, sorted(entries, key=lambda entry: entry.arch), listing)


def _listed(kind: str, path: Path, entries: list[Entry], listing: list[Any]) -> Source:
    if not entries:
        raise Missing(
            "there is no record (000000.pickle.pbz2, 000000-FULL.pth, …) in it",
            where=str(path),
            remedy="name the folder or tar that holds them",
        )
    # NAS-Bench-201's archive has records with trained weights, which its package reads, beside the same without.
    full = {entry.arch for entry in entries if entry.name.endswith("-FULL.pth")}
    entries = [entry for entry in entries if entry.arch not in full or not entry.name.endswith("-SIMPLE.pth")]
    for before, entry in pairwise(entries):
        if before.arch == entry.arch:
            raise NatsdbError(
                f"architecture {entry.arch} is there twice ({before.name} and {entry.name})",
                where=str(path),
                remedy="remove one of them",
            )
    space, datasets = _space_of(entries)
    bad = next((entry for entry in entries if entry.arch >= SPACES[space].size), None)
    if bad is not None:
        raise NatsdbError(
            f"index {bad.arch} is outside the space {space}, which has {SPACES[space].size:,} architectures",
            where=bad.name,
            remedy="remove the file",
        )
    origins = {NAS_201 if entry.name.endswith(".pth") else OFFICIAL for entry in entries}
    if len(origins) > 1:
        raise NatsdbError(
            "it holds records of NATS-Bench and of NAS-Bench-201", where=str(path), remedy="put them into two folders"
        )
    return Source(kind, space, path.name, tuple(entries), _digest(listing), str(path), origins.pop(), datasets)


def _space_of(entries: list[Entry]) -> tuple[str, tuple[DataSet, ...]]:
    """The space of the first record that can be read, and data sets that it brings; with --keep-going the first may
    well be damaged."""
    failures: list[NatsdbError] = []
    for entry in entries:
        try:
            record = record_in(entry.read(), entry.name)
            return _space_of_record(record, entry.name), learnt(record)
        except NatsdbError as error:
            failures.append(error)
            if len(failures) == 20:
                break
    raise failures[0]


def _space_of_record(record: Any, where: str) -> str:
    try:
        first = next(iter(record.values()))
        return space_of_text(first["arch_str"], where)
    except (AttributeError, StopIteration, KeyError, TypeError):
        raise Damaged("this pickle is no record of an architecture", where=where, remedy=_name_one()) from None


def space_of_text(text: Any, where: str) -> str:
    """The space whose architecture strings look like this."""
    if isinstance(text, str):
        for space in SPACES.values():
            if re.fullmatch(space.pattern, text):
                return space.name
    raise NatsdbError(f"{text!r:.60} is no architecture string", where=where, remedy=_name_one())


def _pickle_file(name: str) -> Source:
    path = Path(name)
    status = path.stat()
    listing = [(path.name, status.st_size, status.st_mtime_ns)]
    head = _head(path)
    if b"arch2infos" not in head and b"meta_archs" not in head:
        if are_records(record_in(path.read_bytes(), str(path))):
            return _gathered(name)
        return _record_file(path, listing, OFFICIAL)
    space = _space_of_head(head)
    return Source("single", space, path.name, (), _digest(listing), str(path), datasets=_of_first(path, space))


def _gathered(name: str) -> Source:
    path = Path(name)
    status = path.stat()
    records = gathered(path)
    first = next(iter(records.values()))
    space = _space_of_record(first, str(path))
    bad = next((arch for arch in records if not 0 <= arch < SPACES[space].size), None)
    if bad is not None:
        raise NatsdbError(f"index {bad} is outside the space {space}", where=str(path), remedy="leave it out")
    listing = [(path.name, status.st_size, status.st_mtime_ns)]
    return Source("gathered", space, path.name, (), _digest(listing), str(path), datasets=learnt(first))


def _extracted(name: str) -> Source:
    path = Path(name)
    status = path.stat()
    listing = [(path.name, status.st_size, status.st_mtime_ns)]
    return Source(HPOBENCH, "tss", path.name, (), _digest(listing), str(path), HPOBENCH)


def _record_file(path: Path, listing: list[Any], origin: str) -> Source:
    record = record_in(path.read_bytes(), str(path))
    space = _space_of_record(record, str(path))
    arch = next(iter(record.values())).get("arch_index")
    if type(arch) is not int or not 0 <= arch < SPACES[space].size:
        raise NatsdbError(f"index {arch!r} is outside the space {space}", where=str(path), remedy="leave it out")
    entry = Entry(arch, path.name, (str(path),), 0, path.stat().st_size)
    return Source("file", space, path.name, (entry,), _digest(listing), str(path), origin, learnt(record))


def _of_first(path: Path, space: str) -> tuple[DataSet, ...]:
    """The data sets that the first record of a single file brings."""
    try:
        return learnt(next(single_records(path, space))[2])
    except (NatsdbError, StopIteration):  # said when it is ingested
        return ()


def _torch_file(name: str) -> Source:
    path = Path(name)
    status = path.stat()
    listing = [(path.name, status.st_size, status.st_mtime_ns)]
    try:
        with open_pickle(path) as file:
            head = file.read(1 << 20)
    except (*DAMAGE, OSError) as error:
        raise damaged(str(path), error) from error
    if b"arch2infos" in head or b"meta_archs" in head:
        return Source("single", "tss", path.name, (), _digest(listing), str(path), NAS_201)
    return _record_file(path, listing, NAS_201)


def _space_of_head(head: bytes) -> str:
    """The space of a single file: one that some text in it is an architecture of.

    Records of sss name a cell of tss too, their fixed one, and those of tss name no channels: so the last one counts.
    """
    texts = {head[found.end() : found.end() + ord(found[1] or found[2])] for found in _TEXT.finditer(head)}
    first, *others = SPACES.values()
    for space in reversed(others):
        pattern = re.compile(space.pattern.encode())
        if any(pattern.fullmatch(text) for text in texts):
            return space.name
    return first.name


def _head(path: Path, size: int = 1 << 20) -> bytes:
    try:
        with bz2.open(path) as file:
            return file.read(size)
    except (OSError, EOFError) as error:
        raise Damaged(f"the bz2 data is damaged ({error})", where=str(path), remedy=DOWNLOAD_AGAIN) from error


def check_single_md5(path: Path) -> None:
    """Hold the last five digits of a single benchmark file's MD5 against those in its name, where it has some.

    Raises:
        NatsdbError: they differ: the file is not the one that its name says.
    """
    named = _SINGLE_NAME.search(path.name)
    if not named:
        return
    status = path.stat()
    digits = _md5(path, status.st_size, status.st_mtime_ns, status.st_ino)[-5:]
    if digits != named[1]:
        raise Damaged(
            f"its MD5 ends in {digits}, its name says {named[1]}",
            where=str(path),
            remedy="download it again, or give it a name without these digits if you trust it",
        )


@lru_cache(maxsize=1)
def _md5(path: Path, *_state: int) -> str:
    """MD5 of a file in the state that it is in: a handle on it asks before its ingest does, for gigabytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


@dataclass(frozen=True)
class Form:
    """A form that the benchmark comes in: `words` for errors; whether a name is of this form, given the first 512 bytes
    of the file, or of all chunks of the cut tar, that it names (none where it names no file); and the source."""

    words: str
    fits: Callable[[str, bytes], bool]
    opened: Callable[[str], Source]


# A name is of the first form that fits.
FORMS = (
    Form("an archive folder", lambda name, _: os.path.isdir(name), _folder),
    Form("its .tar or the chunks of one", lambda _, head: head[257:262] == b"ustar", _tar),
    Form("a .pickle.pbz2 file", lambda _, head: head[:3] == b"BZh", _pickle_file),
    Form("NAS-Bench-201's .pth", lambda name, head: may_be_torch(head) and is_torch(name), _torch_file),
    Form("HPOBench's .json", lambda _, head: is_extracted(head), _extracted),
    Form("records in one pickle or in JSON", lambda _, head: may_be_gathered(head), _gathered),
)


def _digest(listing: Any) -> str:
    return hashlib.sha256(repr(listing).encode()).hexdigest()[:16]
