"""What a table's columns mean, their units, where it comes from: said by the caller, or in a file beside the table.

The file is NAME.json, after the name that the table is attached by, or after its own, or croissant.json:

    {"about": "…", "source": "…", "licence": "…", "citation": "…",
     "columns": {"raspi4_latency": {"meaning": "latency on a Raspberry Pi 4", "unit": "ms"}}}

or Croissant (MLCommons), of which description, url, license, citeAs and the fields' descriptions are taken.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from natsdb.ingest.attach import Read
from natsdb.schema.errors import Damaged, NatsdbError, said_by
from natsdb.schema.names import did_you_mean
from natsdb.store.manifest import Attached, Measure

if TYPE_CHECKING:
    import polars as pl

_TEXTS = ("about", "source", "licence", "citation")


@dataclass(frozen=True)
class Description:
    """What is said of a table and, by name, of its columns; empty where nothing is."""

    about: str = ""
    source: str = ""
    licence: str = ""
    citation: str = ""
    meanings: Mapping[str, str] = field(default_factory=dict)
    units: Mapping[str, str] = field(default_factory=dict)

    def over(self, other: Description) -> Description:
        """This one, and what the other says of that of which this says nothing."""
        texts = {name: getattr(self, name) or getattr(other, name) for name in _TEXTS}
        return Description(**texts, meanings={**other.meanings, **self.meanings}, units={**other.units, **self.units})


def beside(table: Path, name: str) -> Description:
    """What a file beside a table says of it.

    Args:
        table: the table's file.
        name: by which it is attached.

    Raises:
        Damaged: there is such a file, and it is no JSON, or says what cannot be.
    """
    if not table.name:  # a folder, as `.` is
        return Description()
    for path in (table.with_name(f"{name}.json"), table.with_suffix(".json"), table.with_name("croissant.json")):
        if path == table or not path.is_file():
            continue
        try:
            said = json.loads(path.read_text("utf-8"))
        except (OSError, ValueError) as error:
            what = f"what it says of {table.name} cannot be read ({said_by(error)})"
            raise Damaged(what, where=str(path), remedy="mend it, or move it away") from error
        if isinstance(said, dict) and "recordSet" in said:
            if path.name == "croissant.json" and table.name not in _files(said):
                continue
            return _of_croissant(said)
        if isinstance(said, dict) and said.keys() & {*_TEXTS, "columns"}:
            return _of_json(said, path)
    return Description()


def _of_json(said: Mapping[str, Any], path: Path) -> Description:
    columns = said.get("columns", {})
    texts = {name: said.get(name, "") for name in _TEXTS}
    plain = isinstance(columns, dict) and all(isinstance(one, dict) for one in columns.values())
    if not plain or not all(isinstance(text, str) for text in texts.values()):
        raise Damaged(
            "about, source, licence and citation are texts, and columns a dictionary of dictionaries",
            where=str(path),
            remedy='write {"columns": {"COLUMN": {"meaning": "…", "unit": "…"}}}',
        )
    return Description(
        **texts,
        meanings={name: str(one["meaning"]) for name, one in columns.items() if one.get("meaning")},
        units={name: str(one["unit"]) for name, one in columns.items() if one.get("unit")},
    )


def _of_croissant(said: Mapping[str, Any]) -> Description:
    records = said["recordSet"]
    fields = [
        one
        for record in (records if isinstance(records, list) else [records])
        if isinstance(record, dict)
        for one in record.get("field", [])
        if isinstance(one, dict)
    ]
    # A field's id is its name with that of its records before it.
    named = {str(one.get("name") or one.get("@id", "")).rpartition("/")[2]: one for one in fields}
    return Description(
        about=_text(said.get("description")),
        source=_text(said.get("url")),
        licence=_text(said.get("license")),
        citation=_text(said.get("citeAs") or said.get("citation")),
        meanings={name: _text(one.get("description")) for name, one in named.items() if one.get("description")},
    )


def _files(said: Mapping[str, Any]) -> set[str]:
    """Names of the files that Croissant is about."""
    files = [one for one in said.get("distribution", []) if isinstance(one, dict)]
    return {str(one.get(key, "")).rpartition("/")[2] for one in files for key in ("name", "contentUrl")}


def _text(value: Any) -> str:
    """A text, or texts in a list, or the name of what has one."""
    if isinstance(value, list):
        return ", ".join(filter(None, map(_text, value)))
    if isinstance(value, dict):
        return _text(value.get("name") or value.get("url") or value.get("@id"))
    return "" if value is None else str(value).strip()


def as_attached(name: str, read: Read, said: Description, found: Description) -> Attached:
    """What the manifest says of a table: what the caller said of it, else what was found beside it.

    Raises:
        NatsdbError: the caller says something of a measure that the table has not.
    """
    for column in (*said.meanings, *said.units):
        if column not in read.measures:
            raise NatsdbError(
                f"it has no measure {column!r}", where=read.file, remedy=did_you_mean(column, read.measures)
            )
    whole = said.over(found)
    others = [column for column in read.key if column not in ("space", "arch", "dataset")]
    return Attached(
        name,
        read.key,
        tuple(
            Measure(one, _type(read.frame, one), whole.meanings.get(one, ""), whole.units.get(one, ""))
            for one in read.measures
        ),
        read.frame["arch"].n_unique(),
        others=tuple(_type(read.frame, one) for one in others),
        file=read.file,
        encoding=read.encoding,
        about=whole.about,
        origin=whole.source,
        licence=whole.licence,
        citation=whole.citation,
    )


def _type(frame: pl.DataFrame, column: str) -> str:
    """A column's type in DuckDB's words, of those that `read_attached` gives."""
    import polars as pl

    types: dict[Any, str] = {pl.Int64: "BIGINT", pl.Float64: "DOUBLE", pl.Boolean: "BOOLEAN", pl.String: "VARCHAR"}
    return types[frame.schema[column].base_type()]
