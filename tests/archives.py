"""Official forms of made-up archives: folders, tars, chunks, the single file, full archives with weights.

python tests/archives.py OUT --space tss --archs 0-199 --jobs 2
"""

from __future__ import annotations

import argparse
import bz2
import hashlib
import io
import os
import pickle
import sys
import tarfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from natsdb.schema.spaces import SIZES, strings
from natsdb.synthetic import record, write_folder, write_record

__all__ = ["FOLDERS", "record", "split_file", "write_folder", "write_record", "write_single", "write_tar"]

FOLDERS = {"tss": "NATS-tss-v1_0-3ffb9-simple", "sss": "NATS-sss-v1_0-50262-simple"}


def write_tar(folder: Path, path: Path) -> Path:
    """Write an archive folder as the official tar: one top folder, members inside."""
    with tarfile.open(path, "w") as archive:
        archive.add(folder, arcname=folder.name)
    return path


def split_file(path: Path, pieces: int, suffixes: Sequence[str]) -> list[Path]:
    """Cut a file in pieces named after it with these suffixes; the file itself is removed."""
    data = path.read_bytes()
    size = -(-len(data) // pieces)
    made = []
    for number, suffix in zip(range(pieces), suffixes, strict=True):
        made.append(path.with_name(path.name + suffix))
        made[-1].write_bytes(data[number * size : (number + 1) * size])
    path.unlink()
    return made


def write_single(folder: Path, space: str, records: dict[int, Any], *, name_md5: bool = True) -> Path:
    """Write the single benchmark file of these records; its name ends in the last digits of its MD5, as official."""
    whole = {
        "meta_archs": list(strings(space)),
        "arch2infos": records,
        "evaluated_indexes": set(records),
        "total_archs": SIZES[space],
    }
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    with bz2.open(buffer, "wb") as file:
        pickle.dump(whole, file, protocol=4)
    data = buffer.getvalue()
    digits = hashlib.md5(data).hexdigest()[-5:] if name_md5 else "single"
    path = folder / f"NATS-{space}-v1_0-{digits}.pickle.pbz2"
    path.write_bytes(data)
    return path


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--space", choices=["tss", "sss"], required=True)
    parser.add_argument("--archs", default="all", help="first-last, or all")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    asked = parser.parse_args()
    first, last = (0, SIZES[asked.space] - 1) if asked.archs == "all" else map(int, asked.archs.split("-"))
    print(write_folder(asked.out, asked.space, range(first, last + 1), jobs=asked.jobs))


if __name__ == "__main__":
    sys.exit(main())
