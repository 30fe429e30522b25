"""What a file that is not as it was written looks like, and its error. No PyArrow: SQL does without its reader."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

from natsdb.schema.errors import Damaged

REMEDY = "`natsdb check` lists all damage, `natsdb repair SOURCE…` mends it"


def footer_digest(file: Any, size: int) -> str:
    """CRC-32, in hexadecimal, of a Parquet file's footer: it says where all the rest lies, and no checksum covers it.

    Raises:
        ValueError: the file has no footer.
    """
    file.seek(max(0, size - 8))
    tail = file.read(8)
    if len(tail) < 8 or tail[4:] != b"PAR1":
        raise ValueError("it does not end as a Parquet file does")
    (length,) = struct.unpack("<I", tail[:4])
    if length + 8 > size:
        raise ValueError("its footer is longer than the file")
    file.seek(size - 8 - length)
    return f"{zlib.crc32(file.read(length + 8)):08x}"


def damaged(path: Path | str, error: Exception, remedy: str = REMEDY) -> Damaged:
    """The error of a file that cannot be read as it was written."""
    what = str(error).splitlines()[0] if str(error) else type(error).__name__
    return Damaged(f"the file is damaged ({what})", where=str(path), remedy=remedy)
