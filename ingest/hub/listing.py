"""What a folder for the Hub holds, as its data card and its metadata list it."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PublishedFile:
    """A file of the folder: its path in there, the table, whose rows these are (empty for computed tables), how many,
    how many architectures (0 where that says nothing), bytes and SHA-256."""

    path: str
    table: str
    source: str
    space: str
    hp: str
    rows: int
    archs: int
    bytes: int
    sha256: str
