"""NAS-Bench-201's torch files: ingested to the bit, answered as its package answers, damage and traps refused."""

from __future__ import annotations

import io
import itertools
import os
import pickle
import shutil
import sys
import types
import warnings
import zipfile
from functools import reduce
from operator import add
from pathlib import Path
from typing import Any

import pytest

import archives
import natsdb
from databases import contents
from natsdb.api import nas_201, nas_201_versions
from natsdb.api.nas_201 import NASBench201API
from natsdb.ingest import export, ingest, verify
from natsdb.ingest.archive import single, templates
from natsdb.ingest.archive.export import _of_nas_201
from natsdb.ingest.archive.sources import open_source
from natsdb.ingest.archive.torch_file import torch_head, torch_tail, unpickle_torch
from natsdb.schema.errors import NatsdbError
from natsdb.schema.spaces import strings
from natsdb.store.snapshot import read_manifest

# Of several blocks, of equal and of other lengths of strings.
ARCHS = (0, 1, 300, 304, 308, 5000)


@pytest.fixture(scope="module")
def records() -> dict[int, Any]:
    return {arch: archives.nas_201_record(arch) for arch in ARCHS}


@pytest.fixture(scope="module")
def pth(records: dict[int, Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The single file, in the older form of torch files."""
    return archives.write_nas_201(tmp_path_factory.mktemp("nas-201") / "NAS-Bench-201-v1_1-096897.pth", records)


@pytest.fixture(scope="module")
def home(pth: Path) -> Path:
    ingest([pth], pth.parent / "db")
    return pth.parent / "db"


def test_both_forms_of_torch_files_give_the_same_tables(home: Path, records: dict[int, Any], tmp_path: Path) -> None:
    zipped = archives.write_nas_201(tmp_path / "NAS-Bench-201-v1_1-096897.pth", records, zipped=True)
    ingest([zipped], tmp_path / "db")
    mine, theirs = (
        {path: data for path, data in contents(one).items() if path != "natsdb.json"} for one in (tmp_path / "db", home)
    )
    assert mine == theirs
    assert verify(zipped, home).count == 0


def test_every_number_is_there(pth: Path, home: Path, records: dict[int, Any]) -> None:
    assert {part.source for part in read_manifest(home).parts if part.table == "metric"} == {"nas-bench-201"}
    found = verify(pth, home)
    assert (found.records, found.count) == (len(records), 0)
    rows = natsdb.query("from cost where arch = 300 and hp = '200' and dataset = 'cifar10' order by seed", home)
    of = records[300]["full"]["all_results"]
    every = {seed: of["cifar10", seed]["latency"] for seed in rows["seed"]}
    assert rows["latencies"].to_list() == list(every.values())
    assert rows["latency"].to_list() == [float(reduce(add, each)) / len(each) for each in every.values()]
    no_times = natsdb.query(
        "select distinct train_seconds, ori_test_seconds from cost where dataset = 'cifar100'", home
    )
    assert (None, None) in no_times.rows()
    curve = natsdb.query("from curve('tss', 304, 'cifar10-valid', '200')", home)
    assert len(curve.drop_nulls("x_valid_accuracy")) >= 200
    assert ingest([pth], home).changed is False


def test_torch_reads_what_the_tests_write(pth: Path, records: dict[int, Any]) -> None:
    torch = pytest.importorskip("torch")
    loaded = torch.load(pth, weights_only=False)["arch2infos"]
    assert repr({1: loaded[1], 300: loaded[300]}) == repr({1: records[1], 300: records[300]})


def test_what_stands_around_an_exported_pickle_is_what_torch_writes(tmp_path: Path) -> None:
    whole = archives.write_torch(tmp_path / "x.pth", {"a": 1}).read_bytes()
    assert whole == torch_head() + pickle.dumps({"a": 1}, 2) + torch_tail()


def test_records_that_fit_a_template_are_read_to_the_same_bits(
    pth: Path, records: dict[int, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    # Bytes of NumPy's numbers are texts of any length here.
    hits = []
    read = templates.Templates.read

    def noted(self: Any, *args: Any) -> Any:
        found = read(self, *args)
        hits.append(found)
        return found

    monkeypatch.setattr(templates.Templates, "read", noted)
    fast = list(single.single_numbers(pth, "tss"))
    assert sum(hit is not None for hit in hits) == 2  # 304 and 308, which are like 300
    lengths = {hit[2] for hit in hits if hit is not None} | {hit[0].size for hit in hits if hit is not None}
    assert len(lengths) > 1
    monkeypatch.setattr(templates.Templates, "read", lambda *_: None)
    monkeypatch.setattr(templates.Templates, "full", True)
    for (arch, mine), (other, theirs) in zip(fast, single.single_numbers(pth, "tss"), strict=True):
        assert arch == other
        assert not isinstance(mine, NatsdbError)
        assert not isinstance(theirs, NatsdbError)
        for one, two in zip(mine, theirs, strict=True):
            assert one.layout is two.layout
            assert one.values.tobytes() == two.values.tobytes()


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["data.pkl"], None),
        (["archive/data.pkl", "archive/version"], None),
        (["one/two/data.pkl"], "the zip has no member data.pkl"),
        (["one/data.pkl", "two/data.pkl"], "the zip has no member data.pkl"),
        (["data.pickle"], "the zip has no member data.pkl"),
    ],
)
def test_a_zip_s_pickle_lies_at_the_top_or_in_its_one_folder(names: list[str], said: str | None) -> None:
    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as file:
        for name in names:
            file.writestr(name, pickle.dumps({"a": 1}, 2))
    if said is None:
        assert unpickle_torch(stream.getvalue(), "x.pth") == {"a": 1}
        return
    with pytest.raises(NatsdbError, match=rf"x\.pth: the pickle cannot be read \({said}\)"):
        unpickle_torch(stream.getvalue(), "x.pth")


@pytest.mark.parametrize("zipped", [False, True])
def test_a_file_an_architecture_with_weights(zipped: bool, tmp_path: Path) -> None:
    folder = archives.write_nas_201_folder(tmp_path / "NAS-Bench-201-v1_1-archive", [0, 301], zipped=zipped)
    report = ingest([folder], tmp_path / "db", weights=True)
    assert report.archs == 2
    assert verify(folder, tmp_path / "db").count == 0
    files = natsdb.query("select distinct file from seed", tmp_path / "db")["file"].to_list()
    assert sorted(files) == [f"NAS-Bench-201-v1_1-archive/{arch:06d}-FULL.pth" for arch in (0, 301)]
    api = NASBench201API(str(tmp_path / "db"), verbose=False)
    expected = archives.weights_of(301, "200", "cifar10", 888)
    state = api.get_net_param(301, "cifar10", 888, hp="200")
    assert {name: value.numpy().tobytes() for name, value in state.items()} == {
        name: value.tobytes() for name, value in expected.items()
    }
    # A tar of the same, one of its files, and records without weights are the same rows.
    tar = archives.write_tar(folder, tmp_path / "NAS-Bench-201-v1_1-archive.tar")
    for source in (tar, folder / "000301-FULL.pth", folder / "000000-SIMPLE.pth"):
        # A record without weights says so.
        assert {one.key[-14:] for one in verify(source, tmp_path / "db").differences} <= {"clear_net_done"}
        assert open_source(source).origin == "nas-bench-201"


def _loaded(records: dict[int, Any]) -> dict[str, Any]:
    return {"meta_archs": list(strings("tss")), "arch2infos": records, "evaluated_indexes": set(records)}


def test_the_official_package_gives_the_same_answers(
    official_201: types.ModuleType, home: Path, records: dict[int, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    sys.path.append(str(Path(__file__).parents[1] / "legacy"))
    from outcomes import outcome
    from questions_201 import QUESTIONS

    official = official_201.NASBench201API(_loaded(records), verbose=False)
    monkeypatch.setattr(nas_201, "_warned", False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # nothing is said of NATS-Bench's data
        mine = NASBench201API(str(home), verbose=False)
    datasets = ("cifar10-valid", "cifar10", "cifar100", "ImageNet16-120")
    for name, arch, dataset, hp in itertools.product(QUESTIONS, (0, 1), datasets, ("12", "200")):
        expected, found = (
            outcome(lambda api=api, name=name, a=(arch, dataset, hp): QUESTIONS[name](api, *a), arch)  # type: ignore[misc]
            for api in (official, mine)
        )
        assert found == expected, (name, arch, dataset, hp)


def test_a_path_is_the_database_s_rows_or_the_file(
    pth: Path,
    home: Path,
    real_db: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(nas_201, "_warned", False)
    monkeypatch.setattr("natsdb.store.snapshot._said", False)
    monkeypatch.setattr(nas_201_versions, "VERSION", nas_201_versions.Version())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        monkeypatch.setenv("NATSDB_HOME", str(real_db))  # which has NATS-Bench's rows only: the file is read
        assert NASBench201API(str(pth), verbose=False).evaluated_indexes == list(ARCHS)
        monkeypatch.delenv("NATSDB_HOME")  # there is none: nor does natsdb's own database answer
        monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
        assert NASBench201API(str(pth), verbose=False).evaluated_indexes == list(ARCHS)
        assert "built-in" not in capsys.readouterr().err
        monkeypatch.setenv("NATSDB_HOME", str(home))
        assert NASBench201API("NAS-Bench-201-v1_0-e61699.pth", verbose=False).evaluated_indexes == list(ARCHS)
    # Beside rows of NATS-Bench its own answer, and only those.
    both = tmp_path / "both"
    shutil.copytree(real_db, both)
    ingest([pth], both)
    api, ours = NASBench201API(str(both), verbose=False), NASBench201API(str(home), verbose=False)
    assert api.evaluated_indexes == list(ARCHS)
    assert api.get_more_info(0, "cifar10", hp="200", is_random=False) == ours.get_more_info(
        0, "cifar10", hp="200", is_random=False
    )
    folder = archives.write_nas_201_folder(tmp_path / "archive", [7])
    api.reload(folder, 7)
    run = archives.nas_201_record(7)["full"]["all_results"]["cifar10", 777]
    assert (
        api.query_by_index(7, "cifar10", "200")[777].get_eval("ori-test")["loss"] == run["eval_losses"]["ori-test@199"]
    )


def test_sources_are_not_mixed(pth: Path, made_up: dict[str, Path], tmp_path: Path) -> None:
    with pytest.raises(
        NatsdbError, match="rows of nas-bench-201 and official are of different sources; ingest them one"
    ):
        ingest([pth, made_up["tss"]], tmp_path / "db")
    mixed = archives.write_nas_201_folder(tmp_path / "mixed", [3])
    archives.write_record(mixed, "tss", False, 5)
    with pytest.raises(NatsdbError, match="it holds records of NATS-Bench and of NAS-Bench-201; put them into two"):
        ingest([mixed], tmp_path / "db")


class _Trap:
    def __reduce__(self) -> Any:
        return os.system, ("true",)


@pytest.mark.parametrize("zipped", [False, True])
def test_what_is_damaged_or_a_trap_is_refused_in_a_sentence(
    zipped: bool, records: dict[int, Any], tmp_path: Path
) -> None:
    path = archives.write_nas_201(tmp_path / "trap.pth", {0: {**records[0], "more": _Trap()}}, zipped=zipped)
    with pytest.raises(
        NatsdbError, match=r"trap\.pth: the pickle cannot be read \(it asks for posix\.system, which no"
    ):
        ingest([path], tmp_path / "db")
    other = {**records[0]["less"], "arch_str": strings("tss")[9]}
    path = archives.write_nas_201(tmp_path / "other.pth", {0: {**records[0], "less": other}}, zipped=zipped)
    with pytest.raises(
        NatsdbError, match=r"other\.pth: arch2infos\[0\]: key 12\.arch_str: .* is not architecture 0, which"
    ):
        ingest([path], tmp_path / "db")
    whole = archives.write_nas_201(tmp_path / "whole.pth", {0: records[0]}, zipped=zipped).read_bytes()
    short = tmp_path / "short.pth"
    for size in (40, 1000, len(whole) // 2, len(whole) - 600_000 // 100):
        short.write_bytes(whole[:size])
        with pytest.raises(NatsdbError, match=r"short\.pth: "):
            ingest([short], tmp_path / "db")
    if zipped:
        at = whole.index(b"data.pkl") + 5000
        short.write_bytes(whole[:at] + bytes([whole[at] ^ 0xFF]) + whole[at + 1 :])
        with pytest.raises(NatsdbError, match=r"short\.pth: the file is damaged"):
            ingest([short], tmp_path / "db")
        with zipfile.ZipFile(short, "w") as file:
            file.writestr("something/else.txt", "no pickle")
        with pytest.raises(NatsdbError, match="this is no official form of the benchmark; name an archive folder"):
            ingest([short], tmp_path / "db")
    path = archives.write_torch(tmp_path / "list.pth", [1, 2], zipped=zipped)
    with pytest.raises(NatsdbError, match="this pickle is no record of an architecture"):
        ingest([path], tmp_path / "db")
    assert not (tmp_path / "db" / "natsdb.json").exists()


def test_it_comes_back_and_the_official_package_opens_it(
    official_201: types.ModuleType, home: Path, records: dict[int, Any], tmp_path: Path
) -> None:
    made = export(tmp_path / "back", "tss", home, format="nas-bench-201")
    assert made.name.startswith("NAS-Bench-201-v1_1-")
    assert made.suffix == ".pth"
    assert ingest([made], tmp_path / "db").archs == len(ARCHS)
    mine, ours = (
        {path: data for path, data in contents(one).items() if not path.startswith(("seed/", "natsdb.json"))}
        for one in (tmp_path / "db", home)
    )
    assert mine == ours
    torch = pytest.importorskip("torch")
    loaded = torch.load(made, weights_only=False)
    assert repr(loaded["arch2infos"]) == repr(records)
    assert loaded["evaluated_indexes"] == set(ARCHS)
    official = official_201.NASBench201API(loaded, verbose=False)
    accuracy = official.get_more_info(300, "cifar10", hp="200", is_random=False)["test-accuracy"]
    assert (
        accuracy
        == NASBench201API(str(home), verbose=False).get_more_info(300, "cifar10", None, "200", False)["test-accuracy"]
    )


def test_what_cannot_be_exported_is_said(home: Path, made_up_db: Path, tmp_path: Path) -> None:
    for asked, said in (
        ({"format": "nasbench201"}, "there is no format 'nasbench201'; did you mean nas-bench-201"),
        ({"format": "nas-bench-201", "space": "sss"}, "the format nas-bench-201 is of the space tss; name it with"),
        ({"format": "syne-tune"}, "there are no rows of source 'syne-tune', space 'tss'; there is nas-bench-201"),
        ({"format": "nats-bench"}, "there are no rows of source 'official', space 'tss'; there is nas-bench-201"),
    ):
        with pytest.raises(NatsdbError, match=said):
            export(tmp_path / "no", **{"space": "tss", "database": home, **asked})


def test_schedules_that_its_package_does_not_know_are_left_out() -> None:
    record = {"12": "short", "600": "of one's own", "200": "long"}
    assert _of_nas_201(record, 0, Path("db")) == {"less": "short", "full": "long"}
    with pytest.raises(NatsdbError, match="architecture 0 has no runs at hp 200"):
        _of_nas_201({"12": "short", "600": "of one's own"}, 0, Path("db"))
