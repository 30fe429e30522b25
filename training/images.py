"""Pixels from disk: CIFAR by torchvision, ImageNet16-120 by a restricted reader, any labelled pictures else.

Everything becomes uint8 arrays N×3×H×H and int64 labels, so that nothing after this file knows where they came from.
"""

from __future__ import annotations

import hashlib
import io
import pickle
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
from PIL import Image  # torchvision's own decoder: it depends on Pillow and has given up decoding itself

from natsdb.schema.datasets import DATASETS
from natsdb.schema.errors import NatsdbError, said_by
from natsdb.schema.names import did_you_mean

# Files and MD5 of the downsampled ImageNet of 16×16 pixels (arXiv 1707.08819), as the authors check them.
IMAGENET16_TRAIN = {
    "train_data_batch_1": "27846dcaa50de8e21a7d1a35f30f0e91",
    "train_data_batch_2": "c7254a054e0e795c69120a5727050e3f",
    "train_data_batch_3": "4333d3df2e5ffb114b05d2ffc19b1e87",
    "train_data_batch_4": "1620cdf193304f4a92677b695d70d10f",
    "train_data_batch_5": "348b3c2fdbb3940c4e9e834affd3b18d",
    "train_data_batch_6": "6e765307c242a1b3d7d5ef9139b48945",
    "train_data_batch_7": "564926d8cbf8fc4818ba23d2faac7564",
    "train_data_batch_8": "f4755871f718ccb653440b9dd0ebac66",
    "train_data_batch_9": "bb6dd660c38c58552125b1a92f86b5d4",
    "train_data_batch_10": "8f03f34ac4b42271a294f91bf480f29b",
}
IMAGENET16_TEST = {"val_data": "3410e3017fdaefba8d5073aaa65e4bd6"}
# Torchvision's class that reads a data set, and the folder that it reads.
_CIFAR = {"cifar10": "CIFAR10", "cifar10-valid": "CIFAR10", "cifar100": "CIFAR100"}
_FOLDERS = {"CIFAR10": "cifar-10-batches-py", "CIFAR100": "cifar-100-python"}
# Files of a form of its own, by data set: what is there where they are.
_OWN = {**{name: _FOLDERS[kind] for name, kind in _CIFAR.items()}, "ImageNet16-120": "val_data"}
PICTURES = (".png", ".jpg", ".jpeg", ".bmp", ".webp")


class Pixels(NamedTuple):
    """Images and labels: uint8 N×3×H×H and int64 N."""

    pixels: np.ndarray
    labels: np.ndarray


def read_images(dataset: str, folder: Path, *, download: bool = False) -> tuple[Pixels, Pixels, str]:
    """Training and test images of a data set, in the files' order, and in a word what they were read from.

    Args:
        dataset: one of `natsdb.schema.datasets.DATASETS`.
        folder: holds the official `cifar-10-batches-py`, `cifar-100-python` or `train_data_batch_1`… and `val_data`; or
            one Parquet file with `train` and one with `test` in its name (columns `label` and one of encoded pictures);
            or a single Parquet file with a column `split` too, which says train or test; or folders `train` and `test`
            with a folder of pictures for each class. The first of these that is there.
        download: fetch CIFAR into the folder if it is not there.

    Raises:
        NatsdbError: the data set is missing, damaged, or another one.
    """
    if dataset not in DATASETS:
        raise NatsdbError(f"there is no data set {dataset!r}", remedy=did_you_mean(dataset, DATASETS))
    own = _OWN.get(dataset)
    official = own is not None and ((folder / own).exists() or download)
    parquet = [sorted(folder.glob(f"*{part}*.parquet")) for part in ("train", "test")]
    whole = list(folder.glob("*.parquet"))
    if all(parquet) and len(whole) > 1 and not official:
        train, test = (_pictures_of(table_of(_only(files, folder)), files[0]) for files in parquet)
        kind = "parquet"
    elif len(whole) == 1 and not official and "split" in (table := table_of(whole[0])).column_names:
        train, test = (
            _pictures_of(table.filter(pc.equal(table["split"], part)), whole[0]) for part in ("train", "test")
        )
        kind = "parquet"
    elif (folder / "train").is_dir() and (folder / "test").is_dir() and not official:
        train, test = (_class_folders(folder / part) for part in ("train", "test"))
        kind = "pictures"
    elif dataset in _CIFAR:
        train, test = (_cifar(dataset, folder, part, download) for part in (True, False))
        kind = "torchvision"
    elif own is not None:
        train, test = _imagenet16(folder, IMAGENET16_TRAIN, 151_700), _imagenet16(folder, IMAGENET16_TEST, 6_000)
        kind = "downsampled ImageNet"
    else:
        raise NatsdbError(
            f"the images of {dataset} are not here",
            where=str(folder),
            remedy="put a Parquet file with `train` and one with `test` in its name there, or folders of pictures",
        )
    for part in (train, test):
        _check(part, dataset, folder)
    return train, test, kind


def fingerprint(*parts: Pixels) -> str:
    """First twelve digits of the SHA-256 of all pixels and labels, in order."""
    digest = hashlib.sha256()
    for part in parts:
        digest.update(repr(part.pixels.shape).encode())
        digest.update(np.ascontiguousarray(part.pixels).data)
        digest.update(part.labels.astype("<i8").data)
    return digest.hexdigest()[:12]


def _check(part: Pixels, dataset: str, folder: Path) -> None:
    height, classes = DATASETS[dataset].height, DATASETS[dataset].classes
    if part.pixels.shape[1:] != (3, height, height):
        size = "×".join(map(str, part.pixels.shape[2:]))
        raise NatsdbError(
            f"its images have {size} pixels, {dataset} has {height}×{height}",
            where=str(folder),
            remedy="name the folder of that data set with --data",
        )
    if part.labels.min() < 0 or part.labels.max() + 1 != classes:
        raise NatsdbError(
            f"its labels go from {part.labels.min()} to {part.labels.max()}, {dataset} has {classes} classes from 0",
            where=str(folder),
            remedy="name the folder of that data set with --data",
        )


def _cifar(dataset: str, folder: Path, train: bool, download: bool) -> Pixels:
    try:
        from torchvision import datasets  # here only: it brings PyTorch's compiler, which takes longer than PyTorch
    except ImportError as error:
        what = f"torchvision reads the official files of {dataset} ({error})"
        raise NatsdbError(
            what, where=str(folder), remedy="pip install 'natsdb[training]', or have Parquet there"
        ) from error
    kind = getattr(datasets, _CIFAR[dataset])
    try:
        # Torchvision checks the MD5 of every file before it opens one.
        read = kind(str(folder), train=train, download=download)
    except (RuntimeError, OSError) as error:
        raise NatsdbError(
            f"{kind.__name__} is not here or damaged ({str(error).split('.')[0]})",
            where=str(folder / kind.base_folder),
            remedy="unpack the official archive there, name its folder with --data, or fetch it with --download",
        ) from error
    return Pixels(read.data.transpose(0, 3, 1, 2), np.array(read.targets, np.int64))


def _only(files: list[Path], folder: Path) -> Path:
    if len(files) > 1:
        raise NatsdbError(
            f"there are several Parquet files of one part ({files[0].name}, {files[1].name})",
            where=str(folder),
            remedy="leave one with `train` and one with `test` in its name",
        )
    return files[0]


def table_of(path: Path) -> pa.Table:
    """A Parquet file.

    Raises:
        NatsdbError: it cannot be read.
    """
    try:
        return pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise NatsdbError(
            f"the Parquet file cannot be read ({error})", where=str(path), remedy="get it again"
        ) from error


def encoded_column(table: pa.Table, path: Path) -> pa.ChunkedArray | pa.Array:
    """The column of encoded pictures of a file that has labels too.

    Raises:
        NatsdbError: one of the two columns is not there.
    """
    for field in table.schema:
        # As Hugging Face writes pictures: a structure of bytes and path.
        if pa.types.is_struct(field.type) and field.type.get_field_index("bytes") >= 0:
            column = table[field.name].combine_chunks().field("bytes")
            break
        if pa.types.is_binary(field.type) or pa.types.is_large_binary(field.type):
            column = table[field.name]
            break
    else:
        raise NatsdbError("it has no column of encoded pictures", where=str(path), remedy="add one beside `label`")
    if "label" not in table.column_names:
        raise NatsdbError("it has no column `label`", where=str(path), remedy="add one: whole numbers from 0")
    return column


def _pictures_of(table: pa.Table, path: Path) -> Pixels:
    """Pictures and labels of a file's rows."""
    encoded = (value.as_py() for value in encoded_column(table, path))
    pixels = _decoded(((f"{path}, row {row}", raw) for row, raw in enumerate(encoded)), str(path))
    return Pixels(pixels, table["label"].to_numpy().astype(np.int64))


def _class_folders(folder: Path) -> Pixels:
    """A folder a class; classes and files in the order of their names."""
    classes = sorted(path for path in folder.iterdir() if path.is_dir())
    files = [
        (label, path)
        for label, of in enumerate(classes)
        for path in sorted(of.iterdir())
        if path.suffix.lower() in PICTURES
    ]
    pixels = _decoded(((str(path), path.read_bytes()) for _, path in files), str(folder))
    return Pixels(pixels, np.array([label for label, _ in files], np.int64))


def decoded(raw: bytes, name: str) -> Image.Image:
    """A picture in red, green and blue.

    Raises:
        NatsdbError: it cannot be read.
    """
    try:
        with Image.open(io.BytesIO(raw)) as picture:
            return picture.convert("RGB")
    except (OSError, ValueError, SyntaxError, TypeError) as error:
        raise NatsdbError("the picture cannot be read", where=name, remedy="get it again") from error


def _decoded(pictures: Iterable[tuple[str, bytes]], where: str) -> np.ndarray:
    # 50 µs a CIFAR picture: 60,000 in 3 s.
    found: list[np.ndarray] = []
    for name, raw in pictures:
        found.append(np.asarray(decoded(raw, name)).transpose(2, 0, 1))
        if found[-1].shape != found[0].shape:
            raise NatsdbError("the picture has another size than the first", where=name, remedy="scale all alike")
    if not found:
        raise NatsdbError("there are no pictures", where=where, remedy="name another folder with --data")
    return np.stack(found)


def _imagenet16(folder: Path, files: dict[str, str], expected: int) -> Pixels:
    """Images of the first 120 classes, in file order."""
    pixels, labels = [], []
    for name, md5 in files.items():
        path = folder / name
        try:
            raw = path.read_bytes()
        except OSError as error:
            raise NatsdbError(
                f"the batch of ImageNet16-120 is not here ({error.strerror})",
                where=str(path),
                remedy="name the folder of the downsampled ImageNet of 16×16 pixels with --data",
            ) from error
        found = hashlib.md5(raw, usedforsecurity=False).hexdigest()
        if found != md5:
            raise NatsdbError(f"its MD5 is {found}, not {md5}", where=str(path), remedy="download the file again")
        batch = read_batch(raw, str(path))
        keep = batch.labels <= 120
        pixels.append(batch.pixels[keep])
        labels.append(batch.labels[keep] - 1)
    if (count := sum(map(len, labels))) != expected:
        raise NatsdbError(
            f"it has {count:,} images of the first 120 classes, not {expected:,}",
            where=str(folder),
            remedy="download the files again",
        )
    return Pixels(np.concatenate(pixels), np.concatenate(labels))


def read_batch(raw: bytes, where: str) -> Pixels:
    """A pickled batch of the downsampled ImageNet; labels from 1 as in the file.

    Only the few names that such a pickle needs are admitted, and none of them is called: arrays are built here.

    Raises:
        NatsdbError: it is damaged, or asks for anything else.
    """
    try:
        batch = _Restricted(io.BytesIO(raw), encoding="latin1").load()
        data = batch["data"].array()
        given = batch["labels"]
        labels = (given.array() if isinstance(given, _Array) else np.array(given)).astype(np.int64)
        if data.dtype != np.uint8 or data.shape != (len(labels), 3 * 16 * 16):
            raise ValueError(f"pixels of type {data.dtype} and shape {data.shape}")
    except Exception as error:  # whatever a hostile pickle raises, the file is not a batch
        raise NatsdbError(
            f"this is no batch of ImageNet16 ({said_by(error)})",
            where=where,
            remedy="download the file again",
        ) from error
    return Pixels(data.reshape(-1, 3, 16, 16), labels)


class _Dtype:
    def __init__(self, code: str, *_: Any) -> None:
        if code not in ("u1", "i4", "i8", "f4", "f8"):
            raise pickle.UnpicklingError(f"arrays of {code!r} are not in it")
        self.code = code

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        if state[1] not in ("|", "<"):
            raise pickle.UnpicklingError("its arrays are not little-endian")


class _Array:
    """Stands in for `numpy.ndarray` while a pickle is read."""

    def __init__(self, *_: Any) -> None:
        self._state: tuple[Any, ...] = ()

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self._state = state

    def array(self) -> np.ndarray:
        _, shape, dtype, fortran, raw = self._state
        if not isinstance(dtype, _Dtype) or fortran:
            raise pickle.UnpicklingError("an array is not as expected")
        # Python 2 wrote bytes as text, which the encoding latin1 keeps.
        data = raw.encode("latin1") if isinstance(raw, str) else raw
        return np.frombuffer(data, "<" + dtype.code).reshape(shape)


def _encode(text: str, encoding: str) -> bytes:
    # So Python 3 writes bytes in the protocols of Python 2.
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"bytes in {encoding!r} are not in it")
    return text.encode("latin1")


_ADMITTED: dict[tuple[str, str], Callable[..., Any]] = {
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("_codecs", "encode"): _encode,
}


class _Restricted(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}")
        return _ADMITTED[module, name]
