"""Databases at the Hugging Face Hub and in buckets: read in place, sent once, the same for every reader."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from typer.testing import CliRunner

import archives
import natsdb
from hub import Hub
from natsdb.cli import app
from natsdb.ingest import ingest
from natsdb.ingest.hub.publish import BESIDE_DATA, publish
from natsdb.ingest.hub.upload import upload
from natsdb.schema.errors import NatsdbError
from natsdb.schema.tables import TABLES
from natsdb.store.check import check
from natsdb.store.locations import located
from natsdb.store.remote import address, hub_name
from natsdb.store.snapshot import read_manifest
from natsdb.store.versions import drop

pytest.importorskip("aiohttp", reason="the extra `remote` is not installed")
REPO = "someone/nats"
URL = f"hf://datasets/{REPO}"
QUESTIONS = ("from best('cifar100', 'x-test', '200')", "from curve('sss', 40, 'cifar10', '90')")


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published folder of a few made-up architectures. Read only."""
    folder = tmp_path_factory.mktemp("small")
    sizes = archives.write_folder(folder / "sss", "sss", [20, 40], jobs=1)
    cells = archives.write_folder(folder / "tss", "tss", [0, 1100], jobs=1)
    ingest([sizes, cells], folder / "db", source="synthetic")
    return publish(folder / "nats", folder / "db", repo=REPO)


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Hub]:
    one = Hub()
    monkeypatch.setenv("HF_ENDPOINT", one.url)
    monkeypatch.setenv("HF_HOME", str(tmp_path / "huggingface"))
    monkeypatch.delenv("HF_TOKEN", raising=False)
    monkeypatch.setattr("natsdb.store.remote.WAITS", (0.0, 0.0, 0.0))
    yield one
    one.close()


@pytest.fixture
def legacy(hub: Hub, monkeypatch: pytest.MonkeyPatch) -> None:
    """Uploads by LFS: the other protocol is that of a server of the Hub alone. The Hub's library looks at its variable
    when it is imported."""
    pytest.importorskip("huggingface_hub", reason="the extra `pull` is not installed")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True, raising=False)
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", hub.url)


def test_names_of_the_hub_and_their_addresses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    assert located(Path(URL)) == located(f"{URL}/") == URL
    assert hub_name(f"{URL}@v1/final/hp=01/a.parquet") == (REPO, "v1", "final/hp=01/a.parquet")
    assert address(f"{URL}/natsdb.json") == f"https://huggingface.co/datasets/{REPO}/resolve/main/natsdb.json"
    assert address("s3://bucket/nats/natsdb.json") == "s3://bucket/nats/natsdb.json"
    with pytest.raises(NatsdbError, match="this is no data set of the Hub; write hf://datasets/OWNER/NAME"):
        address("hf://someone/nats")


def test_a_database_at_the_hub_answers_as_on_disk_in_ranges(hub: Hub, small: Path) -> None:
    hub.put(REPO, small)
    for question in QUESTIONS:
        assert natsdb.query(question, URL).equals(natsdb.query(question, small))
    # Files of tables lie with another host, which is asked for ranges only.
    assert {status for _, path, status in hub.asked if path.startswith("/cdn/")} == {206}
    lazy = [natsdb.scan("final", db).filter(pl.col("hp") == "200").collect() for db in (URL, small)]
    assert lazy[0].equals(lazy[1])
    assert not check(URL).findings
    result = CliRunner().invoke(app, ["sql", "select count(*) as n from seed", "--db", URL, "--format", "csv"])
    assert (result.exit_code, result.stdout) == (0, f"n\n{natsdb.info(small).tables['seed'][0]}\n")


def test_a_connection_keeps_the_commit_that_it_opened(hub: Hub, small: Path, tmp_path: Path) -> None:
    hub.put(REPO, small)
    with natsdb.connect(URL) as connection:
        (tmp_path / "empty").mkdir()
        hub.put(REPO, tmp_path / "empty")
        assert len(connection.sql(QUESTIONS[0]).fetchall()) == 2
    with pytest.raises(NatsdbError, match="there is no natsdb database here"):
        natsdb.connect(URL)
    assert natsdb.query(QUESTIONS[0], f"{URL}@{hub._sha(REPO, 0)}").height == 2
    with pytest.raises(NatsdbError, match="someone/other: the Hub has no such data set"):
        natsdb.connect("hf://datasets/someone/other")


def test_a_private_data_set_is_read_with_a_token(hub: Hub, small: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hub.put(REPO, small)
    hub.token = "secret"
    with pytest.raises(NatsdbError, match=r"access is denied .*; set HF_TOKEN"):
        natsdb.connect(URL)
    monkeypatch.setenv("HF_TOKEN", "secret")
    # (The stand-in refuses the token where files lie: that host must not see it.)
    assert natsdb.query(QUESTIONS[0], URL).height == 2


@pytest.mark.usefixtures("legacy")
def test_a_folder_is_sent_to_the_hub_once(hub: Hub, small: Path, tmp_path: Path) -> None:
    hub.refuse = 100
    with pytest.raises(NatsdbError, match=r"it was not sent .* run the same command again"):
        upload(small, URL)
    assert hub.commits[REPO] == [{}]
    hub.refuse = 0
    told: list[tuple[int, int]] = []
    upload(small, URL, lambda _, done, total, __: told.append((done, total)))
    assert told[-1][0] == told[-1][1] - 1
    whole = {path.relative_to(small).as_posix(): path.read_bytes() for path in small.rglob("*") if path.is_file()}
    assert hub.commits[REPO][1:] == [whole]  # in one commit
    assert not check(URL).findings
    hub.asked.clear()
    assert upload(small, URL) == 0
    assert not [
        one for one in hub.asked if one[0] in ("PUT", "POST") and not one[1].endswith(("create", "revision/main"))
    ]
    # More rows: blocks that differ are sent, what they replace goes, in one commit.
    shutil.copytree(small.parent / "db", tmp_path / "db")
    more = archives.write_folder(tmp_path / "more", "sss", [21], jobs=1)
    ingest([more], tmp_path / "db", source="synthetic")
    again = publish(tmp_path / "again", tmp_path / "db", repo=REPO)
    hub.asked.clear()
    upload(again, URL)
    assert len([one for one in hub.asked if one[0] == "PUT"]) == 12  # four tables at three schedules of one space
    assert set(hub.commits[REPO][-1]) == {p.relative_to(again).as_posix() for p in again.rglob("*") if p.is_file()}
    assert natsdb.query("select count(distinct arch) from seed where space = 'sss'", URL).item() == 3


@pytest.mark.usefixtures("legacy")
def test_publish_sends_from_the_command_line(hub: Hub, small: Path, tmp_path: Path) -> None:
    command = ["publish", str(tmp_path / "out"), "--db", str(small), "--to", URL]
    first = CliRunner().invoke(app, command)
    assert first.exit_code == 0, first.output
    assert f"files sent → {URL}\n" in first.stdout
    assert URL in (tmp_path / "out" / "README.md").read_text()
    assert "nothing to do" in CliRunner().invoke(app, command).stdout
    for to, what in {"https://example.org/x": "nothing can be sent there", "hf://x": "no data set of the Hub"}.items():
        refused = CliRunner().invoke(app, [*command[:-1], to])
        assert (refused.exit_code, what in refused.stderr) == (1, True)
    with pytest.raises(NatsdbError, match=r"it is no published folder \(README.md is not there\)"):
        upload(small.parent / "db", URL)


def test_a_folder_in_a_bucket_is_sent_once(
    bucket: str, small: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import s3fs

    sent: list[str] = []
    put = s3fs.S3FileSystem._put_file

    async def lost(self: Any, path: str, url: str, **options: Any) -> None:
        if len(sent) == most:
            raise OSError("the connection is lost")
        sent.append(url.removeprefix(f"{bucket}/"))
        await put(self, path, url, **options)

    monkeypatch.setattr("natsdb.store.remote.WAITS", (0.0, 0.0, 0.0))
    monkeypatch.setattr(s3fs.S3FileSystem, "_put_file", lost)
    most = 20
    with pytest.raises(NatsdbError, match=r"it cannot be written \(the connection is lost; asked 4 times\)"):
        upload(small, bucket)
    most = 1000
    with pytest.raises(NatsdbError, match="there is no natsdb database here"):
        natsdb.connect(bucket)
    every = [path for path in small.rglob("*") if path.is_file()]
    assert upload(small, bucket) == len(every) - 20
    assert sent[-1] == "natsdb.json"
    assert upload(small, bucket) == 0
    assert not check(bucket).findings
    # Files that the next version does without go, and no others.
    fewer = shutil.copytree(small, tmp_path / "fewer")
    drop("synthetic", fewer, space="tss")
    s3 = s3fs.S3FileSystem(skip_instance_cache=True)
    s3.pipe_file(f"{bucket}/notes.txt", b"mine")
    upload(fewer, bucket)
    left = {path.removeprefix("bucket/nats/") for path in s3.find(bucket)}
    assert left == {*read_manifest(fewer).listed(), *BESIDE_DATA, "natsdb.json", "notes.txt"}


_EXPECTED = (
    "select arch, seed, accuracy from final where space = 'sss' and hp = '01' and dataset = 'cifar100' order by all"
)
_LOADS = """
import json, sys
import datasets
rows = datasets.load_dataset(sys.argv[1], "final", split="train")
assert rows.column_names == json.loads(sys.argv[2])
rows = rows.filter(lambda row: row["space"] == "sss" and row["hp"] == "01" and row["dataset"] == "cifar100")
print(json.dumps(sorted((row["arch"], row["seed"], row["accuracy"]) for row in rows)))
"""


def test_every_reader_has_the_same_answers_from_hub_and_bucket(
    hub: Hub, bucket: str, small: Path, tmp_path: Path
) -> None:
    """natsdb, the loader of data sets, plain DuckDB and polars."""
    pytest.importorskip("datasets", reason="the loader of the Hub is not installed")
    import s3fs
    from huggingface_hub import HfFileSystem

    hub.put(REPO, small)
    upload(small, bucket)
    expected = natsdb.query(_EXPECTED, small).rows()
    assert len(expected) == 8
    s3 = s3fs.S3FileSystem(skip_instance_cache=True)
    at_hub = HfFileSystem(endpoint=hub.url, skip_instance_cache=True)
    at_hub.modified = lambda _: datetime.fromtimestamp(0, UTC)  # DuckDB asks, and it does not say
    for url, files in ((URL, at_hub), (bucket, s3)):
        assert natsdb.query(_EXPECTED, url).rows() == expected
        plain = duckdb.connect()
        plain.register_filesystem(files)
        plain.execute(f"create view final as from read_parquet('{url}/final/**/*.parquet', hive_partitioning = false)")
        assert plain.execute(_EXPECTED).fetchall() == expected
        options = {"endpoint_url": os.environ["AWS_ENDPOINT_URL"], "aws_allow_http": "true"}
        paths = natsdb.files("final", url)
        frame = (
            pl.scan_parquet(paths, storage_options=options, hive_partitioning=False)
            if url == bucket
            else pl.concat([pl.read_parquet(files.open(path)) for path in paths]).lazy()
        )
        found = frame.filter(pl.col("space") == "sss", pl.col("hp") == "01", pl.col("dataset") == "cifar100")
        assert found.select("arch", "seed", "accuracy").sort(pl.all()).collect().rows() == expected
    # Which Hub it is is read when its library is imported.
    names = json.dumps([column.name for column in TABLES["final"].columns])
    done = subprocess.run(
        [sys.executable, "-c", _LOADS, REPO, names],
        env={**os.environ, "HF_DATASETS_DISABLE_PROGRESS_BARS": "1", "HF_HUB_DISABLE_XET": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert [tuple(row) for row in json.loads(done.stdout.splitlines()[-1])] == expected
