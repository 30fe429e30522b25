"""Export: the database's rows as an archive in the official format, for tools that read nothing else."""

from __future__ import annotations

import bz2
import hashlib
import io
import os
import pickle
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from natsdb.ingest.archive.rebuild import RecordBlock, blocks_of
from natsdb.ingest.archive.single import unframed
from natsdb.ingest.fanout import fan_out, leave_if_starting, note_progress, processes
from natsdb.schema.errors import Missing, NotWritable
from natsdb.schema.spaces import space_of, strings
from natsdb.store.locations import local
from natsdb.store.manifest import Part
from natsdb.store.snapshot import open_snapshot
from natsdb.store.writing import whole_file, writing


def export(
    out: str | os.PathLike[str],
    space: str,
    database: str | os.PathLike[str] | None = None,
    *,
    source: str = "official",
    single: bool = False,
    jobs: int | None = None,
    progress: Callable[[str, int, int, int], None] | None = None,
) -> Path:
    """Write an archive that the `nats_bench` package opens; its records equal those that were ingested.

    Args:
        out: the folder to make: of record files and a meta file, or, if `single`, of one benchmark file whose name ends
            in the last five digits of its MD5, as the official ones do.
        space: tss or sss.
        database: folder of the database; the default one when None.
        source: which rows: the value of the column `source`.
        single: one benchmark file instead of a file an architecture.
        jobs: processes; by default one a core, at most six.
        progress: called now and then with (name, architectures done, architectures in all, 0).

    Returns:
        The folder, or the benchmark file.

    Raises:
        Missing: there is nothing to export.
        NotWritable: `out` is there already, or the disk is full.
    """
    leave_if_starting()
    home = local(database)
    # Held until the end: what is published meanwhile changes nothing here.
    snapshot = open_snapshot(home)
    manifest = snapshot.manifest
    space_of(space)
    files = blocks_of(manifest, source, space)
    if not files:
        raise Missing(
            f"there are no rows of {space} from source {source!r}",
            where=str(home),
            remedy=f"it holds {manifest.contents()}",
        )
    target = Path(out)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise NotWritable("there is something already", where=str(target), remedy="name a new folder")
    # Records are written beside the target, whole or not at all; the same command goes on after an interruption.
    digest = hashlib.sha256(manifest.to_json().encode() + repr((space, source, single)).encode()).hexdigest()[:8]
    part = target.with_name(f".{target.name}-{digest}.part")
    with writing(target, "name another folder, or make room; what is done is kept, the same command goes on"):
        part.mkdir(parents=True, exist_ok=True)
        for left in part.glob(".*.tmp"):  # of a killed run
            left.unlink()
        tasks = [_Task(home, space, block, part) for _, block in sorted(files.items())]
        total = sum(len(RecordBlock(home, space, block).archs()) for block in files.values())

        def tick(done: int, _: int) -> None:
            if progress is not None:
                progress(target.name, done, total, 0)

        if single:
            name = _write_single(part, space, tasks, tick)
        else:
            for _ in fan_out(
                _write_block, tasks, 1 if jobs is None and total < 64 else processes(jobs, len(tasks)), tick
            ):
                pass
            _write_pickle(part / "meta.pickle.pbz2", {**_meta(space), "arch2infos": None, "evaluated_indexes": set()})
            name = ""
        if target.exists():
            target.rmdir()
        part.rename(target)
        return target / name if single else target


@dataclass(frozen=True)
class _Task:
    database: Path
    space: str
    files: dict[tuple[str, str], Part]
    folder: Path


def _meta(space: str) -> dict[str, Any]:
    return {"meta_archs": list(strings(space)), "total_archs": len(strings(space))}


def _write_block(task: _Task) -> None:
    block = RecordBlock(task.database, task.space, task.files)
    for arch in block.archs():
        path = task.folder / f"{arch:06d}.pickle.pbz2"
        if not path.exists():
            _write_pickle(path, block.record(arch))
        note_progress(1, 0)


def _write_pickle(path: Path, value: Any) -> None:
    with whole_file(path) as temporary, bz2.open(temporary, "wb") as file:
        pickle.dump(value, file, protocol=4)


def _write_single(folder: Path, space: str, tasks: list[_Task], tick: Callable[[int, int], None]) -> str:
    temporary = folder / "single.tmp"
    with bz2.open(temporary, "wb") as file:
        file.writelines(_single_pickle(space, tasks, tick))
    with temporary.open("rb") as raw:
        digest = hashlib.file_digest(raw, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()
    name = f"{space_of(space).archive}-{digest[-5:]}.pickle.pbz2"
    os.replace(temporary, folder / name)
    return name


def _single_pickle(space: str, tasks: list[_Task], tick: Callable[[int, int], None]) -> Iterator[bytes]:
    """The pickle of {meta_archs, total_archs, arch2infos, evaluated_indexes}, a record at a time in memory.

    A pickler's memo would keep every object of 15,625 records. Each record is pickled without a memo, so that pieces
    may stand one after the other between a dictionary's mark and its end.
    """
    evaluated = []
    yield b"\x80\x04}("
    for key, value in _meta(space).items():
        yield _opcodes(key) + _opcodes(value)
    yield _opcodes("arch2infos") + b"}("
    for task in tasks:
        block = RecordBlock(task.database, space, task.files)
        for arch in block.archs():
            yield _opcodes(arch) + _opcodes(block.record(arch))
            evaluated.append(arch)
            tick(len(evaluated), 0)
    yield b"u" + _opcodes("evaluated_indexes") + _opcodes(set(evaluated)) + b"u."


def _opcodes(value: Any) -> bytes:
    """Opcodes that put a value on the stack, with neither header, frames nor memo."""
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, protocol=4)
    pickler.fast = True
    pickler.dump(value)
    buffer.seek(0)
    return b"".join(unframed(buffer.read))[2:-1]
