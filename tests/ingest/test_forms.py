"""Every official form gives the same database, and the database gives the official records back."""

from __future__ import annotations

import bz2
import hashlib
import pickle
import shutil
from pathlib import Path
from typing import Any

import nats_bench
import pytest

import archives
from databases import contents
from natsdb.ingest import export, ingest, verify
from natsdb.ingest.archive import sources
from natsdb.ingest.archive.sources import Form, open_source
from natsdb.schema.errors import NatsdbError
from natsdb.store.snapshot import read_manifest


def _tables(home: Path) -> dict[str, bytes]:
    # Table seed names the file that each run came from; all else must be equal between forms.
    return {path: data for path, data in contents(home).items() if not path.startswith(("seed/", "natsdb.json"))}


@pytest.fixture(params=["tss", "sss"])
def space(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(params=["folder", "plain names", "tar", "chunks", "two levels of chunks", "single", "record files"])
def form(request: pytest.FixtureRequest, space: str, official: dict[str, Path], tmp_path: Path) -> list[Path]:
    """The real files of a space in one of the official forms."""
    folder = official[space]
    name = request.param
    if name == "folder":
        return [folder]
    if name == "plain names":
        copy = tmp_path / "renamed"
        copy.mkdir()
        for path in folder.glob("0*.pbz2"):
            shutil.copy(path, copy / f"{int(path.name.split('.')[0])}.pickle.pbz2")
        return [copy]
    if name == "tar":
        return [archives.write_tar(folder, tmp_path / "archive.tar")]
    if name == "chunks":
        return [archives.split_file(archives.write_tar(folder, tmp_path / "a.tar"), 4, "abcd")[0]]
    if name == "two levels of chunks":
        first, second = archives.split_file(archives.write_tar(folder, tmp_path / "a.tar"), 2, "ab")
        archives.split_file(first, 2, ["-aa", "-ab"])
        return [archives.split_file(second, 3, ["-aa", "-ab", "-ac"])[2]]
    if name == "single":
        records = {
            arch: pickle.loads(bz2.decompress((folder / f"{arch:06d}.pickle.pbz2").read_bytes())) for arch in (0, 11)
        }
        return [archives.write_single(tmp_path, space, records)]
    return [folder / "000011.pickle.pbz2", folder / "000000.pickle.pbz2"]


def test_every_form_gives_the_same_tables_and_verifies(
    form: list[Path], space: str, official: dict[str, Path], tmp_path: Path
) -> None:
    home, expected = tmp_path / "db", tmp_path / "expected"
    report = ingest(form, home)
    ingest([official[space]], expected)
    assert report.archs == 2
    assert _tables(home) == _tables(expected)
    for source in form:
        found = verify(source, home)
        assert found.count == 0
        assert found.numbers == found.records * {"tss": 18_117, "sss": 5_521}[space]


def test_a_form_of_names_is_one_entry_before_the_others(few: Path, tmp_path: Path, monkeypatch: Any) -> None:
    mirrored = Form(
        "mirror:PATH",
        lambda name, head: name.startswith("mirror:") and not head,
        lambda name: open_source(name.removeprefix("mirror:")),
    )
    monkeypatch.setattr(sources, "FORMS", (mirrored, *sources.FORMS))
    ingest([f"mirror:{few}"], tmp_path / "mirrored")
    ingest([few], tmp_path / "plain")
    assert contents(tmp_path / "mirrored") == contents(tmp_path / "plain")
    with pytest.raises(NatsdbError, match=r"no official form of the benchmark; name mirror:PATH, an archive folder, "):
        ingest([Path(__file__)], tmp_path / "none")


def test_an_export_equals_the_original_and_opens_in_the_official_package(
    space: str, official: dict[str, Path], real_db: Path, tmp_path: Path
) -> None:
    out = export(tmp_path / "out", space, real_db)
    assert sorted(path.name for path in out.iterdir()) == [
        "000000.pickle.pbz2",
        "000011.pickle.pbz2",
        "meta.pickle.pbz2",
    ]
    for name in ("000000", "000011", "meta"):
        pickled = [bz2.decompress((folder / f"{name}.pickle.pbz2").read_bytes()) for folder in (out, official[space])]
        assert {data[:2] for data in pickled} == {b"\x80\x04"}
        mine, theirs = map(pickle.loads, pickled)
        assert repr(mine) == repr(theirs)  # repr tells numpy scalars from floats, and shows every digit
    ask = {"dataset": "cifar10", "hp": "12", "is_random": False}
    answers = [
        nats_bench.create(str(folder), space, fast_mode=True, verbose=False).get_more_info(11, **ask)
        for folder in (out, official[space])
    ]
    assert answers[0] == answers[1]


def test_an_exported_single_file_opens_in_the_official_package(
    space: str, real_db: Path, real_records: dict[tuple[str, int], Any], tmp_path: Path
) -> None:
    file = export(tmp_path / "out", space, real_db, single=True)
    # The official name: the last five digits of the MD5. Pickle's protocol is the official one too.
    assert file.name.endswith(f"-{hashlib.md5(file.read_bytes()).hexdigest()[-5:]}.pickle.pbz2")
    assert bz2.decompress(file.read_bytes())[:2] == b"\x80\x04"
    assert verify(file, real_db).count == 0
    api = nats_bench.create(str(file), space, fast_mode=False, verbose=False)
    assert api.evaluated_indexes == {0, 11}
    run = api.query_by_index(11, "cifar100", hp="12")
    for seed, result in run.items():
        real = real_records[space, 11]["12"]["all_results"]["cifar100", seed]
        assert result.train_losses == real["train_losses"]
        assert result.eval_acc1es == real["eval_acc1es"]


@pytest.mark.parametrize(("space", "jobs"), [("tss", 2), ("sss", 1)])
def test_made_up_archives_survive_the_round_trip(
    space: str, jobs: int, made_up: dict[str, Path], tmp_path: Path
) -> None:
    # Of two blocks; the runs of 160 disagree about FLOPs.
    folder = tmp_path / made_up[space].name
    folder.mkdir()
    for path in (
        *(made_up[space] / f"{arch:06d}.pickle.pbz2" for arch in range(0, 1400, 80)),
        *made_up[space].glob("m*"),
    ):
        (folder / path.name).symlink_to(path)
    ingest([folder], tmp_path / "db", source="synthetic")
    assert verify(folder, tmp_path / "db", name="synthetic", jobs=jobs).count == 0
    told: list[tuple[Any, ...]] = []
    out = export(
        tmp_path / "out",
        space,
        tmp_path / "db",
        source="synthetic",
        jobs=jobs,
        progress=lambda *said: told.append(said),
    )
    assert len(list(out.glob("0*"))) == 18
    if jobs == 1:
        assert told == [("out", 16, 18, 0)]
    assert verify(out, tmp_path / "db", name="synthetic").count == 0


def test_the_single_file_may_hold_its_records_in_any_order(made_up: dict[str, Path], tmp_path: Path) -> None:
    records = {
        int(path.name[:6]): pickle.loads(bz2.decompress(path.read_bytes()))
        for path in sorted(made_up["sss"].glob("0*.pbz2"))
    }
    file = archives.write_single(tmp_path, "sss", dict(reversed(records.items())))
    ingest([file], tmp_path / "db")
    ingest([made_up["sss"]], tmp_path / "expected", jobs=1)
    assert _tables(tmp_path / "db") == _tables(tmp_path / "expected")


def test_more_processes_give_the_same_bytes(made_up: dict[str, Path], made_up_db: Path, tmp_path: Path) -> None:
    ingest(list(made_up.values()), tmp_path / "two", source="synthetic", jobs=2)
    assert contents(tmp_path / "two") == contents(made_up_db)


def test_verify_lists_a_number_that_differs(few: Path, tmp_path: Path, rewritten: Any) -> None:
    ingest([few], tmp_path / "db")

    def change(record: Any) -> None:
        record["12"]["all_results"]["cifar100", 888]["eval_losses"]["x-test@3"] += 1e-15

    rewritten(few / "000020.pickle.pbz2", change)
    found = verify(few, tmp_path / "db")
    assert [(d.file, d.key) for d in found.differences] == [
        ("few/000020.pickle.pbz2", ".12.all_results[('cifar100', 888)].eval_losses.x-test@3")
    ]


def test_numbers_of_every_kind_come_back(few: Path, tmp_path: Path, rewritten: Any) -> None:
    """NaN, infinity, minus zero, whole numbers, no latency, times that vary by epoch, an epoch left out."""

    def change(record: Any) -> None:
        run = record["12"]["all_results"]["cifar100", 888]
        run["train_losses"].update({0: float("nan"), 1: float("inf"), 2: -0.0, 3: 5e-324})
        run["train_acc1es"][4] = 10
        run["latency"] = []
        run["train_times"][5] *= 2
        run["eval_times"]["x-test@7"] += 1
        other = record["90"]["all_results"]["cifar100", 777]
        for name in ("eval_acc1es", "eval_losses", "eval_times"):
            del other[name]["x-test@3"]

    rewritten(few / "000020.pickle.pbz2", change)
    ingest([few], tmp_path / "db")
    assert verify(few, tmp_path / "db").count == 0


def test_the_database_lists_what_was_ingested(real_db: Path) -> None:
    manifest = read_manifest(real_db)
    assert [(one.kind, one.space, one.archs) for one in manifest.ingests] == [
        ("folder", "tss", 2),
        ("folder", "sss", 2),
    ]
    assert all((real_db / part.path).stat().st_size == part.bytes for part in manifest.parts)
