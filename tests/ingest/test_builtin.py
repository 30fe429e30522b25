"""natsdb's own database: what is in it, that it can be made again, and where it is seen."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest

import natsdb
from natsdb.ingest import ingest
from natsdb.ingest.attached import detach, keep_attached
from natsdb.ingest.builtin import make_builtin
from natsdb.schema.errors import Missing, NatsdbError, NotWritable
from natsdb.store.check import check
from natsdb.store.locations import BUILTIN
from natsdb.store.manifest import NAME, Attached, Measure
from natsdb.store.snapshot import open_with_builtin, read_manifest

OPTIMA = {
    ("cifar10-valid", "x-valid"): 91.61,
    ("cifar10", "ori-test"): 94.37,
    ("cifar100", "x-valid"): 73.49,
    ("cifar100", "x-test"): 73.51,
    ("ImageNet16-120", "x-valid"): 46.73,
    ("ImageNet16-120", "x-test"): 47.31,
}


def test_it_is_whole_small_and_says_where_all_of_it_is_from() -> None:
    assert not check(BUILTIN).findings
    manifest = read_manifest(BUILTIN)
    assert sum(manifest.listed().values()) + (BUILTIN / NAME).stat().st_size < 12_000_000
    assert all(one.origin and one.licence and one.citation for one in (*manifest.ingests, *manifest.attached))
    assert not any(part.source == "synthetic" for part in manifest.parts)
    assert [table.archs for table in manifest.attached] == [15_625] * 3


def test_it_is_made_again_to_the_same_bytes(test_data: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    # Other files' times, as any copy of the data has.
    shutil.copytree(test_data / "official", data / "official", copy_function=shutil.copyfile)
    for name in ("published", "tables", "wild"):
        (data / name).symlink_to(test_data / name)
    manifest = make_builtin(data, tmp_path / "made")
    assert manifest.tables() == read_manifest(BUILTIN).tables()
    for name in manifest.tables():
        assert [part.rows for part in manifest.of(name)] == [part.rows for part in read_manifest(BUILTIN).of(name)]
    if pa.__version__ != "26.0.1" or not pl.__version__.startswith("2."):
        pytest.skip("other releases of PyArrow and polars than those that made it may write other bytes")
    assert (tmp_path / "made" / NAME).read_text() == (BUILTIN / NAME).read_text()


def test_proxies_have_the_seconds_that_they_took_where_these_are_known(test_data: Path) -> None:
    known = pl.read_parquet(test_data / "tables" / "tss_zero_cost.parquet").drop_nulls("seconds")
    known = known.filter(pl.col("dataset").is_in(["cifar10", "cifar100", "ImageNet16-120"]))
    asked = "select dataset, name, arch, value from measure where name like 'zero_cost.%_seconds' and value is not null"
    found = natsdb.query(f"{asked} and dataset <> 'cifar10-valid' order by all", BUILTIN)
    expected = known.select(
        "dataset", name="zero_cost." + pl.col("proxy") + "_seconds", arch=pl.col("arch").cast(pl.Int32), value="seconds"
    )
    assert found.equals(expected.sort(pl.all()))
    assert len(found) == 3 * 15_625 + 12 * 725


@pytest.mark.parametrize(("dataset", "split"), OPTIMA)
def test_the_best_of_all_is_that_of_the_paper(dataset: str, split: str) -> None:
    best = natsdb.query(f"from best('{dataset}', '{split}', '200', k := 1)", BUILTIN)
    assert best["accuracy"].item() == pytest.approx(OPTIMA[dataset, split], abs=0.005)
    assert best["coverage"].item() == "15,625 of 15,625"


def test_two_tables_of_latency_agree_on_the_devices_that_both_have() -> None:
    agreeing = natsdb.query(
        "select count(*) from hw_nas_bench as a inner join help_latency as b using (space, arch, dataset) "
        "where a.raspi4_latency = b.raspi4 and a.pixel3_latency = b.pixel3 and a.eyeriss_latency = b.eyeriss "
        "and a.fpga_latency = b.fpga",
        BUILTIN,
    )
    assert agreeing.item() == 15_625


def test_tables_are_those_of_the_files(test_data: Path) -> None:
    long = pl.read_parquet(test_data / "tables" / "tss_hw_nas_bench.parquet")
    wide = natsdb.scan("hw_nas_bench", BUILTIN).collect()
    for name in ("edgetpu_latency", "fpga_energy"):
        device, metric = name.split("_", 1)
        of = long.filter((pl.col("device") == device) & (pl.col("metric") == metric)).sort("arch", "dataset")
        expected = [None if value == -1 else value for value in of["value"].to_list()]
        assert wide.sort("arch", "dataset")[name].to_list() == expected
    # Of the 4,699 that did not compile on some data set there is no number.
    assert wide.filter(pl.col("edgetpu_latency").is_null())["arch"].n_unique() == 4_699
    measured = natsdb.query(
        "select count(*), min(value) from measure where name = 'hw_nas_bench.edgetpu_latency'", BUILTIN
    )
    assert measured.row(0)[1] > 0


def _home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.delenv("NATSDB_HOME", raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    return tmp_path / "data" / "natsdb"


def test_it_answers_where_there_is_no_other(
    tmp_path: Path, official: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = _home(tmp_path, monkeypatch)
    assert natsdb.info().database == BUILTIN
    ingest([official["sss"]])  # the user's own
    assert natsdb.info().database == home
    assert {source for source, *_ in natsdb.info().contents} == {"official"}
    monkeypatch.setenv("NATSDB_HOME", str(tmp_path / "nowhere"))
    with pytest.raises(Missing, match="nowhere"):
        natsdb.connect()
    with pytest.raises(Missing, match="elsewhere"):
        natsdb.connect(tmp_path / "elsewhere")


def test_its_tables_are_beside_every_other_and_its_accuracies_where_there_are_none(
    tmp_path: Path, official: dict[str, Path]
) -> None:
    home = tmp_path / "db"
    rows = pa.table({"space": ["tss", "tss"], "arch": [1, 0], "speed": [2.5, None]})
    mine = Attached("mine", ("space", "arch"), (Measure("speed", "DOUBLE"),), 0)
    assert keep_attached(home, mine, rows)
    joined = (
        "select count(*) from mean_final join hw_nas_bench using (space, arch, dataset) join mine using (space, arch)"
    )
    assert natsdb.query(joined, home).item() > 0
    assert len(natsdb.scan("mine", home).collect()) == 2
    assert set(natsdb.query("select distinct source from final", home)["source"]) == {"official", "published"}
    assert natsdb.query("select distinct value from measured('mine.speed')", home)["value"].to_list() == [2.5]
    ingest([official["tss"]], home)
    assert natsdb.query("select count(*) from seed", home).item() == 34
    assert natsdb.query(joined, home).item() > 0
    # One of the same name takes the place of natsdb's own.
    other = Attached("zero_cost", ("space", "arch"), (Measure("speed", "DOUBLE"),), 0)
    keep_attached(home, other, rows)
    assert natsdb.query("from zero_cost", home).columns == ["space", "arch", "speed"]
    with pytest.raises(NatsdbError, match="'zero_cost' is attached already"):
        keep_attached(home, other, rows)
    detach("zero_cost", home)
    assert len(natsdb.query("from zero_cost", home)) == 46_875
    with pytest.raises(Missing, match="no table 'zero_cost' is attached"):
        detach("zero_cost", home)
    assert not check(home).findings
    assert [table.name for table in open_with_builtin(home).manifest.attached] == [
        "help_latency",
        "hw_nas_bench",
        "mine",
        "zero_cost",
    ]
    assert [table.name for table in read_manifest(home).attached] == ["mine"]


def test_a_measure_of_another_data_set_of_the_same_images_counts() -> None:
    of = {
        dataset: natsdb.query(
            f"select value from measured('hw_nas_bench.edgegpu_latency') where dataset = '{dataset}' and arch = 7",
            BUILTIN,
        ).item()
        for dataset in ("cifar10", "cifar10-valid", "cifar100")
    }
    assert of["cifar10"] == of["cifar10-valid"] != of["cifar100"]
    with pytest.raises(NatsdbError, match="there is no measure fpga"):
        natsdb.query("from measured('fpga')", BUILTIN)


def test_a_command_in_an_empty_folder_answers(tmp_path: Path) -> None:
    environment = {**os.environ, "XDG_DATA_HOME": str(tmp_path), "HOME": str(tmp_path)}
    environment.pop("NATSDB_HOME", None)
    command = [sys.executable, "-m", "natsdb", "sql", "--format", "json"]
    asked = [*command, "select arch, accuracy from best('cifar100', 'x-test', '200', k := 1)"]
    done = subprocess.run(asked, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=120, check=True)
    assert json.loads(done.stdout) == [{"arch": 9930, "accuracy": pytest.approx(73.5133, abs=1e-4)}]
    assert done.stderr.count("\n") == 1
    assert "`natsdb ingest ARCHIVE` brings the rest" in done.stderr


def test_nothing_is_written_into_the_package(tmp_path: Path) -> None:
    before = sorted(BUILTIN.rglob("*"))
    rows = pa.table({"space": ["tss"], "arch": [1], "speed": [2.5]})
    mine = Attached("mine", ("space", "arch"), (Measure("speed", "DOUBLE"),), 0)
    (tmp_path / "link").symlink_to(BUILTIN)
    for home in (BUILTIN, tmp_path / "link"):
        with pytest.raises(NotWritable, match="natsdb's own database is only read"):
            keep_attached(home, mine, rows)
        natsdb.write_duckdb(tmp_path / "file.duckdb", home)
    assert sorted(BUILTIN.rglob("*")) == before


def test_a_database_of_the_users_that_lost_its_manifest_is_not_replaced(
    tmp_path: Path, official: dict[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    home = _home(tmp_path, monkeypatch)
    ingest([official["sss"]])
    (home / NAME).unlink()
    with pytest.raises(Missing, match="there is no natsdb database here"):
        natsdb.info()
