"""Export: the database's rows as an archive in the official format, for tools that read nothing else: NATS-Bench's,
NAS-Bench-201's single file, or Syne Tune's blackbox."""

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
from natsdb.ingest.archive.records import NAS_201_HPS
from natsdb.ingest.archive.single import unframed
from natsdb.ingest.archive.torch_file import torch_head, torch_tail
from natsdb.ingest.fanout import fan_out, leave_if_starting, note_progress, processes
from natsdb.ingest.syne_tune_export import write_blackbox
from natsdb.schema.errors import Missing, NatsdbError, NotWritable
from natsdb.schema.names import did_you_mean
from natsdb.schema.spaces import space_of, strings
from natsdb.store.choice import NAS_201, OFFICIAL, check_source
from natsdb.store.locations import local
from natsdb.store.manifest import SYNE_TUNE, Part
from natsdb.store.snapshot import open_snapshot
from natsdb.store.writing import whole_file, writing

# Formats, with the source whose rows each is of by default.
SOURCES = {"nats-bench": OFFICIAL, NAS_201: NAS_201, SYNE_TUNE: SYNE_TUNE}


def export(
    out: str | os.PathLike[str],
    space: str,
    database: str | os.PathLike[str] | None = None,
    *,
    source: str | None = None,
    format: str = "nats-bench",
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
        source: which rows: the value of the column `source`; by default official, nas-bench-201 or syne-tune, as the
            format is.
        format: nats-bench; nas-bench-201, a torch file of all records that the package `nas-bench-201` opens; or
            syne-tune, the blackbox `nasbench201` of curves at hp 200.
        single: one benchmark file instead of a file an architecture.
        jobs: processes; by default one a core, at most six.
        progress: called now and then with (name, architectures done, architectures in all, 0).

    Returns:
        The folder, or the benchmark file.

    Raises:
        Missing: there is nothing to export, or not all that the format asks for.
        NatsdbError: there is no such format, or it is not of this space.
        NotWritable: `out` is there already, or the disk is full.
    """
    leave_if_starting()
    if format not in SOURCES:
        raise NatsdbError(f"there is no format {format!r}", remedy=did_you_mean(format, SOURCES))
    if format != "nats-bench" and space != "tss":
        raise NatsdbError(f"the format {format} is of the space tss", remedy="name it with --space tss")
    source = source or SOURCES[format]
    home = local(database)
    # Held until the end: what is published meanwhile changes nothing here.
    snapshot = open_snapshot(home)
    manifest = snapshot.manifest
    space_of(space)
    check_source(manifest, source, str(home), space=space)
    files = {} if format == SYNE_TUNE else blocks_of(manifest, source, space)
    target = Path(out)
    if target.exists() and (not target.is_dir() or any(target.iterdir())):
        raise NotWritable("there is something already", where=str(target), remedy="name a new folder")
    # Records are written beside the target, whole or not at all; the same command goes on after an interruption.
    digest = hashlib.sha256(manifest.to_json().encode() + repr((space, source, format, single)).encode()).hexdigest()[
        :8
    ]
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

        name = ""
        if format == SYNE_TUNE:
            write_blackbox(part, home, manifest, source)
        elif format == NAS_201:
            name = _write_nas_201(part, tasks, tick)
        elif single:
            name = _write_single(part, space, tasks, tick)
        else:
            for _ in fan_out(
                _write_block, tasks, 1 if jobs is None and total < 64 else processes(jobs, len(tasks)), tick
            ):
                pass
            _write_pickle(part / "meta.pickle.pbz2", {**_meta(space), "arch2infos": None, "evaluated_indexes": set()})
        if target.exists():
            target.rmdir()
        part.rename(target)
        return target / name


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
        file.writelines(_single_pickle(_meta(space), tasks, tick))
    name = f"{space_of(space).archive}-{_md5(temporary)[-5:]}.pickle.pbz2"
    os.replace(temporary, folder / name)
    return name


def _write_nas_201(folder: Path, tasks: list[_Task], tick: Callable[[int, int], None]) -> str:
    """The single file of NAS-Bench-201, a torch file in its old form; its name ends in six digits of its MD5."""
    temporary = folder / "single.tmp"
    with temporary.open("wb") as file:
        file.write(torch_head())
        file.writelines(_single_pickle({**_meta("tss"), "basestr": "C16-N5"}, tasks, tick, protocol=2))
        file.write(torch_tail())
    name = f"NAS-Bench-201-v1_1-{_md5(temporary)[-6:]}.pth"
    os.replace(temporary, folder / name)
    return name


def _md5(path: Path) -> str:
    with path.open("rb") as raw:
        return hashlib.file_digest(raw, lambda: hashlib.md5(usedforsecurity=False)).hexdigest()


def _single_pickle(
    meta: dict[str, Any], tasks: list[_Task], tick: Callable[[int, int], None], protocol: int = 4
) -> Iterator[bytes]:
    """The pickle of {meta_archs, total_archs, arch2infos, evaluated_indexes}, a record at a time in memory.

    A pickler's memo would keep every object of 15,625 records. Each record is pickled without a memo, so that pieces
    may stand one after the other between a dictionary's mark and its end. Those of protocol 2 are NAS-Bench-201's.
    """
    evaluated = []

    def opcodes(value: Any) -> bytes:
        return _opcodes(value, protocol)

    yield bytes([0x80, protocol]) + b"}("
    for key, value in meta.items():
        yield opcodes(key) + opcodes(value)
    yield opcodes("arch2infos") + b"}("
    for task in tasks:
        block = RecordBlock(task.database, task.space, task.files)
        for arch in block.archs():
            record = block.record(arch)
            if protocol == 2:
                record = _of_nas_201(record, arch, task.database)
            yield opcodes(arch) + opcodes(record)
            evaluated.append(arch)
            tick(len(evaluated), 0)
    yield b"u" + opcodes("evaluated_indexes") + opcodes(set(evaluated)) + b"u."


def _of_nas_201(record: dict[str, Any] | None, arch: int, where: Path) -> dict[str, Any]:
    """A record with NAS-Bench-201's names of hps, of which its package needs both and knows no others."""
    names = {hp: name for name, hp in NAS_201_HPS.items()}
    if record is None or not names.keys() <= record.keys():
        raise Missing(
            f"architecture {arch} has no runs at hp {' or '.join(sorted(set(names) - set(record or {})))}",
            where=str(where),
            remedy="NAS-Bench-201's package needs both schedules of each architecture",
        )
    return type(record)((names[hp], result) for hp, result in record.items() if hp in names)


def _opcodes(value: Any, protocol: int) -> bytes:
    """Opcodes that put a value on the stack, with neither header, frames nor memo."""
    buffer = io.BytesIO()
    pickler = pickle.Pickler(buffer, protocol=protocol)
    pickler.fast = True
    pickler.dump(value)
    buffer.seek(0)
    return b"".join(unframed(buffer.read))[2:-1]
