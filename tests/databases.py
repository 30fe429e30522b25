"""Databases as files, for tests that compare them."""

from __future__ import annotations

from pathlib import Path


def contents(home: Path) -> dict[str, bytes]:
    """All files of a database by their path, to compare byte for byte."""
    return {
        path.relative_to(home).as_posix(): path.read_bytes()
        for path in sorted(home.rglob("*"))
        if path.is_file() and path.name != ".lock"
    }
