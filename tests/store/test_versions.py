"""A database lives long: versions are kept and named, readers keep theirs, what nobody reads goes."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from safetensors import safe_open
from safetensors.numpy import save_file

import archives
import natsdb
from databases import contents
from natsdb import api
from natsdb.ingest import ingest
from natsdb.ingest.repair import repair
from natsdb.schema.errors import Damaged, Missing, NatsdbError
from natsdb.store import versions
from natsdb.store.check import check
from natsdb.store.manifest import digest
from natsdb.store.snapshot import open_snapshot, read_manifest, shared_lock
from natsdb.store.versions import drop, log, pin, rollback, vacuum
from natsdb.store.writing import only_writer, sync_folder

ROWS = "select source, count(*) as rows from metric group by source order by source"


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Three archives whose architectures share a block."""
    folder = tmp_path_factory.mktemp("folders")
    return [archives.write_folder(folder / f"of-{arch}", "sss", [arch], jobs=1) for arch in (1, 2, 3)]


@pytest.fixture(scope="module")
def first(folders: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of the first of them. Read only."""
    home = tmp_path_factory.mktemp("first") / "db"
    ingest(folders[:1], home)
    return home


@pytest.fixture
def home(first: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    shutil.copytree(first, tmp_path / "db")
    return tmp_path / "db"


def long_ago(home: Path) -> None:
    """Let all versions be published two days ago."""
    for path in (home / ".versions").glob("*.json"):
        data = json.loads(path.read_text())
        data.pop("digest")
        data["when"] = "2001" + data["when"][4:]
        with path.open("r+") as file:  # the same file as natsdb.json
            file.truncate()
            file.write(json.dumps({**data, "digest": digest(data)}, indent=1) + "\n")


def test_a_manifest_that_was_removed_before_it_was_locked_is_opened_again(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    opened = []

    def locked(file: int) -> bool:
        if not opened:  # a vacuum takes its time just now
            for path in (home / "natsdb.json", home / ".versions" / "000001.json"):
                data = path.read_bytes()
                path.unlink()
                path.write_bytes(data)
        opened.append(file)
        return shared_lock(file)

    monkeypatch.setattr("natsdb.store.snapshot.shared_lock", locked)
    assert open_snapshot(home).manifest == read_manifest(home)
    assert len(opened) == 2


@pytest.mark.skipif(os.name != "posix", reason="elsewhere a folder cannot be opened")
def test_names_in_a_folder_are_brought_to_disk(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced: list[int] = []
    monkeypatch.setattr(os, "fsync", synced.append)
    sync_folder(home)
    assert len(synced) == 1


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files of this process")
def test_without_locks_a_manifest_is_not_kept_open(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    def refuses(*_: Any) -> None:
        raise OSError("no locks on this file system")

    def manifests() -> int:
        opened = (path.resolve() for path in Path("/proc/self/fd").iterdir())
        return sum(path == (home / "natsdb.json").resolve() for path in opened)

    held = open_snapshot(home)
    assert manifests() == 1
    del held
    monkeypatch.setattr(fcntl, "flock", refuses)
    snapshot = open_snapshot(home)
    assert (snapshot.manifest, manifests()) == (read_manifest(home), 0)


def test_versions_are_numbered_and_say_what_made_them(home: Path, folders: list[Path]) -> None:
    ingest(folders[1:2], home, source="mine")
    listed = log(home)
    assert [version.version for version in listed] == [2, 1]
    assert listed[0].newest
    assert not listed[1].newest
    assert "ingest of-2 --source mine" in listed[0].command
    assert listed[0].rows > listed[1].rows
    assert time.strptime(listed[0].when, "%Y-%m-%dT%H:%M:%SZ")


def test_an_earlier_version_is_opened_as_it_was(home: Path, folders: list[Path]) -> None:
    before = natsdb.query(ROWS, home).rows()
    ingest(folders[1:2], home, source="mine")
    assert natsdb.query(ROWS, home).rows() != before
    with natsdb.connect(home, version=1) as connection:
        assert connection.sql(ROWS).fetchall() == before
    with pytest.raises(Missing, match=r"there is no version 7; there are 1, 2"):
        natsdb.connect(home, version=7)


def test_rollback_and_drop_are_new_versions(home: Path, folders: list[Path]) -> None:
    before = contents(home)
    ingest(folders[1:2], home, source="mine")
    both = contents(home)
    dropped = drop("mine", home)
    assert (dropped.version, dropped.command) == (3, "drop --source mine")
    assert contents(home) == before
    assert rollback(2, home).version == 4
    assert contents(home) == both
    # What was dropped is read again when it is asked for.
    drop("mine", home)
    assert ingest(folders[1:2], home, source="mine").changed
    assert contents(home) == both


def test_drop_of_what_is_not_there_names_what_is(home: Path) -> None:
    with pytest.raises(Missing, match=r"no rows of source 'oficial'; there is official"):
        drop("oficial", home)
    with pytest.raises(Missing, match=r"no rows of source 'official', space 'tss'; it holds sss from official"):
        drop("official", home, space="tss")
    with pytest.raises(Missing, match=r"no rows of source ''; there is official"):  # the catalogue is of no source
        drop("", home)
    hps = set(natsdb.query("select distinct hp from seed", home)["hp"])
    drop("official", home, hp="90")
    assert set(natsdb.query("select distinct hp from seed", home)["hp"]) == hps - {"90"}


def test_superseded_files_stay_for_the_grace_period_and_then_go(home: Path, folders: list[Path]) -> None:
    old = set(read_manifest(home).listed())
    ingest(folders[1:2], home)
    gone = old - set(read_manifest(home).listed())
    assert gone
    assert all((home / path).exists() for path in gone)
    assert vacuum(home).versions == []
    ingest(folders[2:3], home)
    assert all((home / path).exists() for path in gone)
    long_ago(home)
    # A later ingest sweeps too; the version just superseded is not two days old.
    ingest(folders[2:3], home, source="mine")
    assert not any((home / path).exists() for path in gone)
    assert not check(home).findings


HOLDERS: dict[str, Callable[[Path], Callable[[], object]]] = {
    "a connection": lambda home: (connection := natsdb.connect(home)) and (lambda: connection.sql(ROWS).fetchall()),
    "its cursor": lambda home: (cursor := natsdb.connect(home).cursor()) and (lambda: cursor.sql(ROWS).fetchall()),
    "a handle": lambda home: (
        (handle := api.create(str(home), "sss", verbose=False))
        and (lambda: handle.get_more_info(1, "cifar10", iepoch=3, hp="90", is_random=False))
    ),
    "a snapshot": lambda home: (snapshot := open_snapshot(home)) and (lambda: check(snapshot.home).findings),
}


@pytest.mark.parametrize("kind", HOLDERS)
def test_what_somebody_reads_survives_a_vacuum(home: Path, folders: list[Path], kind: str) -> None:
    ask = HOLDERS[kind](home)
    before = ask()
    old = set(read_manifest(home).listed())
    ingest(folders[1:2], home)
    removed = vacuum(home, keep=0)
    assert (removed.versions, removed.held) == ([], [1])
    assert ask() == before
    del ask
    removed = vacuum(home, keep=0)
    assert (removed.versions, removed.held) == ([1], [])
    assert removed.files
    assert not any((home / path).exists() for path in old - set(read_manifest(home).listed()))
    assert not check(home).findings


def test_a_version_that_a_file_was_written_of_stays_as_long_as_the_file(
    home: Path, folders: list[Path], tmp_path: Path
) -> None:
    file = tmp_path / "nats.duckdb"
    file.touch()
    pin(home, 1, file)
    ingest(folders[1:2], home)
    assert vacuum(home, keep=0).held == [1]
    file.unlink()
    assert vacuum(home, keep=0).versions == [1]


def test_a_manifest_that_was_never_published_is_swept(home: Path, folders: list[Path]) -> None:
    version = home / ".versions" / "000002.json"
    version.write_text((home / "natsdb.json").read_text())
    ingest(folders[1:2], home)
    assert [one.version for one in log(home)] == [2, 1]
    assert "of-2" in log(home)[0].command


def test_two_writers_wait_or_say_so(home: Path, folders: list[Path]) -> None:
    with only_writer(home), pytest.raises(NatsdbError, match=r"another process is writing to this database; wait"):
        ingest(folders[1:2], home)


def test_work_that_was_abandoned_goes_after_a_month(home: Path, folders: list[Path]) -> None:
    left, fresh = home / ".ingest" / "0123456789abcdef", home / ".ingest" / "fedcba9876543210"
    for folder in (left, fresh):
        folder.mkdir(parents=True)
        (folder / "block.json").write_text("{}")
    month = time.time() - 40 * 86_400
    for path in (left / "block.json", left):
        os.utime(path, (month, month))
    ingest(folders[1:2], home)
    assert not left.exists()
    assert fresh.exists()


READER = """
import sys, time
import natsdb
from natsdb import api
home, allowed, until = sys.argv[1], eval(sys.argv[2]), sys.argv[3]
held = natsdb.connect(home)
first = held.execute("select count(*) from metric").fetchone()[0]
asked = 0
import os
while not os.path.exists(until):
    with natsdb.connect(home) as connection:
        rows, seeds = connection.execute(
            "select (select count(*) from metric), (select count(*) from seed)"
        ).fetchone()
        # One version: rows of metric and of seed go together.
        assert (rows, seeds) in allowed, (rows, seeds)
    assert held.execute("select count(*) from metric").fetchone()[0] == first
    assert natsdb.scan("seed", home).collect().height in {seeds for _, seeds in allowed}
    if not asked:
        print('ready', flush=True)
    asked += 1
    time.sleep(0.01)
print(asked)
"""


@pytest.mark.parametrize("rounds", [4, pytest.param(17, marks=pytest.mark.slow)])
def test_readers_see_one_version_or_another_beside_writers(
    home: Path, folders: list[Path], tmp_path: Path, rounds: int
) -> None:
    """Each round is an ingest, a vacuum of everything that nobody reads, and a drop."""

    def counted(path: Path) -> tuple[int, int]:
        with natsdb.connect(path) as connection:
            found = connection.execute("select (select count(*) from metric), (select count(*) from seed)").fetchone()
        assert found is not None
        return found

    allowed = {counted(home)}
    shutil.copytree(home, tmp_path / "both")
    ingest(folders[1:2], tmp_path / "both", source="mine")
    allowed.add(counted(tmp_path / "both"))
    stop = tmp_path / "stop"
    readers = [
        subprocess.Popen(
            [sys.executable, "-c", READER, str(home), repr(allowed), str(stop)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    try:
        assert all(reader.stdout is not None and reader.stdout.readline() == "ready\n" for reader in readers)
        for _ in range(rounds):
            ingest(folders[1:2], home, source="mine")
            vacuum(home, keep=0)
            drop("mine", home)
            vacuum(home, keep=0)
    finally:
        stop.touch()
        said = [reader.communicate() for reader in readers]
    for reader, (out, error) in zip(readers, said, strict=True):
        assert reader.returncode == 0, error
        assert int(out) > 0
    assert not check(home).findings


def test_equal_contents_at_a_given_time_are_equal_bytes(
    folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    for name in ("a", "b"):
        ingest(folders[:1], tmp_path / name)
    texts = [(tmp_path / name / "natsdb.json").read_bytes() for name in ("a", "b")]
    assert texts[0] == texts[1]
    assert log(tmp_path / "a")[0].when == "2023-11-14T22:13:20Z"
    assert versions.GRACE == 86_400


def test_a_manifest_that_is_gone_is_no_empty_database(home: Path, folders: list[Path]) -> None:
    before = contents(home)
    (home / "natsdb.json").unlink()
    with pytest.raises(Damaged, match=r"natsdb\.json: the manifest is gone; `natsdb repair` restores it"):
        ingest(folders[1:2], home)
    assert [finding.path for finding in check(home).findings] == ["natsdb.json"]
    assert repair([], home).mended == ["natsdb.json"]
    assert contents(home) == before


def test_a_damaged_manifest_of_an_older_version_costs_no_files(home: Path, folders: list[Path]) -> None:
    old = read_manifest(home).listed()
    drop("official", home)
    for path in (home / ".versions" / "000001.json", home / ".versions" / "000001.copy"):
        path.unlink()
        path.write_text("{}")
    ingest(folders[1:2], home)
    assert all((home / path).exists() for path in old)


def test_a_vacuum_that_removes_versions_keeps_the_files_of_a_damaged_one(home: Path, folders: list[Path]) -> None:
    ingest(folders[1:2], home, source="mine")
    listed = read_manifest(home).listed()
    drop("mine", home)
    for path in (home / ".versions").glob("000002.*"):
        path.write_text("{}")
    removed = vacuum(home, keep=0)
    assert (removed.versions, removed.files) == ([1], 0)
    assert all((home / path).exists() for path in listed)


def test_check_names_each_damaged_manifest(home: Path, folders: list[Path]) -> None:
    ingest(folders[1:2], home, source="mine")
    drop("mine", home)
    names = [".versions/000001.copy", ".versions/000002.copy", ".versions/000002.json"]
    for name, text in zip(names, ("{}", '"rows"', b"\xff"), strict=True):
        (home / name).write_bytes(text if isinstance(text, bytes) else text.encode())
    found = {finding.path: finding for finding in check(home).findings}
    # Nobody knows any more that the files of version 2 are its own.
    assert [name for name in found if name.startswith(".versions/")] == names
    assert {finding.what for name, finding in found.items() if name not in names} == {"no version lists it"}
    assert not any(finding.newest for finding in found.values())


@pytest.mark.parametrize("left", [["000002.copy"], ["000002.copy", "000002.json"]], ids=["a copy", "both"])
def test_what_a_killed_writer_left_is_no_version(home: Path, left: list[str]) -> None:
    text = (home / "natsdb.json").read_text()
    for name in left:
        (home / ".versions" / name).write_text(text)
    with pytest.raises(Missing, match="there is no version 2"):
        open_snapshot(home, 2)
    assert not check(home).findings
    vacuum(home, keep=0)
    assert sorted(path.name for path in (home / ".versions").iterdir()) == ["000001.copy", "000001.json"]


def test_the_grace_period_is_measured_by_the_clock_that_versions_are_made_by(
    home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1600000000")
    drop("official", home)
    assert [version.version for version in log(home)] == [2, 1]


def test_the_grace_period_begins_when_a_version_is_superseded(
    folders: list[Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def on(day: float) -> None:
        monkeypatch.setenv("SOURCE_DATE_EPOCH", str(1_700_000_000 + 86_400 * day))

    on(0)
    ingest(folders[:1], tmp_path / "db")
    on(10)
    drop("official", tmp_path / "db")
    on(10.9)
    assert vacuum(tmp_path / "db", keep=86_400).versions == []
    on(11)
    assert vacuum(tmp_path / "db", keep=86_400).versions == [1]


def test_a_reader_of_the_newest_version_by_number_keeps_it_in_a_copied_folder(home: Path) -> None:
    with natsdb.connect(home, version=1) as connection:
        drop("official", home)
        assert vacuum(home, keep=0).held == [1]
        assert connection.sql(ROWS).fetchall()


def test_dropping_a_schedule_drops_its_weights_and_no_others(tmp_path: Path) -> None:
    archives.write_full_folder(tmp_path / "full", "sss", [20])
    home = tmp_path / "db"
    ingest([tmp_path / "full"], home, weights=True)
    drop("official", home, hp="90")
    (one,) = read_manifest(home).weights
    with safe_open(home / one.path, "numpy") as file:
        assert {name.split("/")[0] for name in file.keys()} == {"01", "12"}  # noqa: SIM118
    assert ingest([tmp_path / "full"], home, weights=True).changed
    assert natsdb.query("select count(*) from seed where not weights", home).item() == 0
    (one,) = read_manifest(home).weights
    with safe_open(home / one.path, "numpy") as file:
        assert {name.split("/")[0] for name in file.keys()} == {"01", "12", "90"}  # noqa: SIM118


def test_dropping_a_schedule_of_a_published_table_leaves_it_published(home: Path, tmp_path: Path) -> None:
    key = {"space": "sss", "hp": ["12", "90"], "arch": 7, "dataset": "cifar100", "split": "x-test"}
    pl.DataFrame({**key, "accuracy": [60.0, 70.5]}).write_parquet(tmp_path / "table.parquet")
    ingest([tmp_path / "table.parquet"], home)
    drop("published", home, hp="12")
    assert read_manifest(home).published_sources() == {"published"}
    assert ingest([tmp_path / "table.parquet"], home).changed
    assert set(natsdb.query("select hp from seed where source = 'published'", home)["hp"]) == {"12", "90"}


def test_an_attached_table_without_data_sets_has_keys_of_its_own_in_every_version(home: Path) -> None:
    table = {"arch": [1, 1, 2], "device": ["phone", "board", "phone"], "latency": [1.0, 2.0, 3.0]}
    natsdb.attach(table, "measured_on", home, space="sss", key=["arch", "device"], partial=True)
    rows = natsdb.query("select arch, device, latency from measured_on order by all", home).rows()
    assert rows == [(1, "board", 2.0), (1, "phone", 1.0), (2, "phone", 3.0)]
    drop("official", home)
    assert natsdb.query("select arch, device, latency from measured_on order by all", home).rows() == rows
    (one,) = read_manifest(home).attached
    assert [(column.name, column.type) for column in one.table.columns[2:]] == [
        ("device", "VARCHAR"),
        ("latency", "DOUBLE"),
    ]


def test_weights_of_format_1_outlive_the_move_to_format_2(tmp_path: Path) -> None:
    home = tmp_path / "db"
    with zipfile.ZipFile(Path(__file__).parents[1] / "data" / "format-1.zip") as file:
        file.extractall(home)
    old = home / "weights" / "source=synthetic" / "space=sss" / "000003.safetensors"
    old.parent.mkdir(parents=True)
    save_file({"12/cifar10/777/x": np.ones(3)}, old)
    archives.write_full_folder(tmp_path / "full", "sss", [5])
    ingest([tmp_path / "full"], home, weights=True, source="mine")
    assert {(one.source, one.arch) for one in read_manifest(home).weights} == {("synthetic", 3), ("mine", 5)}
    drop("synthetic", home)
    assert old.exists()
