"""A web server of a site on this machine only. It answers range requests, which `http.server` alone does not."""

from __future__ import annotations

import re
from collections.abc import Sequence
from http import HTTPStatus
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, BinaryIO
from urllib.parse import unquote, urlsplit

from natsdb.schema.errors import NatsdbError

_TYPES = {".mjs": "text/javascript", ".js": "text/javascript", ".wasm": "application/wasm", ".json": "application/json"}


def server(site: Path, port: int, databases: Sequence[Path] = ()) -> ThreadingHTTPServer:
    """A server of a site at 127.0.0.1; its `server_port` says where when `port` is 0.

    Args:
        site: the site's folder.
        port: TCP port; 0 for any that is free.
        databases: folders that answer for the site's `db/`, the first that has a file; by default that in the site.

    Raises:
        NatsdbError: the port is taken.
    """

    class Handler(_Handler):
        roots = (site.resolve(), *(folder.resolve() for folder in databases or [site / "db"]))

    try:
        return ThreadingHTTPServer(("127.0.0.1", port), Handler)
    except OSError as error:
        raise NatsdbError(
            f"cannot listen at port {port} ({error.strerror})", remedy="name another with --port"
        ) from error


class _Handler(SimpleHTTPRequestHandler):
    """Files of a site, whole or a range of bytes; no listings of folders."""

    protocol_version = "HTTP/1.1"
    extensions_map = SimpleHTTPRequestHandler.extensions_map | _TYPES
    roots: tuple[Path, ...]
    _left: int

    def translate_path(self, path: str) -> str:
        """The file that a request names, or a path that does not exist where it would lie outside the site."""
        wanted = unquote(urlsplit(path).path).lstrip("/")
        site, *databases = self.roots
        own = wanted.startswith("db/")
        for root in databases if own else [site]:
            file = (root / (wanted.removeprefix("db/") if own else wanted or "index.html")).resolve()
            if file.is_relative_to(root) and file.is_file():
                return str(file)
        return str(site / "no such file")

    def send_head(self) -> BinaryIO | None:
        """Headers, and the file at the first byte to send (RFC 9110, section 14; of several ranges the whole file)."""
        path = Path(self.translate_path(self.path))
        found = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
        if not path.is_file() or found is None or not any(found.groups()):
            self._left = path.stat().st_size if path.is_file() else 0
            return super().send_head()
        size = path.stat().st_size
        first, last = found.groups()
        start = int(first) if first else max(0, size - int(last))
        end = min(int(last), size - 1) if first and last else size - 1
        if start > end:
            self.send_response(HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE)
            self.send_header("Content-Range", f"bytes */{size}")
            self.send_header("Content-Length", "0")
            self.end_headers()
            return None
        file = path.open("rb")
        file.seek(start)
        self._left = end - start + 1
        self.send_response(HTTPStatus.PARTIAL_CONTENT)
        self.send_header("Content-Type", self.guess_type(str(path)))
        self.send_header("Content-Range", f"bytes {start}-{end}/{size}")
        self.send_header("Content-Length", str(self._left))
        self.end_headers()
        return file

    def copyfile(self, source: Any, outputfile: Any) -> None:
        """Send as many bytes as the headers said."""
        try:
            while self._left > 0 and (piece := source.read(min(self._left, 1 << 20))):
                outputfile.write(piece)
                self._left -= len(piece)
        except (BrokenPipeError, ConnectionResetError):
            self.close_connection = True  # the browser went elsewhere

    def end_headers(self) -> None:
        """Every answer says that ranges are served, and is asked for again when it may have changed."""
        self.send_header("Accept-Ranges", "bytes")
        self.send_header("Cache-Control", "no-cache")
        super().end_headers()

    def log_message(self, format: str, *arguments: Any) -> None:
        """Say nothing: a query makes hundreds of requests."""
