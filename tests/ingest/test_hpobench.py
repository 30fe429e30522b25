"""HPOBench's extraction of NAS-Bench-201 becomes rows, with the curves of the runs that there are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import archives
import natsdb
from natsdb.cli import app
from natsdb.ingest import ingest, verify
from natsdb.schema.errors import NatsdbError
from natsdb.store.snapshot import read_manifest

ARCHS = (1030, 3, 14)  # the last has two seeds, the others three


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    folder = tmp_path_factory.mktemp("hpobench")
    valid = archives.write_hpobench(folder, ARCHS, "cifar10-valid", renamed=True)
    return {"cifar10-valid": valid, "cifar100": archives.write_hpobench(folder, ARCHS, "cifar100")}


def test_numbers_are_those_of_the_records(files: dict[str, Path], tmp_path: Path) -> None:
    home = tmp_path / "db"
    for path in files.values():
        assert ingest([path], home).archs == 3
    assert {(one.kind, one.source) for one in read_manifest(home).ingests} == {("hpobench", "hpobench")}
    ingest([archives.write_folder(tmp_path / "records", "tss", ARCHS)], home)
    for table in ("metric", "final", "cost"):
        ask = (
            f"select * exclude (source) from {table} where source = '{{}}' and hp = '200' and "
            "dataset in ('cifar10-valid', 'cifar100') order by all"
        )
        mine, theirs = (natsdb.query(ask.format(name), home) for name in ("hpobench", "official"))
        assert len(mine) > 0
        assert mine.equals(theirs)
    # Runs that are another seed's again are not there.
    seeds = natsdb.query("select distinct arch, seed from seed where source = 'hpobench' order by all", home).rows()
    assert seeds == [(3, 777), (3, 888), (3, 999), (14, 777), (14, 888), (1030, 777), (1030, 888), (1030, 999)]
    assert ingest([files["cifar100"]], home).changed is False


def test_each_file_is_compared_with_its_rows(files: dict[str, Path], tmp_path: Path) -> None:
    home = tmp_path / "db"
    for path in files.values():
        ingest([path], home)
    found = [verify(path, home) for path in files.values()]
    assert [one.count for one in found] == [0, 0]
    assert [one.records for one in found] == [
        sum(name == dataset for arch in ARCHS for name, _ in archives.record("tss", arch)["200"]["all_results"])
        for dataset in files
    ]
    table = json.loads(files["cifar100"].read_text())
    run: dict[str, Any] = table["888"][archives.record("tss", 3)["200"]["arch_str"]]
    run["eval_losses"]["ori-test@17"] += 1e-9
    path = tmp_path / files["cifar100"].name
    path.write_text(json.dumps(table))
    (one,) = verify(path, home).differences
    assert one.key == "tss, hp 200, architecture 3, cifar100, seed 888, split ori-test, epoch 17, loss"


def test_what_is_no_such_file_is_said(files: dict[str, Path], tmp_path: Path) -> None:
    good = files["cifar100"].read_text()
    table = json.loads(good)
    text = archives.record("tss", 3)["200"]["arch_str"]
    run = table["777"][text]
    for data, said in (
        (good[:-10], "the JSON ends before its end; get HPOBench's data again"),
        (json.dumps({"777": {"|none~9|": run}}), r"'\|none~9\|' is no architecture of tss"),
        (json.dumps({"777": {text: {**run, "name": "mnist"}}}), "architecture 3 has runs of mnist"),
        (json.dumps({"777": {text: {**run, "more": 1}}}), r"json: 3: key .*: fields missing or unknown: more"),
        (json.dumps({"777": {text: run}}).replace("0.", "0.x", 1), "architecture 3, seed 777: the JSON cannot be read"),
    ):
        path = tmp_path / "table.json"
        path.write_text(data)
        with pytest.raises(NatsdbError, match=said):
            ingest([path], tmp_path / "db")
        assert not (tmp_path / "db" / "natsdb.json").exists()


@pytest.mark.parametrize("wrong", ["json", "dataset", "field", "nesting"])
def test_a_bad_run_is_left_out_and_the_rest_goes_on(wrong: str, files: dict[str, Path], tmp_path: Path) -> None:
    good = files["cifar100"].read_text()
    table = json.loads(good)
    text = archives.record("tss", 3)["200"]["arch_str"]
    marks = {"dataset": {"name": ["cifar100"]}, "field": {"more": 1}}.get(wrong, {"name": "HERE"})
    table["888"][text] |= marks
    deep = '{"a": ' * 100_000 + "1" + "}" * 100_000
    path = tmp_path / files["cifar100"].name
    path.write_text(json.dumps(table).replace('"HERE"', deep if wrong == "nesting" else "no"))
    home = tmp_path / "db"
    with pytest.raises(NatsdbError):
        ingest([path], home)
    said = CliRunner().invoke(app, ["ingest", str(path), "--db", str(home), "--keep-going"])
    assert said.exit_code == 1
    assert "1 records left out" in said.stderr
    assert "2 architectures" in said.stdout
    assert natsdb.query("select distinct arch from seed order by 1", home)["arch"].to_list() == [14, 1030]
    with pytest.raises(NatsdbError):
        verify(path, home)
    said = CliRunner().invoke(app, ["verify", str(path), "--db", str(home), "--keep-going"])
    assert said.exit_code == 1
    assert "1 records that cannot be read" in said.stderr
    assert said.stdout.startswith("5 runs, ")
    assert "all equal, bit for bit" in said.stdout


def test_where_no_run_can_be_read_nothing_is_said_to_be_equal(files: dict[str, Path], tmp_path: Path) -> None:
    ingest([files["cifar100"]], tmp_path / "db")
    table = json.loads(files["cifar100"].read_text())
    for runs in table.values():
        for run in runs.values():
            run["more"] = 1
    path = tmp_path / "table.json"
    path.write_text(json.dumps(table))
    said = CliRunner().invoke(app, ["verify", str(path), "--db", str(tmp_path / "db"), "--keep-going"])
    assert said.exit_code == 1
    assert said.stdout == "nothing is compared\n"
