"""The one unpickler: archives come from strangers' drives, so it builds plain containers and numbers and nothing else.

Admitted are the names that the official files use: `OrderedDict`, NumPy's scalar reconstruction for float and integer
types (in protocol 2, which torch writes, with the text that stands for its bytes; there `set` is a name too), and, in
full archives, tensors.
Tensors become `Tensor`, a NumPy array with nothing of torch behind it; their storages are read by the same rules.
"""

from __future__ import annotations

import bz2
import io
import pickle
import pickletools
import struct
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import numpy as np

from natsdb.schema.errors import Damaged, said_by

# No official record comes near: the largest, a tss record of a full archive, holds some 20 networks of at most 6 MB.
LARGEST_RECORD = 1 << 30

_SCALARS = {"f8": np.float64, "f4": np.float32, "i8": np.int64, "i4": np.int32}
_STORAGES = {
    "FloatStorage": np.dtype("<f4"),
    "DoubleStorage": np.dtype("<f8"),
    "HalfStorage": np.dtype("<f2"),
    "LongStorage": np.dtype("<i8"),
    "IntStorage": np.dtype("<i4"),
    "ShortStorage": np.dtype("<i2"),
    "CharStorage": np.dtype("<i1"),
    "ByteStorage": np.dtype("<u1"),
    "BoolStorage": np.dtype("?"),
}
TORCH_MAGIC = 0x1950A86A20F9469CFC6C
TORCH_PROTOCOL = 1001


class _Dtype:
    """Stands in for `numpy.dtype` while a scalar is rebuilt: NumPy's own takes arbitrary state."""

    def __init__(self, code: str, align: bool = False, copy: bool = False) -> None:
        if code not in _SCALARS:
            raise pickle.UnpicklingError(f"NumPy type {code!r} is none of {', '.join(_SCALARS)}")
        self.code = code

    def __setstate__(self, state: object) -> None:
        if state != (3, "<", None, None, None, -1, -1, 0):
            raise pickle.UnpicklingError(f"NumPy type {self.code!r} has an unexpected state")


def _scalar(dtype: _Dtype, raw: bytes) -> Any:
    kind = _SCALARS[dtype.code]
    if not isinstance(raw, bytes) or len(raw) != np.dtype(kind).itemsize:
        raise pickle.UnpicklingError("a NumPy scalar has the wrong number of bytes")
    return kind(np.frombuffer(raw, dtype="<" + dtype.code)[0])


def _encode(text: str, encoding: str) -> bytes:
    """Bytes, which protocol 2 has no opcode for, from a text of as many letters."""
    if not isinstance(text, str) or encoding != "latin1":
        raise pickle.UnpicklingError("bytes are written in an unexpected encoding")
    return text.encode("latin1")


class _Storage:
    """Bytes of a tensor storage in torch's legacy stream; parsed when a tensor asks, so rows cost nothing extra."""

    def __init__(self, raw: bytes) -> None:
        if not isinstance(raw, bytes):
            raise pickle.UnpicklingError("a tensor storage is not made of bytes")
        self.raw = raw

    def array(self) -> np.ndarray:
        stream = io.BytesIO(self.raw)
        if _Plain(stream).load() != TORCH_MAGIC or _Plain(stream).load() != TORCH_PROTOCOL:
            raise pickle.UnpicklingError("a tensor storage is not in torch's legacy format")
        system = _Plain(stream).load()
        if not isinstance(system, dict) or system.get("little_endian") is not True:
            raise pickle.UnpicklingError("a tensor storage is not little-endian")
        dtype, key, size = _StorageHeader(stream).load()
        keys = _Plain(stream).load()
        (count,) = struct.unpack("<q", stream.read(8))
        values = np.frombuffer(stream.read(), dtype=dtype)
        if keys != [key] or count != size or len(values) != size:
            raise pickle.UnpicklingError("a tensor storage is not as long as it says")
        return values


class StoredBytes(_Storage):
    """A tensor storage of a torch file: its type, how many values it has, and a function that gives its bytes."""

    def __init__(self, dtype: np.dtype, count: int, raw: Callable[[], bytes]) -> None:
        self.dtype, self.count, self._bytes = dtype, count, raw

    def array(self) -> np.ndarray:
        values = np.frombuffer(self._bytes(), dtype=self.dtype)
        if len(values) != self.count:
            raise pickle.UnpicklingError("a tensor storage is not as long as it says")
        return values


class Tensor:
    """A tensor of a full archive: its storage is kept as bytes until `numpy()` is called."""

    def __init__(
        self, storage: _Storage, offset: int, shape: tuple[int, ...], strides: tuple[int, ...], *_: Any
    ) -> None:
        if not isinstance(storage, _Storage):
            raise pickle.UnpicklingError("a tensor has no storage")
        self._storage, self._offset, self._shape, self._strides = storage, offset, shape, strides

    def numpy(self) -> np.ndarray:
        """The values, in the tensor's shape; a view of read-only bytes.

        Raises:
            pickle.UnpicklingError: the storage is damaged or shorter than the shape asks.
        """
        flat = self._storage.array()[self._offset :]
        reach = (
            1 + sum((n - 1) * s for n, s in zip(self._shape, self._strides, strict=True)) if 0 not in self._shape else 0
        )
        if reach > len(flat) or min((*self._shape, *self._strides, self._offset), default=0) < 0:
            raise pickle.UnpicklingError("a tensor reaches past its storage")
        strides = tuple(s * flat.itemsize for s in self._strides)
        return np.lib.stride_tricks.as_strided(flat, self._shape, strides, writeable=False)


_ADMITTED: dict[tuple[str, str], Callable[..., Any]] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "scalar"): _scalar,
    ("numpy._core.multiarray", "scalar"): _scalar,
    ("_codecs", "encode"): _encode,
    ("__builtin__", "set"): set,
    ("torch._utils", "_rebuild_tensor_v2"): Tensor,
    ("torch.storage", "_load_from_bytes"): _Storage,
}


def admitted(module: str, name: str) -> Callable[..., Any]:
    """What an archive may call by this name.

    Raises:
        pickle.UnpicklingError: the name is not one that official files use.
    """
    try:
        return _ADMITTED[module, name]
    except KeyError:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no official file uses") from None


class _Restricted(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        return admitted(module, name)


class OfTorch(_Restricted):
    """Reads the pickle of a torch file. `raw`: gives the bytes of a storage by its key, when a tensor asks for them."""

    def __init__(self, file: Any, raw: Callable[[str], bytes]) -> None:
        super().__init__(file)
        self._raw = raw

    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        return super().find_class(module, name)

    def persistent_load(self, pid: Any) -> Any:
        dtype, key, size = _storage_header(pid)
        return StoredBytes(dtype, size, lambda: self._raw(key))


def _storage_header(pid: Any) -> tuple[np.dtype, str, int]:
    tag, dtype, key, _location, size, *_view = pid
    if tag != "storage" or not isinstance(dtype, np.dtype) or type(key) is not str or type(size) is not int:
        raise pickle.UnpicklingError("a tensor storage has an unexpected header")
    return dtype, key, size


class _Plain(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no official file uses")


class _StorageHeader(_Plain):
    def find_class(self, module: str, name: str) -> Any:
        if module == "torch" and name in _STORAGES:
            return _STORAGES[name]
        return super().find_class(module, name)

    def persistent_load(self, pid: Any) -> Any:
        return _storage_header(pid)


# What reading a damaged or hostile pickle can raise; each is reported as a damaged file.
DAMAGE = (
    pickle.UnpicklingError,
    EOFError,
    AttributeError,
    KeyError,
    IndexError,
    TypeError,
    ValueError,
    OverflowError,
    MemoryError,
    RecursionError,
    struct.error,
)


def damaged(where: str, error: BaseException) -> Damaged:
    """The error of a file that cannot be unpickled."""
    return Damaged(f"the pickle cannot be read ({said_by(error)})", where=where, remedy=DOWNLOAD_AGAIN)


DOWNLOAD_AGAIN = "download the file again, or leave it out with --keep-going"


def decompress(raw: bytes, where: str) -> bytes:
    """Contents of a bz2 file, of one stream or, as parallel bzip2 writes it, of several.

    Raises:
        Damaged: it is truncated, damaged, not bz2, or larger than any official record.
    """
    pieces: list[bytes] = []
    room = LARGEST_RECORD
    while raw or not pieces:
        if pieces and not raw.startswith(b"BZh"):
            raise Damaged("there are bytes after the end of the bz2 data", where=where, remedy=DOWNLOAD_AGAIN)
        machine = bz2.BZ2Decompressor()
        try:
            data = machine.decompress(raw, room)
        except (OSError, ValueError) as error:
            raise Damaged(f"the bz2 data is damaged ({error})", where=where, remedy=DOWNLOAD_AGAIN) from error
        if not machine.eof:
            short = machine.needs_input and room > len(data)
            what = "the bz2 data is truncated" if short else "it holds more than 1 GiB, no official record does"
            raise Damaged(what, where=where, remedy=DOWNLOAD_AGAIN)
        pieces.append(data)
        room -= len(data)
        raw = machine.unused_data
    return b"".join(pieces)


def first_value(data: bytes) -> str | int | None:
    """The first text or whole number in a pickle, such as the first key of a dictionary; None where it has none, or
    these are no bytes of one."""
    if not data.startswith(b"\x80"):
        return None
    try:
        for op, argument, _ in pickletools.genops(data):
            if op.name in _VALUES and not isinstance(argument, bool) and isinstance(argument, str | int):
                return argument
    except ValueError:
        pass
    return None


_VALUES = {"BINUNICODE", "SHORT_BINUNICODE", "BININT", "BININT1", "BININT2"}


def plain_values(file: Any) -> Any:
    """The object that a pickle stream without any name holds; raises as `restricted`."""
    return _Plain(file).load()


def restricted(file: Any) -> Any:
    """The object that a pickle stream holds; raises one of `DAMAGE` where it cannot be read or asks for other names."""
    return _Restricted(file).load()


def unpickle(data: bytes, where: str) -> Any:
    """The object that a pickle holds, made of plain containers, numbers and `Tensor`.

    Raises:
        Damaged: it is damaged, or asks for a name that official files do not use.
    """
    try:
        return restricted(io.BytesIO(data))
    except DAMAGE as error:
        raise damaged(where, error) from error
