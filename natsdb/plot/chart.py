"""What all pictures share: Altair itself, the note on where rows came from, and saving."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from natsdb.schema.errors import NatsdbError
from natsdb.schema.spaces import space_of
from natsdb.store.writing import whole_file, writing


def altair() -> Any:
    """The package Altair.

    Raises:
        NatsdbError: it is not installed.
    """
    try:
        import altair as alt
    except ImportError as error:
        raise NatsdbError("drawing needs Altair", remedy="pip install 'natsdb[plot]'") from error
    # A whole space has 32,768 points; Altair's default limit is 5,000.
    alt.data_transformers.disable_max_rows()
    return alt


def data(rows: Any) -> Any:
    """A polars frame as the data of a chart: as CSV, since Altair looks into each row of a list, 7 s for a space."""
    return altair().InlineData(values=rows.write_csv(), format={"type": "csv"})


def provenance_note(rows: Any) -> str:
    """What a title adds where some rows are generated."""
    return " (synthetic)" if "synthetic" in rows["source"].to_list() else ""


def architectures(count: int, space: str) -> str:
    """How many architectures there are, and of how many where that is not the whole space."""
    size = space_of(space).size
    return f"{count:,} architectures" if count >= size else f"{count:,} of {size:,} architectures"


def counted(rows: Any, space: str) -> str:
    """How many architectures and runs the rows stand for, which have a column `seeds`: null of a published mean."""
    seeds = rows["seeds"]
    runs = "means over runs" if seeds.null_count() else f"{seeds.sum():,} runs"
    return f"{architectures(len(rows), space)}, {runs}"


def listed(numbers: Iterable[int], most: int = 8) -> str:
    """The first of some numbers, and how many more there are."""
    every = list(numbers)
    more = f" and {len(every) - most:,} more" if len(every) > most else ""
    return ", ".join(map(str, every[:most])) + more


def save(chart: Any, path: Path) -> Path:
    """Write a chart as PNG, SVG or HTML, by the file's ending; whole or not at all.

    Raises:
        NatsdbError: another ending, or the file cannot be written.
    """
    if path.suffix not in (".png", ".svg", ".html"):
        raise NatsdbError(f"cannot draw a {path.suffix or 'file without ending'}", remedy="use .png, .svg or .html")
    with writing(path, "name another file"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary:
            chart.save(str(temporary), format=path.suffix[1:], **({"ppi": 144} if path.suffix == ".png" else {}))
    return path
