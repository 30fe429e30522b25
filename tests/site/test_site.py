"""The static page without a browser: what is written, that it is written whole, and how it is served."""

from __future__ import annotations

import http.client
import json
import re
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import duckdb
import pytest
from typer.testing import CliRunner

import natsdb
from databases import keep_made_up_search
from natsdb.cli import app
from natsdb.schema.errors import NatsdbError
from natsdb.site import opened, write_site
from natsdb.site.data import INDEX, NOT_IN_BROWSER, browser_sql
from natsdb.site.searches import write_searches
from natsdb.site.serve import server
from natsdb.site.vendor import DUCKDB, Package, tarball
from natsdb.store.snapshot import read_manifest
from natsdb.store.versions import drop, vacuum
from sources import add_run, add_table


def _json(path: Path) -> Any:
    return json.loads(path.read_text("utf-8"))


def _files(site: Path) -> dict[str, bytes]:
    return {str(path.relative_to(site)): path.read_bytes() for path in site.rglob("*") if path.is_file()}


def _ask(address: str, path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
    connection = http.client.HTTPConnection(urlsplit(address).netloc, timeout=10)
    connection.request(method, path, headers=headers)
    answer = connection.getresponse()
    return answer.status, dict(answer.getheaders()), answer.read()


@pytest.mark.parametrize("space", ["tss", "sss"])
def test_points_are_the_means_and_costs_that_sql_gives(plain_site: Path, embedded_db: Path, space: str) -> None:
    (entry,) = [entry for entry in _json(plain_site / INDEX)["points"] if entry["space"] == space]
    columns = _json(plain_site / "data" / "points" / entry["file"])
    frame = natsdb.query(
        f"""select arch, round(accuracy, 4) as accuracy, round(flops, 6) as flops
        from mean_final join mean_cost using (space, hp, arch, dataset)
        where space = '{space}' and dataset = '{entry["dataset"]}' and split = 'x-valid' order by arch""",
        embedded_db,
    )
    assert len(frame) == entry["archs"]
    assert columns["arch"] == frame["arch"].to_list()
    assert columns["x-valid"] == frame["accuracy"].to_list()
    assert columns["flops"] == frame["flops"].to_list()


@pytest.mark.parametrize("space", ["tss", "sss"])
def test_an_architectures_record_holds_its_runs_and_every_architecture_has_one(
    plain_site: Path, embedded_db: Path, space: str
) -> None:
    index = _json(plain_site / INDEX)
    records = [
        record
        for number in range(len(list((plain_site / "data" / "runs" / space).iterdir())))
        for record in _json(plain_site / "data" / "runs" / space / f"{number}.json")
    ]
    catalogue = natsdb.query(f"select arch, arch_str from arch where space = '{space}' order by arch", embedded_db)
    assert [(record["arch"], record["arch_str"]) for record in records] == catalogue.rows()
    mine = [
        (record["arch"], run[3], split, run[4 + n])
        for record in records
        for run in record["runs"]
        for n, split in enumerate(index["splits"])
        if run[4 + n] is not None
    ]
    theirs = natsdb.query(
        f"select arch, seed, split, round(accuracy, 4) from final where space = '{space}'", embedded_db
    )
    assert sorted(mine) == sorted(theirs.rows())


def test_measures_are_those_of_the_architectures_that_have_points(plain_site: Path, embedded_db: Path) -> None:
    entries = {entry["name"]: entry for entry in _json(plain_site / INDEX)["measures"]}
    entry = entries["hw_nas_bench.edgegpu_energy"]
    assert (entry["space"], entry["meaning"], entry["unit"]) == ("tss", "energy on NVIDIA Jetson TX2", "mJ")
    assert list(entry["files"]) == ["cifar10-valid"]
    columns = _json(plain_site / "data" / "measures" / entry["files"]["cifar10-valid"])
    expected = natsdb.query(
        "select arch, value from measured('hw_nas_bench.edgegpu_energy') join mean_final using (space, arch, dataset) "
        "where split = 'x-valid' order by arch",
        embedded_db,
    )
    assert columns["arch"] == expected["arch"].to_list()
    assert columns["value"] == pytest.approx(expected["value"].to_list(), rel=1e-5)
    assert len(entries["zero_cost.zen"]["files"]) == 1


def test_digits_of_architectures_spell_their_strings(plain_site: Path, embedded_db: Path) -> None:
    found = _json(plain_site / "data" / "archs" / "tss.json")
    names = [found["names"][int(digit)] for digit in found["digits"]]
    ops = natsdb.query("select ops from arch where space = 'tss' order by arch", embedded_db)["ops"].to_list()
    assert names == [name for cell in ops for name in cell]


@pytest.mark.usefixtures("alone")
def test_without_measurements_there_is_a_page_all_the_same(embedded_db: Path, tmp_path: Path) -> None:
    home = tmp_path / "db"
    shutil.copytree(embedded_db, home)
    manifest = read_manifest(home)
    kept = tuple(part for part in manifest.parts if not part.space)
    (home / "natsdb.json").write_text(replace(manifest, parts=kept).to_json())
    index = _json(write_site(tmp_path / "site", home, sql=False) / INDEX)
    assert index["points"] == []
    assert [example["title"] for example in index["examples"]] == ["Cheapest channel sizes, by formula"]


def test_published_tables_have_points_with_costs_by_formula(test_data: Path, tmp_path: Path) -> None:
    from natsdb.ingest import ingest

    ingest([test_data / "published" / "tss_hp12_means.parquet"], tmp_path / "db")
    site = write_site(tmp_path / "site", tmp_path / "db", sql=False)
    entry = _json(site / INDEX)["points"][0]
    columns = _json(site / "data" / "points" / entry["file"])
    assert entry["source"] == "published"
    assert len(columns["arch"]) == len(columns["flops"]) > 15_000
    assert None not in columns["flops"]


def test_a_sites_db_is_a_database(sql_site: Path, embedded_db: Path) -> None:
    assert natsdb.info(sql_site / "db").contents == natsdb.info(embedded_db).contents


def test_views_for_the_browser_name_files_of_the_site_and_leave_out_what_it_cannot_run(embedded_db: Path) -> None:
    text = browser_sql(read_manifest(embedded_db))
    assert str(embedded_db.resolve()) not in text
    assert set(re.findall(r"'(db/[^']*)'", text)) == {
        f"db/{part['path']}" for part in _json(embedded_db / "natsdb.json")["parts"]
    }
    assert not any(f" {name}(" in text or f" {name} as" in text for name in NOT_IN_BROWSER)
    # Since DuckDB 1.1.
    assert "query_table" not in text


def test_tables_of_measure_and_score_are_measures_of_the_page_and_join_in_its_sql(
    embedded_db: Path, tmp_path: Path
) -> None:
    home = Path(shutil.copytree(embedded_db, tmp_path / "db"))
    archs = natsdb.query("select distinct arch from final where space = 'tss' order by arch limit 3", home)["arch"]
    key = {"arch": archs.to_list(), "dataset": ["cifar10-valid"] * 3}
    for table, column in (("measured", "latency_ms"), ("scored", "synflow")):
        natsdb.attach({**key, column: [3.0, 1.0, 2.0]}, table, home, space="tss", key="arch", partial=True)
    site = write_site(tmp_path / "site", home, sql=False)
    entries = {entry["name"]: entry for entry in _json(site / INDEX)["measures"]}
    for name in ("measured.latency_ms", "scored.synflow"):
        columns = _json(site / "data" / "measures" / entries[name]["files"]["cifar10-valid"])
        assert columns == {"arch": archs.to_list(), "value": [3.0, 1.0, 2.0]}
    # What the page asks, asked of DuckDB here: `measured` is a table, and a macro.
    joined = """select arch, latency_ms, synflow, value from measured join scored using (space, arch, dataset)
        join measured('measured.latency_ms') using (space, arch, dataset) join mean_final using (space, arch, dataset)
        where split = 'x-valid' order by arch"""
    with duckdb.connect() as connection:
        for statement in browser_sql(read_manifest(home)).replace("'db/", f"'{home}/").split("\n;\n"):
            connection.execute(statement)
        rows = [(arch, value, value, value) for arch, value in zip(archs, (3.0, 1.0, 2.0), strict=True)]
        assert connection.sql(joined).fetchall() == rows


def test_a_second_run_replaces_the_site_by_an_equal_one(plain_site: Path, embedded_db: Path, tmp_path: Path) -> None:
    site = Path(shutil.copytree(plain_site, tmp_path / "out" / "site"))
    before = _files(site)
    (site / "stale.html").write_text("old")
    (site.parent / ".site.new" / "data").mkdir(parents=True)  # what a killed run leaves
    (site / "data" / "points" / "99.json").write_text("[]")
    assert _files(write_site(site, embedded_db, sql=False)) == before
    assert [path.name for path in site.parent.iterdir()] == ["site"]


def test_a_site_is_of_one_version_whatever_is_published_meanwhile(
    sql_site: Path, embedded_db: Path, tmp_path: Path
) -> None:
    shutil.copytree(embedded_db, tmp_path / "db")
    published = []

    def publish(*_: object) -> None:
        if not published:  # some answers are written by now, no file is linked
            published.append(drop("regenerated", tmp_path / "db", space="sss"))
            vacuum(tmp_path / "db", keep=0)

    site = write_site(tmp_path / "site", tmp_path / "db", progress=publish)
    assert [one.version for one in published] == [2]
    assert _files(site) == _files(sql_site)


def test_what_is_served_stays_while_it_is_served(embedded_db: Path, tmp_path: Path) -> None:
    shutil.copytree(embedded_db, tmp_path / "db")
    with opened(None, tmp_path / "db", sql=False) as (_, (database, _)):
        drop("regenerated", tmp_path / "db", space="sss")
        assert vacuum(tmp_path / "db", keep=0).held == [1]
        assert all((database / path).exists() for path in read_manifest(embedded_db).listed())
    assert vacuum(tmp_path / "db", keep=0).versions == [1]


def test_a_folder_that_is_no_site_is_left_alone(embedded_db: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(NatsdbError, match=r"something here that is not a site of natsdb; name another folder"):
        write_site(tmp_path, embedded_db, sql=False)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]


def test_a_run_that_fails_leaves_the_old_site(plain_site: Path, embedded_db: Path, tmp_path: Path) -> None:
    site = Path(shutil.copytree(plain_site, tmp_path / "site"))
    before = _files(site)
    broken = tmp_path / "db"
    shutil.copytree(embedded_db, broken)
    next(broken.glob("final/**/*.parquet")).write_bytes(b"no Parquet")
    with pytest.raises(NatsdbError, match="arquet"):
        write_site(site, broken, sql=False)
    assert _files(site) == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["db", "site"]


@pytest.mark.parametrize(
    ("asked", "status", "first", "last"),
    [("bytes=0-0", 206, 0, 0), ("bytes=5-9", 206, 5, 9), ("bytes=7-", 206, 7, None), ("bytes=-6", 206, -6, None)],
)
def test_the_server_answers_ranges(
    plain_address: str, plain_site: Path, asked: str, status: int, first: int, last: int | None
) -> None:
    whole = (plain_site / "style.css").read_bytes()
    want = whole[first : last + 1 if last is not None else None]
    for method, body in (("GET", want), ("HEAD", b"")):
        code, headers, got = _ask(plain_address, "/style.css", method, Range=asked)
        assert (code, got) == (status, body)
        assert headers["Content-Length"] == str(len(want))
        start = first % len(whole)
        assert headers["Content-Range"] == f"bytes {start}-{start + len(want) - 1}/{len(whole)}"


def test_the_server_refuses_a_range_past_the_end_and_sends_files_whole(plain_address: str, plain_site: Path) -> None:
    whole = (plain_site / "style.css").read_bytes()
    code, headers, _ = _ask(plain_address, "/style.css", Range=f"bytes={len(whole)}-")
    assert (code, headers["Content-Range"]) == (416, f"bytes */{len(whole)}")
    for asked in ("bytes=0-1,4-5", "lines=1-2", "bytes=-"):
        assert _ask(plain_address, "/style.css", Range=asked)[::2] == (200, whole)
    assert _ask(plain_address, "/")[1]["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize(
    "path", ["/../secret", "/%2e%2e/secret", "/db/../../secret", "/data", "/data/", "//etc/passwd"]
)
def test_the_server_gives_nothing_but_the_sites_files(embedded_db: Path, tmp_path: Path, path: str) -> None:
    import threading

    (tmp_path / "secret").write_text("secret")
    site = tmp_path / "site"
    (site / "data").mkdir(parents=True)
    (site / "db").symlink_to(embedded_db)
    with server(site, 0) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        assert _ask(f"http://127.0.0.1:{running.server_port}", path)[0] == 404
        assert _ask(f"http://127.0.0.1:{running.server_port}", "/db/natsdb.json")[0] == 200
        running.shutdown()


def test_a_database_is_served_without_a_copy(embedded_db: Path) -> None:
    with opened(None, embedded_db, sql=False) as (folder, database):
        assert (folder / "index.html").is_file()
        assert not (folder / "db").exists()
        assert database[0] == embedded_db
    assert not folder.exists()


def test_serve_says_where_there_is_no_site(tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["serve", str(tmp_path)])
    assert result.exit_code == 1
    assert "there is no site here; write one with `natsdb site OUT`" in result.stderr


def test_a_port_that_is_taken_is_one_sentence(plain_site: Path) -> None:
    with server(plain_site, 0) as running, pytest.raises(NatsdbError, match="name another with --port"):
        server(plain_site, running.server_port)


def test_without_npm_the_error_says_what_to_do(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NatsdbError, match=r"there is no npm to fetch @duckdb/duckdb-wasm@.*--no-sql"):
        tarball(DUCKDB)


def test_a_tarball_that_is_not_the_pinned_one_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    package = Package("some/thing", "1.0.0", "AAAA")
    path = tmp_path / "natsdb" / "npm" / "some-thing-1.0.0.tgz"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"another")
    with pytest.raises(NatsdbError, match=r"this is not some/thing 1\.0\.0: its SHA-512 is another"):
        tarball(package)


def test_the_page_opens_on_what_covers_most_and_its_json_knows_no_nan(tmp_path: Path) -> None:
    home = tmp_path / "db"
    for arch in range(3):
        add_run(home, arch, source="official")
    archs = list(range(400))
    same = {"space": ["tss"] * 400, "hp": ["12"] * 400, "dataset": ["cifar100"] * 400, "split": ["ori-test"] * 400}
    add_table(home, **same, arch=archs, accuracy=[50.0] * 400)
    add_run(home, 7, accuracy=float("nan"))
    site = write_site(tmp_path / "site", home, sql=False)
    first = _json(site / INDEX)["points"][0]
    assert (first["source"], first["archs"], first["splits"]) == ("published", 400, ["ori-test"])
    assert _json(site / INDEX)["sizes"]["tss"] == 15_625

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    for path in (site / "data").rglob("*.json"):
        json.loads(path.read_text(), parse_constant=refuse)


def test_a_search_without_a_budget_is_shown_over_its_seconds_and_one_of_shared_weights_over_epochs(
    searched_site: Path,
) -> None:
    shown = json.loads((searched_site / "data" / "searches.json").read_text())["tss"]
    curves = {row["label"]: row for row in shown["curves"] if row["role"] == "valid"}
    assert {label: row["timed"] for label, row in curves.items()} == {
        **dict.fromkeys(("first", "second", "third", "a_trained"), True),
        "gdas": False,
    }
    # The mean of the ends of its runs.
    assert (curves["a_trained"]["at"][-1], len(curves["a_trained"]["at"])) == (7002, 50)
    assert curves["gdas"]["at"] == [0, 1]
    assert {row["label"] for row in shown["regrets"]} == {"first", "second", "third", "a_trained"}
    assert {row["label"] for row in shown["ranks"]} == {"first", "second", "third"}


def test_moments_of_a_search_of_a_few_seconds_are_told_apart(searched_db: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(searched_db, tmp_path / "db"))
    archs = natsdb.query("select arch from full_accuracy where space = 'tss' order by accuracy", home)["arch"]
    steps = {0: [(0.4, archs[0]), (6.0, archs[5])]}
    keep_made_up_search(home, "brief", "brief", steps, dataset="cifar10", budget=None)
    with natsdb.connect(home) as connection:
        write_searches(tmp_path, connection)
    shown = json.loads((tmp_path / "searches.json").read_text())["tss"]
    for name, seconds in (("regrets", "seconds"), ("curves", "at")):
        (moments,) = (row[seconds] for row in shown[name] if row["label"] == "brief" and row["role"] == "valid")
        # On a logarithmic axis too.
        assert 0 < moments[0] < 0.2
        assert moments == sorted(set(moments))
        assert moments[-1] == 6
