"""What a handle can be made on: a database, official archives in every form, dictionaries, and what lies by default."""

from __future__ import annotations

import bz2
import pickle
from pathlib import Path
from typing import Any

import nats_bench
import pytest

import archives
from natsdb import NatsdbError, api
from natsdb.api import opening
from natsdb.ingest import ingest
from outcomes import outcome
from pairs import both

ASKED = [
    lambda handle: handle.get_more_info(0, "cifar10", hp="12", is_random=False),
    lambda handle: handle.get_more_info(11, "ImageNet16-120", iepoch=3, hp="12"),
    lambda handle: handle.simulate_train_eval(11, "cifar100", hp="12"),
    lambda handle: handle.query_by_index(0, "cifar10", "12"),
    lambda handle: handle.get_cost_info(11, "cifar100", "12"),
    lambda handle: handle.find_best("cifar10", "valid", enforce_all=False),
    lambda handle: sorted(handle.avaliable_hps),
    lambda handle: handle.evaluated_indexes,
]


def _agree(official: Any, mine: Any) -> None:
    official.reset_time()
    mine.reset_time()
    for call in ASKED:
        assert outcome(lambda call=call: call(mine)) == outcome(lambda call=call: call(official))  # type: ignore[misc]


@pytest.mark.parametrize("space", ["tss", "sss"])
@pytest.mark.parametrize("fast_mode", [True, False])
def test_a_database_in_either_mode(official: dict[str, Path], real_db: Path, space: str, fast_mode: bool) -> None:
    expected, _ = both(official[space], real_db, space)
    for given in (str(real_db), real_db):
        _agree(expected, api.create(given, space, fast_mode=fast_mode, verbose=False))


@pytest.mark.parametrize("space", ["tss", "sss"])
def test_an_official_folder_is_read_on_demand(
    official: dict[str, Path], space: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "_hinted", False)
    theirs = nats_bench.create(str(official[space]), space, fast_mode=True, verbose=False)
    mine, _ = (api.create(str(official[space]), space, fast_mode=True, verbose=False) for _ in range(2))
    assert capsys.readouterr().err == (
        f"natsdb: reading {official[space]} as it is; `natsdb ingest {official[space]}` once makes this fast\n"
    )
    assert (mine.evaluated_indexes, len(mine.arch2infos_dict)) == (set(), 0)
    _agree(theirs, mine)
    assert repr(mine) == repr(theirs)
    for call in (
        lambda handle: handle.get_more_info(1, "cifar10"),
        lambda handle: handle.reload(None, 0),
        lambda handle: handle.reload("/no/such/folder", 0),
    ):
        assert outcome(lambda call=call: call(mine)) == outcome(lambda call=call: call(theirs))  # type: ignore[misc]


@pytest.mark.parametrize("space", ["tss", "sss"])
@pytest.mark.parametrize("fast_mode", [True, False])
def test_a_tar_is_read_record_by_record(
    official: dict[str, Path], real_db: Path, tmp_path: Path, space: str, fast_mode: bool
) -> None:
    tar = archives.write_tar(official[space], tmp_path / "archive.tar")
    mine = api.create(str(tar), space, fast_mode, False)
    _agree(both(official[space], real_db, space)[0], mine)
    _agree(both(official[space], real_db, space)[0], pickle.loads(pickle.dumps(mine)))


@pytest.mark.parametrize("space", ["tss", "sss"])
def test_the_single_file(real_records: Any, tmp_path: Path, space: str) -> None:
    records = {arch: record for (where, arch), record in real_records.items() if where == space}
    path = archives.write_single(tmp_path, space, records)
    theirs = nats_bench.create(str(path), space, verbose=False)
    mine = api.create(str(path), space, verbose=False)
    _agree(theirs, mine)
    assert (repr(mine), mine.archive_dir) == (repr(theirs), theirs.archive_dir)
    assert mine.sql("select count(distinct arch) as archs from seed").item() == 2
    _agree(theirs, pickle.loads(pickle.dumps(mine)))


@pytest.mark.parametrize("space", ["tss", "sss"])
def test_a_loaded_dictionary(real_records: Any, official: dict[str, Path], space: str) -> None:
    whole = pickle.loads(bz2.decompress((official[space] / "meta.pickle.pbz2").read_bytes()))
    whole["arch2infos"] = {arch: record for (where, arch), record in real_records.items() if where == space}
    whole["evaluated_indexes"] = {0, 11}
    theirs, mine = (package.create(whole, space, verbose=False) for package in (nats_bench, api))
    _agree(theirs, mine)
    for key in ("meta_archs", "arch2infos", "evaluated_indexes"):
        less = {name: value for name, value in whole.items() if name != key}
        expected, found = (outcome(lambda p=p, less=less: p.create(less, space)) for p in (nats_bench, api))  # type: ignore[misc]
        assert found == expected


@pytest.mark.parametrize("verbose", [True, False])
def test_what_cannot_be_opened_is_refused_as_officially(
    official: dict[str, Path], tmp_path: Path, verbose: bool
) -> None:
    text = tmp_path / "text.pickle.pbz2"
    text.write_text("no archive")
    for given, space, fast_mode in (
        (tmp_path / "nothing", "tss", True),
        (tmp_path / "nothing", "tss", False),
        (official["tss"], "tss", False),
        (official["sss"], "size", False),
        (text, "sss", True),
        (official["tss"] / "000000.pickle.pbz2", "other", True),
        (tmp_path, "tss", False),
    ):
        expected, found = (
            outcome(lambda p=p, a=(str(given), space, fast_mode, verbose): p.create(*a))  # type: ignore[misc]
            for p in (nats_bench, api)
        )
        assert found == expected
    for given in (3, None, ["x"]):
        for space in ("tss", "sss", "TSS", None):
            if given is not None or space in ("TSS", None):
                expected, found = (outcome(lambda p=p, a=(given, space): p.create(*a)) for p in (nats_bench, api))  # type: ignore[misc]
                assert found == expected


def test_by_default_a_database_is_taken_first(
    official: dict[str, Path], real_db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("NATSDB_HOME", "TORCH_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    for fast_mode in (True, False):
        # Where there is nothing, natsdb's own database answers.
        assert api.create(None, "tss", fast_mode, verbose=False)._backend.snapshot.builtin
    home = tmp_path / "torch"
    home.mkdir()
    monkeypatch.setenv("TORCH_HOME", str(home))
    for space, folder in official.items():
        (home / folder.name).symlink_to(folder)
        theirs, mine = (package.create(None, space, fast_mode=True, verbose=False) for package in (nats_bench, api))
        _agree(theirs, mine)
        assert mine._backend is None
    places = [tmp_path / "data" / "natsdb", home / "natsdb", tmp_path / "named"]
    for place in places:  # each is preferred to those before
        place.parent.mkdir(exist_ok=True)
        ingest([official["tss"]], place)
        if place.name == "named":
            monkeypatch.setenv("NATSDB_HOME", str(place))
        assert api.create(None, "tss", fast_mode=True, verbose=False).archive_dir == str(place)
    # None of them holds sizes.
    assert api.create(None, "sss", fast_mode=True, verbose=False).archive_dir == str(home / official["sss"].name)


def test_a_database_without_the_space_names_what_it_holds(official: dict[str, Path], tmp_path: Path) -> None:
    ingest([official["tss"]], tmp_path / "db")
    with pytest.raises(NatsdbError, match="holds nothing of the space sss; it holds tss from official; add an archive"):
        api.create(str(tmp_path / "db"), "sss", verbose=False)


def test_a_newer_database_is_refused(real_db: Path, tmp_path: Path) -> None:
    text = (real_db / "natsdb.json").read_text()
    (tmp_path / "natsdb.json").write_text(text.replace('"natsdb": 3', '"natsdb": 99'))
    with pytest.raises(NatsdbError, match="format 99, this natsdb reads up to 3; upgrade"):
        api.create(str(tmp_path), "tss", verbose=False)


def test_an_archive_of_the_other_space_is_refused(official: dict[str, Path], tmp_path: Path) -> None:
    tar = archives.write_tar(official["sss"], tmp_path / "archive.tar")
    with pytest.raises(NatsdbError, match="an archive of the space sss; create the handle with search_space='sss'"):
        api.create(str(tar), "tss", verbose=False)


def test_a_hostile_pickle_is_not_run(official: dict[str, Path], tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> Any:
            return (tmp_path / "ran").touch, ()

    folder = tmp_path / "folder"
    folder.mkdir()
    (folder / "meta.pickle.pbz2").write_bytes((official["tss"] / "meta.pickle.pbz2").read_bytes())
    (folder / "000000.pickle.pbz2").write_bytes(bz2.compress(pickle.dumps({"12": Evil()})))
    handle = api.create(str(folder), "tss", fast_mode=True, verbose=False)
    with pytest.raises(NatsdbError, match="which no official file uses"):
        handle.get_more_info(0, "cifar10")
    assert not (tmp_path / "ran").exists()


def test_sources_of_a_run_are_preferred_as_in_sql(
    official: dict[str, Path], made_up: dict[str, Path], tmp_path: Path
) -> None:
    home = tmp_path / "db"
    ingest([made_up["sss"]], home, source="synthetic", jobs=1)
    ingest([official["sss"]], home)
    expected = nats_bench.create(str(official["sss"]), "sss", fast_mode=True, verbose=False)
    mine = api.create(str(home), "sss", verbose=False)
    assert mine.evaluated_indexes == {11, *range(0, 1400, 20)}
    for call in ASKED[:5]:
        assert outcome(lambda call=call: call(mine)) == outcome(lambda call=call: call(expected))  # type: ignore[misc]
    best = mine.find_best("cifar100", "x-test", hp="90")
    query = "select arch, accuracy from best('cifar100', 'x-test', '90', space := 'sss', k := 1)"
    assert mine.sql(query).row(0) == best
    frame = mine.get_many([0, 11, 20], "cifar10", hp="90")
    assert frame["test-accuracy"].to_list() == [
        mine.get_more_info(arch, "cifar10", hp="90", is_random=False)["test-accuracy"] for arch in (0, 11, 20)
    ]
