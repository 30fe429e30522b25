"""What `torch.save` writes, in both of its forms, without torch: an object by the restricted unpickler, or its pickle.

Since torch 1.6 a file is a zip with the pickle in a member `data.pkl` and each tensor's storage in `data/KEY`. Before,
it was three small pickles (a number, a version, sizes of types), the object's pickle, a list of keys, and the storages.
"""

from __future__ import annotations

import io
import pickle
import struct
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from natsdb.ingest.archive.unpickle import (
    DAMAGE,
    LARGEST_RECORD,
    TORCH_MAGIC,
    TORCH_PROTOCOL,
    OfTorch,
    damaged,
    plain_values,
)
from natsdb.schema.errors import Damaged

# The pickle of the number that files of the old form begin with, in protocol 2.
_MAGIC = pickle.dumps(TORCH_MAGIC, 2)
_ZIP = b"PK\3\4"


def may_be_torch(head: bytes) -> bool:
    """Whether a file that begins so may be one that torch wrote; a zip may be another."""
    return head.startswith((_MAGIC, _ZIP))


def is_torch(path: str | Path) -> bool:
    """Whether a file is one that torch wrote."""
    try:
        with Path(path).open("rb") as file:
            head = file.read(len(_MAGIC))
            if head.startswith(_ZIP):
                with zipfile.ZipFile(file) as archive:
                    return _pickle_of(archive) is not None
            return head == _MAGIC
    except (OSError, zipfile.BadZipFile):
        return False


def open_pickle(path: Path) -> IO[bytes]:
    """The pickle of a torch file's object as a stream, at its beginning.

    Raises:
        OSError, or one of `DAMAGE`: it cannot be read.
    """
    file = path.open("rb")
    if file.peek(len(_MAGIC)).startswith(_MAGIC):
        _skip_head(file)
        return file
    with file, zipfile.ZipFile(path) as archive:
        member = _pickle_of(archive)
        if member is None:
            raise pickle.UnpicklingError("the zip has no member data.pkl")
        return archive.open(member)  # which keeps the file open


def torch_head() -> bytes:
    """What stands before an object's pickle in a file of the old form."""
    sizes = {"protocol_version": TORCH_PROTOCOL, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
    return _MAGIC + pickle.dumps(TORCH_PROTOCOL, 2) + pickle.dumps(sizes, 2)


def torch_tail() -> bytes:
    """What stands after it, where it holds no tensors."""
    return pickle.dumps([], 2)


def unpickle_torch(data: bytes, where: str) -> Any:
    """The object in a torch file, made of plain containers, numbers and `Tensor`, whose storages are parsed when asked.

    Raises:
        Damaged: it is damaged, holds over 1 GiB outside tensors, or asks for a name that official files do not use.
    """
    try:
        if data.startswith(_MAGIC):
            return _old(data)
        return _zip(data)
    except (*DAMAGE, zipfile.BadZipFile, OSError, NotImplementedError) as error:
        if isinstance(error, Damaged):
            raise
        raise damaged(where, error) from error


def _zip(data: bytes) -> Any:
    archive = zipfile.ZipFile(io.BytesIO(data))
    member = _pickle_of(archive)
    if member is None:
        raise pickle.UnpicklingError("the zip has no member data.pkl")
    if member.file_size > LARGEST_RECORD:
        raise pickle.UnpicklingError("its pickle is longer than 1 GiB, no official record is")
    folder = member.filename.removesuffix("data.pkl")

    def raw(key: str) -> bytes:
        try:
            return archive.read(f"{folder}data/{key}")
        except (zipfile.BadZipFile, NotImplementedError) as error:
            raise pickle.UnpicklingError(str(error)) from error

    return OfTorch(io.BytesIO(archive.read(member)), raw).load()


def _old(data: bytes) -> Any:
    stream = io.BytesIO(data)
    _skip_head(stream)
    sizes: dict[str, int] = {}
    places: dict[str, tuple[int, int]] = {}

    def raw(key: str) -> bytes:
        start, length = places[key]
        return data[start : start + length]

    machine = _Sized(stream, raw, sizes)
    found = machine.load()
    for key in plain_values(stream) if sizes else ():
        (count,) = struct.unpack("<q", stream.read(8))
        if key not in sizes:
            raise pickle.UnpicklingError("it has a storage that no tensor is of")
        places[key] = stream.tell(), count * sizes[key]
        stream.seek(count * sizes[key], io.SEEK_CUR)
    if set(places) != set(sizes) or stream.tell() > len(data):
        raise EOFError("a tensor's storage is missing")
    return found


class _Sized(OfTorch):
    """Notes the bytes of a value of each storage: the file says only how many values there are."""

    def __init__(self, file: Any, raw: Callable[[str], bytes], sizes: dict[str, int]) -> None:
        super().__init__(file, raw)
        self._sizes = sizes

    def persistent_load(self, pid: Any) -> Any:
        storage = super().persistent_load(pid)
        self._sizes[pid[2]] = storage.dtype.itemsize
        return storage


def _skip_head(file: Any) -> None:
    if plain_values(file) != TORCH_MAGIC or plain_values(file) != TORCH_PROTOCOL:
        raise pickle.UnpicklingError("it is of a version of torch's format that is not known")
    system = plain_values(file)
    if not isinstance(system, dict) or system.get("little_endian") is not True:
        raise pickle.UnpicklingError("a torch file is not little-endian")


def _pickle_of(archive: zipfile.ZipFile) -> zipfile.ZipInfo | None:
    """The member that holds the object's pickle: `data.pkl` at the top or in the one folder that there is."""
    found = [one for one in archive.infolist() if one.filename.rpartition("/")[2] == "data.pkl"]
    return found[0] if len(found) == 1 and found[0].filename.count("/") <= 1 else None
