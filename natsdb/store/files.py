"""Databases behind a URL, read in place: by fsspec (s3fs, aiohttp), in the byte ranges that a query needs.

DuckDB gets a file system of its own that knows the files which the manifest lists, and no others. Sizes come from the
manifest, so a file costs no request of its own; the end of a Parquet file is fetched at once, as its footer lies there.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any, TypeVar

import fsspec
from fsspec.spec import AbstractBufferedFile

from natsdb.schema.errors import NatsdbError
from natsdb.store.manifest import NAME, Manifest, parse_manifest

# Views name a file as natsdb://TABLE/…: the file system of a connection knows which URL that is.
SCHEME = "natsdb"
# Bytes of a first request: a footer takes 0.5 to 21 kB, most of them 1 kB.
_TAIL = 4096
# Seconds to wait before each further try.
_WAITS = (0.2, 0.6, 2.0)

Result = TypeVar("Result")


class Remote(fsspec.AbstractFileSystem):
    """The files of a database behind a URL, by their paths in it; read only.

    `manifest`: of the database; `failure`: the last error, as DuckDB tells only its text.
    """

    protocol = SCHEME
    cachable = False

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url = url
        self.failure: NatsdbError | None = None
        self._files = _file_system(url)
        where = f"{url}/{NAME}"
        text = self._tried(lambda: self._files.cat_file(where), where, "there is no natsdb database here")
        self.manifest: Manifest = parse_manifest(text.decode(), where)
        self._sizes = {part.path: part.bytes for part in self.manifest.parts}

    def glob(self, path: str, **_: Any) -> list[str]:
        """The path itself: names of files are exact."""
        return [path] if self._strip_protocol(path) in self._sizes else []

    def info(self, path: str, **_: Any) -> dict[str, Any]:
        """Name, size and kind of a file."""
        name = self._strip_protocol(path)
        if name not in self._sizes:
            raise FileNotFoundError(f"{self.url} lists no file {name}")
        return {"name": name, "size": self._sizes[name], "type": "file"}

    def modified(self, path: str) -> datetime:
        """Always the same: a file of a database is named after its contents."""
        return datetime.fromtimestamp(0, UTC)

    def _open(self, path: str, mode: str = "rb", **_: Any) -> _File:
        if mode != "rb":
            raise PermissionError(f"{self.url} is only read")
        return _File(self, path, size=self.info(path)["size"], cache_type="none")

    def fetch(self, path: str, start: int, end: int) -> bytes:
        """Bytes of a file from `start` to before `end`.

        Raises:
            NatsdbError: the server does not answer, or not with all of this range, however often it is asked.
        """
        where = f"{self.url}/{path}"

        def get() -> bytes:
            got = self._files.cat_file(where, start=start, end=end)
            if len(got) > end - start:
                raise NatsdbError(
                    "the server sends whole files and no ranges of bytes",
                    where=where,
                    remedy="use a server that does, or copy the database first",
                )
            if len(got) < end - start:
                raise ConnectionError(f"{len(got)} of {end - start} bytes came")
            return got

        return self._tried(get, where, "the file that the manifest lists is not there")

    def _tried(self, get: Callable[[], Result], where: str, absent: str) -> Result:
        """What `get` returns, tried again after failures that may pass."""
        failure = NatsdbError(absent, where=where, remedy="check the address")
        for tries, wait in enumerate((0.0, *_WAITS), start=1):
            time.sleep(wait)
            try:
                return get()
            except NatsdbError as error:
                failure = error
                break
            except FileNotFoundError:
                break
            except PermissionError as error:
                remedy = "set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or AWS_PROFILE"
                failure = NatsdbError(f"access is denied ({error})", where=where, remedy=remedy)
                break
            # Each of fsspec's libraries has errors of its own for a connection that is cut or not made.
            except Exception as error:
                said = f"{str(error) or type(error).__name__}; asked {tries} times"
                remedy = "check the address and try again"
                failure = NatsdbError(f"it cannot be read ({said})", where=where, remedy=remedy)
                # Of a server's refusals only "too many requests" passes.
                if getattr(error, "status", 500) < 500 and getattr(error, "status", 500) != 429:
                    break
        self.failure = failure
        raise failure


class _File(AbstractBufferedFile):
    """A file of the database: the first request for its end fetches the whole footer of most."""

    _tail = b""

    def _fetch_range(self, start: int, end: int) -> bytes:
        first = max(0, self.size - _TAIL)
        if start < first:
            return self.fs.fetch(self.path, start, end)
        if not self._tail:
            self._tail = self.fs.fetch(self.path, first, self.size)
        return self._tail[start - first : end - first]


def _file_system(url: str) -> Any:
    options: dict[str, Any] = {}
    try:
        if url.startswith("http"):
            import aiohttp

            # fsspec's own limit is five minutes in all.
            timeout = aiohttp.ClientTimeout(total=None, sock_connect=10, sock_read=30)
            options = {"client_kwargs": {"timeout": timeout}}
        return fsspec.filesystem(url.partition("://")[0], skip_instance_cache=True, **options)
    except ImportError as error:
        raise NatsdbError(
            f"{error.name or error} is not installed",
            where=url,
            remedy="install it with `pip install 'natsdb[remote]'`",
        ) from error
