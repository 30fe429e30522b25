"""Asking: rows as a stream into files and onto the terminal, the prompt, frames of one's own, scans."""

from __future__ import annotations

import io
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq
import pytest
from prompt_toolkit.application import create_app_session
from prompt_toolkit.completion import CompleteEvent
from prompt_toolkit.document import Document
from prompt_toolkit.history import InMemoryHistory
from prompt_toolkit.input import create_pipe_input
from prompt_toolkit.output import DummyOutput
from typer.testing import CliRunner

import natsdb
from natsdb.cli import app
from natsdb.cli.answers import Format, first_rows, save_answer, table, write_answer
from natsdb.cli.prompt import Names, prompt
from natsdb.ingest import ingest
from natsdb.schema.errors import Missing, NatsdbError, NotWritable
from natsdb.schema.tables import TABLES
from natsdb.store.locations import BUILTIN
from natsdb.store.manifest import with_parts
from natsdb.store.snapshot import read_manifest
from natsdb.store.versions import drop, publish_manifest, vacuum

COMMAND = [sys.executable, "-c", "from natsdb.cli import app; app()"]
NESTED = (
    "select 1 as one, {'a': 1, 'b': [1.5, null]} as s, [[1], [2, 3]] as n, [{'x': 'ä'}] as t, [1, 2] as l, null as z"
)


def _run(*arguments: Any) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, list(map(str, arguments)))
    return done.exit_code, done.stdout, done.stderr


# Frames of one's own.


@pytest.mark.parametrize(
    "make",
    [lambda frame: frame, lambda frame: frame.lazy(), lambda frame: frame.to_pandas(), lambda frame: frame.to_arrow()],
    ids=["polars", "lazy", "pandas", "arrow"],
)
def test_frames_of_ones_own_are_tables(make: Any, real_db: Path) -> None:
    mine = make(pl.DataFrame({"arch": [0, 11], "mark": ["a", "b"]}))
    ask = "select mark, count(*) as n from mine join mean_final using (arch) group by all order by all"
    assert natsdb.query(ask, db=real_db, mine=mine)["mark"].to_list() == ["a", "b"]
    with natsdb.connect(real_db, tables={"mine": mine}) as connection:
        assert connection.cursor().sql("select sum(arch) from mine").fetchall() == [(11,)]


def test_a_frame_that_is_none_or_takes_a_name_of_ours_is_refused(real_db: Path) -> None:
    with pytest.raises(NatsdbError, match="'metric' is a table of natsdb's"):
        natsdb.connect(real_db, tables={"metric": pl.DataFrame({"a": [1]})})
    with pytest.raises(NatsdbError, match=r"'mine' cannot be a table: it is a builtins.int; give a polars"):
        natsdb.query("from mine", db=real_db, mine=3)


def test_parameters_and_the_database_go_in_any_way(real_db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ask = "select count(*) from arch where space = "
    assert natsdb.query(ask + "?", ["tss"], real_db).item() == 15_625
    assert natsdb.query(ask + "$space", {"space": "sss"}, real_db).item() == 32_768
    assert natsdb.query(ask + "'tss'", real_db).item() == natsdb.query(ask + "'tss'", str(real_db)).item() == 15_625
    monkeypatch.setenv("NATSDB_HOME", str(real_db))
    assert natsdb.query(ask + "?", ["tss"]).item() == 15_625
    with pytest.raises(NatsdbError, match="parameters are a list or a dictionary"):
        natsdb.query(ask + "?", "tss", real_db)


@pytest.mark.parametrize("statement", ["", "  ", "/* nothing */"])
def test_a_statement_without_an_answer_is_an_error(statement: str, real_db: Path) -> None:
    with pytest.raises(NatsdbError, match="the statement has no answer"):
        natsdb.query(statement, real_db)
    code, _, err = _run("sql", statement, "--db", real_db)
    assert (code, err.count("\n")) == (1, 1)


def test_a_setting_that_duckdb_does_not_know_is_one_sentence(real_db: Path) -> None:
    with pytest.raises(NatsdbError):
        natsdb.connect(real_db, memory_limit="much")


# Answers as streams.


def test_structs_and_nested_lists_go_into_csv_as_json(real_db: Path, tmp_path: Path) -> None:
    with natsdb.connect(real_db) as connection:
        save_answer(connection.sql(NESTED), Format.csv, tmp_path / "a.csv")
    (row,) = pl.read_csv(tmp_path / "a.csv").to_dicts()
    assert (row["one"], row["l"], row["z"]) == (1, "1 2", None)
    assert [json.loads(row[name]) for name in "snt"] == [{"a": 1, "b": [1.5, None]}, [[1], [2, 3]], [{"x": "ä"}]]
    code, out, _ = _run("sql", NESTED, "--db", real_db)
    assert code == 0
    assert '{"a": 1, "b": [1.5, null]}' in out


@pytest.mark.parametrize("rows", [0, 1, 70_000])
def test_an_answer_of_several_batches_is_written_whole(rows: int, real_db: Path, tmp_path: Path) -> None:
    ask = f"select i, i % 7 as mod, 'a' || i as text from range({rows}) as one (i) order by i"
    told: list[int] = []
    with natsdb.connect(real_db) as connection:
        expected = connection.sql(ask).pl()
        for format in (Format.csv, Format.json, Format.parquet):
            save_answer(connection.sql(ask), format, tmp_path / format, told.append)
    assert pl.read_parquet(tmp_path / "parquet").equals(expected)
    assert json.loads((tmp_path / "json").read_text()) == expected.to_dicts()
    assert (tmp_path / "csv").read_text() == expected.write_csv()
    assert max(told, default=0) == rows
    assert sorted(path.name for path in tmp_path.iterdir()) == ["csv", "json", "parquet"]


def test_the_first_rows_are_shown_and_the_others_counted(real_db: Path) -> None:
    with natsdb.connect(real_db) as connection:
        ask = "select i from range({}) as one (i)".format
        assert first_rows(connection.sql(ask(60))).splitlines()[-1].strip() == "59"
        assert first_rows(connection.sql(ask(1_061))).endswith("59\n(1,001 more rows: --format csv shows all)\n")
        # Its end would come after minutes.
        endless = connection.sql("select a.range from range(1000000000) as a, range(1000) as b")
        assert first_rows(endless).endswith("\n(more than 100,000 more rows: --format csv shows all)\n")


def test_an_answer_of_numbers_and_texts_is_shown_without_what_takes_long_to_load() -> None:
    ask = "import sys; from natsdb.cli import app; app(sys.argv[1:], standalone_mode=False); print(*sys.modules)"
    words = ["sql", "from best('cifar100', 'x-test', '200', k := 1)", "--db", str(BUILTIN)]
    out = subprocess.run([sys.executable, "-c", ask, *words], capture_output=True, text=True, check=True).stdout
    assert "9930   73.5133" in out
    assert not {"pyarrow", "polars", "pandas"} & set(out.splitlines()[-1].split())


def test_plain_values_look_as_those_of_arrow() -> None:
    plain = (
        "select -1::tinyint a, 2::hugeint b, 3::ubigint c, 1.5::float d, 0.1::float e, 1.25::decimal(5, 2) f, "
        "10::decimal(18, 0) g, 'ä' || chr(10) || 'b' t, true u, null::integer n, 1e300 x, 'nan'::double y, sum(i) s, "
        "count(*) m from range(5) as r (i)"
    )
    with natsdb.connect(BUILTIN) as connection:
        shown = first_rows(connection.sql(plain))
        # A list among them is read by Arrow.
        other = first_rows(connection.sql(f"select *, [1] as l from ({plain})"))
    assert [line.rstrip() for line in shown.splitlines()] == [
        line.removesuffix(end).rstrip() for line, end in zip(other.splitlines(), ("l", "───", "1"), strict=True)
    ]


def test_best_shows_a_measure_where_one_is_asked_for() -> None:
    best = "best('cifar100', 'x-test', '200', k := 2{})".format
    with natsdb.connect(BUILTIN) as connection:
        connection.register("mine", pl.DataFrame({"measured": [None, None]}, schema={"measured": pl.Float64}))
        for ask, shown in (
            (f"from {best('')}", False),
            (f"from {best(', measure := null')}", True),
            (f"select arch, measured from {best('')}", True),
            ("from mine", True),
        ):
            assert ("measured" in first_rows(connection.sql(ask)).splitlines()[0]) is shown


def test_an_error_after_the_first_rows_leaves_no_file(real_db: Path, tmp_path: Path) -> None:
    ask = "select case when i = 90000 then error('boom') else i end as i from range(100000) as one (i)"
    for format in (Format.csv, Format.json, Format.parquet):
        with natsdb.connect(real_db) as connection, pytest.raises(NatsdbError, match=r"^boom; "):
            save_answer(connection.sql(ask), format, tmp_path / "out")
    assert list(tmp_path.iterdir()) == []
    with natsdb.connect(real_db) as connection, pytest.raises(NotWritable):
        save_answer(connection.sql("select 1"), Format.csv, tmp_path / "none" / "out")


def test_interrupting_leaves_nothing_half_written(real_db: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.csv"
    ask = "select a.range as a, b.range as b from range(1000000000) as a, range(1000) as b"
    running = subprocess.Popen([*COMMAND, "sql", ask, "--db", str(real_db), "-o", str(out)], stderr=subprocess.PIPE)
    deadline = time.monotonic() + 60
    while not any(path.stat().st_size for path in tmp_path.glob(".out.csv.*")) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert list(tmp_path.glob(".out.csv.*")), "it had not begun to write"
    running.send_signal(signal.SIGINT)
    _, err = running.communicate(timeout=60)
    assert running.returncode == 130
    assert err.count(b"\n") == 1
    assert list(tmp_path.iterdir()) == []


def test_a_large_answer_needs_little_memory(real_db: Path, tmp_path: Path) -> None:
    # 2.7 million rows of the widest table take 0.3 GB as a frame beside what DuckDB and polars take.
    ask = "select m.* from metric as m, range(200)"
    program = (
        "import sys; from natsdb.cli import app\n"
        "try: app()\n"
        # Not ru_maxrss, which a new process inherits of the one that it was forked from.
        "finally:\n"
        "    peak = next(line for line in open('/proc/self/status') if 'VmHWM' in line)\n"
        "    print(peak.split()[1], file=sys.stderr)"
    )
    command = [sys.executable, "-c", program, "sql", ask, "--db", str(real_db), "-o", str(tmp_path / "a.parquet")]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert int(done.stderr.split()[-1]) < 450_000
    assert pl.scan_parquet(tmp_path / "a.parquet").select(pl.len()).collect().item() == 200 * (10_014 + 3_302)


def test_tables_fit_the_width() -> None:
    frame = pl.DataFrame({"arch": [1, 22], "text": ["x" * 50, "y"], "accuracy": [91.23456789, None], "last": ["z"] * 2})
    assert table(frame, 200) == table(frame)
    assert table(frame).splitlines()[2].split() == ["1", "x" * 50, "91.2346", "z"]
    narrow = table(frame, 40).splitlines()
    assert max(map(len, narrow)) <= 40
    assert "…" in narrow[2]
    assert "91.2346" in narrow[2]
    fewer = table(frame, 20).splitlines()
    assert max(map(len, fewer[:-1])) <= 20
    assert fewer[-1] == "(2 more columns: accuracy, last)"


def test_text_formats_are_streams_too(real_db: Path) -> None:
    with natsdb.connect(real_db) as connection:
        file = io.StringIO()
        write_answer(connection.sql("select 1 as a where false"), Format.csv, file)
        write_answer(connection.sql("select 1 as a where false"), Format.json, file)
        write_answer(connection.sql("select 1 as a"), Format.json, file)
    assert file.getvalue() == 'a\n[]\n[{"a":1}]\n'


# The prompt.


def _prompt(database: Path, typed: str, capsys: pytest.CaptureFixture[str], history: Any = None) -> str:
    with (
        create_pipe_input() as pipe,
        create_app_session(input=pipe, output=DummyOutput()),
        natsdb.connect(database) as connection,
    ):
        pipe.send_text(typed)
        prompt(connection, input=pipe, output=DummyOutput(), history=history or InMemoryHistory())
    return capsys.readouterr().out


def test_the_prompt_answers_statements_of_several_lines(real_db: Path, capsys: pytest.CaptureFixture[str]) -> None:
    history = InMemoryHistory()
    out = _prompt(real_db, "select count(*) as number\rfrom arch\r;\r.quit\r", capsys, history)
    assert "version 1: sss from official, tss from official" in out
    assert "48393" in out
    assert "ms)" in out
    assert history.get_strings() == ["select count(*) as number\nfrom arch\n;", ".quit"]


def test_the_prompt_goes_on_after_errors(real_db: Path, capsys: pytest.CaptureFixture[str]) -> None:
    typed = "from metrc;\rcopy arch to 'x';\r.nothing\r\r;\rcreate table mine as select 41 + 1 as a;\rfrom mine;\r\x04"
    out = _prompt(real_db, typed, capsys)
    assert "natsdb: there is no table or macro 'metrc'; did you mean metric?" in out
    assert "COPY is not allowed" in out
    assert "natsdb: there is no command .nothing; there are .help, .info, .quit, .tables" in out
    assert "42" in out


def test_the_prompt_explains(real_db: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = _prompt(real_db, ".help\r.tables\r.info cur_time\r.info nothing\r.quit\r", capsys)
    for text in (
        "best('cifar100'",
        "  metric ",
        "  leaderboard ",
        "  rank_correlation ",
        "cur_time: seconds",
        "natsdb: ",
    ):
        assert text in out


def test_every_example_of_the_prompts_help_is_answered(real_db: Path) -> None:
    from natsdb.cli.prompt import HELP

    lines = [line for line in HELP.splitlines() if ";" in line and line.startswith("  ") and "^D" not in line]
    statements = [line.partition(";")[0] for line in lines]
    assert len(statements) == 5
    connection = natsdb.connect(real_db)
    for statement in statements:
        connection.execute(statement)


@pytest.mark.parametrize(
    ("typed", "expected", "others"),
    [
        ("select accu", {"accuracy", "accuracy_std"}, {"arch"}),
        ("from lead", {"leaderboard"}, {"lead"}),
        ("select * from b", {"best("}, {"block", "by"}),
        ("select metric.lo", {"loss"}, {"location"}),
        ("sel", {"select"}, {"from"}),
        (".he", {".help"}, {".quit"}),
        ("select * from ", {"metric", "best(", "mine"}, {"accuracy", "all_metric", "chosen_metric"}),
    ],
)
def test_names_are_completed(typed: str, expected: set[str], others: set[str], real_db: Path) -> None:
    connection = natsdb.connect(real_db, tables={"mine": pl.DataFrame({"a": [1]})})
    found = {one.text for one in Names(connection).get_completions(Document(typed), CompleteEvent())}
    assert expected <= found
    assert not others & found


@pytest.mark.skipif(os.name != "posix", reason="there are no pseudo-terminals")
def test_the_prompt_on_a_terminal(real_db: Path, tmp_path: Path) -> None:
    import pty

    ours, theirs = pty.openpty()
    environment = os.environ | {"XDG_STATE_HOME": str(tmp_path), "TERM": "xterm", "COLUMNS": "80", "LINES": "24"}
    command = [*COMMAND, "sql", "--db", str(real_db)]
    running = subprocess.Popen(
        command, stdin=theirs, stdout=theirs, stderr=theirs, env=environment, start_new_session=True
    )
    os.close(theirs)
    seen = b""

    def until(text: bytes) -> None:
        nonlocal seen
        deadline = time.monotonic() + 60
        while text not in seen:
            assert time.monotonic() < deadline, seen
            if select.select([ours], [], [], 0.1)[0]:
                new = os.read(ours, 65_536)
                seen += new
                if b"\x1b[6n" in new:
                    os.write(ours, b"\x1b[1;1R")
        seen = seen.partition(text)[2]

    try:
        until(b"natsdb>")
        os.write(ours, b"select count(*) from ar")
        until(b"ar")
        os.write(ours, b"\t")
        until(b"arch")
        os.write(ours, b"_cost;\r")
        until(b"ms)")
        until(b"natsdb>")
        heavy = "select count(*) from metric a, metric b, metric c where a.accuracy + b.accuracy = c.accuracy + 0.123;"
        os.write(ours, heavy.encode() + b"\r")
        until(b"\x1b[?2004l")
        time.sleep(1)
        running.send_signal(signal.SIGINT)
        until(b"stopped")
        until(b"natsdb>")
        os.write(ours, b".quit\r")
        assert running.wait(60) == 0
    finally:
        running.kill()
        os.close(ours)
    assert "+select count(*) from arch_cost;" in (tmp_path / "natsdb" / "history").read_text()


# Scans.


@pytest.mark.parametrize("name", ["space=foo", "hp=7", "source=x", "block=9", "other=1", "a*b", "a[1]", "w?"])
def test_a_scan_does_not_read_columns_from_folders_above(name: str, real_db: Path, tmp_path: Path) -> None:
    home = tmp_path / name / "db"
    shutil.copytree(real_db, home)
    for table_name in ("metric", "seed", "arch"):
        lazy = natsdb.scan(table_name, home)
        key = list(TABLES[table_name].key)
        frame = natsdb.query(f"select * from {table_name}", db=home)
        assert lazy.collect().sort(key).equals(frame.select(lazy.collect_schema().names()).sort(key))
    only = natsdb.scan("metric", home).filter((pl.col("space") == "tss") & (pl.col("hp") == "12")).collect()
    assert only["source"].unique().to_list() == ["official"]
    assert len(only) == natsdb.query("select * from metric where space = 'tss' and hp = '12'", db=home).height > 0


@pytest.mark.usefixtures("alone")
def test_a_scan_outlives_a_vacuum(official: dict[str, Path], tmp_path: Path) -> None:
    home = tmp_path / "db"
    ingest([official["sss"] / "000000.pickle.pbz2"], home)
    lazy = natsdb.scan("metric", home).select(pl.len())
    before = lazy.collect().item()
    drop("official", home)
    # A scan of another version does not take the place of the first.
    assert natsdb.scan("dataset", home).collect().height > 0
    assert vacuum(home, keep=0).held == [1]
    assert lazy.collect().item() == before > 0
    assert natsdb.scan("metric", home).collect().height == 0
    assert natsdb.scan("metric", home, version=1).select(pl.len()).collect().item() == before


@pytest.mark.usefixtures("alone")
def test_a_connection_its_cursors_and_relations_keep_their_version(official: dict[str, Path], tmp_path: Path) -> None:
    home = tmp_path / "db"
    ingest([official["sss"] / "000000.pickle.pbz2"], home)
    relation = natsdb.connect(home).sql("select count(*) from metric")
    cursor = natsdb.connect(home).cursor()
    assert cursor.snapshot.manifest.version == 1
    (rows,) = relation.fetchall()
    drop("official", home)
    vacuum(home, keep=0)
    assert relation.fetchall() == [rows]
    assert cursor.execute("select count(*) from metric").fetchone() == rows
    assert natsdb.query("select count(*) from metric", db=home).item() == 0
    assert natsdb.query("select count(*) from metric", db=home, version=1).item() == rows[0]


def test_columns_that_a_file_lacks_read_as_null(official: dict[str, Path], tmp_path: Path) -> None:
    home = tmp_path / "db"
    ingest([official["sss"] / "000000.pickle.pbz2", official["tss"] / "000011.pickle.pbz2"], home)
    manifest = read_manifest(home)
    old = next(part for part in manifest.of("metric") if part.hp == "12")
    rows = pq.read_table(home / old.path, partitioning=None).drop_columns(["loss"])
    pq.write_table(rows, home / old.path)
    size = (home / old.path).stat().st_size
    new = replace(old, bytes=size, sha256="", footer="", columns=tuple(rows.column_names))
    publish_manifest(home, with_parts(manifest, [new]), "made older")
    nulls = natsdb.scan("metric", home).group_by("space", "hp").agg(pl.col("loss").null_count()).collect()
    found = {(space, hp): count for space, hp, count in nulls.rows()}
    assert found.pop((old.space, old.hp)) == old.rows
    assert set(found.values()) == {0}
    assert len(found) >= 2


# Errors and explanations.


def test_an_extra_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    from natsdb.store import remote

    remote._file_system.cache_clear()
    monkeypatch.setitem(sys.modules, "s3fs", None)
    code, _, err = _run("sql", "select 1", "--db", "s3://bucket/db")
    remote._file_system.cache_clear()
    assert (code, err.count("\n")) == (1, 1)
    assert "pip install 'natsdb[remote]'" in err
    assert "s3://bucket/db" in err


@pytest.mark.parametrize("name", ["cur_time", "all_time", "iepoch", "train_acc1es", "eval_times", "flop"])
def test_info_explains_keys_of_official_dictionaries(name: str) -> None:
    code, out, _ = _run("info", name)
    assert code == 0
    assert out.startswith(f"{name}: ")
    assert "seconds" in out or not name.endswith(("time", "times"))


def test_a_name_that_does_not_exist_is_missing(real_db: Path) -> None:
    with pytest.raises(Missing):
        natsdb.scan("metrc", real_db)
    with pytest.raises(Missing):
        natsdb.files("metrc", real_db)


def test_sql_answers_for_a_source(real_db: Path) -> None:
    ask = ("sql", "select distinct source from mean_final", "--db", real_db, "--format", "csv")
    assert _run(*ask, "--source", "official")[1] == "source\nofficial\n"
    code, _, err = _run(*ask, "--source", "offical")
    assert (code, err.count("\n")) == (1, 1)


@pytest.mark.usefixtures("alone")
def test_commands_answer_for_an_earlier_version(official: dict[str, Path], tmp_path: Path) -> None:
    home = tmp_path / "db"
    ingest([official["sss"] / "000000.pickle.pbz2"], home)
    drop("official", home)
    ask = ("sql", "select count(*) as n from seed", "--db", home, "--format", "csv")
    assert _run(*ask)[1] == "n\n0\n"
    assert int(_run(*ask, "--version", 1)[1].split()[1]) > 0
    assert "official" not in _run("info", "--db", home)[1]
    assert "official" in _run("info", "--db", home, "--version", 1)[1]
    code, _, err = _run(*ask, "--version", 9)
    assert (code, err.count("\n")) == (1, 1)
    assert "there is no version 9" in err
