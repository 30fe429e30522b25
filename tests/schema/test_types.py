"""A column's type is said once, and is the same thing in DuckDB, Arrow, polars and Croissant."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

import natsdb
from natsdb.schema.tables import TABLES, column_types, croissant_types, polars_types

CROISSANT = {
    pl.String: "sc:Text",
    pl.Int32: "sc:Integer",
    pl.Int16: "sc:Integer",
    pl.Float64: "sc:Float",
    pl.Boolean: "sc:Boolean",
}


@pytest.mark.parametrize("name", TABLES)
def test_every_reader_sees_the_type_that_the_schema_says(name: str, real_db: Path) -> None:
    arrow, polars, croissant = column_types(TABLES[name]), polars_types(TABLES[name]), croissant_types(TABLES[name])
    empty = pa.table({column: pa.array([], kind) for column, kind in arrow.items()})
    assert dict(pl.DataFrame(pl.from_arrow(empty)).schema) == polars
    for column, kind in polars.items():
        element = kind.inner if isinstance(kind, pl.List) else kind
        repeated = {"repeated": True} if isinstance(kind, pl.List) else {}
        assert croissant[column] == {"dataType": CROISSANT[element], **repeated}
    said = {column.name: column.type for column in TABLES[name].columns}
    with natsdb.connect(real_db) as connection:
        described = connection.execute(f"describe {name}").fetchall()
    assert {row[0]: row[1] for row in described} == said
    assert dict(natsdb.scan(name, real_db).collect_schema()) == polars
