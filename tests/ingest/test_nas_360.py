"""Data sets that natsdb does not know: records bring them, the database keeps them, whoever opens it knows them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

import archives
import natsdb
from natsdb.api import create
from natsdb.ingest import blocks, export, ingest, verify
from natsdb.schema import datasets
from natsdb.schema.datasets import DATASETS, DataSet, searched
from natsdb.schema.errors import NatsdbError
from natsdb.store.snapshot import data_set_of, read_manifest

ARCHS = range(0, 30, 3)


def _forget() -> None:
    for name in [one.name for one in datasets.added()]:
        del DATASETS[name]
    blocks._templates.clear()
    searched.cache_clear()


@pytest.fixture(autouse=True)
def forgotten() -> Iterator[None]:
    """Each test knows natsdb's own data sets only, and leaves no others behind."""
    _forget()
    yield
    _forget()


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return archives.write_nas_360(tmp_path_factory.mktemp("nas-360") / "NATS-tss-v1_0-ninapro-simple", ARCHS)


@pytest.fixture
def home(folder: Path, tmp_path: Path) -> Path:
    ingest([folder], tmp_path / "db", source="nas-bench-360")
    _forget()
    return tmp_path / "db"


def test_a_data_set_by_its_name_is_the_databases(home: Path, tmp_path: Path) -> None:
    with pytest.raises(NatsdbError, match="there is no data set 'ninapro'"):
        data_set_of("ninapro", tmp_path / "none")
    assert data_set_of("ninapro", home).classes == 18


def test_sql_handle_and_info_know_them_from_the_database(folder: Path, home: Path) -> None:
    best = natsdb.query("from best('ninapro', 'ori-test', '200', k := 2)", home)
    assert best.select("arch", "accuracy").rows() == [(27, 50.0 + 27 / 8), (24, 53.0)]
    rows = natsdb.query("from dataset where dataset in ('darcy', 'ninapro') order by all", home)
    assert rows.select("dataset", "split", "classes", "image_size", "images").rows() == [
        ("darcy", "ori-test", 1, None, None),
        ("darcy", "train", 1, None, None),
        ("ninapro", "ori-test", 18, None, None),
        ("ninapro", "train", 18, None, None),
    ]
    info = natsdb.query("from more_info('tss', 3, 'darcy', '200')", home).row(0, named=True)
    assert info["test-accuracy"] == 51.0 + 3 / 8
    assert (
        natsdb.query("from rank_correlation('darcy', '200', '200', dataset_b := 'ninapro')", home)["spearman"].item()
        == 1
    )
    api = create(str(home), "tss", fast_mode=True, verbose=False)
    official = archives.nas_360_record(6)["200"]["all_results"]["ninapro", 777]
    assert api.get_more_info(6, "ninapro", hp="200")["test-accuracy"] == official["eval_acc1es"]["ori-test@199"]
    assert api.find_best("ninapro", "ori-test", hp="200") == (27, 50.0 + 27 / 8)
    assert "ninapro" in api.query_info_str_by_arch(6, "200")
    assert api.get_net_config(6, "ninapro")["num_classes"] == 18
    assert natsdb.info(home)
    assert (verify(folder, home, name="nas-bench-360").count, searched()) == (
        0,
        ("cifar10", "cifar100", "ImageNet16-120"),
    )
    back = export(home.parent / "back", "tss", home, source="nas-bench-360")
    assert verify(back, home, name="nas-bench-360").count == 0


def test_another_process_knows_them_without_code_of_the_user(home: Path) -> None:
    ask = "from best('darcy', 'ori-test', '200', k := 1)"
    code = f"import natsdb; print(natsdb.query({ask!r}, {str(home)!r})['arch'].item())"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "27\n"


def test_the_single_file_and_processes_bring_them_too(folder: Path, home: Path, tmp_path: Path) -> None:
    records = {arch: archives.nas_360_record(arch) for arch in ARCHS}
    single = archives.write_single(tmp_path, "tss", records)
    ingest([single], tmp_path / "single")
    _forget()
    ingest([archives.write_nas_360(tmp_path / "two", [5, 1030])], tmp_path / "two-blocks", jobs=2)
    assert {one.name for one in read_manifest(tmp_path / "single").datasets} == {"darcy", "ninapro"}
    count = "select count(*) from seed where dataset = 'ninapro'"
    assert natsdb.query(count, tmp_path / "two-blocks").item() == 2


def test_what_the_user_says_of_them_counts(folder: Path, home: Path, tmp_path: Path) -> None:
    split = datasets.Split(659, "NinaPro's test recordings")
    mine = DataSet("ninapro", "ninapro", 18, 52, {"ori-test": split}, (0.0,) * 3, (1.0,) * 3)  # type: ignore[arg-type]
    datasets.register(mine)
    # A record with one known data set beside another is not trusted.
    with pytest.raises(
        NatsdbError, match="a data set is one of cifar10-valid, cifar10, cifar100, ImageNet16-120, ninapro"
    ):
        ingest([folder], tmp_path / "mine")
    with pytest.raises(
        NatsdbError, match="its data set 'ninapro' is another one than that which is registered in this"
    ):
        natsdb.query("from dataset", home)
    _forget()
    datasets.register(replace(mine))
    datasets.register(replace(mine, name="darcy", short="darcy"))
    ingest([folder], tmp_path / "mine")
    rows = natsdb.query("select dataset, images from dataset where dataset in ('darcy', 'ninapro')", tmp_path / "mine")
    assert set(rows.rows()) == {("ninapro", 659), ("darcy", 659)}


def test_a_misspelt_name_beside_known_ones_is_no_data_set(tmp_path: Path) -> None:
    found = archives.nas_360_record(0)
    result = found["200"]
    result["all_results"] = {
        ("cifar10" if key[0] == "darcy" else key[0], 777): run for key, run in result["all_results"].items()
    }
    assert datasets.learnt(found) == ()
    assert datasets.learnt({"200": {"all_results": {1: 2}}}) == ()
    assert [one.name for one in datasets.learnt(archives.nas_360_record(0))] == ["ninapro", "darcy"]
