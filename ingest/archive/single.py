"""The single benchmark file: one pickle of 15,625 or 32,768 records, read as a stream in a bounded memory; NATS-Bench's
in bz2, or NAS-Bench-201's in a torch file.

The C unpickler keeps every object that the pickle memoizes, 0.8 MB an architecture at best. Here the pickle machine of
the standard library (`pickle._Unpickler`, the readable twin of the C one) is driven opcode by opcode, with a memo that
keeps texts once each and forgets the containers of a record when the record is done: 4 B a memo entry, some 700 MB for
all of tss. It takes about 30 ms an architecture; but only the first record of a template goes that way, the others are
read by position (`templates`) at the speed of the decompressor.
"""

from __future__ import annotations

import bz2
import os
import pickle
import struct
import zipfile
import zlib
from array import array
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import numpy as np

from natsdb.ingest.archive.records import HpRecord, read_record, with_hps
from natsdb.ingest.archive.templates import Template, Templates, learn
from natsdb.ingest.archive.torch_file import is_torch, open_pickle
from natsdb.ingest.archive.unpickle import DAMAGE, DOWNLOAD_AGAIN, admitted, damaged
from natsdb.schema.errors import Damaged, Missing, NatsdbError
from natsdb.schema.spaces import SPACES, arch_str

_CHUNK = 1 << 22
# More than any record without weights: a template is compared only when all of a record is in the buffer.
_AHEAD = 1 << 20
_KEYS = b"KMJ"
_LONGEST_NAME = 256
_FRAME, _STOP = 0x95, 0x2E
_LONG = {ord("B"): 4, ord("X"): 4, 0x8D: 8, 0x8E: 8}
_SHORT = {ord("K"): 1, ord("h"): 1, ord("M"): 2}


def single_records(path: Path, space: str) -> Iterator[tuple[int, str, Any]]:
    """Every record of a single benchmark file, as plain containers: (architecture, file name, record)."""
    for arch, record, _, _ in _records(path, space, None):
        yield arch, f"{path.name}: arch2infos[{arch}]", with_hps(record) if isinstance(record, dict) else record


def single_numbers(path: Path, space: str) -> Iterator[tuple[int, list[HpRecord] | NatsdbError]]:
    """The numbers of every record of a single benchmark file, or what is wrong with it, by architecture.

    Raises:
        Damaged: the file cannot be read to its end.
    """
    templates = Templates()
    for arch, record, known, learnt in _records(path, space, templates):
        if known is not None:
            yield arch, known
            continue
        where = f"{path.name}: arch2infos[{arch}]"
        try:
            read = read_record(record, arch, arch_str(space, arch), where)
        except NatsdbError as error:
            yield arch, error
        else:
            if not templates.full:
                templates.add(learnt(read))
            yield arch, read


def _records(
    path: Path, space: str, templates: Templates | None
) -> Iterator[tuple[int, Any, Any, Callable[[list[HpRecord]], Template | None]]]:
    seen: set[int] = set()
    opened = ExitStack()
    try:
        machine = _Machine(unframed(opened.enter_context(closing(_opened(path))).read))
        while True:
            arch = machine.at_record()
            if arch is None:
                machine.step()
                continue
            if type(arch) is not int or not 0 <= arch < SPACES[space].size:
                raise pickle.UnpicklingError(f"index {arch!r} is outside the space {space}")
            if arch in seen:
                raise pickle.UnpicklingError(f"architecture {arch} is there twice")
            seen.add(arch)
            text = arch_str(space, arch)
            if templates is not None:
                machine.look_ahead(_AHEAD)
                known = templates.read(machine.buffer, arch, text, machine.at, machine.memo)
                if known is not None:
                    machine.skip(known[0], text, known[2])
                    yield arch, None, known[1], _nothing
                    continue
            base = len(machine.memo)
            record, raw = machine.take_record()
            machine.memo.forget(base)

            def learnt(
                read: list[HpRecord], raw: bytes = raw, base: int = base, arch: int = arch, text: str = text
            ) -> Template | None:
                def unmarked(marked: bytes) -> Any:
                    return _Machine(iter([marked + b"."]), _Overlay(machine.memo, base)).run()

                return learn(raw, arch, text, read, (base, machine.memo), unmarked)

            yield arch, record, None, learnt
    except pickle._Stop as stop:  # type: ignore[attr-defined]
        whole = stop.value
    except DAMAGE as error:
        raise damaged(str(path), error) from error
    except (OSError, RuntimeError, zipfile.BadZipFile, zlib.error) as error:
        what = "file" if is_torch(path) else "bz2 data"
        raise Damaged(f"the {what} is damaged ({error})", where=str(path), remedy=DOWNLOAD_AGAIN) from error
    finally:
        opened.close()
    _check_end(whole, space, len(seen), path)


def _nothing(_: list[HpRecord]) -> None:
    return None


def _check_end(whole: Any, space: str, found: int, path: Path) -> None:
    if not found:
        raise Missing(
            "it holds no records (a meta file lists architectures only)",
            where=str(path),
            remedy="name the archive folder or the benchmark file",
        )
    archs = whole.get("meta_archs") if isinstance(whole, dict) else None
    expected = [arch_str(space, arch) for arch in range(SPACES[space].size)]
    if archs != expected:
        raise Damaged(
            "key meta_archs: the architectures are not the space's, in its order",
            where=str(path),
            remedy=DOWNLOAD_AGAIN,
        )


def _opened(path: Path) -> Any:
    """A file's pickle as a stream: that of a torch file, or decompressed; with several cores, `rapidgzip` does it on
    all of them."""
    if is_torch(path):
        return open_pickle(path)
    cores = os.cpu_count() or 1
    if cores > 1:
        from rapidgzip import IndexedBzip2File

        return IndexedBzip2File(str(path), parallelization=cores)
    return bz2.open(path)


def unframed(read: Callable[[int], bytes]) -> Iterator[bytes]:
    """The opcodes of a pickle without the frames around them: frames fall anywhere, and would hide equal records."""

    def exactly(count: int) -> bytes:
        data = read(count)
        while len(data) < count:
            more = read(count - len(data))
            if not more:
                raise EOFError("the pickle is truncated")
            data += more
        return data

    head = exactly(3)
    if head[0] != 0x80:
        raise pickle.UnpicklingError("it is no pickle of protocol 2 or later")
    if head[2] != _FRAME:
        yield head
        while data := read(_CHUNK):
            yield data
        return
    yield head[:2]
    op = _FRAME
    while True:
        if op == _FRAME:
            (length,) = struct.unpack("<Q", exactly(8))
            if length > 1 << 32:
                raise pickle.UnpicklingError("a frame is longer than 4 GiB")
            yield exactly(length)
        elif op in _LONG:
            size = exactly(_LONG[op])
            yield bytes([op]) + size + exactly(int.from_bytes(size, "little"))
        else:
            # Fewer than four bytes of opcodes are not worth a frame to the pickler.
            yield bytes([op]) + exactly(_SHORT.get(op, 0))
            if op == _STOP:
                return
        following = read(1)
        if not following:
            return
        op = following[0]


class _Memo:
    """The objects that a pickle refers back to: texts are kept once each, a record's containers until `forget`."""

    def __init__(self) -> None:
        self._ids = array("I")
        self._objects: list[Any] = [None]
        self._id_of_text: dict[str, int] = {}
        self._live: dict[int, Any] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def __setitem__(self, place: int, value: Any) -> None:
        if place != len(self._ids):
            raise pickle.UnpicklingError("the memo is not filled in order")
        self._ids.append(self._id(value, place))

    def _id(self, value: Any, place: int) -> int:
        if type(value) is str:
            return self.text_id(value)
        if callable(value) or hasattr(value, "code"):  # a name that was looked up, or a NumPy type: kept for good
            self._objects.append(value)
            return len(self._objects) - 1
        self._live[place] = value
        return 0

    def text_id(self, text: str) -> int:
        """Number of a text, the same for equal texts."""
        known = self._id_of_text.get(text)
        if known is None:
            known = self._id_of_text[text] = len(self._objects)
            self._objects.append(text)
        return known

    def __getitem__(self, place: int) -> Any:
        number = self._ids[place]
        if number:
            return self._objects[number]
        if place not in self._live:
            raise pickle.UnpicklingError("a record refers to a container of another record")
        return self._live[place]

    def text(self, place: int) -> str | None:
        """The text at a place, None when it is something else."""
        value = self._objects[self._ids[place]]
        return value if type(value) is str else None

    def encodes(self, place: int) -> bool:
        """Whether the function that makes bytes of a text is at a place."""
        return self._objects[self._ids[place]] is admitted("_codecs", "encode")

    def forget(self, base: int) -> None:
        """Forget the containers noted since the memo had `base` entries."""
        self._live = {place: value for place, value in self._live.items() if place < base}

    def extend(self, ids: np.ndarray) -> None:
        """Note the objects of a record that was not unpickled: numbers of texts, 0 for containers."""
        self._ids.frombytes(ids.astype(np.uintc, copy=False).tobytes())


class _Overlay:
    """A memo as it was at `base` entries, with room for more."""

    def __init__(self, memo: _Memo, base: int) -> None:
        self._memo, self._base, self._own = memo, base, list[Any]()

    def __len__(self) -> int:
        return self._base + len(self._own)

    def __setitem__(self, place: int, value: Any) -> None:
        self._own.append(value)

    def __getitem__(self, place: int) -> Any:
        return self._memo[place] if place < self._base else self._own[place - self._base]


class _Machine(pickle._Unpickler):
    """The standard library's pickle machine, stopped between opcodes, over chunks of an unframed pickle."""

    def __init__(self, chunks: Iterator[bytes], memo: Any = None) -> None:
        super().__init__(self)
        self._chunks = chunks
        self.buffer, self.at, self._hold = b"", 0, -1
        self.memo = _Memo() if memo is None else memo
        self.metastack: list[Any] = []
        self.stack: list[Any] = []
        self.append = self.stack.append
        self.proto = 0
        self._last = b""
        self._memo_ids: dict[int, tuple[Template, np.ndarray, np.ndarray]] = {}

    def find_class(self, module: str, name: str) -> Any:
        return admitted(module, name)

    def look_ahead(self, count: int) -> None:
        """Have `count` bytes in the buffer, or all that is left."""
        if len(self.buffer) - self.at >= count:
            return
        start = self.at if self._hold < 0 else self._hold
        pieces = [self.buffer[start:]]
        have = len(self.buffer) - self.at
        while have < max(count, _CHUNK):
            piece = next(self._chunks, None)
            if piece is None:
                break
            pieces.append(piece)
            have += len(piece)
        self.buffer = b"".join(pieces)
        self.at -= start
        self._hold = -1 if self._hold < 0 else 0

    def read(self, count: int) -> bytes:
        self.look_ahead(count)
        data = self.buffer[self.at : self.at + count]
        if len(data) < count:
            raise EOFError("the pickle is truncated")
        self.at += count
        return data

    def readinto(self, target: Any) -> int:
        target[:] = self.read(len(target))
        return len(target)

    def readline(self) -> bytes:
        """A name that is looked up, in protocol 2."""
        self.look_ahead(_LONGEST_NAME)
        end = self.buffer.find(b"\n", self.at, self.at + _LONGEST_NAME)
        if end < 0:
            raise pickle.UnpicklingError("a name in it has no end")
        return self.read(end + 1 - self.at)

    def step(self) -> None:
        """One opcode. At the pickle's end, `pickle._Stop` is raised."""
        self._last = self.read(1)
        try:
            self.dispatch[self._last[0]](self)  # type: ignore[arg-type]
        except AssertionError as error:
            raise pickle.UnpicklingError("an opcode has a wrong argument") from error

    def run(self) -> Any:
        """The object that the pickle holds."""
        try:
            while True:
                self.step()
        except pickle._Stop as stop:  # type: ignore[attr-defined]
            return stop.value

    def at_record(self) -> Any:
        """The index whose record comes next, None when none does."""
        if not self._last or self._last not in _KEYS:
            return None
        if len(self.metastack) == 2 and len(self.metastack[1]) > 1 and len(self.stack) % 2:
            outer = self.metastack[1]
        elif len(self.metastack) == 1 and len(self.stack) > 2:  # a batch of one item has no mark
            outer = self.stack[:-1]
        else:
            return None
        if outer[-2] != "arch2infos" or not isinstance(outer[-1], dict):
            return None
        self._last = b""
        return self.stack[-1]

    def take_record(self) -> tuple[Any, bytes]:
        """Run the opcodes of a record; the record, which leaves None on the stack, and its bytes."""
        depth, height = len(self.metastack), len(self.stack) + 1
        self._hold = self.at
        while True:
            self.step()
            if len(self.metastack) == depth and len(self.stack) == height:
                self.look_ahead(1)
                # What follows a complete record: the next index, or the end of a batch.
                if self.buffer[self.at : self.at + 1] in (b"K", b"M", b"J", b"u", b"s"):
                    break
        raw = self.buffer[self._hold : self.at]
        self._hold = -1
        self._last = b""
        record, self.stack[-1] = self.stack[-1], None
        return record, raw

    def skip(self, template: Template, text: str, length: int) -> None:
        """Pass over a record of so many bytes that was read by its template."""
        if id(template) not in self._memo_ids:
            ids = np.array([self.memo.text_id(t) if isinstance(t, str) else 0 for t in template.texts], np.uintc)
            own = np.array([n for n, t in enumerate(template.texts) if t is True], np.int64)
            self._memo_ids[id(template)] = template, ids, own
        _, ids, own = self._memo_ids[id(template)]
        if len(own):
            ids = ids.copy()
            ids[own] = self.memo.text_id(text)
        self.memo.extend(ids)
        self.at += length
        self.append(None)
        self._last = b""
