"""A stand-in for the Hugging Face Hub, on this machine: data sets with commits, redirects to files, uploads by LFS."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import unquote, urlsplit

from server import Answering, Listening


class Hub(Listening):
    """`commits[repo]`: files by path, of each commit; `asked`: method, path and status of each answer; `token`: what is
    asked for, nothing if it is empty; `refuse`: so many uploads of large files are refused."""

    def __init__(self) -> None:
        self.commits: dict[str, list[dict[str, bytes]]] = {}
        self.stored: dict[str, bytes] = {}
        self.asked: list[tuple[str, str, int]] = []
        self.token, self.refuse = "", 0
        hub = self

        class Handler(Answering):
            def do_GET(self) -> None:
                hub._answer(self)

            do_HEAD = do_POST = do_PUT = do_GET

        self.serve(Handler)

    def put(self, repo: str, folder: Path) -> None:
        """A folder as a data set's next commit."""
        files = {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        self.commits.setdefault(repo, []).append(files)

    def _sha(self, repo: str, number: int) -> str:
        return hashlib.sha1(f"{repo} {number}".encode()).hexdigest()

    def _files(self, repo: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        commits = self.commits.get(repo, [])
        for number, files in enumerate(commits):
            if revision == self._sha(repo, number) or (revision == "main" and number == len(commits) - 1):
                return self._sha(repo, number), files
        return None

    def _answer(self, request: Any) -> None:
        length = int(request.headers.get("Content-Length") or 0)
        body = request.rfile.read(length)
        if "chunked" in request.headers.get("Transfer-Encoding", ""):
            while size := int(request.rfile.readline(), 16):
                body += request.rfile.read(size)
                request.rfile.readline()
            request.rfile.readline()
        path = unquote(urlsplit(request.path).path)
        said: dict[str, str] = {}
        allowed = not self.token or request.headers.get("Authorization") == f"Bearer {self.token}"
        if path.startswith("/cdn/") and "Authorization" not in request.headers:
            status, content = 200, self.stored[path.removeprefix("/cdn/")]
        elif not allowed:
            status, content = 401, b"{}"
        else:
            headers = {**request.headers, "recursive": str("recursive=true" in request.path.lower())}
            status, content, said = self._of(request.command, path, body, headers)
        asked = re.fullmatch(r"bytes=(\d*)-(\d*)", request.headers.get("Range", ""))
        if asked and status == 200:
            first = int(asked[1]) if asked[1] else max(0, len(content) - int(asked[2]))
            end = int(asked[2]) + 1 if asked[1] and asked[2] else len(content)
            said["Content-Range"] = f"bytes {first}-{min(end, len(content)) - 1}/{len(content)}"
            status, content = 206, content[first:end]
        self.asked.append((request.command, path, status))
        request.send_response(status)
        for name, value in said.items():
            request.send_header(name, value)
        request.send_header("Accept-Ranges", "bytes")
        request.send_header("Content-Length", str(len(content)))
        request.end_headers()
        if request.command != "HEAD":
            request.wfile.write(content)

    def _of(self, method: str, path: str, body: bytes, headers: Any) -> tuple[int, bytes, dict[str, str]]:
        if path == "/api/validate-yaml":
            return 200, b'{"errors": [], "warnings": []}', {}
        if path == "/api/repos/create":
            asked = json.loads(body)
            repo = f"{asked['organization']}/{asked['name']}" if asked.get("organization") else asked["name"]
            if repo in self.commits:
                return 409, json.dumps({"error": "it is there", "url": f"{self.url}/datasets/{repo}"}).encode(), {}
            self.commits[repo] = [{}]
            return 200, json.dumps({"url": f"{self.url}/datasets/{repo}", "id": repo}).encode(), {}
        if method == "PUT" and path.startswith("/lfs/"):
            oid = path.removeprefix("/lfs/")
            if self.refuse or hashlib.sha256(body).hexdigest() != oid:
                self.refuse -= 1
                return 400, b"", {}
            self.stored[oid] = body
            return 200, b"", {}
        if found := re.fullmatch(r"/datasets/([^/]+/[^/]+)\.git/info/lfs/objects/batch", path):
            every = json.loads(body)["objects"]
            return 200, json.dumps({"transfer": "basic", "objects": [self._upload(one) for one in every]}).encode(), {}
        if found := re.fullmatch(r"/datasets/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self._file(found[1], found[2], found[3])
        found = re.fullmatch(
            r"/api/datasets/([^/]+/[^/]+)(?:/(revision|tree|paths-info|preupload|commit)/([^/]+)/?(.*))?", path
        )
        held = self._files(found[1], found[3] or "main") if found else None
        if found is None or held is None:
            return 404, b'{"error": "not found"}', {"X-Error-Code": "RepoNotFound"}
        return self._api(found[1], found[2] or "revision", found[4] or "", held, body, headers)

    def _api(
        self, repo: str, what: str, folder: str, held: tuple[str, dict[str, bytes]], body: bytes, headers: Any
    ) -> tuple[int, bytes, dict[str, str]]:
        sha, files = held
        answer: Any
        if what == "revision":
            siblings = [{"rfilename": name} for name in sorted(files)]
            answer = {"_id": "1", "id": repo, "sha": sha, "siblings": siblings, "private": False, "tags": []}
        elif what == "tree":
            start = f"{folder}/" if folder else ""
            inside = {name: data for name, data in files.items() if name.startswith(start)}
            folders = {str(one) for name in inside for one in PurePosixPath(name).parents if str(one).startswith(start)}
            answer = [{"type": "directory", "path": name, "oid": "0"} for name in sorted(folders - {".", folder})]
            answer += [self._entry(name, data) for name, data in sorted(inside.items())]
            if headers["recursive"] == "False":
                answer = [one for one in answer if "/" not in one["path"].removeprefix(start)]
        elif what == "paths-info":
            typed = "json" in headers.get("Content-Type", "")
            asked = (
                json.loads(body)["paths"]
                if typed
                else [unquote(one.partition("=")[2]) for one in body.decode().split("&")]
            )
            answer = [self._entry(name, files[name]) for name in asked if name in files]
            answer += [
                {"type": "directory", "path": name, "oid": "0"}
                for name in asked
                if name not in files and any(one.startswith(f"{name}/") for one in files)
            ]
        elif what == "preupload":
            answer = {
                "files": [
                    {"path": one["path"], "uploadMode": self._mode(one["path"]), "shouldIgnore": False, "oid": None}
                    for one in json.loads(body)["files"]
                ]
            }
        else:
            new = dict(files)
            for line in body.decode().splitlines():
                one = json.loads(line)
                value = one["value"]
                if one["key"] == "file":
                    new[value["path"]] = base64.b64decode(value["content"])
                elif one["key"] == "lfsFile":
                    new[value["path"]] = self.stored[value["oid"]]
                elif one["key"] == "deletedFile":
                    del new[value["path"]]
            self.commits[repo].append(new)
            oid = self._sha(repo, len(self.commits[repo]) - 1)
            answer = {"success": True, "commitOid": oid, "commitUrl": f"{self.url}/datasets/{repo}/commit/{oid}"}
        return 200, json.dumps(answer).encode(), {}

    def _mode(self, name: str) -> str:
        return "lfs" if name.endswith((".parquet", ".safetensors")) else "regular"

    def _entry(self, name: str, data: bytes) -> dict[str, Any]:
        oid = hashlib.sha256(data).hexdigest()
        blob = hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()
        lfs = {"lfs": {"oid": oid, "size": len(data), "pointerSize": 130}} if self._mode(name) == "lfs" else {}
        return {"type": "file", "path": name, "size": len(data), "oid": blob, **lfs}

    def _upload(self, one: dict[str, Any]) -> dict[str, Any]:
        if one["oid"] in self.stored:
            return one
        return {**one, "actions": {"upload": {"href": f"{self.url}/lfs/{one['oid']}"}}}

    def _file(self, repo: str, revision: str, name: str) -> tuple[int, bytes, dict[str, str]]:
        held = self._files(repo, revision)
        if held is None or name not in held[1]:
            return 404, b"", {"X-Error-Code": "EntryNotFound" if held else "RepoNotFound"}
        data = held[1][name]
        oid = hashlib.sha256(data).hexdigest()
        said = {
            "X-Repo-Commit": held[0],
            "ETag": f'"{oid}"',
            "X-Linked-Etag": f'"{oid}"',
            "X-Linked-Size": str(len(data)),
        }
        if self._mode(name) != "lfs":
            return 200, data, said
        # Large files come from another host; here by another name of this one.
        self.stored[oid] = data
        return 302, b"", {**said, "Location": f"{self.url.replace('127.0.0.1', 'localhost')}/cdn/{oid}"}
