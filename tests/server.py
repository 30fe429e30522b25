"""A folder behind HTTP, on this machine only."""

from __future__ import annotations

import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote


class Answering(BaseHTTPRequestHandler):
    """What answers requests, without a word on standard error."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_: Any) -> None:
        pass


class Listening:
    """A server at a free port of this machine; `url`: where."""

    def serve(self, handler: type[Answering]) -> None:
        """Answer from now on."""
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()


class Server(Listening):
    """A folder behind HTTP: `sent` has each answer's path, status and bytes; `cut` so many answers are broken off in
    the middle (-1: all); `ranges`: whether ranges of bytes are answered."""

    def __init__(self, folder: Path) -> None:
        self.sent: list[tuple[str, int, int]] = []
        self.cut, self.ranges = 0, True
        server = self

        class Handler(Answering):
            def do_GET(self) -> None:
                path = folder / unquote(self.path).lstrip("/")
                if not path.is_file():
                    self.send_error(404)
                    return
                content, status = path.read_bytes(), 200
                size = len(content)
                asked = re.fullmatch(r"bytes=(\d*)-(\d*)", self.headers.get("Range", ""))
                if asked and server.ranges:
                    first = int(asked[1]) if asked[1] else max(0, size - int(asked[2]))
                    content, status = content[first : int(asked[2]) + 1 if asked[1] and asked[2] else size], 206
                self.send_response(status)
                if status == 206:
                    self.send_header("Content-Range", f"bytes {first}-{first + len(content) - 1}/{size}")
                self.send_header("Accept-Ranges", "bytes" if server.ranges else "none")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                if self.command == "HEAD":
                    return
                if server.cut and status == 206:
                    server.cut -= 1
                    self.wfile.write(content[: len(content) // 2])
                    self.close_connection = True
                    return
                self.wfile.write(content)
                server.sent.append((self.path, status, len(content)))

            do_HEAD = do_GET

        self.serve(Handler)
