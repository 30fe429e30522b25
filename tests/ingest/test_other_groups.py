"""Blocks that lie in other row groups than those of today: rows are added to them, and they are read."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

import natsdb
from databases import contents
from natsdb.ingest import ingest, verify
from natsdb.schema.catalogue import catalogue_tables
from natsdb.schema.tables import BLOCK_TABLES, GROUPS
from natsdb.store.snapshot import read_manifest
from synthetic import write_folder

DATA = Path(__file__).parents[1] / "data"


def _rows(home: Path, table: str) -> pl.DataFrame:
    frame = natsdb.scan(table, home).filter(pl.col("source") != "published").collect()
    return frame.drop("reduced", strict=False).sort(["source", "space", "hp", "arch", "dataset", "seed"])


@pytest.mark.parametrize("name", ["format-1", "format-1-without-searches"])
def test_rows_are_added_to_a_database_of_format_1(tmp_path: Path, name: str) -> None:
    home = tmp_path / "db"
    with zipfile.ZipFile(DATA / f"{name}.zip") as archive:
        archive.extractall(home)
    # The two large tables of the catalogue, which the zip lacks, are computed.
    manifest = json.loads((home / "natsdb.json").read_text())
    for part in manifest["parts"]:
        if not (path := home / part["path"]).exists():
            path.parent.mkdir()
            pq.write_table(catalogue_tables()[part["table"]], path)
            part["bytes"] = path.stat().st_size
    (home / "natsdb.json").write_text(json.dumps(manifest))
    before = {table: _rows(home, table) for table in BLOCK_TABLES}
    held = before["seed"].filter(space="sss")["arch"].unique().to_list()
    new = [arch for arch in (0, 1, 3, 5, 700) if arch not in held][:3]
    folder = write_folder(tmp_path / "more", "sss", new)
    assert ingest([folder], home, source="synthetic").changed
    assert verify(folder, home, name="synthetic").count == 0
    for table, old in before.items():
        after = _rows(home, table)
        same = after.filter(~((pl.col("space") == "sss") & pl.col("arch").is_in(new)))
        assert same.equals(old)
        assert len(after) > len(old)


def test_rows_are_added_to_blocks_of_other_groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    every = [0, 1, 2, 9, 10, 40, 41]
    first = write_folder(tmp_path / "first" / "some", "sss", every[::2])
    whole = write_folder(tmp_path / "whole" / "some", "sss", every)
    for sizes in ({"01": 3, "12": 3, "90": 3}, {"01": 1024, "12": 1024, "90": 1024}):
        with monkeypatch.context() as patch:
            for hp, size in sizes.items():
                patch.setitem(GROUPS, hp, size)
            home = tmp_path / f"db-{sizes['12']}"
            ingest([first], home)
            part = next(part for part in read_manifest(home).of("metric") if part.hp == "12")
            assert pq.read_metadata(home / part.path).num_row_groups == {3: 3, 1024: 1}[sizes["12"]]
        ingest([whole], home)
        assert verify(whole, home).count == 0
        ingest([whole], tmp_path / "once")
        steps, once = contents(home), contents(tmp_path / "once")
        del steps["natsdb.json"], once["natsdb.json"]
        # Of the other groups nothing is left.
        assert steps == once
