"""The single benchmark file of any number of made-up records, written as a stream: a few records at a time in memory.

python tests/single_file.py OUT --space tss --archs 0-199 --jobs 2

`pickle.dump` of all 15,625 records would need them all at once, over 30 GB. Here each record is pickled alone, by a
pickler whose memo begins with what the records share (texts of the code, names, the list of architectures), and its
references to objects of its own are moved to where the memo of the whole pickle has them. Frames apart, the opcodes are
those that `pickle.dump` writes of the whole (`tests/ingest/test_single_file.py`).
"""

from __future__ import annotations

import argparse
import bz2
import gc
import hashlib
import io
import multiprocessing
import os
import pickle
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from natsdb.ingest.archive.single import unframed
from natsdb.schema.spaces import strings
from synthetic import record, renamed, runs_of

# Items that a pickler puts into a dictionary at once.
_BATCH = 1000
# Records in a bz2 stream, which a process makes and compresses. The official file is one stream.
_STREAM = 32


def write_single_stream(
    folder: Path, space: str, archs: Sequence[int], *, jobs: int = 1, different: int | None = None
) -> Path:
    """Write the single benchmark file of these architectures; its name ends in the last digits of its MD5.

    Args:
        folder: where to; it is made.
        space: tss or sss.
        archs: the architectures, in the file's order.
        jobs: processes.
        different: so many architectures have numbers of their own, which the others repeat, to save time; all by
            default.
    """
    folder.mkdir(parents=True, exist_ok=True)
    temporary = folder / "single.tmp"
    digest = hashlib.md5()
    with temporary.open("wb") as file:
        for stream in _streams(space, archs, jobs, different):
            digest.update(stream)
            file.write(stream)
    path = folder / f"NATS-{space}-v1_0-{digest.hexdigest()[-5:]}.pickle.pbz2"
    os.replace(temporary, path)
    return path


def write_nas_201_stream(path: Path, archs: Sequence[int], *, different: int) -> Path:
    """Write the single file of NAS-Bench-201, a torch file in its old form, a record at a time in memory.

    Args:
        different: so many architectures have numbers of their own, which the others repeat.
    """
    start = _Start("tss", archs[0], different, protocol=2)
    with path.open("wb") as file:
        for head in (0x1950A86A20F9469CFC6C, 1001, {"protocol_version": 1001, "little_endian": True}):
            pickle.dump(head, file, protocol=2)
        file.write(b"\x80\x02" + start.opcodes + b"(" + start.first)
        held = start.held
        for done, arch in enumerate(archs[1:], 1):
            data, own, count = start.record(arch)
            _move(data, own, held - start.held)
            held += count
            file.write((b"u(" if done % _BATCH == 0 else b"") + _opcodes(arch, protocol=2) + data.tobytes())
        file.write(b"u" if len(archs) % _BATCH else b"u(u")
        file.write(b"X\x11\0\0\0evaluated_indexes" + _opcodes(list(archs), protocol=2) + b"u.")
        pickle.dump([], file, protocol=2)
    return path


def _streams(space: str, archs: Sequence[int], jobs: int, different: int | None) -> Iterator[bytes]:
    """The file's bz2 streams: a first one, records, a last one."""
    start = _Start(space, archs[0], different)
    mark = b"(" if len(archs) > 1 else b""
    yield bz2.compress(b"\x80\x04" + _frame(start.opcodes + mark + start.first))
    tasks, held, counts = [], start.held, dict[str, int]()
    for first in range(1, len(archs), _STREAM):
        some = archs[first : first + _STREAM]
        tasks.append((first, some, held))
        for arch in some:
            runs = repr(runs_of(space, start.like(arch)))
            if runs not in counts:  # objects are as many where runs are the same
                counts[runs] = start.record(arch)[2]
            held += counts[runs]
    if jobs == 1:
        for task in tasks:
            yield _stream(start, *task)
    else:
        with multiprocessing.get_context("spawn").Pool(jobs, _begin, (space, archs[0], different)) as pool:
            yield from pool.imap(_work, tasks)
    ends = b"s" if len(archs) == 1 else b"u" if len(archs) % _BATCH else b"u(u"
    evaluated = _opcodes("evaluated_indexes") + _opcodes(set(archs))
    yield bz2.compress(_frame(ends + evaluated + _opcodes("total_archs") + _opcodes(len(strings(space))) + b"u."))


def _stream(start: _Start, first: int, archs: Sequence[int], held: int) -> bytes:
    """A bz2 stream of records: `first` are before them in the file, and `held` objects in the memo."""
    pieces = []
    for done, arch in enumerate(archs, first):
        data, own, count = start.record(arch)
        _move(data, own, held - start.held)
        held += count
        pieces.append(_frame((b"u(" if done % _BATCH == 0 else b"") + _opcodes(arch) + data.tobytes()))
    data = b"".join(pieces)
    if shutil.which("lbzip2"):  # takes a quarter of the time
        return subprocess.run(["lbzip2", "-n1"], input=data, stdout=subprocess.PIPE, check=True).stdout
    return bz2.compress(data)


def _frame(opcodes: bytes) -> bytes:
    return b"\x95" + struct.pack("<Q", len(opcodes)) + opcodes


def _opcodes(
    value: Any, pickler: pickle.Pickler | None = None, buffer: io.BytesIO | None = None, protocol: int = 4
) -> bytes:
    """Opcodes that put a value on the stack, with neither header nor frames; the pickler's memo goes on, or there is
    none (an index of an architecture, a list of them)."""
    buffer = buffer or io.BytesIO()
    if pickler is None:
        pickler = pickle.Pickler(buffer, protocol=protocol)
        pickler.fast = protocol == 2
    buffer.seek(0)
    buffer.truncate()
    pickler.dump(value)
    buffer.seek(0)
    return b"".join(unframed(buffer.read))[2:-1]


class _Start:
    """The pickle up to its first record, and picklers whose memo begins with that."""

    def __init__(self, space: str, arch: int, different: int | None, protocol: int = 4) -> None:
        self.space, self._different, self._protocol = space, different, protocol
        self._lent: dict[int, Any] = {}
        self._own: dict[tuple[int, ...], np.ndarray] = {}
        buffer = io.BytesIO()
        self._pickler = pickle.Pickler(buffer, protocol=protocol)

        def add(value: Any) -> bytes:
            return _opcodes(value, self._pickler, buffer)

        self.opcodes = add({}) + b"(" + add("meta_archs") + add(list(strings(space))) + add("arch2infos") + add({})
        # Its objects stay in the memo: no other record may lend them.
        self.first = add(arch) + add(renamed(record(space, self.like(arch)), space, arch))
        # With one object more in its memo.
        self._longer, buffer = self._with_memo(self._pickler)
        self.held = self._count(self._longer, buffer)

    def like(self, arch: int) -> int:
        """The architecture whose numbers this one has."""
        return arch if self._different is None else arch % self._different

    def _record(self, arch: int) -> Any:
        if self._different is None:
            return record(self.space, arch)
        like = self.like(arch)
        if like not in self._lent:
            self._lent[like] = record(self.space, like)
        return renamed(self._lent[like], self.space, arch)

    def _with_memo(self, of: pickle.Pickler) -> tuple[pickle.Pickler, io.BytesIO]:
        buffer = io.BytesIO()
        pickler = pickle.Pickler(buffer, protocol=self._protocol)
        pickler.memo = of.memo
        return pickler, buffer

    @staticmethod
    def _count(pickler: pickle.Pickler, buffer: io.BytesIO) -> int:
        """How many objects the memo holds; it has one more afterwards."""
        one: list[None] = []
        pickler.dump(one)
        # Asked for again, it is named by its place in the memo.
        return int.from_bytes(_opcodes(one, pickler, buffer)[1:], "little")

    def record(self, arch: int) -> tuple[np.ndarray, np.ndarray, int]:
        """A record's opcodes after the first record, where they refer to its own objects, and how many these are."""
        value = self._record(arch)
        pickler, buffer = self._with_memo(self._pickler)
        data = np.frombuffer(_opcodes(value, pickler, buffer), np.uint8)
        count = self._count(pickler, buffer) - self.held
        # These lengths are all that varies in opcodes of as many objects.
        lengths: tuple[int, ...] = count, len(data), len(_opcodes(arch)), len(strings(self.space)[arch])
        if self._protocol == 2:  # bytes of NumPy's numbers are texts of any length
            lengths = *lengths, self.like(arch)
        if lengths not in self._own:
            # Pickled again after one object more, what its references name is one further.
            further = np.frombuffer(_opcodes(value, *self._with_memo(self._longer)), np.uint8)
            differs = np.concatenate([[False], data != further])
            # The low byte differs always, the others by a carry.
            self._own[lengths] = np.flatnonzero(differs[1:] & ~differs[:-1])
        return data.copy(), self._own[lengths], count


def _move(data: np.ndarray, own: np.ndarray, by: int) -> None:
    """Let the references at these offsets name objects so many further."""
    places = own[:, None] + np.arange(4)
    data[places] = (data[places].view("<u4") + np.uint32(by)).view(np.uint8)


_start: _Start


def _begin(space: str, first: int, different: int | None) -> None:
    global _start
    _start = _Start(space, first, different)
    gc.disable()  # looks through all objects time and again: half of the time, and finds no cycles


def _work(task: tuple[int, Sequence[int], int]) -> bytes:
    return _stream(_start, *task)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--space", choices=["tss", "sss"], required=True)
    parser.add_argument("--archs", default="all", help="first-last, or all")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    parser.add_argument("--different", type=int, help="architectures with numbers of their own")
    asked = parser.parse_args()
    first, last = (0, len(strings(asked.space)) - 1) if asked.archs == "all" else map(int, asked.archs.split("-"))
    print(
        write_single_stream(asked.out, asked.space, range(first, last + 1), jobs=asked.jobs, different=asked.different)
    )


if __name__ == "__main__":
    sys.exit(main())
