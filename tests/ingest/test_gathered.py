"""Records that somebody gathered in one pickle, or wrote as JSON, become rows as far as they go."""

from __future__ import annotations

import bz2
import json
import pickle
from pathlib import Path
from typing import Any

import pytest

import archives
import natsdb
from databases import contents
from natsdb.ingest import ingest, verify
from natsdb.schema.errors import NatsdbError

ARCHS = (3, 0, 1030)


@pytest.fixture(scope="module")
def records() -> dict[int, Any]:
    return {arch: archives.record("sss", arch) for arch in ARCHS}


def _tables(home: Path) -> dict[str, bytes]:
    return {path: data for path, data in contents(home).items() if not path.startswith(("seed/", "natsdb.json"))}


@pytest.mark.parametrize("name", ["records.pkl", "records.pickle.pbz2"])
def test_a_pickle_of_records_gives_the_tables_of_a_folder(name: str, records: dict[int, Any], tmp_path: Path) -> None:
    data = pickle.dumps(records)
    path = tmp_path / name
    path.write_bytes(bz2.compress(data) if name.endswith("pbz2") else data)
    assert ingest([path], tmp_path / "db").archs == 3
    ingest([archives.write_folder(tmp_path / "folder", "sss", ARCHS)], tmp_path / "expected")
    assert _tables(tmp_path / "db") == _tables(tmp_path / "expected")
    assert verify(path, tmp_path / "db").count == 0
    assert ingest([path], tmp_path / "db").changed is False


def _as_json(record: dict[str, Any], key: str) -> dict[str, Any]:
    return {
        hp: {
            **result,
            "all_results": {
                key.format(*run_key): {
                    name: value for name, value in run.items() if name not in ("net_state_dict", "train_acc5es")
                }
                for run_key, run in result["all_results"].items()
            },
        }
        for hp, result in record.items()
    }


@pytest.mark.parametrize("key", ["('{}', {})", "{}-{}", "{}, {:04d}"])
def test_json_of_records_has_the_same_numbers(key: str, records: dict[int, Any], tmp_path: Path) -> None:
    path = tmp_path / "dump.json"
    path.write_text(json.dumps({arch: _as_json(record, key) for arch, record in records.items()}))
    ingest([path], tmp_path / "db")
    assert verify(path, tmp_path / "db").count == 0
    ingest([archives.write_folder(tmp_path / "folder", "sss", ARCHS)], tmp_path / "db", source="folder")
    ask = "select * exclude (source, top5) from metric where source = '{}' order by all"
    mine, theirs = (natsdb.query(ask.format(name), tmp_path / "db") for name in ("official", "folder"))
    assert mine.equals(theirs)
    one = tmp_path / "one.json"
    one.write_text(json.dumps(_as_json(records[3], key)))
    assert ingest([one], tmp_path / "one").archs == 1


def test_what_holds_no_records_is_said(records: dict[int, Any], tmp_path: Path) -> None:
    for name, data, said in (
        ("a.json", b'{"a": 1}', "it holds no records by the indexes of architectures; write a dictionary of official"),
        ("h.json", b'{"3": 1}', "it holds no records by the indexes"),
        ("b.json", b'{"a": ', r"b\.json: the JSON cannot be read \(Expecting value"),
        ("c.json", b'{"3": {"12": {"arch_str": "x"}}}', "'x' is no architecture string"),
        ("d.pkl", pickle.dumps({1: 2}), "it holds no records by the indexes"),
        ("e.pkl", pickle.dumps({32_768: records[3]}), "index 32768 is outside the space sss"),
        ("i.pkl", pickle.dumps({-1: records[3]}), "index -1 is outside the space sss"),
        ("f.pkl", pickle.dumps({4: records[3]}), r"f\.pkl: 4: key 01\.arch_index: 3 is not the architecture's index 4"),
        ("g.pkl", pickle.dumps({3: records[3]})[:-100], "the pickle cannot be read"),
    ):
        path = tmp_path / name
        path.write_bytes(data)
        with pytest.raises(NatsdbError, match=said):
            ingest([path], tmp_path / "db")
    assert not (tmp_path / "db" / "natsdb.json").exists()
