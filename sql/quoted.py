"""Names and texts as SQL takes them, whatever is in them."""

from __future__ import annotations

from collections.abc import Iterable


def quoted_name(name: str) -> str:
    """A name of a table or column."""
    return '"' + name.replace('"', '""') + '"'


def quoted_text(text: str) -> str:
    """A value of type VARCHAR."""
    return "'" + text.replace("'", "''") + "'"


def quoted_texts(texts: Iterable[str]) -> str:
    """Values of type VARCHAR with commas between."""
    return ", ".join(map(quoted_text, texts))
