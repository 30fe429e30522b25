"""Small labelled data sets that networks can learn: a colour and a stripe a class, with noise."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def made_up_pixels(images: int, classes: int, height: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """uint8 N×3×H×H and labels, every class equally often."""
    draw = np.random.default_rng(seed)
    labels = np.arange(images) % classes
    colours = np.random.default_rng(9).integers(40, 216, (classes, 3, 1, 1))
    pixels = colours[labels] + draw.integers(-40, 40, (images, 3, height, height))
    return pixels.astype(np.uint8), labels


def png(pixels: np.ndarray) -> bytes:
    """A picture, 3×H×H, as PNG."""
    file = io.BytesIO()
    Image.fromarray(pixels.transpose(1, 2, 0)).save(file, "png")
    return file.getvalue()


def write_parquet(folder: Path, train: int, test: int, classes: int = 10, height: int = 32) -> Path:
    """A folder with a Parquet file of encoded pictures for each part."""
    folder.mkdir(parents=True, exist_ok=True)
    for number, (part, images) in enumerate((("train", train), ("test", test))):
        pixels, labels = made_up_pixels(images, classes, height, number)
        pq.write_table(pa.table({"png": [png(one) for one in pixels], "label": labels}), folder / f"{part}.parquet")
    return folder
