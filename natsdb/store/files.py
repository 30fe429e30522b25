"""One read-only view of a database's files, on disk or behind a URL, for DuckDB.

DuckDB gets a file system that knows the files which the manifest lists, by their paths in the database, and no others:
so folders above the database may be named anything, no file of it can be written, and SQL sees one version of it. Sizes
come from the manifest. Behind a URL files are read by fsspec (s3fs, aiohttp) in the ranges that a query needs, and the
end of a Parquet file is fetched at once, as its footer lies there.

Measured at full scale on two cores against DuckDB's own reading of local files: the average over all rows takes 8 %
longer, a curve 20 % less, `select count(*)` 36 ms instead of 4.
"""

from __future__ import annotations

import os
import threading
import zlib
from collections.abc import Callable, Sequence
from copy import copy
from datetime import UTC, datetime
from typing import Any

import fsspec

from natsdb.schema.errors import Damaged, NatsdbError
from natsdb.store.damage import damaged, footer_digest, remedy_of
from natsdb.store.manifest import Part
from natsdb.store.remote import remote_bytes
from natsdb.store.snapshot import Snapshot

# Views name a file as natsdb://TABLE/…: the file system of a connection knows which file that is.
SCHEME = "natsdb"
# What names of sets of files begin with; no table is called that.
_SET = "set-"
# Local files that stay open: DuckDB opens each anew for each query, and each time Python's threads wait for each other.
_MOST_HELD = 128
# Bytes of a file's end that are kept, once it was compared with the manifest: DuckDB asks for a thousandth of the file.
_MOST_KEPT = 1 << 17
# Bytes of a first request: a footer takes 0.5 to 21 kB, most of them 1 kB.
_TAIL = 4096


class ListedFiles(fsspec.AbstractFileSystem):
    """The files that a version of a database lists, by their paths in it; read only."""

    protocol = SCHEME
    cachable = False

    def __init__(self, snapshot: Snapshot) -> None:
        super().__init__()
        self._failures: dict[str, NatsdbError] = {}
        self._snapshot = snapshot
        self._parts = {part.path: part for part in snapshot.manifest.parts}
        self._checked: set[str] = set()
        self._held: dict[str, _Descriptor] = {}
        self._ends: dict[str, _End] = {}
        self._sets: dict[str, list[str]] = {}

    def named(self, paths: Sequence[str]) -> str:
        """A name, in SQL, for some files: DuckDB asks for them once and not for each, whenever it plans a query."""
        name = paths[0]
        if len(paths) > 1:
            name = f"{_SET}{len(self._sets)}/*"
            self._sets[name] = [f"{SCHEME}://{path}" for path in paths]
        return f"'{SCHEME}://{name}'"

    def failure(self, text: str) -> NatsdbError | None:
        """The error of a file that DuckDB tells of; it tells nothing but the text, of several files that of the first.

        Connections and threads share the files, so it is found by that text and not by when it happened.
        """
        return next((copy(error) for said, error in [*self._failures.items()] if said in text), None)

    def glob(self, path: str, **_: Any) -> list[str]:
        """The files of a set that has this name, or the path itself: names of files are exact."""
        name = self._strip_protocol(path)
        return self._sets.get(name, [path] if name in self._parts else [])

    def unstrip_protocol(self, name: str) -> str:
        """The name with the protocol, which `glob` gives them already."""
        return name if name.startswith(SCHEME) else f"{SCHEME}://{name}"

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Name, size and kind of a file."""
        part = self._part(path)
        return {"name": part.path, "size": part.bytes, "type": "file"}

    def modified(self, path: str) -> datetime:
        """Always the same: a file of a database is named after its contents."""
        return datetime.fromtimestamp(0, UTC)

    def _part(self, path: str) -> Part:
        part = self._parts.get(self._strip_protocol(path))
        if part is None:
            raise FileNotFoundError(f"{self._snapshot.home} lists no file {path}")
        return part

    def open(self, path: str, mode: str = "rb", *_: Any, **__: Any) -> Any:
        """A listed file, for reading."""
        if mode != "rb":
            raise PermissionError(f"{self._snapshot.home} is only read")
        part = self._part(path)
        try:
            remote = isinstance(self._snapshot.root(part.path), str)
            file = self._remote(part) if remote else self._local(part)
        except NatsdbError as error:
            self._failures[str(error)] = error
            raise
        return file

    def _local(self, part: Part) -> _File:
        path = self._snapshot.path(part.path)
        held = self._held.get(part.path)
        if held is None:
            try:
                held = _Descriptor(os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0)))
            except OSError as error:
                what = f"the file is listed and cannot be read ({error.strerror})"
                raise Damaged(what, where=path, remedy=remedy_of(path)) from error
            if len(self._held) < _MOST_HELD:
                self._held[part.path] = held
        file = _File(part.bytes, held.read_at)
        if part.footer and part.path not in self._checked:
            try:
                if footer_digest(file, part.bytes) != part.footer:
                    raise ValueError("its footer is not the one that was written")
            except (OSError, ValueError) as error:
                file.close()
                raise damaged(path, error) from error
            self._checked.add(part.path)
        return file

    def _remote(self, part: Part) -> _File:
        end = self._ends.setdefault(part.path, _End(self, part))
        return _File(part.bytes, end.read)

    def failed(self, part: Part, error: Exception) -> NatsdbError:
        """The error of a file that is not as it was written."""
        failure = damaged(self._snapshot.path(part.path), error)
        self._failures[str(failure)] = failure
        return failure

    def fetch(self, part: Part, start: int, end: int) -> bytes:
        """Bytes of a file behind a URL, from `start` to before `end`.

        Raises:
            NatsdbError: the server does not answer, or not with all of this range, however often it is asked.
        """
        url = self._snapshot.path(part.path)

        try:
            return remote_bytes(url, start, end)
        except NatsdbError as error:
            self._failures[str(error)] = error
            raise


class _File:
    """An open file as DuckDB uses it: several threads seek and read, each at a place of its own."""

    def __init__(self, size: int, read_at: Callable[[int, int], bytes]) -> None:
        self._size, self._read_at = size, read_at
        # By the system's thread: DuckDB 1.4 seeks and reads in two visits to Python, which takes a thread of DuckDB's
        # for a new one at each, so that `threading.local` forgets in between.
        self._at: dict[int, int] = {}
        self.closed = False

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        start = {os.SEEK_SET: 0, os.SEEK_CUR: self.tell(), os.SEEK_END: self._size}[whence]
        self._at[threading.get_ident()] = start + offset
        return start + offset

    def tell(self) -> int:
        return self._at.get(threading.get_ident(), 0)

    def read(self, size: int) -> bytes:
        at = self.tell()
        data = self._read_at(min(size, max(0, self._size - at)), at)
        self._at[threading.get_ident()] = at + len(data)
        return data

    def close(self) -> None:
        self.closed = True


class _Descriptor:
    """An open local file, closed when nobody holds it."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._alone = threading.Lock()

    def read_at(self, size: int, at: int) -> bytes:
        """So many bytes at a place, whatever other threads read."""
        if hasattr(os, "pread"):
            return os.pread(self._number, size, at)
        with self._alone:
            os.lseek(self._number, at, os.SEEK_SET)
            return os.read(self._number, size)

    def __del__(self, close: Callable[[int], None] = os.close) -> None:
        close(self._number)  # bound above: at the end of the process `os` may be gone


class _End:
    """Reads a file behind a URL. Its end, which holds the footer and the page index, is asked for at each opening and
    fetched once: up to `_MOST_KEPT` bytes of it are kept, and only what lies before them is fetched still."""

    def __init__(self, files: ListedFiles, part: Part) -> None:
        self._files, self._part, self._tail = files, part, b""
        self._checked = not part.footer

    def read(self, size: int, at: int) -> bytes:
        tail, whole = self._tail, self._part.bytes
        known = whole - len(tail)
        if at + size <= min(known, whole - 8):
            return self._files.fetch(self._part, at, at + size)
        if at < known:
            first = min(at, max(0, whole - _TAIL))
            # Several threads may fetch it at once: each has the whole of what it asked for.
            tail = self._files.fetch(self._part, first, known) + tail
            self._check(tail)
            if len(tail) <= _MOST_KEPT:
                self._tail = tail
        start = at - whole + len(tail)
        return tail[start : start + size]

    def _check(self, tail: bytes) -> None:
        """Compare the footer, when all of it is here."""
        length = int.from_bytes(tail[-8:-4], "little") + 8
        if self._checked or length > len(tail):
            return
        if f"{zlib.crc32(tail[-length:]):08x}" != self._part.footer:
            raise self._files.failed(self._part, ValueError("its footer is not the one that was written"))
        self._checked = True
