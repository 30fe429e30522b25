"""Pictures that are made up, for what does not depend on what they show: one Parquet file, as real ones come in."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

# So many of them, over and over: only their number matters.
CLASSES, DIFFERENT = 10, 500


def make_up(folder: Path, train: int, test: int) -> None:
    """Write a Parquet file of pictures of 32×32 pixels, a colour a class with coarse noise; the same each time."""
    draw = np.random.default_rng(9)
    colours = draw.integers(40, 216, (CLASSES, 1, 1, 3))
    encoded = []
    for number in range(DIFFERENT):
        noise = draw.integers(-40, 40, (4, 4, 3)).repeat(8, 0).repeat(8, 1)
        file = io.BytesIO()
        Image.fromarray((colours[number % CLASSES] + noise).astype(np.uint8)).save(file, "jpeg", quality=75)
        encoded.append(file.getvalue())
    which = np.arange(train + test) % DIFFERENT
    columns = {"split": ["train"] * train + ["test"] * test, "label": which % CLASSES}
    folder.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns | {"jpeg": [encoded[at] for at in which]}), folder / "made-up.parquet")
