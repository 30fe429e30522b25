"""Names and texts as SQL takes them, whatever is in them."""

from __future__ import annotations


def quoted_name(name: str) -> str:
    """A name of a table or column."""
    return '"' + name.replace('"', '""') + '"'


def quoted_text(text: str) -> str:
    """A value of type VARCHAR."""
    return "'" + text.replace("'", "''") + "'"
