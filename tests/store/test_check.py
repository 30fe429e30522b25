"""Damage is found: flipped bits, cut files, files that are gone or belong to nobody; and mended from the sources."""

from __future__ import annotations

import io
import os
import random
import shutil
import struct
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from unittest.mock import Mock

import polars as pl
import pytest
from typer.testing import CliRunner

import archives
import natsdb
from databases import contents
from natsdb.cli import app
from natsdb.ingest import ingest
from natsdb.ingest.repair import repair
from natsdb.schema.errors import Damaged, NatsdbError
from natsdb.store.check import _local, _remote, check
from natsdb.store.damage import footer_digest
from natsdb.store.snapshot import read_manifest
from sources import add_run, add_table

runner = CliRunner()


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Two archives whose architectures share a block, a full one, and a published table."""
    folder = tmp_path_factory.mktemp("sources")
    table = folder / "table.parquet"
    rows = {
        "space": "tss",
        "hp": "200",
        "arch": [3, 7],
        "dataset": "cifar100",
        "split": "x-test",
        "accuracy": [70.5, 71.0],
    }
    pl.DataFrame(rows).write_parquet(table)
    return [
        archives.write_folder(folder / "first", "sss", [3], jobs=1),
        archives.write_folder(folder / "second", "sss", [5, 1030], jobs=1),
        archives.write_full_folder(folder / "full", "tss", [2]),
        table,
    ]


@pytest.fixture(scope="module")
def whole(sources: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of them all. Read only."""
    home = tmp_path_factory.mktemp("whole") / "db"
    ingest(sources[:1], home)
    ingest(sources[1:2], home)
    ingest(sources[2:3], home, weights=True)
    ingest(sources[3:], home)
    return home


@pytest.fixture
def home(whole: Path, tmp_path: Path) -> Path:
    """The same, to be damaged."""
    shutil.copytree(whole, tmp_path / "db")
    return tmp_path / "db"


def data_files(home: Path) -> list[Path]:
    """Every file that a reader of the database may open."""
    return [path for path in sorted(home.rglob("*")) if path.is_file() and path.stat().st_size]


def flip(path: Path, chance: random.Random) -> None:
    """Flip one bit."""
    data = bytearray(path.read_bytes())
    data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)
    path.unlink()  # a hard link's other names stay as they were
    path.write_bytes(data)


def truncate(path: Path, chance: random.Random) -> None:
    """Cut a file short."""
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[: chance.randrange(len(data))])


def test_a_whole_database_has_nothing_to_report(whole: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = check(whole)
    assert not found.findings
    assert found.unknown == 0
    assert found.bytes == sum(check_sizes(whole).values())
    assert not check(whole, quick=True).findings
    monkeypatch.setattr("natsdb.store.check._known_digest", lambda one: "")
    assert check(whole).unknown == found.files == len(check_sizes(whole))


def check_sizes(home: Path) -> dict[str, int]:
    """Sizes of all data files, of older versions too."""
    return {
        path.relative_to(home).as_posix(): path.stat().st_size
        for suffix in ("parquet", "safetensors")
        for path in home.rglob(f"*.{suffix}")
    }


@pytest.mark.parametrize("backwards", [False, True])
def test_strays_are_found_in_whatever_order_files_come(
    home: Path, monkeypatch: pytest.MonkeyPatch, backwards: bool
) -> None:
    strays = ["final/stray.parquet", "metric/stray.parquet", "stray.parquet"]
    for name in strays:
        (home / name).write_bytes(b"PAR1")
    every = Path.rglob
    monkeypatch.setattr(Path, "rglob", lambda *asked: sorted(every(*asked), reverse=backwards))
    assert [finding.path for finding in check(home).findings] == strays


def test_bytes_are_counted_where_they_are_read(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    part = read_manifest(home).parts[0]
    data = (home / part.path).read_bytes()
    monkeypatch.setattr("natsdb.store.remote.remote_bytes", lambda _, start, end: data[start:end])

    def both(held: int, quick: bool) -> list[tuple[str, int, bool]]:
        (home / part.path).write_bytes(data[:held])
        monkeypatch.setattr("natsdb.store.remote.remote_size", lambda _: held)
        return [_local(home, part, quick), _remote("s3://bucket/nats", part, quick)]

    short = f"it has {len(data) - 1:,} bytes and not {len(data):,}"
    assert both(len(data) - 1, False) == [(short, 0, True)] * 2
    assert both(len(data), True) == [("", 0, True)] * 2
    assert both(len(data), False) == [("", len(data), True)] * 2
    data = data[:-100] + bytes([data[-100] ^ 1]) + data[-99:]
    assert [(size, known) for _, size, known in both(len(data), False)] == [(0, True), (len(data), True)]
    gone = Mock(side_effect=NatsdbError("it is gone"))
    monkeypatch.setattr("natsdb.store.remote.remote_bytes", gone)
    (home / part.path).unlink()
    assert _local(home, part, False) == _remote("s3://bucket/nats", part, False) == ("it is gone", 0, True)


@pytest.mark.parametrize("times", [50, pytest.param(5_000, marks=pytest.mark.slow)])
@pytest.mark.parametrize("damage", [flip, truncate])
def test_every_flipped_bit_and_cut_is_found(
    home: Path, whole: Path, damage: Callable[[Path, random.Random], None], times: int
) -> None:
    chance = random.Random(times)
    files = data_files(home)
    for _ in range(times):
        path = chance.choice(files)
        before = path.read_bytes()
        damage(path, chance)
        try:
            name = path.relative_to(home).as_posix()
            found = {finding.path for finding in check(home).findings}
            assert name in found, f"{damage.__name__} of {name} went unseen"
        finally:
            path.write_bytes(before)
    assert not check(home).findings


def test_quick_finds_cut_missing_and_exchanged_files_and_damaged_footers(home: Path) -> None:
    parts = {part.table: home / part.path for part in read_manifest(home).parts}
    cut, gone, footer = parts["metric"], parts["cost"], parts["final"]
    cut.write_bytes(cut.read_bytes()[:-1])
    gone.unlink()
    data = bytearray(footer.read_bytes())
    data[-20] ^= 1
    footer.write_bytes(data)
    stray = home / "metric" / "stray.parquet"
    stray.write_bytes(b"PAR1")
    found = {finding.path: finding.what for finding in check(home, quick=True).findings}
    assert found.keys() == {path.relative_to(home).as_posix() for path in (cut, gone, footer, stray)}
    assert "bytes and not" in found[cut.relative_to(home).as_posix()]
    assert found[gone.relative_to(home).as_posix()] == "it is gone"
    assert found[stray.relative_to(home).as_posix()] == "no version lists it"


def test_files_of_format_1_are_compared_with_the_digits_in_their_names(tmp_path: Path) -> None:
    """Its manifest has no digests."""
    with zipfile.ZipFile(Path(__file__).parents[1] / "data" / "format-1.zip") as file:
        file.extractall(tmp_path)
    home = next(tmp_path.rglob("natsdb.json")).parent
    before = check(home)
    parts = [part for part in read_manifest(home).parts if part.source]
    assert {finding.path for finding in before.findings}.isdisjoint(part.path for part in parts)
    for part in parts[:2]:
        data = bytearray((home / part.path).read_bytes())
        data[len(data) // 3] ^= 1
        (home / part.path).write_bytes(data)
    after = check(home)
    assert {finding.path for finding in set(after.findings) - set(before.findings)} == {part.path for part in parts[:2]}
    assert after.unknown == before.unknown < len(parts)


def test_the_command_says_what_is_wrong_and_what_mends_it(home: Path, sources: list[Path]) -> None:
    result = runner.invoke(app, ["check", "--db", str(home)])
    assert result.exit_code == 0
    assert "all as they were written" in result.stdout
    part = next(part for part in read_manifest(home).parts if part.table == "metric" and part.space == "sss")
    flip(home / part.path, random.Random(1))
    result = runner.invoke(app, ["check", "--db", str(home)], env={"COLUMNS": "300"})
    assert result.exit_code == 1
    assert part.path in result.stdout
    assert "natsdb repair SOURCE" in result.stdout
    result = runner.invoke(app, ["repair", *map(str, sources), "--db", str(home)])
    assert result.exit_code == 0, result.stdout
    assert "1 files are as they were written again" in result.stdout
    assert "nothing to do" in runner.invoke(app, ["repair", "--db", str(home)]).stdout


def test_repair_makes_everything_again_to_the_same_bytes(home: Path, whole: Path, sources: list[Path]) -> None:
    chance = random.Random(5)
    listed = read_manifest(home).listed()
    for path in listed:
        chance.choice([flip, truncate, lambda path, _: path.unlink()])(home / path, chance)
    (home / "natsdb.json").write_text("{")
    newest = max((home / ".versions").glob("*.json"))
    newest.write_text("{}")
    done = repair(sources, home)
    assert {"natsdb.json", newest.relative_to(home).as_posix(), *listed} == set(done.mended)
    assert not done.left
    assert contents(home) == contents(whole)
    assert not check(home).findings


def test_repair_without_sources_mends_what_needs_none(home: Path, whole: Path) -> None:
    parts = {part.table: part.path for part in read_manifest(home).parts}
    metric = (home / parts["metric"]).read_bytes()
    flip(home / parts["metric"], random.Random(3))
    flip(home / parts["arch_cost"], random.Random(4))
    (home / parts["arch"]).unlink()
    for path in (home / ".versions").glob("000001.*"):
        if path.suffix == ".copy":
            path.write_text("{}")
    result = runner.invoke(app, ["repair", "--db", str(home)], env={"COLUMNS": "300"})
    assert result.exit_code == 1
    assert "3 files are as they were written again" in result.stdout
    assert "1 files are left as they are" in result.stdout
    assert parts["metric"] in result.stdout
    (home / parts["metric"]).write_bytes(metric)
    assert contents(home) == contents(whole)
    assert not check(home).findings
    result = runner.invoke(app, ["repair", "--db", str(home)])
    assert (result.exit_code, result.stdout) == (0, "nothing to do: all files are as they were written\n")


def test_repair_without_the_source_leaves_what_it_cannot_make(home: Path, sources: list[Path]) -> None:
    for part in read_manifest(home).parts:
        if part.table == "metric" and part.source == "official":
            flip(home / part.path, random.Random(2))
    done = repair(sources[:1], home)
    # The first archive alone makes no file of the block that it shares with the second.
    assert not done.mended
    assert all(finding.path.startswith("metric/source=official") for finding in done.left)


def test_a_damaged_manifest_is_refused_and_names_the_remedy(home: Path) -> None:
    text = (home / "natsdb.json").read_text()
    (home / "natsdb.json").write_text(text.replace('"rows": 1', '"rows": 2', 1))
    with pytest.raises(Damaged, match=r"natsdb\.json: the manifest cannot be read .*its digest is another.*natsdb"):
        natsdb.connect(home)


@pytest.mark.parametrize("length", [5, 1000])
def test_a_footer_is_not_longer_than_its_file(length: int) -> None:
    file = io.BytesIO(b"fill" + struct.pack("<I", length) + b"PAR1")
    with pytest.raises(ValueError, match="its footer is longer than the file"):
        footer_digest(file, 12)
    file = io.BytesIO(b"fill" + struct.pack("<I", 4) + b"PAR1")
    assert footer_digest(file, 12) == f"{zlib.crc32(file.getvalue()):08x}"


def test_a_manifest_that_is_no_text_is_refused_by_name(home: Path) -> None:
    (home / "natsdb.json").write_bytes(b"\xff")
    with pytest.raises(Damaged, match=r"natsdb\.json: the manifest cannot be read \(.*; check the file and its folder"):
        read_manifest(home)


@pytest.mark.skipif(os.name != "posix" or os.getuid() == 0, reason="needs a user whom permissions bind")
def test_a_file_that_may_not_be_read_is_reported(home: Path) -> None:
    part = read_manifest(home).parts[0]
    (home / part.path).chmod(0)
    assert [finding.path for finding in check(home).findings] == [part.path]


def test_a_listed_file_that_is_gone_is_one_sentence(home: Path) -> None:
    part = next(part for part in read_manifest(home).parts if part.table == "final")
    (home / part.path).unlink()
    with pytest.raises(NatsdbError, match=r"\.parquet: the file is listed and cannot be read .*natsdb check"):
        natsdb.query("select count(*) from final", home)


def test_repair_takes_each_source_for_the_rows_that_came_from_it(sources: list[Path], tmp_path: Path) -> None:
    """Sources that contradict each other, and runs that cannot be official rows, are named together."""
    home = tmp_path / "db"
    given = [sources[0], archives.write_nas_201_folder(tmp_path / "nas-201", [11])]
    for path in given:
        ingest([path], home)
    ingest([archives.write_folder(tmp_path / "tss", "tss", [11], jobs=1)], home)
    given += [tmp_path / "tss"]
    given += [add_run(home, source=f"source-{n}", accuracy=float(n), recipe={"batch": n}) for n in (1, 2)]
    for n in (1, 2):
        add_table(home, source=f"table-{n}", accuracy=float(n))
    given += sorted((tmp_path / "tables").glob("*.parquet"))
    # A name that nobody ingested may be a copy of any source: it is read where it can be one.
    given[3] = given[3].rename(tmp_path / "elsewhere")
    whole = contents(home)
    for part in read_manifest(home).parts:
        flip(home / part.path, random.Random(7))
    done = repair(given, home)
    assert not done.left
    assert contents(home) == whole


def _all_damaged(home: Path) -> None:
    for part in read_manifest(home).parts:
        flip(home / part.path, random.Random(7))


@pytest.mark.parametrize("replace", [False, True], ids=["added", "replaced"])
@pytest.mark.parametrize("order", [(0, 1), (1, 0)], ids=["in order", "backwards"])
def test_repair_takes_tables_as_they_were_ingested(replace: bool, order: tuple[int, int], tmp_path: Path) -> None:
    """One that was added to another, whose costs stay, and one that replaced it: in whatever order they are named."""
    home, tables = tmp_path / "db", []
    for n in range(2):
        row = {"space": "tss", "hp": "200", "arch": 5, "dataset": "cifar100", "seed": 777, "params_mb": 1.0 + n}
        row |= {"split": "x-test" if replace or n else "x-valid", "accuracy": 70.0 + n}
        tables.append(tmp_path / f"{n}.parquet")
        pl.DataFrame([row]).write_parquet(tables[n])
        ingest([tables[n]], home, replace=replace)
    whole = contents(home)
    _all_damaged(home)
    assert not repair([tables[n] for n in order], home).left
    assert contents(home) == whole


def test_repair_takes_copies_under_other_names_apart(tmp_path: Path) -> None:
    """Runs by two recipes: nobody can say of which source which of them were."""
    home = tmp_path / "db"
    runs = [add_run(home, source=f"source-{n}", accuracy=float(n), recipe={"batch": n}) for n in (1, 2)]
    whole = contents(home)
    _all_damaged(home)
    copies = [path.rename(tmp_path / f"copy-{n}") for n, path in enumerate(runs)]
    assert not repair(copies, home).left
    assert contents(home) == whole
