"""Two sources compared."""

from __future__ import annotations

import bz2
import pickle
import shutil
import statistics
from functools import cache
from pathlib import Path

import polars as pl
import pytest
from polars.testing import assert_frame_equal
from typer.testing import CliRunner

import archives
import natsdb
from natsdb.cli import app
from natsdb.compare import compare, published
from natsdb.ingest import ingest
from natsdb.schema.errors import NatsdbError


@pytest.fixture(scope="module")
def two(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of made-up sizes 0 to 11 as official, and of 6 to 17, drawn anew, as regenerated. Read only."""
    folder = tmp_path_factory.mktemp("two")
    archives.write_folder(folder / "first", "sss", range(12))
    ingest([folder / "first"], folder / "db")
    (folder / "second").mkdir()
    for arch in range(6, 18):
        raw = bz2.compress(pickle.dumps(archives.record("sss", arch, seed=1), protocol=4))
        (folder / "second" / f"{arch:06d}.pickle.pbz2").write_bytes(raw)
    ingest([folder / "second"], folder / "db", source="regenerated")
    return folder / "db"


_record = cache(archives.record)


def _final(arch: int, seed: int, hp: str, dataset: str, split: str) -> float:
    runs = _record("sss", arch, seed=seed)[hp]["all_results"]
    mine = [run for (of, _), run in runs.items() if of == dataset]
    return statistics.fmean(run["eval_acc1es"][f"{split}@{run['epochs'] - 1}"] for run in mine)


def _ranks(values: list[float]) -> list[float]:
    return [sum(v < value for v in values) + (sum(v == value for v in values) + 1) / 2 for value in values]


@pytest.mark.parametrize("other_hp", [None, "90"])
def test_figures_equal_those_computed_from_the_records(two: Path, other_hp: str | None) -> None:
    frame = compare(two, other_hp=other_hp)
    # Schedules of sss, and the splits of the four data sets; never of training.
    assert len(frame) == 3 * (2 + 1 + 3 + 3)
    for row in frame.to_dicts():
        key = (row["dataset"], row["split"])
        mine = [_final(arch, 1, row["hp"], *key) for arch in range(6, 12)]
        theirs = [_final(arch, 0, other_hp or row["hp"], *key) for arch in range(6, 12)]
        assert row["archs"] == 6
        assert row["spearman"] == pytest.approx(statistics.correlation(_ranks(mine), _ranks(theirs)), abs=1e-12)
        differences = [a - b for a, b in zip(mine, theirs, strict=True)]
        assert row["mean_difference"] == pytest.approx(statistics.fmean(differences), abs=1e-9)
        assert row["mean_distance"] == pytest.approx(statistics.fmean(map(abs, differences)), abs=1e-9)


def test_a_source_agrees_with_itself(two: Path) -> None:
    frame = compare(two, other="regenerated")
    assert frame["spearman"].to_list() == pytest.approx([1.0] * len(frame))
    assert set(frame["mean_difference"]) == {0.0}
    assert set(frame["archs"]) == {12}


def test_published_tables_of_both_forms_are_taken(two: Path, tmp_path: Path) -> None:
    rows = natsdb.query("select * from mean_by_source where source = 'official'", two)
    rows.drop("source", "seeds").write_parquet(tmp_path / "long.parquet")
    assert_frame_equal(compare(two, other=tmp_path / "long.parquet"), compare(two))
    valid = rows.filter(hp="12", dataset="cifar10-valid", split="x-valid")
    test = rows.filter(hp="12", dataset="cifar100", split="x-test").select("arch", cifar100_test="accuracy")
    wide = valid.select("space", "hp", "arch", cifar10_val="accuracy").join(test, on="arch")
    wide.write_parquet(tmp_path / "wide.parquet")
    found, every = compare(two, other=tmp_path / "wide.parquet"), compare(two)
    assert found["split"].to_list() == ["x-valid", "x-test"]
    same = every.join(found, on=["space", "hp", "dataset", "split"], how="semi")
    assert_frame_equal(found, same)


def test_the_published_means_agree_with_the_official_files(test_data: Path, real_db: Path) -> None:
    frame = compare(real_db, source="official", other=test_data / "published" / "tss_hp12_means.parquet")
    assert frame["archs"].to_list() == [2] * 6
    assert frame["mean_distance"].max() < 1e-6
    final = published(test_data / "published" / "tss_hp200_final_per_seed.parquet")
    assert len(final) == 3 * 15_625


def test_a_plot_is_drawn(two: Path, tmp_path: Path) -> None:
    arguments = ["compare", "--db", str(two), "--plot", str(tmp_path / "a.png")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert result.stdout.count("ImageNet16-120") == 9
    assert (tmp_path / "a.png").read_bytes()[:4] == b"\x89PNG"


def test_nothing_in_common_is_one_sentence(two: Path, tmp_path: Path) -> None:
    with pytest.raises(NatsdbError, match=r"regenerated and mine have no .* in common; there are official at hp 01"):
        compare(two, other="mine")
    pl.DataFrame({"arch": [1], "accuracy": [1.0]}).write_parquet(tmp_path / "a.parquet")
    with pytest.raises(NatsdbError, match="it has the columns arch, accuracy; a published table has space, hp"):
        compare(two, other=tmp_path / "a.parquet")
    with pytest.raises(NatsdbError, match="the Parquet file cannot be read"):
        compare(two, other=tmp_path / "none.parquet")


def test_a_table_that_is_ingested_already_counts_once(two: Path, tmp_path: Path) -> None:
    home = tmp_path / "db"
    shutil.copytree(two, home)
    rows = natsdb.query("select * from mean_by_source where source = 'official'", two)
    rows.drop("source", "seeds").write_parquet(tmp_path / "table.parquet")
    once = compare(home, other=tmp_path / "table.parquet")
    ingest([tmp_path / "table.parquet"], home)
    assert_frame_equal(compare(home, other=tmp_path / "table.parquet"), once)
