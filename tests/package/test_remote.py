"""Databases behind a URL: the same answers in place, few bytes, no local files, cut connections."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import unquote

import polars as pl
import pytest
from typer.testing import CliRunner

import natsdb
from natsdb.cli import app
from natsdb.ingest import ingest
from natsdb.schema.errors import NatsdbError
from natsdb.store.check import check
from natsdb.store.locations import located
from natsdb.store.snapshot import read_manifest
from server import Server

pytest.importorskip("aiohttp", reason="the extra `remote` is not installed")

QUESTIONS = (
    "from best('cifar100', 'x-test', '200')",
    "from curve('sss', 40, 'cifar10', '90')",
    "select space, hp, count(*), max(loss) from metric group by all order by all",
)


@pytest.fixture
def server(made_up_db: Path) -> Iterator[Server]:
    one = Server(made_up_db)
    yield one
    one.close()


@pytest.fixture
def hurried(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tries follow each other at once."""
    monkeypatch.setattr("natsdb.store.remote.WAITS", (0.0, 0.0, 0.0))


@pytest.mark.parametrize("question", QUESTIONS)
def test_a_database_behind_http_answers_as_on_disk(question: str, server: Server, made_up_db: Path) -> None:
    assert natsdb.query(question, server.url).equals(natsdb.query(question, made_up_db))


def test_only_the_bytes_of_a_question_are_read(server: Server, made_up_db: Path) -> None:
    with natsdb.connect(server.url) as connection:
        assert [(path, status) for path, status, _ in server.sent] == [("/natsdb.json", 200)]
        connection.prepare("curve")
        assert {status for path, status, _ in server.sent if path != "/natsdb.json"} == {206}
        server.sent.clear()
        connection.sql("from curve('tss', 40, 'cifar100', '200')").fetchall()
    (file,) = {unquote(path) for path, _, _ in server.sent}
    assert "/metric/source=synthetic/space=tss/hp=200/block=00/" in file
    whole = (made_up_db / file.lstrip("/")).stat().st_size
    # One of three row groups, and the footer.
    assert sum(size for _, _, size in server.sent) < whole / 2


def test_check_compares_a_database_behind_http(made_up_db: Path, tmp_path: Path) -> None:
    shutil.copytree(made_up_db, tmp_path / "db")
    server = Server(tmp_path / "db")
    try:
        assert not check(server.url).findings
        cut, flipped, gone = (tmp_path / "db" / part.path for part in read_manifest(tmp_path / "db").of("final")[:3])
        cut.write_bytes(cut.read_bytes()[:-9])
        flipped.write_bytes(flipped.read_bytes().replace(b"PAR1", b"PAR2", 1))
        gone.unlink()
        said = {path.name for path in (cut, flipped, gone)}
        assert {finding.path.rpartition("/")[2] for finding in check(server.url).findings} == said
        found = {finding.path.rpartition("/")[2] for finding in check(server.url, quick=True).findings}
        assert found == said - {flipped.name}
    finally:
        server.close()


def test_a_damaged_footer_is_said_each_time(made_up_db: Path, tmp_path: Path) -> None:
    """What was fetched of a file's end is kept only when it is the end that was written."""
    shutil.copytree(made_up_db, tmp_path / "db")
    for part in read_manifest(tmp_path / "db").of("final")[1:]:  # the first is read to know its columns
        path = tmp_path / "db" / part.path
        data = bytearray(path.read_bytes())
        data[-60] ^= 4
        path.write_bytes(data)
    server = Server(tmp_path / "db")
    try:
        with natsdb.connect(server.url) as connection:
            for _ in range(3):
                with pytest.raises(NatsdbError, match="its footer is not the one that was written"):
                    connection.sql("select avg(accuracy) from final").fetchall()
    finally:
        server.close()


def test_scan_and_info_read_in_place_too(server: Server, made_up_db: Path) -> None:
    lazy = [natsdb.scan("final", db).filter(pl.col("hp") == "200") for db in (server.url, made_up_db)]
    assert lazy[0].collect().equals(lazy[1].collect())
    found = natsdb.info(server.url + "/")
    assert found.database == server.url
    assert found.contents == natsdb.info(made_up_db).contents


@pytest.mark.parametrize(
    "statement",
    [
        "from read_text('{outside}/secret.csv')",
        "from '{outside}/secret.csv'",
        "from read_text('file://{outside}/secret.csv')",
        "from read_text('natsdb://{outside}/secret.csv')",
        "from read_text('natsdb://../../{outside}/secret.csv')",
        "from read_text('{url}/natsdb.json')",
        "from sniff_csv('{outside}/secret.csv')",
        "from glob('{outside}/*')",
        "copy (select 1) to '{outside}/new.csv'",
        "attach '{outside}/new.duckdb'",
        "set allowed_directories = ['/']",
        "set enable_external_access = true",
    ],
)
def test_a_locked_connection_reads_the_listed_files_and_nothing_local(
    statement: str, server: Server, tmp_path: Path
) -> None:
    (tmp_path / "secret.csv").write_text("a\nsecret\n")
    with natsdb.connect(server.url) as connection:
        try:
            answer = connection.execute(statement.format(outside=tmp_path, url=server.url)).fetchall()
        except NatsdbError:
            answer = []
        assert answer == []
    assert [path.name for path in tmp_path.iterdir()] == ["secret.csv"]


def test_an_unlocked_connection_keeps_an_answer(server: Server, tmp_path: Path) -> None:
    connection = natsdb.connect(server.url, unlocked=True)
    connection.execute(f"copy (from best('cifar10', 'ori-test', '200')) to '{tmp_path}/best.csv'")
    assert (tmp_path / "best.csv").read_text().startswith("place,arch,accuracy")


@pytest.mark.usefixtures("hurried")
def test_answers_that_break_off_are_asked_for_again(server: Server, made_up_db: Path) -> None:
    connection = natsdb.connect(server.url)
    server.cut = 3
    assert connection.sql(QUESTIONS[1]).fetchall() == natsdb.connect(made_up_db).sql(QUESTIONS[1]).fetchall()
    assert server.cut == 0
    with pytest.raises(NatsdbError, match="there is no table or macro 'metrc'"):
        connection.sql("from metrc")


@pytest.mark.usefixtures("hurried")
def test_connections_that_are_always_cut_are_one_clear_error(server: Server) -> None:
    connection = natsdb.connect(server.url)
    server.cut = -1
    for ask in (lambda: connection.execute(QUESTIONS[1]).fetchall(), lambda: natsdb.query(QUESTIONS[1], server.url)):
        with pytest.raises(NatsdbError) as caught:
            ask()
        assert re.match(rf"{server.url}/\w+/.*parquet: it cannot be read \(.*; asked 4 times\)", str(caught.value))
        assert str(caught.value).endswith("check the address and try again")
    server.cut = 0
    assert connection.sql(QUESTIONS[1]).fetchall()


@pytest.mark.usefixtures("hurried")
def test_a_server_that_is_not_there_or_has_no_database_or_no_ranges(server: Server) -> None:
    with pytest.raises(NatsdbError, match=r"elsewhere/natsdb\.json: there is no natsdb database here"):
        natsdb.connect(f"{server.url}/elsewhere")
    with pytest.raises(NatsdbError, match=r"it cannot be read \(.*; asked 4 times\)"):
        natsdb.connect("http://127.0.0.1:9/nats")
    server.ranges = False
    with pytest.raises(NatsdbError, match="the server sends whole files and no ranges of bytes"):
        natsdb.connect(server.url).sql("from final")


def test_a_database_behind_a_url_is_not_written(server: Server, made_up: dict[str, Path], tmp_path: Path) -> None:
    for write in (
        lambda: ingest([made_up["sss"]], server.url),
        lambda: natsdb.write_duckdb(tmp_path / "a.duckdb", server.url),
    ):
        with pytest.raises(NatsdbError, match="this needs a database on disk"):
            write()


def test_urls_are_known_as_such_in_every_form(monkeypatch: pytest.MonkeyPatch) -> None:
    assert located("s3://bucket/nats/") == "s3://bucket/nats"
    assert located(Path("https://example.org/nats")) == "https://example.org/nats"
    assert located("nats") == Path("nats")
    monkeypatch.setenv("NATSDB_HOME", "s3://bucket/nats")
    assert located(None) == "s3://bucket/nats"


@pytest.fixture
def in_bucket(made_up_db: Path, bucket: str) -> str:
    """The database in a bucket."""
    import boto3

    client = boto3.client("s3")
    for path in made_up_db.rglob("*"):
        if path.is_file():
            client.upload_file(str(path), "bucket", f"nats/{path.relative_to(made_up_db).as_posix()}")
    return bucket


def test_a_database_in_a_bucket_answers_as_on_disk(in_bucket: str, made_up_db: Path) -> None:
    for question in QUESTIONS:
        assert natsdb.query(question, in_bucket).equals(natsdb.query(question, made_up_db))
    lazy = [natsdb.scan("final", db).filter(pl.col("hp") == "200") for db in (in_bucket, made_up_db)]
    assert lazy[0].collect().equals(lazy[1].collect())
    result = CliRunner().invoke(app, ["sql", "select count(*) as n from metric", "--db", in_bucket, "--format", "csv"])
    rows = natsdb.info(made_up_db).tables["metric"][0]
    assert (result.exit_code, result.stdout) == (0, f"n\n{rows}\n")
    assert "not measurements" in result.stderr
    with pytest.raises(NatsdbError, match=r"bucket/other/natsdb\.json: there is no natsdb database here"):
        natsdb.connect("s3://bucket/other")
