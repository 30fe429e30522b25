"""SQL through natsdb reads the database, and nothing else in the world."""

from __future__ import annotations

import re
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pyarrow as pa
import pytest

import natsdb
from databases import contents
from natsdb import connection, relation
from natsdb.connection import Connection
from natsdb.ingest import ingest
from natsdb.installed import Installed
from natsdb.relation import Relation
from natsdb.schema.errors import Damaged, Missing, NatsdbError
from natsdb.store.files import ListedFiles
from natsdb.store.snapshot import open_snapshot

WAITS = connection._WAITS


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
        ("from curve", "curve is a macro; call it in FROM, with its arguments: curve(space, arch, dataset, hp); "),
        ("select curve('tss')", "curve is a macro; call it in FROM, with its arguments: curve(space, arch, "),
        ("from arch_of", "arch_of is a macro; call it where a value stands, with its arguments: arch_of(space, text"),
        ("from final('tss')", "final is a table; name it without parentheses: from final"),
        ("from natsdb.final", "final is a table; name it alone, without a schema: from final"),
        ("select splt from runs join final using (arch)", "there is no column 'splt'; did you mean split? there are "),
        ("select r.top from final as r", "there is no column 'top'; did you mean top5? there are top5, "),
        ("select split from size", "there is no column 'split' in it; there are arch, "),
        ("select hp from (from arch)", "there is no column 'hp' in it; there are arch, "),
        ("select splt from best('cifar10', 'ori-test', '200')", "there is no column 'splt'; those most like it there "),
        ("selct 1", "syntax error"),
    ],
)
def test_a_wrong_name_is_answered_with_those_that_exist(real_db: Path, statement: str, answer: str) -> None:
    with pytest.raises(NatsdbError) as caught:
        natsdb.connect(real_db).sql(statement)
    assert str(caught.value).startswith(answer)


def test_columns_offered_are_those_of_the_tables_that_are_asked(real_db: Path) -> None:
    connection = natsdb.connect(real_db)
    with pytest.raises(NatsdbError) as caught:
        connection.execute("select split from topology")
    offered, _, others = str(caught.value).partition("; there are ")[2].partition("; ")
    assert sorted(offered.split(", ")) == sorted(connection.sql("from topology").columns)
    assert {"final", "metric"} <= set(others.removesuffix(" have one").split(", "))
    with pytest.raises(NatsdbError, match="there is no column 'splt'; those most like it there are "):
        connection.sql("from final").filter("splt = 1")


def _strange_names(kind: type) -> list[str]:
    return [name for name in dir(kind) if not name.startswith("_")]


def test_every_method_of_a_connection_is_allowed_on_purpose_or_refused(real_db: Path) -> None:
    locked = natsdb.connect(real_db)
    names = set(_strange_names(duckdb.DuckDBPyConnection))
    own = {name for name in vars(Connection) if not name.startswith("_")} & names
    assert names <= own | connection.ALLOWED | connection.REFUSED
    assert not connection.ALLOWED & connection.REFUSED
    assert {name for name in names if re.search("csv|parquet|json|extension|register_filesystem", name)} <= (
        connection.REFUSED
    )
    for name in names & connection.REFUSED:
        with pytest.raises(NatsdbError, match=f"{name} is not allowed on a locked connection"):
            getattr(locked, name)()


def test_every_method_of_a_relation_is_allowed_on_purpose_or_refused(real_db: Path) -> None:
    asked = natsdb.connect(real_db).sql("select arch, space from arch")
    names = set(_strange_names(duckdb.DuckDBPyRelation))
    # The statement of `query` is checked as any other.
    groups = (relation.DERIVE, relation.FETCH, relation.IN_MEMORY, frozenset({"query"}), relation.REFUSED)
    assert names <= frozenset.union(*groups)
    assert sum(map(len, groups)) == len(frozenset.union(*groups))
    assert {name for name in names if re.search("csv|parquet|json", name)} == names & relation.REFUSED
    for name in names & relation.REFUSED:
        with pytest.raises(NatsdbError, match=f"{name} is not allowed on a locked connection"):
            getattr(asked, name)("x")


# Called on every public method of connections and relations, so that whatever writes to a name that it is given writes.
_WRITES = (
    lambda target, text: (target,),
    lambda target, text: (text,),
    lambda target, text: ("v", text),
    lambda target, text: ("v", f"copy v to '{target}'"),
    lambda target, text: (text, target),
    lambda target, text: (f"true) ; {text}; --",),
    lambda target, text: (f"1; {text}",),
)


@pytest.mark.parametrize("where", ["beside", "inside", "listed"])
def test_no_method_writes_a_file(where: str, official: dict[str, Path], tmp_path: Path) -> None:
    ingest([official["sss"] / "000000.pickle.pbz2"], tmp_path / "db")
    listed = next(iter(natsdb.files("metric", tmp_path / "db")))
    target = {"beside": str(tmp_path / "new"), "inside": f"{tmp_path}/db/new", "listed": listed}[where]
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    copy = f"copy (select 1 as a) to '{target}'"
    locked = natsdb.connect(tmp_path / "db")
    asked = locked.sql("select 1 as a")
    attempts = [
        lambda: locked.execute(duckdb.connect().extract_statements(copy)[0]),
        lambda: locked.sql(locked.extract_statements(copy)[0]),
        lambda: locked.from_query(copy),
        lambda: locked.duplicate().execute(copy),
        lambda: locked.cursor().cursor().sql(copy),
        lambda: locked.cursor().execute("select 1").execute(copy),
        lambda: locked.cursor().begin().execute(copy),
        lambda: locked.from_df(asked.df()).query("v", copy),
        lambda: asked.filter("a = 1").write_parquet(target),
        lambda: asked.write_csv(target),
        lambda: asked.query("v", f"copy v to 'natsdb://{Path(listed).relative_to(tmp_path / 'db')}'"),
        lambda: locked.sql(f"from enable_logging(storage = 'file', storage_path = '{target}')").fetchall(),
    ]
    for attempt in attempts:
        with pytest.raises(NatsdbError):
            attempt()
    for name in _strange_names(duckdb.DuckDBPyConnection):
        if name not in ("close", "interrupt"):
            one = locked.cursor()
            for arguments in _WRITES:
                with suppress(Exception):
                    getattr(one, name)(*arguments(target, copy))
    for name in _strange_names(duckdb.DuckDBPyRelation):
        for arguments in _WRITES:
            with suppress(Exception):
                found = getattr(asked, name)(*arguments(target, copy))
                if isinstance(found, Relation):
                    found.fetchall()
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before
    assert natsdb.query("select count(*) from metric", db=tmp_path / "db").item() > 0
    assert locked.sql("select count(*) from metric").fetchall()[0][0] > 0


def test_relations_compute_as_duckdbs_do(real_db: Path) -> None:
    locked = natsdb.connect(real_db)
    arch = locked.sql("select arch, space from arch where arch < 6")
    tss = arch.filter("space = 'tss'").project("arch, arch % 2 as odd").order("arch desc")
    assert tss.fetchall() == [(arch, arch % 2) for arch in range(5, -1, -1)]
    assert tss.set_alias("mine").join(arch.set_alias("every"), "arch").aggregate("count(*) as n").pl().item() == 12
    assert sorted(arch.union(arch).arch.distinct().fetchall()) == [(arch,) for arch in range(6)]
    assert (len(arch), arch.columns, "space" in arch) == (12, ["arch", "space"], True)
    assert pl.DataFrame(arch).height == pa.table(arch).num_rows == 12
    assert "space" in repr(arch)
    assert arch._repr_mimebundle_()["text/plain"]
    tss.to_table("mine")
    locked.sql("select 7 as arch, 1 as odd").insert_into("mine")
    assert locked.table("mine").query("v", "select max(arch) from v").fetchall() == [(7,)]
    assert isinstance(locked.table("mine").limit(1), Relation)


@pytest.mark.parametrize(
    "fetch",
    [
        lambda relation: relation.fetchall(),
        lambda relation: relation.pl(),
        lambda relation: relation.df(),
        lambda relation: relation.filter("true").fetchone() if hasattr(relation, "fetchone") else relation.fetchall(),
        lambda relation: relation.fetch_record_batch(10).read_all(),
        lambda relation: list(relation.fetch_record_batch(10)),
        lambda relation: relation.distinct().fetchall(),
        lambda relation: relation.query("v", "select * from v").to_arrow_table(),
    ],
)
def test_an_error_in_fetching_is_one_sentence(fetch: Any, real_db: Path) -> None:
    asked = natsdb.connect(real_db).sql("select arch, case when arch > 15000 then error('boom') end from arch")
    with pytest.raises(NatsdbError, match=r"^boom; "):
        fetch(asked)


def test_pragmas_that_read_are_allowed(real_db: Path) -> None:
    locked = natsdb.connect(real_db)
    assert locked.execute("pragma table_info('seed')").fetchall()[0][1] == "source"
    assert locked.sql("describe metric").fetchall()
    with pytest.raises(NatsdbError, match="PRAGMA is not allowed"):
        locked.execute("pragma enable_profiling")


def test_a_failed_transaction_is_explained(real_db: Path) -> None:
    locked = natsdb.connect(real_db)
    locked.begin()
    for _ in range(2):
        with pytest.raises(NatsdbError):
            locked.execute("select nothing from metric")
    locked.rollback()
    assert locked.execute("select 1").fetchone() == (1,)


def test_a_damaged_file_says_so(official: dict[str, Path], tmp_path: Path) -> None:
    ingest([official["sss"] / "000000.pickle.pbz2"], tmp_path / "db")
    path = Path(natsdb.files("metric", tmp_path / "db")[0])
    data = bytearray(path.read_bytes())
    data[-20] ^= 1
    path.write_bytes(data)
    with pytest.raises(Damaged, match="metric"):
        natsdb.connect(tmp_path / "db").sql("select sum(accuracy) from metric").fetchall()
    path.unlink()
    with pytest.raises(Damaged, match="metric"):
        natsdb.connect(tmp_path / "db")


def test_an_error_is_not_taken_for_that_of_another_query(official: dict[str, Path], tmp_path: Path) -> None:
    home = tmp_path / "db"
    ingest([official["sss"] / "000000.pickle.pbz2"], home)
    snapshot = open_snapshot(home)
    files = ListedFiles(snapshot)
    path = snapshot.manifest.files("metric")[0]
    (home / path).unlink()
    with pytest.raises(Damaged, match="metric"):
        files.open(path)  # as a thread of DuckDB's does whose query has failed by another file already
    with (
        Connection(duckdb.connect(), files, snapshot, Installed([])) as locked,
        pytest.raises(Missing, match="there is no table or macro 'nowhere'"),
    ):
        locked.sql("from nowhere")


@pytest.mark.parametrize(
    "statement",
    [
        "from '{file}'",
        'from "{file}"',
        "from '{file}.parquet'",
        "from read_text('{file}')",
        "from glob('{file}')",
        "from query_table('{file}')",
        "create table mine as from '{file}.csv'",
    ],
)
def test_a_file_that_sql_names_is_refused_in_one_sentence(statement: str, real_db: Path, tmp_path: Path) -> None:
    file = tmp_path / "a file"
    file.write_text("a,b\n1,2\n")
    with pytest.raises(NatsdbError) as found:
        natsdb.query(statement.format(file=file), real_db)
    said = re.fullmatch(
        r"'(.*)' is a file: SQL through natsdb reads the database and nothing else; read files with polars or pandas, "
        r"and give the frame to `connect\(tables=…\)`; natsdb\.connect\(unlocked=True\) is plain DuckDB",
        str(found.value),
    )
    assert said
    assert said[1].startswith(str(file))


def test_spilled_rows_go_into_the_temporary_folder(real_db: Path, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.chdir(tmp_path)
    locked = natsdb.connect(real_db, memory_limit="100MB", threads=1)
    where = Path(locked.execute("select current_setting('temp_directory')").fetchall()[0][0])
    assert where.parent == Path(tempfile.gettempdir())
    locked.execute("create table many as select i, repeat(i::varchar, 20) as text from range(2000000) as one (i)")
    assert any(where.iterdir())
    assert locked.sql("select count(*) from many").fetchall() == [(2_000_000,)]
    assert list(tmp_path.iterdir()) == []
    assert locked.execute("select current_setting('threads')").fetchall() == [(1,)]


@pytest.mark.parametrize(
    ("statement", "answer"),
    [
        ("from query_table('metrc')", "there is no table or macro 'metrc'; did you mean metric?"),
        ("select acuracy from metric", "there is no column 'acuracy'; did you mean accuracy?"),
    ],
)
def test_what_does_not_exist_is_missing(statement: str, answer: str, real_db: Path) -> None:
    with pytest.raises(Missing) as caught:
        natsdb.connect(real_db).sql(statement)
    assert str(caught.value).startswith(answer)


def test_a_macro_says_its_arguments(real_db: Path) -> None:
    with pytest.raises(NatsdbError, match=r"^best takes other arguments: dataset, split, hp, "):
        natsdb.connect(real_db).sql("from best('cifar10')")


def test_what_is_named_anywhere_in_a_question_is_made(real_db: Path) -> None:
    for asked in ("select '--' as dashes, count(*) from runs", "select /* -- */ count(*) from runs"):
        assert natsdb.connect(real_db).sql(asked).fetchall()
    one = natsdb.connect(real_db).sql("select 'tss' as space")
    assert one.filter(duckdb.SQLExpression("space in (select space from arch)")).fetchall() == [("tss",)]
    one = natsdb.connect(real_db).sql("select 'tss' as space")
    of = duckdb.FunctionExpression("archs_of", duckdb.ColumnExpression("space"))
    assert one.select(of).fetchall() == [(15_625,)]
    with pytest.raises(NatsdbError, match="set-99"):
        natsdb.connect(real_db).sql("from read_parquet('natsdb://set-99/*')")


@pytest.mark.filterwarnings("ignore:Arrow output on a DB-API result")
@pytest.mark.parametrize("by_way_of_arrow", [True, False][: 1 if WAITS else 2])
def test_parameters_leave_an_answers_types(real_db: Path, monkeypatch: Any, by_way_of_arrow: bool) -> None:
    monkeypatch.setattr(connection, "_WAITS", by_way_of_arrow)
    con = natsdb.connect(real_db)
    ask = (
        "select sum(epoch) as summed, [sum(epoch)] as several, dataset::enum('cifar10', 'cifar100') as e, {{'a': {0}}} "
        'as "a ""b", uuid \'00000000-0000-0000-0000-000000000001\' as u, null as nothing, arch '
        "from curves where dataset = {0} group by dataset, arch order by arch"
    )
    there, expected = con.sql(ask.format("?"), params=["cifar100"] * 2), con.sql(ask.format("'cifar100'"))
    assert (there.columns, there.types) == (expected.columns, expected.types)
    assert there.fetchall() == expected.fetchall() != []
    assert con.sql("select $a as a", params={"a": 1}, alias="one").alias == "one"
    assert con.sql("select 1 as a, 2 as a, ? as A", params=[3]).fetchall() == [(1, 2, 3)]
    if by_way_of_arrow == WAITS:  # as this DuckDB is asked: what Arrow would change, and types that SQL cannot write
        odd = con.sql("select '10101'::bit as b, '12:00:00+05'::timetz as t, row(1, 2) as r, ? as p", params=[1])
        same = con.sql("select '10101'::bit as b, '12:00:00+05'::timetz as t, row(1, 2) as r, 1 as p")
        assert (odd.types, odd.fetchall()) == (same.types, same.fetchall())
    for params in ([], {}):
        assert con.sql("select count(*) from arch where space = 'tss'", params=params).fetchall() == [(15_625,)]
    if WAITS:  # a newer DuckDB refuses parameters of nothing
        assert not con.sql("-- nothing", params=[1])
    con.sql("create temp table mine as select ? as a", params=[7])
    assert con.sql("from mine").fetchall() == [(7,)]
    with pytest.raises(NatsdbError, match="no table or macro 'nothing'"):
        con.sql("from nothing where a = ?", params=[1])


@pytest.mark.slow
def test_a_question_with_parameters_never_waits_forever(real_db: Path) -> None:
    code = (
        "import sys, natsdb; con = natsdb.connect(sys.argv[1], threads=8)\n"
        "for e in range(3000): con.sql('select arch from metric where epoch >= ? limit 5', params=[e % 3]).pl()\n"
        "for e in range(3000): con.sql('select arch from metric where epoch >= 1 limit 5', params=[]).pl()"
    )
    subprocess.run([sys.executable, "-c", code, str(real_db)], check=True, timeout=600)
