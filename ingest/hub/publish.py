"""A database becomes a folder for the Hugging Face Hub: plain Parquet, a data card, Croissant metadata, checksums.

Loaders of data sets read no folder names, so the columns that are folders in a database (source, space, hp) are columns
of the published files, and these are few: one for each source, space and hp. Row groups stay those of the database.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from natsdb.ingest.fanout import fan_out, leave_if_starting, note_progress, processes
from natsdb.ingest.hub.card import card
from natsdb.ingest.hub.croissant import croissant
from natsdb.ingest.hub.listing import PublishedFile
from natsdb.schema.errors import NatsdbError, NotWritable
from natsdb.schema.tables import Table, column_types
from natsdb.store.locations import local
from natsdb.store.manifest import NAME, Manifest, Part, WeightsFile
from natsdb.store.parquet import MADE_AGAIN, damaged, open_parquet, reading, write_options
from natsdb.store.snapshot import open_snapshot
from natsdb.store.writing import whole_file, write_whole, writing

SUMS = "SHA256SUMS"


def publish(
    out: str | os.PathLike[str],
    database: str | os.PathLike[str] | None = None,
    *,
    repo: str | None = None,
    license: str = "mit",
    jobs: int | None = None,
    progress: Callable[[str, int, int, int], None] | None = None,
) -> Path:
    """Write a folder that is ready for the Hugging Face Hub; interrupted, the same call goes on.

    In it: `data/TABLE/*.parquet`, a configuration a table (tables without rows are left out); `weights/`, the trained
    weights that the database keeps; `README.md`, the data card; `croissant.json`; `SHA256SUMS`. Values are the
    database's, bit for bit. The card names generated rows as such.

    Args:
        out: the folder to make.
        database: folder of the database; the default one when None.
        repo: OWNER/NAME at the Hub, for the card's example and the metadata's address.
        license: identifier at the Hub; the benchmark's authors chose mit.
        jobs: processes; by default one a core, at most six.
        progress: called now and then with (name, files read, files in all, rows so far).

    Raises:
        NatsdbError: there is no database, `out` is there already, `repo` is no such name, or the disk is full.
    """
    leave_if_starting()
    home, target = local(database), Path(out)
    snapshot = open_snapshot(home)
    manifest = snapshot.manifest
    if repo is not None and not re.fullmatch(r"[\w.-]+/[\w.-]+", repo):
        raise NatsdbError(f"{repo!r} is no name at the Hub", remedy="give OWNER/NAME")
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise NotWritable("there is something already", where=str(target), remedy="name a new folder")
    digest = hashlib.sha256((home / NAME).read_bytes()).hexdigest()[:8]
    folder = target.with_name(f".{target.name}-{digest}.part")
    tables = manifest.tables()
    tasks = [
        _Task(home, folder, path, tuple(parts), tables[parts[0].table]) for path, parts in _files(manifest).items()
    ]
    total = sum(len(task.parts) for task in tasks)

    def tick(done: int, rows: int) -> None:
        if progress is not None:
            progress(target.name, done, total, rows)

    alone = jobs is None and sum(part.rows for task in tasks for part in task.parts) < 1_000_000
    with writing(target, "make room, or name another folder; what is done is kept, the same command goes on"):
        for left in folder.rglob(".*.tmp"):  # of a killed run
            left.unlink()
        made = sorted(
            fan_out(_write, tasks, 1 if alone else processes(jobs, len(tasks)), tick), key=lambda one: one.path
        )
        day = datetime.now(UTC).date().isoformat()
        write_whole(folder / "README.md", card(made, manifest, repo=repo, license=license))
        write_whole(folder / "croissant.json", croissant(made, manifest, day, repo=repo, license=license))
        others = {name: _sha256(folder / name) for name in ("README.md", "croissant.json")}
        weights = {one.path: _copied(home, folder, one) for one in manifest.weights}
        sums = {one.path: one.sha256 for one in made} | others | weights
        write_whole(folder / SUMS, "".join(f"{sums[path]}  {path}\n" for path in sorted(sums)))
        if target.exists():
            target.rmdir()
        folder.rename(target)
    return target


@dataclass(frozen=True)
class _Task:
    database: Path
    folder: Path
    path: str
    parts: tuple[Part, ...]
    table: Table


def _files(manifest: Manifest) -> dict[str, list[Part]]:
    """Which files of the database go into which of the folder; those without rows go nowhere."""
    files: dict[str, list[Part]] = {}
    for part in sorted(manifest.parts):
        if part.rows:
            name = f"{part.source}-{part.space}-{part.hp}" if part.source else part.table
            files.setdefault(f"data/{part.table}/{name}.parquet", []).append(part)
    return files


def _copied(home: Path, folder: Path, one: WeightsFile) -> str:
    """Put a file of weights into the folder, a hard link where that can be; its SHA-256.

    Raises:
        Damaged: it is not what was written.
    """
    path = folder / one.path
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(home / one.path, path)
        except OSError:
            with whole_file(path) as temporary:
                shutil.copyfile(home / one.path, temporary)
    digest = _sha256(path)
    if one.sha256 and digest != one.sha256:
        raise damaged(home / one.path, ValueError("its bytes are others than those that were written"))
    return digest


def _write(task: _Task) -> PublishedFile:
    """Write a file of the folder, whole or not at all; one that is there is left alone."""
    first, path = task.parts[0], task.folder / task.path
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary:
            _rewrite(task, temporary)
    # It may be of an earlier run.
    with open_parquet(path, remedy=MADE_AGAIN) as file, reading(path, MADE_AGAIN):
        rows, archs = file.metadata.num_rows, 0
        if first.table == "seed":
            archs = pc.count_distinct(file.read(["arch"], use_threads=False)["arch"]).as_py()
    return PublishedFile(
        task.path, first.table, first.source, first.space, first.hp, rows, archs, path.stat().st_size, _sha256(path)
    )


def _rewrite(task: _Task, path: Path) -> None:
    table, types = task.table, column_types(task.table)
    schema = pa.schema([pa.field(name, kind) for name, kind in types.items()])
    with pq.ParquetWriter(path, schema, **write_options(schema)) as writer:
        for part in task.parts:
            with open_parquet(task.database / part.path, part) as file:
                for number in range(file.num_row_groups):
                    group = file.read_row_group(number)
                    columns = [
                        pa.repeat(pa.scalar(getattr(part, column.name), types[column.name]), len(group))
                        if column.partition
                        else group[column.name].cast(types[column.name])
                        if column.name in group.column_names
                        else pa.nulls(len(group), types[column.name])  # a file of an earlier format
                        for column in table.columns
                    ]
                    writer.write_table(pa.table(columns, schema=schema), row_group_size=max(1, len(group)))
            note_progress(1, part.rows)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
