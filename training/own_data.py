"""A data set of one's own: any labelled pictures, in folders or Parquet, become one that is known by its images.

Classes are in the order of their names. Pictures that come without a test part are cut by a rule, class by class. Where
a size is asked for, a picture of another one is scaled: the square in its middle, by Pillow's bilinear filter, which
averages over all pixels that fall into one (antialias).
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from natsdb.schema.datasets import DATASETS, Channels, DataSet, Split, register, to_plain
from natsdb.schema.errors import NatsdbError
from natsdb.training.images import PICTURES, Pixels, decoded, encoded_column, fingerprint, table_of
from natsdb.training.splits import cut_by_rule, halves_by_rule

# Two reductions halve height and width, so both are multiples of this.
SIDE = 4


class Own(NamedTuple):
    """Images of a data set of one's own, all in the files' order, and in words what they were read from."""

    dataset: DataSet
    train: Pixels
    test: Pixels
    kind: str


class _Picture(NamedTuple):
    """A picture: its name in errors, what gives its bytes, and its class by name or number."""

    name: str
    read: Callable[[], bytes]
    label: Any


def own_data(name: str, place: Path, size: int | None = None) -> Own:
    """Read a data set of one's own, and let natsdb know it, in this process, unless it is known already.

    Args:
        name: of the data set; letters, digits, `_`, `.` and `-`.
        place: a folder with `train` and `test`, each with a folder of pictures for every class; or with folders of
            classes alone; or with Parquet files, of which some have `train` and some `test` in their names, or all are
            one part; or one Parquet file. Parquet has a column `label` and one of encoded pictures, and may say `train`
            and `test` in a column `split`.
        size: scale all pictures to so many pixels in height and width; a data set that is known has its own.

    Raises:
        NatsdbError: there are no such pictures, or of other sizes than networks take; the name is another data set's,
            or these are other images than those that it had.
    """
    if not re.fullmatch(r"[A-Za-z][\w.-]*", name):
        raise NatsdbError(
            f"{name!r} is no name of a data set", remedy="use letters, digits, _, . and -, a letter first"
        )
    known = DATASETS.get(name)
    if known is not None and not known.digested:
        raise NatsdbError(f"there is a data set {name!r} already", remedy="give yours another name")
    if size is not None and (size < SIDE or size % SIDE):
        raise NatsdbError(f"images of {size} pixels cannot be halved twice", remedy="choose 32, or 16, 64, …")
    found = _read(name, place, size or (known.image_size if known else None))
    if known is None:
        register(found.dataset)
    elif to_plain(known) != to_plain(found.dataset):
        raise NatsdbError(
            f"its images are not those that the data set {name!r} had when it was first trained on",
            where=str(place),
            remedy=f"put these back, or give the new ones another name: --dataset {name}-2={place}",
        )
    return found


def _read(name: str, place: Path, size: int | None) -> Own:
    pictures, kind = _pictures(place)
    classes = _classes([one.label for one in pictures[0]], place)
    cut = len(pictures) == 1
    labels = [np.array([_number(one, classes) for one in part], np.int64) for part in pictures]
    if cut:
        whole, of = pictures[0], labels[0]
        ids = cut_by_rule(of.tolist())
        pictures, labels = [[whole[n] for n in part] for part in ids], [of[list(part)] for part in ids]
        kind += ", cut 80 to 20"
    if len(labels[1]) < 2:
        raise NatsdbError("it has less than two test images", where=str(place), remedy="put more pictures there")
    arrays = _alike([*pictures[0], *pictures[1]], size, place)
    train, test = (Pixels(*part) for part in zip(np.split(arrays, [len(labels[0])]), labels, strict=True))
    said = " (four fifths of each class)" if cut else ""
    valid, rest = (Pixels(test.pixels[half], test.labels[half]) for half in halves_by_rule(len(test.labels)))
    splits = {
        "train": (train, f"training images of {name}{said}"),
        "x-valid": (valid, f"one half of the test images of {name}"),
        "x-test": (rest, f"the other half of the test images of {name}"),
        "ori-test": (test, f"all test images of {name}"),
    }
    return Own(
        DataSet(
            name,
            re.sub(r"\W", "_", name),
            len(classes),
            arrays.shape[-1],
            {split: Split(len(of.labels), meaning, fingerprint(of)) for split, (of, meaning) in splits.items()},
            *_channels(train.pixels),
        ),
        train,
        test,
        kind,
    )


def _pictures(place: Path) -> tuple[list[list[_Picture]], str]:
    """Training and test pictures, or one part that has all; and what they are."""
    if place.is_file():
        return _rows([place]), "parquet"
    if not place.is_dir():
        raise NatsdbError(
            "there is no such folder", where=str(place), remedy="name that of the pictures, as pets=FOLDER"
        )
    parts = [place / part for part in ("train", "test")]
    if all(part.is_dir() for part in parts):
        return [_folders(part) for part in parts], "pictures"
    if files := sorted(place.glob("*.parquet")):
        train = [file for file in files if "train" in file.name]
        test = [file for file in files if "test" in file.name and file not in train]
        return ([*_rows(train), *_rows(test)] if train and test else _rows(files)), "parquet"
    if any(part.is_dir() for part in parts):
        raise NatsdbError(
            "it has one of `train` and `test` only",
            where=str(place),
            remedy="add the other, or name the folder whose classes are to be cut 80 to 20",
        )
    return [_folders(place)], "pictures"


def _folders(folder: Path) -> list[_Picture]:
    """Pictures of folders of classes, both in the order of their names."""
    found: list[_Picture] = []
    for of in sorted(path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")):
        files = sorted(path for path in of.iterdir() if path.suffix.lower() in PICTURES)
        if not files:
            raise NatsdbError(
                f"the folder of a class has no pictures ({', '.join(PICTURES)})",
                where=str(of),
                remedy="put its pictures there, or take it away",
            )
        found += [_Picture(str(path), path.read_bytes, of.name) for path in files]
    if not found:
        raise NatsdbError("it has no folders of classes", where=str(folder), remedy="put CLASS/*.png or *.jpg there")
    return found


def _rows(files: Sequence[Path]) -> list[list[_Picture]]:
    """Pictures of Parquet files: one part, or two where a column `split` says so."""
    found: list[_Picture] = []
    parts: list[Any] = []
    for file in files:
        table = table_of(file)
        column = encoded_column(table, file)
        for row, (raw, label) in enumerate(zip(column, table["label"].to_pylist(), strict=True)):
            found.append(_Picture(f"{file}, row {row}", raw.as_py, label))
        parts += table["split"].to_pylist() if "split" in table.column_names else [None] * len(table)
    if not {"train", "test"} <= set(parts):
        return [found]
    return [[one for one, part in zip(found, parts, strict=True) if part == name] for name in ("train", "test")]


def _classes(labels: Iterable[Any], place: Path) -> dict[Any, int]:
    """The number of each class that there is, in order."""
    try:
        every = sorted(set(labels))
    except TypeError:  # a missing label among others
        every = []
    if len(every) < 2:
        raise NatsdbError(
            "its pictures are not labelled with two classes or more", where=str(place), remedy="label all"
        )
    return {label: number for number, label in enumerate(every)}


def _number(one: _Picture, classes: dict[Any, int]) -> int:
    if one.label not in classes:
        raise NatsdbError(
            f"there is no training picture of its class {one.label!r}",
            where=one.name,
            remedy="name classes alike in both parts",
        )
    return classes[one.label]


def _alike(pictures: Sequence[_Picture], size: int | None, place: Path) -> np.ndarray:
    """Pictures as uint8 N×3×H×H, scaled where a size is given.

    Raises:
        NatsdbError: one cannot be read, or they have several sizes, or one that networks do not take.
    """
    found: list[np.ndarray] = []
    for one in pictures:
        picture = decoded(one.read(), one.name)
        if size is not None and picture.size != (size, size):
            picture = _scaled(picture, size)
        found.append(np.asarray(picture).transpose(2, 0, 1))
        if found[-1].shape != found[0].shape:
            first, this = ("×".join(map(str, pixels.shape[1:])) for pixels in (found[0], found[-1]))
            raise NatsdbError(
                f"its pictures have several sizes ({this} pixels, and {first} the first)",
                where=one.name,
                remedy="scale all alike with --image-size 32",
            )
    height, width = found[0].shape[1:]
    if height != width or height % SIDE:
        raise NatsdbError(
            f"its pictures have {height}×{width} pixels; networks take squares that can be halved twice",
            where=str(place),
            remedy="scale them with --image-size 32",
        )
    return np.stack(found)


def _scaled(picture: Image.Image, size: int) -> Image.Image:
    side = min(picture.size)
    left, top = ((length - side) // 2 for length in picture.size)
    square = picture.crop((left, top, left + side, top + side))
    return square.resize((size, size), Image.Resampling.BILINEAR)


def _channels(pixels: np.ndarray) -> tuple[Channels, Channels]:
    """Mean and standard deviation of each channel, rounded to 4 digits; a channel that never varies keeps 1."""
    count = pixels.size // 3
    sums = [int(pixels[:, channel].sum(dtype=np.int64)) for channel in range(3)]
    # A part at a time: squares take eight bytes a pixel.
    squares = [
        sum(
            int(np.square(part, dtype=np.int64).sum()) for part in np.array_split(pixels[:, n], len(pixels) // 1000 + 1)
        )
        for n in range(3)
    ]
    means = [total / count for total in sums]
    spread = [round(max(of / count - mean**2, 0) ** 0.5, 4) or 1.0 for of, mean in zip(squares, means, strict=True)]
    red, green, blue = (round(mean, 4) for mean in means)
    return (red, green, blue), (spread[0], spread[1], spread[2])
