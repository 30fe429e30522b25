"""What a file that is not as it was written looks like, and its error. No PyArrow: SQL does without its reader."""

from __future__ import annotations

import hashlib
import re
import struct
import zlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

from natsdb.schema.errors import Damaged, Missing, said_by
from natsdb.store.locations import BUILTIN

Held = TypeVar("Held")
REMEDY = "`natsdb check` lists all damage, `natsdb repair SOURCE…` mends it"
_ATTACHED = re.compile(r"(?:^|/)attached/([^/]+)/[^/]+\.parquet")


def remedy_of(path: Path | str) -> str:
    """What mends a damaged file of a database: rows are made again from their sources, an attached table is attached
    again, and what comes with natsdb comes with it again."""
    place = Path(path).as_posix()
    if place.startswith(f"{BUILTIN.as_posix()}/"):
        return "it came with natsdb: `pip install --force-reinstall natsdb`"
    name = attached_name(place)
    if not name:
        return REMEDY
    return f"`natsdb check` lists all damage; `natsdb attach FILE --as {name} --replace` makes this table again"


def attached_name(path: str) -> str:
    """The attached table that a file of a database is of, by its path; empty where it is of none."""
    found = _ATTACHED.search(path)
    return found[1] if found else ""


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, in hexadecimal.

    Raises:
        OSError: it cannot be read.
    """
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


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


def damaged(path: Path | str, error: Exception, remedy: str | None = None) -> Damaged:
    """The error of a file that cannot be read as it was written; `remedy` is `remedy_of` it if not given."""
    return Damaged(f"the file is damaged ({said_by(error)})", where=str(path), remedy=remedy or remedy_of(path))


def table_file(tables: Mapping[Any, Held], name: Any, where: Path | str) -> Held:
    """A block's file of a table, by whatever name it has here.

    Raises:
        Missing: it was not pulled.
    """
    if name not in tables:
        table = name[0] if isinstance(name, tuple) else name
        remedy = "pull it: the same `natsdb pull` without --only brings the rest"
        raise Missing(f"there is no table {table!r} beside the others", where=str(where), remedy=remedy)
    return tables[name]
