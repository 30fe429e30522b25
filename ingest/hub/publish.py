"""A database becomes a folder that is a data set of the Hugging Face Hub and a natsdb database, by the same files.

They are the database's own, by the paths that the manifest lists, and each block's file has the names of its folders
(source, space, hp) as columns too. Loaders of data sets read no folder names, so they need the columns; SQL and the
facade find an architecture's file by the folders and its rows by row groups and pages, so these stay as they are. Where
a folder and a column have one name, DuckDB, polars and PyArrow take it for one column. Measured on made-up topologies:
`metric` grows by 0.3 %, and a curve from afar takes the same 5 requests and 161 kB. One file for each source, space and
hp would be a tenth of the files; the footers of its 16 blocks alone (21 kB each, see `schema.tables`) are twice that.

Tables of the catalogue, attached ones and trained weights are the same files, linked where that can be.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from natsdb.ingest.fanout import fan_out, leave_if_starting, note_progress, processes
from natsdb.ingest.hub.card import Place, card
from natsdb.ingest.hub.croissant import croissant
from natsdb.schema.errors import NatsdbError, NotWritable
from natsdb.schema.tables import Table, column_types, page_rows
from natsdb.store.damage import sha256_of
from natsdb.store.locations import local
from natsdb.store.manifest import NAME, Manifest, Part
from natsdb.store.parquet import (
    MADE_AGAIN,
    damaged,
    named_after_contents,
    open_parquet,
    read_columns,
    reading,
    write_options,
)
from natsdb.store.snapshot import open_snapshot
from natsdb.store.writing import whole_file, write_whole, writing

SUMS = "SHA256SUMS"
# What of a published folder the manifest does not list.
BESIDE_DATA = ("README.md", "croissant.json", SUMS)


def publish(
    out: str | os.PathLike[str],
    database: str | os.PathLike[str] | None = None,
    *,
    repo: str | None = None,
    license: str = "mit",
    jobs: int | None = None,
    progress: Callable[[str, int, int, int], None] | None = None,
) -> Path:
    """Write a folder that is ready for the Hugging Face Hub, and a database; interrupted, the same call goes on.

    In it: `TABLE/**/*.parquet`, a configuration a table (tables without rows are left out); `weights/`, the trained
    weights that the database keeps; the manifest `natsdb.json`; `README.md`, the data card; `croissant.json`;
    `SHA256SUMS`. Values are the database's, bit for bit. The card names generated rows as such.

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
    folder = target.with_name(f".{target.name}-{hashlib.sha256(manifest.to_json().encode()).hexdigest()[:8]}.part")
    tables = manifest.tables()
    tasks = [_Task(home, folder, part, tables[part.table]) for part in sorted(manifest.parts) if part.rows]

    def tick(done: int, rows: int) -> None:
        if progress is not None:
            progress(target.name, done, len(tasks), rows)

    alone = jobs is None and sum(task.part.rows for task in tasks) < 1_000_000
    with writing(target, "make room, or name another folder; what is done is kept, the same command goes on"):
        for left in folder.rglob("*.tmp"):  # of a killed run
            left.unlink()
        made = list(fan_out(_write, tasks, 1 if alone else processes(jobs, len(tasks)), tick))
        archs: dict[Place, int] = {}
        for part, count in made:
            place = part.source, part.space, part.hp
            archs[place] = archs.get(place, 0) + count
        published = _published(manifest, [part for part, _ in made])
        for one in manifest.weights:
            _copied(home, folder, one.path, one.sha256)
        write_whole(folder / NAME, published.to_json())
        day = datetime.now(UTC).date().isoformat()
        write_whole(folder / "README.md", card(published, archs, repo=repo, license=license))
        write_whole(folder / "croissant.json", croissant(published, day, repo=repo, license=license))
        sums = {one.path: one.sha256 for one in published.parts}
        for name in (*(one.path for one in manifest.weights), NAME, "README.md", "croissant.json"):
            sums[name] = sha256_of(folder / name)
        write_whole(folder / SUMS, "".join(f"{sums[path]}  {path}\n" for path in sorted(sums)))
        if target.exists():
            target.rmdir()
        folder.rename(target)
    return target


@dataclass(frozen=True)
class _Task:
    database: Path
    folder: Path
    part: Part
    table: Table


def _published(manifest: Manifest, parts: list[Part]) -> Manifest:
    """What the folder holds. Names of files only: where they lay is nobody's business."""
    return replace(
        manifest,
        parts=tuple(sorted(parts)),
        ingests=tuple(replace(one, name=Path(one.name).name) for one in manifest.ingests),
        attached=tuple(replace(one, file=Path(one.file).name) for one in manifest.attached),
        command="publish",
    )


def _copied(home: Path, folder: Path, relative: str, known: str) -> None:
    """Put a file of the database into the folder, a hard link where that can be.

    Raises:
        Damaged: it is not what was written.
    """
    path = folder / relative
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            os.link(home / relative, path)
        except OSError:
            with whole_file(path) as temporary:
                shutil.copyfile(home / relative, temporary)
    if known and sha256_of(path) != known:
        raise damaged(home / relative, ValueError("its bytes are others than those that were written"))


def _write(task: _Task) -> tuple[Part, int]:
    """A file of the folder, written whole or not at all; of `seed` also how many architectures it has.

    One that is there, of an earlier run, is left alone: what it was made of is named by its folder.
    """
    part, columns = task.part, tuple(column_types(task.table))
    if part.columns == columns and part.sha256:
        _copied(task.database, task.folder, part.path, part.sha256)
        made = part
    else:
        place, _, _ = part.path.rpartition("/")
        folder = task.folder / place
        path = next(folder.glob("*.parquet"), None)
        if path is None:
            folder.mkdir(parents=True, exist_ok=True)
            path = folder / f"{os.getpid()}.tmp"
            _rewrite(task, path)
        elif not sha256_of(path).startswith(path.stem):
            raise damaged(path, ValueError("its bytes are others than those that were written"), MADE_AGAIN)
        blank = replace(part, path=place, bytes=path.stat().st_size, columns=columns)
        made = named_after_contents(path, task.folder, blank)
    note_progress(1, part.rows)
    archs = read_columns(task.folder / made.path, made, ["arch"])["arch"] if made.table == "seed" else ()
    return made, pc.count_distinct(archs).as_py() if made.table == "seed" else 0


def _rewrite(task: _Task, path: Path) -> None:
    """Write a file with all columns of its table, in the row groups and pages that it has."""
    part, types = task.part, column_types(task.table)
    schema = pa.schema([pa.field(name, kind) for name, kind in types.items()])
    options = write_options(schema, page_rows(part.hp) if part.table == "metric" else None)
    with (
        open_parquet(task.database / part.path, part) as file,
        pq.ParquetWriter(path, schema, **options) as writer,
    ):
        for number in range(file.num_row_groups):
            with reading(task.database / part.path):
                group = file.read_row_group(number)
            columns = [
                pa.repeat(pa.scalar(getattr(part, column.name), types[column.name]), len(group))
                if column.partition
                else group[column.name].cast(types[column.name])
                if column.name in group.column_names
                else pa.nulls(len(group), types[column.name])  # a file of an earlier format
                for column in task.table.columns
            ]
            writer.write_table(pa.table(columns, schema=schema), row_group_size=max(1, len(group)))
