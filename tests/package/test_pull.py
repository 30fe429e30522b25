"""`natsdb pull`: archives and published databases from servers that cut, refuse, change files; what came is kept."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import random
import re
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest
from typer.testing import CliRunner

import archives
import natsdb
from databases import contents, strays
from hub import Hub
from natsdb.cli import app
from natsdb.ingest import export, ingest
from natsdb.ingest.hub.card import CITATION
from natsdb.ingest.hub.publish import publish
from natsdb.ingest.hub.upload import upload
from natsdb.ingest.pull import pull
from natsdb.ingest.pull.registry import OFFERS
from natsdb.schema.datasets import DATASETS
from natsdb.schema.errors import Damaged, Missing, NatsdbError, NotWritable
from natsdb.store.check import check
from natsdb.store.snapshot import read_manifest
from natsdb.store.versions import publish_manifest
from server import Answering, Listening
from sources import add_run, add_table

pytest.importorskip("aiohttp", reason="the extra `remote` is not installed")
ROOT = Path(__file__).parents[2]
QUESTION = "select * from metric order by all"
_FORM = (
    '<form id="download-form" action="https://drive.usercontent.google.com/download" method="get">'
    '<input type="hidden" name="id" value="{id}"><input type="hidden" name="confirm" value="t"></form>'
)
_QUOTA = '<p class="uc-error-caption">Sorry</p><p class="uc-error-subcaption">Too many users have viewed this file.</p>'


class Elsewhere(Listening):
    """A server of `files` by path, and of those by identifier as Google Drive does it: a page that asks for a
    confirmation, or says that the `quota` is exceeded, then the file from another host. `cuts`: so many answers with a
    file break off at a random byte; `held_at`: at this byte one waits `until` something is so; `slow`: seconds that
    4 kB of a range take; `sent`: bytes of files that went out."""

    def __init__(self, seed: int = 0) -> None:
        self.files: dict[str, bytes] = {}
        self.cuts, self.sent, self.quota = 0, 0, False
        self.held_at, self.slow = 0, 0.0
        self.until: Callable[[], bool] = lambda: True
        chance = random.Random(seed)
        elsewhere = self

        class Handler(Answering):
            def do_GET(self) -> None:
                parts = urlsplit(self.path)
                asked = parse_qs(parts.query)
                if parts.path == "/uc":
                    page = _QUOTA if elsewhere.quota else _FORM.format(id=asked["id"][0])
                    self._answer(200, page.encode(), {"Content-Type": "text/html; charset=utf-8"})
                    return
                name = asked["id"][0] if parts.path == "/download" else unquote(parts.path).lstrip("/")
                if name == "moved":
                    self._answer(302, b"", {"Location": "/" + asked["to"][0]})
                    return
                if name not in elsewhere.files:
                    self._answer(404, b"", {"Content-Type": "text/plain"})
                    return
                self._file(elsewhere.files[name], name)

            do_HEAD = do_GET

            def _file(self, content: bytes, name: str) -> None:
                said = {
                    "Content-Type": "application/octet-stream",
                    "Content-Disposition": f'attachment; filename="{name}"',
                    "ETag": f'"{hash(content)}"',
                    "Accept-Ranges": "bytes",
                }
                status, size = 200, len(content)
                found = re.fullmatch(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
                if found and self.headers.get("If-Range", said["ETag"]) == said["ETag"]:
                    first, end = int(found[1]), int(found[2]) + 1 if found[2] else size
                    content, status = content[first:end], 206
                    said["Content-Range"] = f"bytes {first}-{first + len(content) - 1}/{size}"
                self._answer(status, content, said)

            def _answer(self, status: int, content: bytes, said: dict[str, str]) -> None:
                self.send_response(status)
                for header, value in {**said, "Content-Length": str(len(content))}.items():
                    self.send_header(header, value)
                self.end_headers()
                if self.command == "HEAD":
                    return
                if elsewhere.cuts and "ETag" in said:
                    elsewhere.cuts -= 1
                    content = content[: chance.randrange(len(content))]
                    self.close_connection = True
                try:
                    if "ETag" in said and status == 200 and elsewhere.held_at:
                        self.wfile.write(content[: elsewhere.held_at])
                        content, waited = content[elsewhere.held_at :], 0
                        while not elsewhere.until() and waited < 1000:
                            waited += 1
                            time.sleep(0.01)
                    while elsewhere.slow and status == 206 and content:
                        self.wfile.write(content[:4096])
                        content = content[4096:]
                        time.sleep(elsewhere.slow)
                    self.wfile.write(content)
                except OSError:
                    return  # who asked looked at the headers only
                elsewhere.sent += len(content) if "ETag" in said else 0

        self.serve(Handler)

    def put(self, folder: Path) -> None:
        """The files of a folder, by their paths in it."""
        self.files |= {p.relative_to(folder).as_posix(): p.read_bytes() for p in folder.rglob("*") if p.is_file()}


@pytest.fixture
def elsewhere(monkeypatch: pytest.MonkeyPatch) -> Iterator[Elsewhere]:
    """The server, in the place of Google Drive too."""
    requests = pytest.importorskip("requests", reason="the extra `pull` is not installed")
    server = Elsewhere()
    send = requests.adapters.HTTPAdapter.send

    def here(self: Any, request: Any, **options: Any) -> Any:
        request.url = re.sub(r"^https://drive\.(usercontent\.)?google\.com", server.url, request.url)
        return send(self, request, **options)

    monkeypatch.setattr("requests.adapters.HTTPAdapter.send", here)
    monkeypatch.setattr("natsdb.store.remote.WAITS", (0.0, 0.0, 0.0))
    yield server
    server.close()


@pytest.fixture
def drive(elsewhere: Elsewhere) -> Elsewhere:
    """The server, where gdown is installed."""
    pytest.importorskip("gdown", reason="the extra `pull` is not installed")
    return elsewhere


@pytest.fixture(scope="module")
def tar(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    folder = tmp_path_factory.mktemp("tar")
    made = archives.write_folder(folder / "NATS-sss-v1_0-50262-simple", "sss", [3, 5], jobs=1)
    return archives.write_tar(made, folder / "sss.tar").read_bytes()


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A published folder of made-up rows. Read only."""
    folder = tmp_path_factory.mktemp("published")
    sizes = archives.write_folder(folder / "sss", "sss", [20, 40], jobs=1)
    ingest([sizes], folder / "db", source="synthetic")
    return publish(folder / "nats", folder / "db")


def _id(name: str) -> str:
    return OFFERS[name].addresses[0].partition(":")[2]


def test_an_archive_comes_from_google_drive_by_its_name(drive: Elsewhere, tar: bytes, tmp_path: Path) -> None:
    drive.files[_id("sss")] = tar
    result = CliRunner().invoke(app, ["pull", "sss", "--db", str(tmp_path / "db")])
    assert result.exit_code == 0, result.output
    assert "licence: MIT" in result.stdout
    assert result.stdout.index("licence") < result.stdout.index(" MB → ")
    assert natsdb.query("select distinct arch, source from seed order by arch", tmp_path / "db").rows() == [
        (3, "official"),
        (5, "official"),
    ]
    assert strays(tmp_path / "db") == []  # the download is not kept beside what was made of it
    drive.sent = 0
    assert "nothing to do" in CliRunner().invoke(app, ["pull", "sss", "--db", str(tmp_path / "db")]).stdout
    assert drive.sent == 0


def test_a_new_user_s_way_from_an_empty_folder_to_a_curve(
    drive: Elsewhere, official: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, alone: None
) -> None:
    """Each step of the page, as it stands there, with the real records of two architectures for the whole archive."""
    pytest.importorskip("altair", reason="the extra `plot` is not installed")
    tar = archives.write_tar(official["tss"], tmp_path / "NATS-tss-v1_0-3ffb9-simple.tar")
    drive.files[_id("tss")] = tar.read_bytes()
    here = tmp_path / "empty"
    here.mkdir()
    monkeypatch.chdir(here)
    monkeypatch.setenv("NATSDB_HOME", str(tmp_path / "home"))
    page = (ROOT / "docs/pull.md").read_text(encoding="utf-8").partition("\n## Archives\n")[0]
    way = page.partition("to a curve\n")[2]

    def say(*words: str) -> str:
        done = CliRunner().invoke(app, list(words))
        assert done.exit_code == 0, done.output
        return done.stdout

    steps = re.findall(r"^    natsdb (.*)$|^```(sql|python)\n([\s\S]*?)^```$", way, flags=re.MULTILINE)
    for command, language, text in steps:
        if language == "sql":
            assert f"```text\n{say('sql', text)}```\n" in way
        elif language == "python":
            with contextlib.redirect_stdout(io.StringIO()) as printed:
                exec(text, {})
            assert f"  # {printed.getvalue().splitlines()[-1]}\n" in text
        else:
            say(*command.split())
    assert [language or command.split()[0] for command, language, _ in steps] == ["pull", "sql", "python", "plot"]
    assert [path.name for path in here.iterdir()] == ["curves.svg"]
    assert Path("curves.svg").read_text().count("<path") > 20


def test_an_archive_is_ingested_as_it_comes(drive: Elsewhere, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A block whose records are there is ingested while the rest is on its way; what comes of it is the same."""
    made = archives.write_folder(tmp_path / "NATS-sss-v1_0-50262-simple", "sss", [3, 5, 1030, 2100], jobs=1)
    tar = archives.write_tar(made, tmp_path / "NATS-sss-v1_0-50262-simple.tar")
    counts = {0: 2, 1: 1, 2: 1}
    monkeypatch.setattr("natsdb.ingest.pull.stream.records_of", lambda _, block: counts[block])
    drive.files[_id("sss")] = tar.read_bytes()
    # The end of the last record waits for the blocks before it. (gdown writes half a megabyte at once.)
    monkeypatch.setattr(sys.modules["gdown.download"], "CHUNK_SIZE", 1024)
    drive.held_at = tar.read_bytes().index(b"002100.pickle") + 16_000
    assert drive.held_at < tar.stat().st_size - 11_000
    db, seen = tmp_path / "db", set[str]()

    def staged() -> bool:
        seen.update(path.stem.rpartition("-")[2] for path in db.glob(".ingest/pull-*-rows/pull-*.json"))
        return len(seen) == 2

    drive.until = staged
    pull("sss", db, tell=lambda _: None)
    assert seen == {"0000", "0001"}
    ingest([tar], tmp_path / "other")
    ours, theirs = (read_manifest(home) for home in (db, tmp_path / "other"))
    assert ours.parts == theirs.parts
    assert [one.name for one in ours.ingests] == [one.name for one in theirs.ingests] == [tar.name]
    assert strays(db) == []
    assert not ingest([tar], db).changed


def test_what_came_whole_is_ingested_from_where_it_was(
    drive: Elsewhere, tar: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    drive.files[_id("sss")] = tar

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("natsdb.ingest.pull.stream.add_sources", interrupt)
        with pytest.raises(KeyboardInterrupt):
            pull("sss", tmp_path / "db", tell=lambda _: None)
    drive.sent = 0
    assert pull("sss", tmp_path / "db", tell=lambda _: None).changed
    assert drive.sent == 0
    # Nor is what had been staged left behind.
    assert strays(tmp_path / "db") == []
    assert not list(tmp_path.glob("db/.ingest/*"))


def test_a_quota_that_is_exceeded_is_one_sentence(drive: Elsewhere, tar: bytes, tmp_path: Path) -> None:
    drive.files[_id("sss")], drive.quota = tar, True
    result = CliRunner().invoke(app, ["pull", "sss", "--db", str(tmp_path / "db")])
    assert result.exit_code == 1
    (said,) = result.stderr.splitlines()
    assert "Google Drive does not give it out (Too many users have viewed this file)" in said
    assert not (tmp_path / "db" / "natsdb.json").exists()


def test_an_archive_is_fetched_from_any_server(drive: Elsewhere, tar: bytes, tmp_path: Path) -> None:
    drive.files["NATS-sss-v1_0-50262-simple.tar"] = tar
    assert pull(f"{drive.url}/NATS-sss-v1_0-50262-simple.tar", tmp_path / "db", tell=lambda _: None).changed
    ingest([_kept(tmp_path, tar)], tmp_path / "other")
    assert contents(tmp_path / "db").keys() == contents(tmp_path / "other").keys()
    with pytest.raises(NatsdbError, match=r"it did not come whole \(404.*look whether the address is right"):
        pull(f"{drive.url}/other.tar", tmp_path / "third", tell=lambda _: None)
    with pytest.raises(NatsdbError, match="nothing is known by the name 'gdrive:'"):
        pull("gdrive:", tmp_path / "third", tell=lambda _: None)


def test_an_address_may_end_in_a_query_which_is_not_kept(drive: Elsewhere, tar: bytes, tmp_path: Path) -> None:
    drive.files["sss.tar"] = tar
    url = f"{drive.url}/sss.tar?download=1&signature=secret"
    assert pull(url, tmp_path / "db", tell=lambda _: None).changed
    (one,) = natsdb.info(tmp_path / "db").ingests
    assert (one.name, one.origin) == ("sss.tar", f"{drive.url}/sss.tar")
    assert "secret" not in (tmp_path / "db" / "natsdb.json").read_text()
    assert not pull(url, tmp_path / "db", tell=lambda _: None).changed


def test_what_is_no_text_is_no_manifest(elsewhere: Elsewhere, tar: bytes, tmp_path: Path) -> None:
    elsewhere.files["some/natsdb.json"] = tar
    with pytest.raises(Damaged, match=r"some/natsdb\.json"):
        pull(f"{elsewhere.url}/some", tmp_path / "db", tell=lambda _: None)


@pytest.mark.parametrize("known", [True, False])
def test_other_rows_of_an_archive_s_source_are_replaced_only_when_asked(
    known: bool, drive: Elsewhere, tar: bytes, tmp_path: Path
) -> None:
    drive.files |= {_id("sss"): tar, "sss.tar": tar}
    what, db = "sss" if known else f"{drive.url}/sss.tar", tmp_path / "db"
    other = {"space": "sss", "arch": 3, "dataset": "cifar10", "seed": 777, "accuracy": 3.0}
    add_run(db, **other, source="official")
    with pytest.raises(NatsdbError, match=r"accuracy.*replace its rows with --replace"):
        pull(what, db, tell=lambda _: None)
    assert pull(what, db, replacing=True, tell=lambda _: None).changed
    ingest([_kept(tmp_path, tar)], tmp_path / "other")
    assert natsdb.query(QUESTION, db).equals(natsdb.query(QUESTION, tmp_path / "other"))
    assert not list(db.glob(".ingest/pull-*"))


def test_a_known_archive_s_rows_under_another_name_are_not_the_official_ones(
    drive: Elsewhere, tar: bytes, tmp_path: Path
) -> None:
    drive.files[_id("sss")] = tar
    ingest([_kept(tmp_path, tar)], tmp_path / "db", source="mine")
    assert pull("sss", tmp_path / "db", tell=lambda _: None).changed
    assert natsdb.query("select distinct source from seed order by 1", tmp_path / "db")["source"].to_list() == [
        "mine",
        "official",
    ]


def test_archives_of_one_file_name_are_told_apart_by_their_addresses(drive: Elsewhere, tmp_path: Path) -> None:
    db, urls = tmp_path / "db", []
    for arch in (3, 4):  # tars of one size
        made = archives.write_folder(tmp_path / str(arch), "sss", [arch], jobs=1)
        drive.files[f"{arch}/sss.tar"] = archives.write_tar(made, tmp_path / f"{arch}.tar").read_bytes()
        urls.append(f"{drive.url}/{arch}/sss.tar")
    # What was ingested by hand under this name is another file too.
    by_hand = archives.write_folder(tmp_path / "5", "sss", [5], jobs=1)
    ingest([archives.write_tar(by_hand, tmp_path / "sss.tar")], db)
    for url in urls:
        assert pull(url, db, tell=lambda _: None).changed
    assert natsdb.query("select distinct arch from seed order by arch", db)["arch"].to_list() == [3, 4, 5]
    assert [one.origin for one in natsdb.info(db).ingests] == ["", *urls]
    drive.sent = 0
    for url in urls:
        assert not pull(url, db, tell=lambda _: None).changed
    assert drive.sent == 0


def test_what_a_known_archive_says_of_itself_is_kept(drive: Elsewhere, tar: bytes, tmp_path: Path) -> None:
    drive.files[_id("sss")] = tar
    pull("sss", tmp_path / "db", tell=lambda _: None)
    (one,) = natsdb.info(tmp_path / "db").ingests
    assert (one.origin, one.licence, one.citation) == (f"gdrive:{_id('sss')}", OFFERS["sss"].licence, CITATION)
    drive.sent = 0
    # By its address it is the same one; and so is a file of this name that was ingested by hand.
    assert not pull(f"gdrive:{_id('sss')}", tmp_path / "db", tell=lambda _: None).changed
    ingest([_kept(tmp_path, tar)], tmp_path / "other")
    assert not pull("sss", tmp_path / "other", tell=lambda _: None).changed
    assert drive.sent == 0


@pytest.mark.parametrize(
    ("archs", "source", "known"), [(32_768, "official", True), (2, "official", False), (32_768, "mine", False)]
)
def test_a_known_archive_is_there_where_all_of_it_came_in_another_form(
    archs: int, source: str, known: bool, drive: Elsewhere, tar: bytes, tmp_path: Path
) -> None:
    drive.files[_id("sss")], home = tar, tmp_path / "db"
    ingest([archives.write_folder(tmp_path / "folder", "sss", [3, 5], jobs=1)], home, source=source)
    manifest = read_manifest(home)
    (one,) = manifest.ingests
    publish_manifest(home, replace(manifest, ingests=(replace(one, archs=archs),)), "as if")
    pull("sss", home, tell=lambda _: None)
    assert (drive.sent == 0) is known


def test_nas_bench_201_is_fetched_by_its_address(drive: Elsewhere, tmp_path: Path) -> None:
    name = "NAS-Bench-201-v1_1-096897.pth"
    drive.files[name] = archives.write_nas_201(tmp_path / name, {3: archives.nas_201_record(3)}).read_bytes()
    assert pull(f"{drive.url}/{name}", tmp_path / "db", tell=lambda _: None).changed
    assert [(one.source, one.name) for one in natsdb.info(tmp_path / "db").ingests] == [("nas-bench-201", name)]


def test_official_rows_of_a_table_and_an_archive_are_not_mixed(drive: Elsewhere, tar: bytes, tmp_path: Path) -> None:
    drive.files[_id("sss")] = tar
    add_table(tmp_path / "db", source="official")
    with pytest.raises(NatsdbError, match="its rows of source 'official' are of a published table or a blackbox"):
        pull("sss", tmp_path / "db", tell=lambda _: None)


def _kept(folder: Path, tar: bytes) -> Path:
    path = folder / "NATS-sss-v1_0-50262-simple.tar"
    path.write_bytes(tar)
    return path


def test_what_is_no_whole_archive_is_not_kept(drive: Elsewhere, tar: bytes, tmp_path: Path) -> None:
    url = f"{drive.url}/sss.tar"
    for wrong, what in ((tar[:-5000], "truncated"), (tar[:3000] + bytes(200) + tar[3200:], "no whole archive")):
        drive.files["sss.tar"] = wrong
        with pytest.raises(Damaged, match=rf"{what}.*it is removed: run the same command again"):
            pull(url, tmp_path / "db", tell=lambda _: None)
        assert not list((tmp_path / "db").rglob("sss.tar*"))
        assert not (tmp_path / "db" / "natsdb.json").exists()
    drive.files["sss.tar"] = tar
    assert pull(url, tmp_path / "db", tell=lambda _: None).changed
    # The last digits of a single file's MD5 are in its name.
    named = "NATS-sss-v1_0-00000.pickle.pbz2"
    drive.files[named] = archives.write_single(tmp_path, "sss", _records(tmp_path), name_md5=False).read_bytes()
    with pytest.raises(Damaged, match=r"its MD5 ends in .*, its name says 00000"):
        pull(f"{drive.url}/{named}", tmp_path / "single", tell=lambda _: None)


def _records(folder: Path) -> dict[int, Any]:
    import bz2
    import pickle

    made = archives.write_folder(folder / "records", "sss", [3], jobs=1)
    return {3: pickle.loads(bz2.decompress((made / "000003.pickle.pbz2").read_bytes()))}


def _until_done(what: str, db: Path, most: int) -> list[str]:
    """Say the same command until it is done, so many times at most; what it said in between."""
    said: list[str] = []
    for _ in range(most):
        try:
            pull(what, db, tell=lambda _: None)
            return said
        except NatsdbError as error:
            said.append(str(error))
    raise AssertionError(said)


@pytest.mark.parametrize("cuts", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_an_archive_survives_cuts_at_random_bytes(drive: Elsewhere, tar: bytes, tmp_path: Path, cuts: int) -> None:
    drive.files[_id("sss")], drive.cuts = tar, cuts
    said = _until_done("sss", tmp_path / "db", cuts)
    assert all("run the same command again: what came is kept" in one for one in said)
    assert drive.cuts == 0
    assert natsdb.query("select count(distinct arch) from seed", tmp_path / "db").item() == 2


@pytest.mark.parametrize("cuts", [10, pytest.param(200, marks=pytest.mark.slow)])
def test_a_database_survives_cuts_at_random_bytes(
    elsewhere: Elsewhere, published: Path, tmp_path: Path, cuts: int
) -> None:
    elsewhere.put(published)
    elsewhere.cuts = cuts
    said = _until_done(f"{elsewhere.url}/natsdb.json", tmp_path / "db", cuts)
    assert not any("\n" in one for one in said)
    assert elsewhere.cuts == 0
    assert not check(tmp_path / "db").findings
    assert contents(tmp_path / "db") == contents(published)


def test_a_published_database_comes_whole_or_in_part(elsewhere: Elsewhere, published: Path, tmp_path: Path) -> None:
    elsewhere.put(published)
    url, db = f"{elsewhere.url}/natsdb.json", tmp_path / "db"
    result = CliRunner().invoke(app, ["pull", url, "--db", str(db), "--only", "final, cost"])
    assert result.exit_code == 0, result.output
    assert "licence: mit\n" in result.stdout
    tables = {part.table for part in read_manifest(db).parts}
    assert {"final", "cost", "seed", "arch"} < tables
    assert "metric" not in tables
    best = "from best('cifar100', 'x-test', '90')"
    assert natsdb.query(best, db).equals(natsdb.query(best, published))
    # What needs the table that did not come says so.
    more = archives.write_folder(tmp_path / "more", "sss", [21], jobs=1)
    for command in (
        lambda: export(tmp_path / "out", "sss", db, source="synthetic"),
        lambda: ingest([more], db, source="synthetic"),
    ):
        with pytest.raises(Missing, match="there is no table 'metric' beside the others; pull it"):
            command()
    # The archive's curves did not come, so it has not been read.
    assert {one.fingerprint for one in read_manifest(db).ingests} == {""}
    # The rest only.
    elsewhere.sent = 0
    assert pull(url, db, tell=lambda _: None).changed
    metric = sum(part.bytes for part in read_manifest(published).of("metric"))
    assert metric <= elsewhere.sent < metric + 100_000
    assert contents(db) == contents(published)
    assert natsdb.query(QUESTION, db).equals(natsdb.query(QUESTION, published))
    assert not pull(url, db, tell=lambda _: None).changed
    assert not pull(url, db, only=["final"], tell=lambda _: None).changed
    assert all(one.fingerprint for one in read_manifest(db).ingests)
    # A file that is gone, or was cut since, comes again.
    gone, cut = (db / part.path for part in read_manifest(db).of("final")[:2])
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:-9])
    assert pull(url, db, tell=lambda _: None).changed
    assert not check(db).findings
    with pytest.raises(Missing, match="there is no table 'finale'; did you mean final"):
        pull(url, db, only=["finale"], tell=lambda _: None)


def test_data_sets_come_with_a_published_database(elsewhere: Elsewhere, tmp_path: Path) -> None:
    before = dict(DATASETS)
    try:
        made = archives.write_nas_360(tmp_path / "NATS-tss-v1_0-ninapro-simple", [0, 3])
        ingest([made], tmp_path / "theirs", source="nas-bench-360")
        elsewhere.put(publish(tmp_path / "nats", tmp_path / "theirs"))
        own = archives.write_folder(tmp_path / "sss", "sss", [3], jobs=1)
        for name in DATASETS.keys() - before:
            del DATASETS[name]
        # Into a new database, and into one with a catalogue of its own.
        ingest([own], tmp_path / "mine")
        for db in (tmp_path / "db", tmp_path / "mine"):
            assert pull(f"{elsewhere.url}/natsdb.json", db, tell=lambda _: None).changed
            assert [one.name for one in read_manifest(db).datasets] == ["darcy", "ninapro"]
            ask = f"import natsdb; print(natsdb.query('from dataset', {str(db)!r})['dataset'].to_list())"
            said = subprocess.run([sys.executable, "-c", ask], capture_output=True, text=True, check=True).stdout
            assert "ninapro" in said
    finally:
        for name in DATASETS.keys() - before:
            del DATASETS[name]


def test_an_interrupted_pull_goes_on_with_what_came(
    elsewhere: Elsewhere, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere.put(published)
    monkeypatch.setattr("natsdb.ingest.pull._AT_ONCE", 1)
    total = sum(read_manifest(published).listed().values())
    seen = 0

    def interrupt(*_: object) -> None:
        nonlocal seen
        seen += 1
        if seen == 10:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        pull(elsewhere.url, tmp_path / "db", tell=lambda _: None, progress=interrupt)
    assert not (tmp_path / "db" / "natsdb.json").exists()
    before, elsewhere.sent = elsewhere.sent, 0
    pull(elsewhere.url, tmp_path / "db", tell=lambda _: None)
    assert elsewhere.sent < total - before / 2
    assert contents(tmp_path / "db") == contents(published)
    assert strays(tmp_path / "db") == []


@pytest.mark.skipif(os.name != "posix", reason="sends SIGINT")
def test_interrupted_on_a_slow_line_it_ends_at_once_and_keeps_what_came(
    elsewhere: Elsewhere, published: Path, tmp_path: Path
) -> None:
    elsewhere.put(published)
    elsewhere.slow = 0.1  # pieces take seconds
    db = tmp_path / "db"
    command = [sys.executable, "-m", "natsdb", "pull", elsewhere.url, "--db", str(db)]
    running = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)

    def came() -> int:
        return sum(path.stat().st_size for path in db.rglob("*.part"))

    try:
        while not came() and running.poll() is None:
            time.sleep(0.05)
        running.send_signal(signal.SIGINT)
        asked = time.monotonic()
        _, said = running.communicate(timeout=60)
        assert time.monotonic() - asked < 2
    finally:
        running.kill()
    assert running.returncode == 130
    assert said == "natsdb: interrupted; the database is as it was, the same command goes on from here\n"
    assert not (db / "natsdb.json").exists()
    kept = came() + sum(path.stat().st_size for path in db.rglob("*.parquet"))
    elsewhere.slow, elsewhere.sent = 0.0, 0
    assert pull(elsewhere.url, db, tell=lambda _: None).bytes == sum(read_manifest(published).listed().values()) - kept
    assert contents(db) == contents(published)


def test_other_bytes_and_short_files_are_refused(elsewhere: Elsewhere, published: Path, tmp_path: Path) -> None:
    elsewhere.put(published)
    path = read_manifest(published).of("metric")[0].path
    right = elsewhere.files[path]
    elsewhere.files[path] = right[:200] + bytes([right[200] ^ 1]) + right[201:]
    with pytest.raises(Damaged, match=rf"{path}: its bytes are others than those that were published"):
        pull(elsewhere.url, tmp_path / "db", tell=lambda _: None)
    elsewhere.files[path] = right[:-300]
    with pytest.raises(NatsdbError, match=rf"{path}: .* run the same command again: what came is kept"):
        pull(elsewhere.url, tmp_path / "db", tell=lambda _: None)
    del elsewhere.files[path]
    with pytest.raises(Missing, match=rf"{path}: the file that the manifest lists is not there"):
        pull(elsewhere.url, tmp_path / "db", tell=lambda _: None)
    assert not (tmp_path / "db" / "natsdb.json").exists()
    elsewhere.files[path] = right
    pull(elsewhere.url, tmp_path / "db", tell=lambda _: None)
    assert contents(tmp_path / "db") == contents(published)


def test_a_full_disk_is_one_sentence(
    elsewhere: Elsewhere, published: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere.put(published)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr("natsdb.ingest.pull.fetch.os.fsync", full)
        with pytest.raises(NotWritable, match=r"No space left on device.*free space there"):
            pull(elsewhere.url, tmp_path / "db", tell=lambda _: None)
    pull(elsewhere.url, tmp_path / "db", tell=lambda _: None)
    assert contents(tmp_path / "db") == contents(published)


def test_other_rows_of_a_source_are_replaced_only_when_asked(
    elsewhere: Elsewhere, published: Path, tmp_path: Path
) -> None:
    elsewhere.put(published)
    mine = archives.write_folder(tmp_path / "mine", "sss", [60], jobs=1)
    ingest([mine], tmp_path / "db", source="synthetic")
    ingest([mine], tmp_path / "db", source="mine")
    with pytest.raises(NatsdbError, match=r"it holds other rows of source 'synthetic'; .*--replace"):
        pull(elsewhere.url, tmp_path / "db", tell=lambda _: None)
    pull(elsewhere.url, tmp_path / "db", replacing=True, tell=lambda _: None)
    held = natsdb.query("select distinct source, arch from seed order by all", tmp_path / "db").rows()
    assert held == [("mine", 60), ("synthetic", 20), ("synthetic", 40)]


def test_a_database_comes_from_the_hub_and_from_a_bucket(
    published: Path, bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = Hub()
    monkeypatch.setenv("HF_ENDPOINT", hub.url)
    hub.put("someone/nats", published)
    upload(published, bucket)
    try:
        for number, url in enumerate(("hf://datasets/someone/nats", bucket, f"{bucket}/natsdb.json")):
            said: list[str] = []
            pull(url, tmp_path / str(number), tell=said.append)
            assert said[1] == "licence: mit"
            assert contents(tmp_path / str(number)) == contents(published)
    finally:
        hub.close()


def test_the_registry_says_what_was_not_verified() -> None:
    listed = CliRunner().invoke(app, ["pull", "--list"]).stdout
    for name, drive in (("tss", "17_saCsj_krKjlCBLOJEpNtzPXArMCqxU"), ("sss", "1scOMTUwcQhAMa_IMedp9lTzwmgqHLGgA")):
        assert f"{name}: all " in listed
        assert f"from: gdrive:{drive} (not verified)" in listed
    for arguments, what in {("tsss",): "nothing is known by the name 'tsss'", (): "nothing is named"}.items():
        refused = CliRunner().invoke(app, ["pull", *arguments])
        assert (refused.exit_code, what in refused.stderr) == (1, True)
