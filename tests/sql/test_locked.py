"""SQL through natsdb reads the database, and nothing else in the world."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

import natsdb
from databases import contents
from natsdb.schema.errors import NatsdbError


@pytest.mark.parametrize(
    "statement",
    [
        "copy (select 1) to '{db}/new.parquet'",
        "copy (select 1) to '{db}/new.csv' (format csv)",
        "copy metric to '{outside}/new.parquet'",
        "explain analyze copy (select 1) to '{db}/new.parquet'",
        "prepare p as copy (select 1) to '{db}/new.parquet'",
        "select 1; copy (select 1) to '{db}/new.parquet'",
        "export database '{db}/new'",
        "attach '{db}/new.duckdb'",
        "attach '{outside}/new.duckdb'",
        "install httpfs",
        "load httpfs",
        "select * from read_csv('{outside}/secret.csv')",
        "select * from '{outside}/secret.csv'",
        "select * from read_text('{db}/../secret.csv')",
        "select * from read_csv('https://example.org/x.csv')",
        "set enable_external_access = true",
        "set allowed_directories = ['/']",
        "reset lock_configuration",
        "call enable_logging(storage = 'file', storage_path = '{db}')",
        "create persistent secret s (type s3)",
        "pragma import_database('{outside}')",
    ],
)
def test_sql_neither_writes_nor_reads_elsewhere(statement: str, real_db: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.csv").write_text("a\n1\n")
    before = contents(real_db)
    connection = natsdb.connect(real_db)
    with pytest.raises(NatsdbError):
        connection.execute(statement.format(db=real_db, outside=tmp_path))
    assert contents(real_db) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["secret.csv"]


def test_tables_and_views_of_ones_own_live_in_memory(real_db: Path) -> None:
    connection = natsdb.connect(real_db)
    connection.execute("create table mine as select arch from arch where space = 'tss' limit 3")
    connection.execute("insert into mine values (7)")
    assert connection.execute("explain select * from mine").fetchall()
    assert connection.sql("select count(*) from mine").fetchall()[0] == (4,)


def test_a_cursor_is_locked_too(real_db: Path) -> None:
    with pytest.raises(NatsdbError, match="COPY is not allowed"):
        natsdb.connect(real_db).cursor().execute(f"copy (select 1) to '{real_db}/new.parquet'")


def test_an_unlocked_connection_is_plain_duckdb(real_db: Path, tmp_path: Path) -> None:
    connection = natsdb.connect(real_db, unlocked=True)
    assert isinstance(connection, duckdb.DuckDBPyConnection)
    connection.execute(f"copy (from best('cifar10', 'ori-test', '200')) to '{tmp_path}/best.csv'")
    assert (tmp_path / "best.csv").read_text().startswith("place,arch,accuracy")


@pytest.mark.parametrize(
    ("statement", "answer"),
    [
        ("select * from metrc", "there is no table or macro 'metrc'; did you mean metric? there are metric, "),
        ("select acuracy from metric", "there is no column 'acuracy'; did you mean accuracy? there are accuracy, "),
        (
            "from curv('tss', 0, 'cifar10', '12')",
            "there is no table or macro 'curv'; did you mean curve? there are curve, ",
        ),
        ("selct 1", "syntax error"),
    ],
)
def test_a_wrong_name_is_answered_with_those_that_exist(real_db: Path, statement: str, answer: str) -> None:
    with pytest.raises(NatsdbError) as caught:
        natsdb.connect(real_db).sql(statement)
    assert str(caught.value).startswith(answer)
