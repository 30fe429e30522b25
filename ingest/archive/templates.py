"""The hot path: a record whose bytes differ from one already read only in its numbers is read by position.

Thousands of records have the same pickle, byte for byte, save for the floats, the architecture's index and its string.
A `Template` is learnt from one record that went the long way (restricted unpickler, every check of `records`):
which bytes
are floats, which are index and string. Another record matches if all its other bytes are equal and index and string are
those expected; then its pickle holds the same structure, and its numbers are gathered by one NumPy take. No other test
is needed, and none is skipped: what does not match goes the long way.

Protocol 2, which torch writes, has no bytes: those of a NumPy scalar are a text of eight letters, of 8 to 16 bytes. So
such a record is compared after these texts were made 8 bytes long each, by `_evened`.

Measured on a real tss record (326 kB, 18,000 floats): 0.2 ms, where unpickling takes 1.0 ms and reading the
dictionaries 3 ms; guarded by `tests/benchmarks/test_ingest.py`.
"""

from __future__ import annotations

import pickletools
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Protocol

import numpy as np

from natsdb.ingest.archive.records import HpRecord, read_record
from natsdb.ingest.archive.unpickle import DAMAGE, unpickle
from natsdb.schema.errors import NatsdbError

# Slot numbers are written into a template's floats as MARK + slot: exact in float64, and no value of a record.
MARK = 2.0**52
_INTS = {"BININT1": 1, "BININT2": 2, "BININT": 4}


class TextMemo(Protocol):
    """The memo of a longer pickle, as far as templates ask."""

    def __len__(self) -> int: ...

    def text(self, place: int) -> str | None:
        """The text at a place, None when it is something else."""

    def encodes(self, place: int) -> bool:
        """Whether the function that makes bytes of a text is at a place."""


@dataclass(frozen=True, eq=False)
class Template:
    """Bytes that records share, and where they differ.

    `fixed`: the bytes, zero where they vary; `mask`: 255 where they must be equal. `big`, `little`: offsets of floats,
    by byte order; `index_at`: (offset, width) of the architecture's index; `string_at`: offsets of its string, `string`
    bytes long. `memo_at`: (offset, distance) of references to objects of the same record in a longer pickle; `text_at`:
    offsets of references to the architecture's string where an earlier part of the pickle holds it; `texts`: what the
    record adds to the memo: a text, True for the architecture's own string, None for anything else. `letters`: where
    the lengths of texts lie that are a NumPy scalar's bytes; all offsets are those after `_evened`, and so is `size`.
    """

    size: int
    fixed: np.ndarray
    mask: np.ndarray
    big: np.ndarray
    little: np.ndarray
    index_at: tuple[tuple[int, int], ...]
    string_at: tuple[int, ...]
    string: int
    memo_at: np.ndarray
    text_at: tuple[int, ...]
    texts: tuple[Any, ...]
    letters: tuple[int, ...]
    hps: tuple[HpRecord, ...]

    @cached_property
    def probe(self) -> np.ndarray:
        """A few offsets spread over the fixed bytes: they tell most other templates apart for the price of a glance."""
        places = np.flatnonzero(self.mask)
        return places[np.linspace(0, len(places) - 1, 64).astype(int)]

    def numbers(
        self, data: bytes, offset: int, arch: int, arch_str: str, memo: TextMemo | None = None
    ) -> tuple[np.ndarray, int] | None:
        """All floats of the record at `offset`, and its length; None when it does not have this template."""
        length = self.size
        if self.letters:
            evened = _evened(data, offset, self.letters, self.size)
            if evened is None:
                return None
            (data, length), offset = evened, 0
        if len(data) - offset < self.size or len(arch_str) != self.string:
            return None
        found = np.frombuffer(data, np.uint8, self.size, offset)
        if not np.array_equal(found[self.probe], self.fixed[self.probe]):
            return None
        if not np.array_equal(found & self.mask, self.fixed):
            return None
        name = arch_str.encode()
        if any(data[offset + at : offset + at + self.string] != name for at in self.string_at):
            return None
        if any(int.from_bytes(data[offset + at : offset + at + n], "little") != arch for at, n in self.index_at):
            return None
        if memo is not None:
            places = _windows(found, 4)[self.memo_at[:, 0]].view("<u4").ravel()
            if not np.array_equal(places, self.memo_at[:, 1] + len(memo)):
                return None
            for at in self.text_at:
                place = int.from_bytes(data[offset + at : offset + at + 4], "little")
                if place >= len(memo) or memo.text(place) != arch_str:
                    return None
        return self.floats(data, offset), length

    def floats(self, data: bytes, offset: int = 0) -> np.ndarray:
        """All floats of a record that has this template, as `_evened` gives it, by one take, aligned or not."""
        windows = _windows(np.frombuffer(data, np.uint8, self.size, offset), 8)
        big, little = windows[self.big].view(">f8").ravel(), windows[self.little].view("<f8").ravel()
        return np.concatenate([big, little], dtype=np.float64)

    def records(self, numbers: np.ndarray) -> list[HpRecord]:
        """The record's numbers, arranged as its layouts want them."""
        return [HpRecord(hp.layout, numbers[hp.values], {}) for hp in self.hps]


def _evened(data: bytes, offset: int, letters: Sequence[int], size: int) -> tuple[bytes, int] | None:
    """A record of `size` bytes whose texts of eight letters are 8 bytes each, and its length in `data`; None where some
    of these texts are other ones.

    Args:
        letters: where the lengths of the texts lie in what is returned.
    """
    pieces: list[bytes] = []
    at, made = offset, 0
    for place in letters:
        head = at + place - made
        length = int.from_bytes(data[head : head + 4], "little")
        end = head + 4 + length
        if not 8 <= length <= 16 or end > len(data):
            return None
        try:
            raw = data[head + 4 : end].decode().encode("latin1")
        except UnicodeError:
            return None
        if len(raw) != 8:
            return None
        pieces += (data[at:head], _EIGHT, raw)
        at, made = end, place + 12
    end = at + size - made
    if end > len(data):
        return None
    return b"".join((*pieces, data[at:end])), end - offset


def _spelled(data: bytes, letters: Sequence[int]) -> bytes:
    """The way back: a record as protocol 2 writes it."""
    pieces: list[bytes] = []
    at = 0
    for place in letters:
        text = data[place + 4 : place + 12].decode("latin1").encode()
        pieces += (data[at:place], len(text).to_bytes(4, "little"), text)
        at = place + 12
    return b"".join((*pieces, data[at:]))


_EIGHT = (8).to_bytes(4, "little")


def _windows(data: np.ndarray, width: int) -> np.ndarray:
    """The stretches of `width` bytes that start at each byte."""
    return np.lib.stride_tricks.sliding_window_view(data, width)


@dataclass
class _Slots:
    """Where a record's pickle varies; see `Template`. `longer`: by how many bytes `_evened` makes it shorter."""

    big: list[int] = field(default_factory=list)
    little: list[int] = field(default_factory=list)
    index_at: list[tuple[int, int]] = field(default_factory=list)
    string_at: list[int] = field(default_factory=list)
    memo_at: list[tuple[int, int]] = field(default_factory=list)
    text_at: list[int] = field(default_factory=list)
    texts: list[str | None] = field(default_factory=list)
    letters: list[int] = field(default_factory=list)
    longer: int = 0


def _slots(data: bytes, arch_str: str, memo: tuple[int, TextMemo] | None) -> _Slots | None:
    """Find them, opcode by opcode; None when the pickle has opcodes that no regular record has."""
    slots = _Slots()
    base = memo[0] if memo is not None else 0
    encoded = False  # whether the bytes of a NumPy scalar come next
    text: str | None = None  # the last string put on the stack: it tells the index from other whole numbers
    for op, argument, position in pickletools.genops(data if memo is None else data + b"."):
        arg: Any = argument
        at = (position or 0) - slots.longer
        put: str | None = None
        letters, encoded = encoded, False
        match op.name:
            case "BINFLOAT":
                slots.big.append(at + 1)
            case "SHORT_BINBYTES":
                if len(arg) != 8:
                    return None
                slots.little.append(at + 2)
            case "BININT1" | "BININT2" | "BININT":
                if text == "arch_index":
                    slots.index_at.append((at + 1, _INTS[op.name]))
            case "BINUNICODE" if letters:
                slots.letters.append(at + 1)
                slots.little.append(at + 5)
                slots.longer += len(arg.encode()) - 8
            case "SHORT_BINUNICODE" | "BINUNICODE":
                put = arg
                if put == arch_str:
                    slots.string_at.append(at + (2 if op.name == "SHORT_BINUNICODE" else 5))
            case "BINGET" | "LONG_BINGET":
                put = slots.texts[arg - base] if arg >= base else memo[1].text(arg) if memo is not None else None
                varies = memo is not None and (arg >= base or put == arch_str)
                if varies and op.name == "BINGET":
                    return None
                if varies and arg >= base:
                    slots.memo_at.append((at + 1, arg - base))
                elif varies:
                    slots.text_at.append(at + 1)
                encoded = memo is not None and arg < base and memo[1].encodes(arg)
            case "MEMOIZE":
                slots.texts.append(text)
                put = text
            case "LONG_BINPUT" if memo is not None and arg - base == len(slots.texts):
                slots.memo_at.append((at + 1, arg - base))
                slots.texts.append(text)
                put = text
            case "STACK_GLOBAL" | "GLOBAL":
                if memo is not None:
                    return None  # later records will refer to this name: only the unpickler can note it
            case "BINPUT" | "LONG_BINPUT" | "BINBYTES" | "BINBYTES8":
                return None
        text = put
    return slots


def learn(
    data: bytes,
    arch: int,
    arch_str: str,
    read: list[HpRecord],
    memo: tuple[int, TextMemo] | None = None,
    unmarked: Callable[[bytes], Any] | None = None,
) -> Template | None:
    """The template of a record's pickle; None when it has no such regularity (weights, other protocols, whole numbers).

    Nothing is believed of it: the same bytes, read through it, must give what the long way gave, bit for bit.

    Args:
        data: the pickle; of a record inside a longer pickle, its bytes.
        arch, arch_str: index and string of the record's architecture.
        read: what the long way made of it.
        memo: for a record inside a longer pickle, how many objects the memo held when it started, and the memo.
        unmarked: for a record inside a longer pickle, a function that unpickles it.
    """
    slots = _slots(data, arch_str, memo)
    if slots is None:
        return None
    count = len(slots.big) + len(slots.little)
    if any(hp.weights or ((hp.values >= MARK) & (hp.values < MARK + count)).any() for hp in read):
        return None  # a number of the record would pass for a mark
    if slots.letters:
        evened = _evened(data, 0, slots.letters, len(data) - slots.longer)
        if evened is None:
            return None  # a scalar of another size
        data = evened[0]
    mask = np.full(len(data), 255, np.uint8)
    marked = bytearray(data)
    big, little = slots.big, slots.little
    for slot, at in enumerate(big):
        mask[at : at + 8] = 0
        marked[at : at + 8] = np.array(MARK + slot, ">f8").tobytes()
    for slot, at in enumerate(little, start=len(big)):
        mask[at : at + 8] = 0
        marked[at : at + 8] = np.array(MARK + slot, "<f8").tobytes()
    for at, width in slots.index_at:
        mask[at : at + width] = 0
    for at in slots.string_at:
        mask[at : at + len(arch_str)] = 0
    for at in (*(at for at, _ in slots.memo_at), *slots.text_at):
        mask[at : at + 4] = 0
    where = "a record already read"
    try:
        spelled = _spelled(bytes(marked), slots.letters)
        record = unpickle(spelled, where) if unmarked is None else unmarked(spelled)
        found = read_record(record, arch, arch_str, where)
    except (NatsdbError, *DAMAGE):
        return None  # a float that is a key, or must equal something, as a seed 777.0 does
    arranged = []
    for hp in found:
        places = (hp.values - MARK).astype(np.int64)
        if not ((hp.values >= MARK) & (places < count)).all():
            return None
        arranged.append(HpRecord(hp.layout, places, {}))
    template = Template(
        size=len(data),
        fixed=np.frombuffer(data, np.uint8) & mask,
        mask=mask,
        big=np.array(big, np.int64),
        little=np.array(little, np.int64),
        index_at=tuple(slots.index_at),
        string_at=tuple(slots.string_at),
        string=len(arch_str),
        memo_at=np.array(slots.memo_at, np.int64).reshape(-1, 2),
        text_at=tuple(slots.text_at),
        texts=tuple(True if text == arch_str else text for text in slots.texts),
        letters=tuple(slots.letters),
        hps=tuple(arranged),
    )
    again = template.records(template.floats(data))
    same = [
        hp.layout is other.layout and _same_bits(hp.values, other.values)
        for hp, other in zip(again, read, strict=False)
    ]
    return template if all(same) and len(again) == len(read) else None


def _same_bits(one: np.ndarray, other: np.ndarray) -> bool:
    return np.array_equal(one.view(np.int64), other.view(np.int64))


class Templates:
    """The templates learnt so far, by length of the architecture's string; at most `limit` of them."""

    def __init__(self, limit: int = 256) -> None:
        self._templates: dict[int, list[Template]] = {}
        self._room = limit

    def read(
        self, data: bytes, arch: int, arch_str: str, offset: int = 0, memo: TextMemo | None = None
    ) -> tuple[Template, list[HpRecord], int] | None:
        """Template, numbers and length of the record at `offset`, None when none fits. A whole file must fit to its
        end."""
        candidates = self._templates.get(len(arch_str), [])
        for place, template in enumerate(candidates):
            found = template.numbers(data, offset, arch, arch_str, memo)
            if found is not None:
                if place:  # neighbours tend to be alike: the last template that fitted is tried first
                    candidates.insert(0, candidates.pop(place))
                return template, template.records(found[0]), found[1]
        return None

    @property
    def full(self) -> bool:
        """Whether no more templates are kept, so that there is no use in learning them."""
        return not self._room

    def add(self, template: Template | None) -> None:
        """Keep a template, unless there are too many: each costs about 1.5 MB."""
        if template is not None and self._room:
            self._room -= 1
            self._templates.setdefault(template.string, []).insert(0, template)


def read_file(data: bytes, arch: int, arch_str: str, where: str, templates: Templates) -> list[HpRecord]:
    """The numbers of a record file's pickle: by template where one fits, else the long way.

    Raises:
        NatsdbError: see `unpickle.unpickle` and `records.read_record`.
    """
    known = templates.read(data, arch, arch_str)
    if known is not None and known[2] == len(data):
        return known[1]
    hps = read_record(unpickle(data, where), arch, arch_str, where)
    if not templates.full and not any(hp.weights for hp in hps):
        templates.add(learn(data, arch, arch_str, hps))
    return hps
