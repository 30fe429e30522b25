"""The single file written as a stream is the one that `pickle.dump` writes, and is read in one pass as that one is."""

from __future__ import annotations

import bz2
import io
import pickle
import pickletools
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import archives
from databases import contents
from natsdb.ingest import ingest, verify
from natsdb.ingest.archive import single
from single_file import write_single_stream
from synthetic import renamed


def _opcodes(path: Path) -> list[tuple[str, Any]]:
    found = pickletools.genops(bz2.decompress(path.read_bytes()))
    return [(op.name, argument) for op, argument, _ in found if op.name != "FRAME"]


@pytest.mark.parametrize(("space", "archs"), [("tss", [8, 3, 15_624, 40]), ("sss", [5]), ("sss", [9, 0, 4, 1])])
def test_a_stream_has_the_opcodes_of_pickle_dump(
    tmp_path: Path, space: str, archs: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("single_file._STREAM", 2)
    streamed = write_single_stream(tmp_path / "streamed", space, archs)
    whole = archives.write_single(tmp_path / "whole", space, {arch: archives.record(space, arch) for arch in archs})
    assert _opcodes(streamed) == _opcodes(whole)
    one, other = (pickle.loads(bz2.decompress(path.read_bytes())) for path in (streamed, whole))
    assert repr(one) == repr(other)  # repr tells numpy scalars from floats, and shows every digit


def test_numbers_may_repeat_under_other_names(tmp_path: Path) -> None:
    archs = [*range(3), 999]
    streamed = write_single_stream(tmp_path / "streamed", "sss", archs, different=2)
    records = {arch: renamed(archives.record("sss", arch % 2), "sss", arch) for arch in archs}
    assert _opcodes(streamed) == _opcodes(archives.write_single(tmp_path / "whole", "sss", records))
    assert repr(renamed(archives.record("sss", 1), "sss", 1)) == repr(archives.record("sss", 1))
    assert ingest([streamed], tmp_path / "db").archs == len(archs)


def test_batches_of_records_end_where_those_of_pickle_dump_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A pickler's own batches are of 1,000: loaded, smaller ones make the same dictionary.
    monkeypatch.setattr("single_file._BATCH", 3)
    for count in (2, 3, 4, 6, 7):
        path = write_single_stream(tmp_path / str(count), "sss", range(count))
        whole = pickle.loads(bz2.decompress(path.read_bytes()))
        assert list(whole["arch2infos"]) == list(range(count))
        assert repr(whole["arch2infos"][count - 1]) == repr(archives.record("sss", count - 1))


def test_chunks_that_end_inside_of_records_change_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # The bytes of a record are looked at again when a template is made of them.
    learn, seen = single.learn, list[bytes]()
    monkeypatch.setattr(single, "learn", lambda raw, *others: [seen.append(raw), learn(raw, *others)][1])
    monkeypatch.setattr(single, "_AHEAD", 1)
    archs = [0, 1, 2, 9, 4095]
    file = archives.write_single(tmp_path, "sss", {arch: archives.record("sss", arch) for arch in archs})
    folder = archives.write_folder(tmp_path / "folder", "sss", archs)
    every, held = [], list[int]()
    ahead = single._Machine.look_ahead
    monkeypatch.setattr(
        single._Machine, "look_ahead", lambda self, count: [ahead(self, count), held.append(len(self.buffer))][0]
    )
    for chunk in (1 << 22, 30_000, 1000):
        held.clear()
        monkeypatch.setattr(single, "_CHUNK", chunk)
        seen.clear()
        assert ingest([file], tmp_path / f"{chunk}", jobs=1).archs == len(archs)
        assert verify(folder, tmp_path / f"{chunk}").count == 0
        every.append(list(seen))
    assert every[1:] == every[:1] * 2
    assert len(every[0]) == len(archs)
    # Never more than two records or so are held.
    assert max(held) < 3 * max(map(len, every[0]))


def test_a_stream_may_stop_anywhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A byte at a time: what comes after a record is not there yet when the record is.
    records = {arch: {"12": archives.record("sss", arch)["12"]} for arch in (3, 4)}
    file = archives.write_single(tmp_path, "sss", records)
    whole = [(arch, repr(found)) for arch, _, found in single.single_records(file, "sss")]
    unframed = single.unframed
    monkeypatch.setattr(single, "unframed", lambda read: (bytes([b]) for piece in unframed(read) for b in piece))
    monkeypatch.setattr(single, "_CHUNK", 1)
    assert [(arch, repr(found)) for arch, _, found in single.single_records(file, "sss")] == whole
    assert [arch for arch, _ in whole] == [3, 4]


def test_opcodes_between_texts_that_are_too_long_for_a_frame_stay() -> None:
    # There their arguments stand bare, and may look like other opcodes.
    names = [str(n) for n in range(200)]
    value: list[Any] = [*names]
    for n, op in enumerate((b"\x95", b".", b"B", b"X", b"\x8d", b"\x8e", b"K", b"h", b"M")):
        value += ["x" * 70_000 + str(n), names[op[0] - 1], "y" * 70_000 + str(n), op[0]]
    data = pickle.dumps(value, protocol=4)
    got = [argument for op, argument, _ in pickletools.genops(data) if op.name == "BINGET"]
    assert got == value[203::4]
    assert pickle.loads(b"".join(single.unframed(io.BytesIO(data).read))) == value


@pytest.mark.parametrize("share", [1, 2, 3])
def test_opcodes_of_long_texts_are_read_from_a_stream_that_gives_less_than_asked(share: int) -> None:
    frame = b"\x95" + struct.pack("<Q", 5) + b"(K\x01K\x02"
    bare = b"".join(op + struct.pack("<Q", 3) + b"abc" for op in (b"\x8d", b"\x8e"))
    stream = io.BytesIO(b"\x80\x04" + frame + bare + b"t.")
    found = b"".join(single.unframed(lambda count: stream.read(-(-count // share))))
    assert pickle.loads(found) == (1, 2, "abc", b"abc")


@pytest.mark.parametrize("space", ["tss", "sss"])
def test_most_records_of_a_file_are_read_by_templates(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, space: str
) -> None:
    skip, skipped = single._Machine.skip, []
    monkeypatch.setattr(single._Machine, "skip", lambda *given: [skipped.append(given[2]), skip(*given)][1])
    archs = [*range(300, 312), 4097, 4098, 5]
    file = archives.write_single(tmp_path, space, {arch: archives.record(space, arch) for arch in archs})
    folder = archives.write_folder(tmp_path / "folder", space, archs)
    assert ingest([file], tmp_path / "db", jobs=1).archs == len(archs)
    assert verify(folder, tmp_path / "db").count == 0
    assert len(skipped) >= 5


@pytest.mark.parametrize("space", ["tss", "sss"])
def test_only_numbers_names_and_references_may_differ_from_a_template(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, space: str
) -> None:
    # What two records of the same form may differ by, by the opcodes of the standard library.
    learn, learnt = single.learn, list[tuple[bytes, str, Any]]()

    def noted(raw: bytes, arch: int, text: str, *others: Any) -> Any:
        learnt.append((raw, text, learn(raw, arch, text, *others)))
        return learnt[-1][2]

    monkeypatch.setattr(single, "learn", noted)
    archs = [300, 301, 302]
    ingest([archives.write_single(tmp_path, space, {a: archives.record(space, a) for a in archs})], tmp_path / "db")
    templates = [one for one in learnt if one[2] is not None]
    assert templates
    for raw, text, template in templates:
        may = set[int]()
        for op, argument, at in pickletools.genops(raw + b"."):
            assert at is not None
            if op.name in ("BINFLOAT", "LONG_BINGET", "LONG_BINPUT"):
                may |= set(range(at + 1, at + (9 if op.name == "BINFLOAT" else 5)))
            elif op.name == "SHORT_BINBYTES":
                may |= set(range(at + 2, at + 10))
            elif op.name in ("BININT1", "BININT2") and argument in archs:
                may |= set(range(at + 1, at + (2 if op.name == "BININT1" else 3)))
            elif op.name.endswith("BINUNICODE") and argument == text:
                may |= set(range(at + (2 if op.name.startswith("SHORT") else 5), at + 5 + len(text)))
        assert set(np.flatnonzero(template.mask == 0).tolist()) <= may


def test_a_stream_of_several_gives_the_tables_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Three streams, of two processes; two blocks.
    monkeypatch.setattr("single_file._STREAM", 4)
    archs = [*range(8), *range(1022, 1026)]
    single = write_single_stream(tmp_path / "single", "tss", archs, jobs=2)
    folder = archives.write_folder(tmp_path / "folder", "tss", archs)
    for source, home in ((single, "db"), (folder, "expected")):
        assert ingest([source], tmp_path / home).archs == len(archs)
    one, other = (
        # Table seed names the file that each run came from.
        {
            path: data
            for path, data in contents(tmp_path / home).items()
            if not path.startswith(("seed/", "natsdb.json"))
        }
        for home in ("db", "expected")
    )
    assert one == other
    assert verify(single, tmp_path / "db").count == 0
