"""A static page of a database: leaderboard, scatter, architectures' pages, searches, and SQL in the visitor's browser.

A site is a folder that any web server shows, without a network beyond it:

    index.html, style.css, *.js   the page (`static/`)
    data/                         what it paints first, precomputed (`data.py`)
    vendor/                       DuckDB-WASM (`vendor.py`); absent when the site was written without SQL
    db/                           the database's Parquet files, which DuckDB-WASM reads by ranges
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from importlib import resources
from pathlib import Path

from natsdb.schema.errors import NatsdbError
from natsdb.site.data import INDEX, write_data
from natsdb.site.vendor import write_vendor
from natsdb.store.manifest import NAME
from natsdb.store.snapshot import BESIDE, Snapshot, in_one, open_local_with_builtin
from natsdb.store.writing import whole_folder, writing

__all__ = ["opened", "write_pages", "write_site"]


def write_site(
    out: str | os.PathLike[str],
    db: str | os.PathLike[str] | None = None,
    *,
    sql: bool = True,
    progress: Callable[[str, int, int, int], None] | None = None,
) -> Path:
    """Write a site of a database into a folder, whole or not at all; a site that is there is replaced.

    Parquet files are hard links where the file system allows it (they are never written again), else copies.

    Args:
        out: the site's folder; its parents are made.
        db: the database's folder; by default `$NATSDB_HOME`, else natsdb's folder in the user's data directory.
        sql: with DuckDB-WASM; without it the page has no SQL box and no curves.
        progress: is told what is done, and how much of how much.

    Raises:
        NatsdbError: there is no database, DuckDB-WASM cannot be had, `out` holds something else or cannot be written.
    """
    # One version, whatever other processes publish meanwhile; what may fail comes first, what takes long last.
    snapshot = open_local_with_builtin(db)
    database, target = Path(snapshot.home), Path(out)
    if target.exists() and not (target / INDEX).is_file() and not (target.is_dir() and not any(target.iterdir())):
        raise NatsdbError(
            "there is something here that is not a site of natsdb", where=str(target), remedy="name another folder"
        )
    if target.resolve() == database.resolve() or database.resolve().is_relative_to(target.resolve()):
        raise NatsdbError("the database lies in this folder", where=str(target), remedy="name another folder")
    with writing(target, "name another folder, or make room"), whole_folder(target) as new:
        write_pages(new, snapshot, sql=sql, progress=progress)
        if sql:
            _write_database(new / "db", snapshot, progress)
    return target


def write_pages(
    folder: Path, snapshot: Snapshot, *, sql: bool = True, progress: Callable[[str, int, int, int], None] | None = None
) -> None:
    """Write all of a site but the database's files into an existing folder.

    Raises:
        NatsdbError: DuckDB-WASM cannot be had, or a file of the database is damaged.
    """
    if sql:
        write_vendor(folder / "vendor")
    for file in resources.files("natsdb.site").joinpath("static").iterdir():
        folder.joinpath(file.name).write_bytes(file.read_bytes())
    write_data(folder, snapshot, sql=sql, progress=progress)


def _write_database(folder: Path, snapshot: Snapshot, progress: Callable[[str, int, int, int], None] | None) -> None:
    manifest = snapshot.manifest
    for done, part in enumerate(manifest.parts):
        if progress is not None:
            progress("Parquet files", done, len(manifest.parts), done)
        path = folder / part.path.removeprefix(BESIDE)
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(snapshot.path(part.path), path)
        except OSError:
            shutil.copyfile(snapshot.path(part.path), path)
    folder.mkdir(exist_ok=True)
    folder.joinpath(NAME).write_text(replace(in_one(manifest), weights=()).to_json(), encoding="utf-8")


@contextmanager
def opened(
    site: str | os.PathLike[str] | None,
    db: str | os.PathLike[str] | None = None,
    *,
    sql: bool = True,
    progress: Callable[[str, int, int, int], None] | None = None,
) -> Iterator[tuple[Path, list[Path]]]:
    """Folder of a site, and those that its database's files lie in, to serve; where no site is named, one of the
    database that goes when done.

    Raises:
        NatsdbError: there is no such site or database, or `write_pages` raises.
    """
    if site is not None:
        if not (Path(site) / INDEX).is_file():
            raise NatsdbError("there is no site here", where=str(site), remedy="write one with `natsdb site OUT`")
        yield Path(site), [Path(site) / "db"]
        return
    snapshot = open_local_with_builtin(db)  # held until nothing is served any more
    with tempfile.TemporaryDirectory(prefix="natsdb-site-") as folder:
        write_pages(Path(folder), snapshot, sql=sql, progress=progress)
        yield Path(folder), [Path(snapshot.root(path)) for path in ("", BESIDE)]
