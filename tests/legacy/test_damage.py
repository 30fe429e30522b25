"""Damage in a database's files: a handle gives the numbers that were written, or says which file is damaged."""

from __future__ import annotations

import random
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from natsdb import api
from natsdb.ingest import export, verify
from natsdb.schema.errors import Damaged, Missing, NatsdbError
from natsdb.store.snapshot import read_manifest

# The tables that records are made of.
TABLES = ("seed", "metric", "final", "cost")


@pytest.fixture
def home(real_db: Path, tmp_path: Path) -> Path:
    """A copy of the database of real records."""
    return shutil.copytree(real_db, tmp_path / "db")


def everything(home: Path) -> list[Any]:
    """All that handles say of both spaces, record by record and at once."""
    found: list[Any] = []
    for space, hp in (("tss", "200"), ("sss", "90")):
        handle = api.create(str(home), space, verbose=False)
        found.append(handle.find_best("cifar100", "x-test", hp=hp))
        found.append(handle.get_many([0, 11], "cifar100", iepoch=3, hp="12").rows())
        found.append(
            repr([results.state_dict() for arch in (0, 11) for results in handle.arch2infos_dict[arch].values()])
        )
    return found


def test_flipped_bits_give_an_error_or_exact_numbers(home: Path) -> None:
    expected = everything(home)
    files = sorted(path for table in TABLES for path in (home / table).rglob("*.parquet"))
    draw = random.Random(5)
    raised = []
    for _ in range(40):
        path = draw.choice(files)
        whole = path.read_bytes()
        place = draw.randrange(len(whole))
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1 << draw.randrange(8)]) + whole[place + 1 :])
        try:
            assert everything(home) == expected, f"byte {place} of {path}"
        except NatsdbError as error:
            raised.append((type(error), error.where == str(path), "natsdb repair" in error.remedy))
        path.write_bytes(whole)
    # The others lie in columns that no record is made of.
    assert len(raised) > 20
    assert set(raised) == {(Damaged, True, True)}


def test_verify_and_export_name_the_damaged_file(home: Path, official: dict[str, Path], tmp_path: Path) -> None:
    path = next((home / "metric" / "source=official" / "space=sss" / "hp=90").rglob("*.parquet"))
    data = bytearray(path.read_bytes())
    for place in range(4, len(data) - 9000, 97):
        data[place] ^= 1
    path.write_bytes(data)
    for call in (
        lambda: verify(official["sss"], home),
        lambda: export(tmp_path / "out", "sss", home),
    ):
        with pytest.raises(Damaged, match="natsdb repair") as caught:
            call()
        assert caught.value.where == str(path)


def test_a_table_that_was_not_pulled_is_named_by_what_needs_it(home: Path) -> None:
    """As after `natsdb pull --only final,cost`: a handle makes records, which have curves."""
    manifest = read_manifest(home)
    parts = tuple(part for part in manifest.parts if part.table != "metric")
    (home / "natsdb.json").write_text(replace(manifest, parts=parts).to_json())
    handle = api.create(str(home), "sss", verbose=False)
    with pytest.raises(Missing, match="there is no table 'metric' beside the others; pull it: the same `natsdb pull`"):
        handle.get_more_info(0, "cifar100", hp="90")


def test_a_file_that_is_cut_while_a_handle_is_open(home: Path) -> None:
    handle = api.create(str(home), "sss", verbose=False)
    path = next((home / "final" / "source=official" / "space=sss" / "hp=90").rglob("*.parquet"))
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(Damaged, match="damaged") as caught:
        handle.find_best("cifar100", "x-test", hp="90")
    assert caught.value.where == str(path)
