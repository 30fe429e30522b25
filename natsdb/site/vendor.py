"""DuckDB-WASM for the page: two packages of the npm index, pinned by version and by SHA-512.

Version 1.28.0 (DuckDB 0.9.1) is the last that has Parquet built in: from 1.29.0 on, DuckDB-WASM loads it from a host of
its own at run time, and no package ships it. It is half as large, too: 18 MB (4.2 MB gzipped) against 34 MB (7.7 MB).
"""

from __future__ import annotations

import base64
import hashlib
import os
import shutil
import subprocess
import tarfile
import tempfile
from dataclasses import dataclass
from pathlib import Path

import platformdirs

from natsdb.schema.errors import NatsdbError
from natsdb.store.writing import whole_file


@dataclass(frozen=True)
class Package:
    """A package of the npm index: `sha512` (base64) is that of the tarball, as the index states it."""

    name: str
    version: str
    sha512: str

    @property
    def tarball(self) -> str:
        """Name of the file that `npm pack` writes."""
        return f"{self.name.removeprefix('@').replace('/', '-')}-{self.version}.tgz"


DUCKDB = Package(
    "@duckdb/duckdb-wasm",
    "1.28.0",
    "YaswpEmxr1Sp20/FZbWR7bZBJqj6xQXX2m4LLzYBnA02g4K1yrpxsBWmkxQyMbrH6AHKhcUUqAlaXfA2Rvaa3w==",
)
ARROW = Package(
    "apache-arrow",
    "13.0.0",
    "3gvCX0GDawWz6KFNC28p65U+zGh/LZ6ZNKWNu74N6CQlKzxeoWHpi4CgEQsgRSEMuyrIIXi1Ea2syja7dwcHvw==",
)


def write_vendor(folder: Path) -> None:
    """Write what the page's `engine.js` loads: DuckDB-WASM's module, worker and binary, and Arrow's module.

    Raises:
        NatsdbError: a package is neither in the cache nor to be had by npm.
    """
    folder.mkdir()
    duckdb = _members(DUCKDB, "dist/duckdb-browser.mjs", "dist/duckdb-browser-eh.worker.js", "dist/duckdb-eh.wasm")
    arrow = _members(ARROW, "Arrow.es2015.min.js", "LICENSE.txt")
    # Browsers find a module by its path, not by its package's name. Source maps are not there.
    module = duckdb["dist/duckdb-browser.mjs"].replace(b'from"apache-arrow"', b'from"./arrow.mjs"')
    folder.joinpath("duckdb-browser.mjs").write_bytes(_without_map(module))
    folder.joinpath("duckdb-browser-eh.worker.js").write_bytes(_without_map(duckdb["dist/duckdb-browser-eh.worker.js"]))
    folder.joinpath("duckdb-eh.wasm").write_bytes(duckdb["dist/duckdb-eh.wasm"])
    # Arrow's bundle is a script that sets `this.Arrow`.
    script = _without_map(arrow["Arrow.es2015.min.js"])
    folder.joinpath("arrow.mjs").write_bytes(
        b"const root = {};\n(function () {\n"
        + script
        + b"\n}).call(root);\nexport const { RecordBatchReader, Table, Type } = root.Arrow;\n"
    )
    folder.joinpath("arrow-LICENSE.txt").write_bytes(arrow["LICENSE.txt"])


def _without_map(script: bytes) -> bytes:
    lines = script.rstrip().split(b"\n")
    return b"\n".join(lines[:-1] if lines[-1].startswith(b"//# sourceMappingURL") else lines) + b"\n"


def _members(package: Package, *names: str) -> dict[str, bytes]:
    with tarfile.open(tarball(package)) as archive:
        files = {name: archive.extractfile(f"package/{name}") for name in names}
        return {name: file.read() for name, file in files.items() if file is not None}


def tarball(package: Package) -> Path:
    """A package's tarball in the user's cache directory, its SHA-512 checked; fetched by `npm pack` if it is not there.

    Raises:
        NatsdbError: there is no npm, npm failed, or the tarball is not the pinned one.
    """
    cache = Path(platformdirs.user_cache_dir("natsdb")) / "npm"
    path = cache / package.tarball
    if not path.is_file():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as folder:
            _pack(package, Path(folder), path)
            with whole_file(path) as temporary:
                os.replace(Path(folder) / package.tarball, temporary)
    digest = base64.b64encode(hashlib.sha512(path.read_bytes()).digest()).decode()
    if digest != package.sha512:
        raise NatsdbError(
            f"this is not {package.name} {package.version}: its SHA-512 is another",
            where=str(path),
            remedy="remove the file, and the same command fetches it again",
        )
    return path


def _pack(package: Package, folder: Path, path: Path) -> None:
    wanted = f"{package.name}@{package.version}"
    remedy = f"put `npm pack {wanted}` of a machine that has it at {path}, or write the site with --no-sql"
    npm = shutil.which("npm")
    if npm is None:
        raise NatsdbError(f"there is no npm to fetch {wanted}", remedy=f"install npm, or {remedy}")
    done = subprocess.run([npm, "pack", "--silent", wanted], cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode or not (folder / package.tarball).is_file():
        lines = [line for line in (done.stderr + done.stdout).splitlines() if line.strip()]
        raise NatsdbError(f"npm cannot fetch {wanted} ({lines[0] if lines else 'it says nothing'})", remedy=remedy)
