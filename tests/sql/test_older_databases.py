"""Databases that every earlier version wrote are read, alone and beside rows of today."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import natsdb
from natsdb import api
from natsdb.schema.catalogue import catalogue_tables
from natsdb.schema.tables import TABLES
from natsdb.sql import VIEWS
from sources import add_run

DATA = Path(__file__).parents[1] / "data"
MACROS = (
    "best('cifar100', 'x-test', '12', space := 'sss')",
    "pareto('cifar100', 'x-test', '12', 'flops', space := 'sss')",
    "front(['accuracy', 'params', 'flops:max'], 'cifar100', 'x-test', '12', space := 'sss')",
    "curve('sss', 3, 'cifar100', '12')",
    "simulated('sss', 'cifar100', '12', 5)",
    "more_info('sss', 3, 'cifar100', '12')",
    "paired('synthetic', 'synthetic')",
    "agreement('synthetic', 'synthetic')",
    "rank_correlation('cifar100', '12', '90', space := 'sss')",
    "neighbours('tss', 3)",
)


@pytest.fixture(params=["format-1", "format-1-without-searches"])
def older(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A database of format 1; its two large tables of the catalogue, which the zip lacks, are computed."""
    home = tmp_path / "db"
    with zipfile.ZipFile(DATA / f"{request.param}.zip") as file:
        file.extractall(home)
    manifest = next(home.rglob("natsdb.json"))
    home = manifest.parent
    text = manifest.read_text()
    for name in ("arch", "arch_cost"):
        path = home / name / f"{name}.parquet"
        path.parent.mkdir(exist_ok=True)
        pq.write_table(catalogue_tables()[name], path)
        head, _, tail = text.partition(f'"{name}/{name}.parquet"')
        size, _, rest = tail.partition('"bytes": ')[2].partition("}")
        assert size.strip().isdigit()
        before = tail.partition('"bytes": ')[0]
        text = f'{head}"{name}/{name}.parquet"{before}"bytes": {path.stat().st_size}}}{rest}'
    manifest.write_text(text)
    return home


def test_every_table_view_and_macro_of_an_older_database_is_read(older: Path) -> None:
    with natsdb.connect(older) as connection:
        for name in (*TABLES, *VIEWS, *MACROS):
            rows = connection.sql(f"from {name}").fetchall()
            assert rows or name.startswith(("search", "trajectory", "multi_objective", "front")), name
        assert connection.sql("select distinct reduced from seed").fetchall() == [(None,)]
    for name in TABLES:
        assert natsdb.scan(name, older).collect().columns == [column.name for column in TABLES[name].columns]


def test_rows_of_today_lie_beside_those_of_an_older_database(older: Path) -> None:
    before = natsdb.query("from mean_final order by all", older)
    add_run(older, 1030, "cifar10", space="sss", seed=7, accuracy=40.0, images=512)
    add_run(older, 3, space="sss", seed=7, source="mine", accuracy=50.0)
    said = natsdb.query("select distinct reduced from seed order by 1 nulls first", older)["reduced"].to_list()
    assert said == [None, False, True]
    # One's own records count before generated ones, and so do reduced ones.
    after = natsdb.query("from mean_final order by all", older)
    changed = {row[:4] for row in {*before.rows()} ^ {*after.rows()}}
    assert changed == {("sss", "12", 1030, "cifar10"), ("sss", "12", 3, "cifar100")}
    ask = "select accuracy, source from best('cifar100', 'x-test', '12', space := 'sss') where arch = 3"
    assert natsdb.query(ask, older).rows() == [(50.0, "mine")]
    handle = api.create(str(older), "sss", fast_mode=True, verbose=False)
    assert handle.get_more_info(3, "cifar100", hp="12", is_random=False)["test-accuracy"] == 50.0
    assert handle.get_more_info(1030, "cifar10", hp="12", is_random=False)["test-accuracy"] == 40.0
