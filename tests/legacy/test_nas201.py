"""`NASBench201API` against the official class (nas-bench-201 2.1), both on the same records."""

from __future__ import annotations

import copy
import itertools
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from natsdb import NatsdbError
from natsdb.api import nas_201, nas_201_versions
from natsdb.api.nas_201 import NASBench201API
from natsdb.schema.spaces import strings
from outcomes import answered_pickle, described, outcome
from questions_201 import QUESTIONS


@pytest.fixture(scope="module")
def loaded(real_records: Any) -> dict[str, Any]:
    """What `torch.load` gives of a file of NAS-Bench-201."""
    records = {arch: record for (space, arch), record in real_records.items() if space == "tss"}
    return {
        "meta_archs": list(strings("tss")),
        "arch2infos": {arch: {"less": record["12"], "full": record["200"]} for arch, record in records.items()},
        "evaluated_indexes": set(records),
    }


@pytest.fixture(scope="module")
def all_three(official_201: types.ModuleType, loaded: dict[str, Any], real_db: Path) -> tuple[Any, Any, Any]:
    """The official handle, and natsdb's on a database and on the same dictionary."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return (
            official_201.NASBench201API(loaded, verbose=False),
            NASBench201API(str(real_db), verbose=False),
            NASBench201API(loaded, verbose=False),
        )


@pytest.fixture
def pair(all_three: tuple[Any, Any, Any]) -> tuple[Any, Any]:
    for api in all_three:
        api.reset_time()
    return all_three[:2]


@pytest.fixture(autouse=True)
def nothing_known(monkeypatch: pytest.MonkeyPatch) -> Callable[[], None]:
    """Each test is a script of its own; what it returns forgets the version that calls told."""

    def forget() -> None:
        version = nas_201_versions.Version()
        for module in (nas_201, nas_201_versions):
            monkeypatch.setattr(module, "VERSION", version)

    monkeypatch.delenv("NATSDB_NAS_201_API", raising=False)
    forget()
    return forget


@pytest.mark.parametrize("verbose", [False, True])
@pytest.mark.parametrize("name", QUESTIONS)
def test_questions(pair: tuple[Any, Any], name: str, verbose: bool) -> None:
    for api in pair:
        api.verbose = verbose
    for arch, dataset, hp in itertools.product(
        (0, 11), ("cifar10-valid", "cifar10", "cifar100", "ImageNet16-120", "mnist"), ("12", "200", "90")
    ):
        if hp == "90" and name.startswith(("query_by_arch", "query_info")):
            continue  # the official message names a variable that is not there
        expected, found = (
            outcome(lambda api=api, a=(arch, dataset, hp): QUESTIONS[name](api, *a), arch)  # type: ignore[misc]
            for api in pair
        )
        # To the letter, bit and type: means are NumPy's.
        assert found == expected


def test_a_loaded_dictionary_answers_as_officially(all_three: tuple[Any, Any, Any]) -> None:
    theirs, _, mine = all_three
    theirs.verbose = mine.verbose = False
    assert (mine.avaliable_hps.sort(), list(mine.arch2infos_dict[11])) == (None, ["12", "200"])
    for name in ("get_more_info of an epoch", "get_cost_info", "query_by_arch", "runs", "find_best", "itself", "show"):
        expected, found = (
            outcome(lambda api=api, name=name: QUESTIONS[name](api, 11, "cifar100", "200"))  # type: ignore[misc]
            for api in (theirs, mine)
        )
        assert found == expected
    with pytest.raises(AssertionError, match=r"Can not find key\[meta_archs\] in the dict"):
        NASBench201API({}, verbose=False)


@pytest.mark.parametrize("epoch", [-1, 12])
def test_an_epoch_that_was_not_trained_is_refused_as_officially(pair: tuple[Any, Any], epoch: int) -> None:
    def ask(api: Any) -> Any:
        return api.query_meta_info_by_index(11, "12").get_metrics("cifar100", "train", epoch)

    for api in pair:
        api.verbose = False
    expected, found = (outcome(lambda api=api: ask(api)) for api in pair)  # type: ignore[misc]
    assert found == expected
    assert found[0][:2] == ("raised", "AssertionError")


@pytest.mark.parametrize("given", ["a path", "a dictionary"])
@pytest.mark.parametrize("verbose", [True, False])
def test_what_opening_prints(
    official_201: types.ModuleType,
    loaded: dict[str, Any],
    real_db: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    verbose: bool,
    given: str,
) -> None:
    path = tmp_path / "NAS-Bench-201-v1_1-096897.pth"
    path.touch()
    monkeypatch.setenv("NATSDB_HOME", str(real_db))
    monkeypatch.setattr(
        sys.modules["nas_201_api.api_201"], "torch", types.SimpleNamespace(load=lambda *_, **__: loaded)
    )
    monkeypatch.setattr(nas_201, "_warned", True)
    expected, found = (
        outcome(lambda kind=kind: repr(kind(path if given == "a path" else loaded, verbose)))  # type: ignore[misc]
        for kind in (official_201.NASBench201API, NASBench201API)
    )
    assert found == expected


def test_there_is_neither_a_file_nor_a_database(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("NATSDB_HOME", "TORCH_HOME", "HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "nothing"))
    with pytest.raises(NatsdbError) as raised:
        NASBench201API("NAS-Bench-201-v1_1-096897.pth", verbose=False)
    assert str(raised.value) == (
        "NAS-Bench-201-v1_1-096897.pth: there is no such file, and no natsdb database that stands for it; make one "
        "with `natsdb ingest SOURCE --db DIR` from NAS-Bench-201's file or NATS-Bench's topology archive, and let "
        "$NATSDB_HOME name it"
    )
    with pytest.raises(NatsdbError, match=r"^no file is named, and no natsdb database that stands for it; make one"):
        NASBench201API(verbose=False)


# Calls as scripts of 1.x make them, and how 2.x names what they ask for.
OLD: dict[str, tuple[Callable[[Any], Any], Callable[[Any], Any]]] = {
    "query_by_index": (lambda api: api.query_by_index(11), lambda api: api.query_by_index(11, None, "200")),
    "runs": (lambda api: api.query_by_index(11, "cifar10"), lambda api: api.query_by_index(11, "cifar10", "200")),
    "less": (lambda api: api.query_by_index(0, None, True), lambda api: api.query_by_index(0, None, "12")),
    "meta": (lambda api: api.query_meta_info_by_index(0), lambda api: api.query_meta_info_by_index(0, "200")),
    "query_by_arch": (lambda api: api.query_by_arch(api[11]), lambda api: api.query_by_arch(11, "200")),
    "by an index": (lambda api: api.query_by_arch(11, True), lambda api: api.query_by_arch(11, "12")),
    "by name": (lambda api: api.query_by_arch(0, use_12epochs_result=True), lambda api: api.query_by_arch(0, "12")),
    "find_best": (
        lambda api: api.find_best("cifar10", "ori-test"),
        lambda api: api.find_best("cifar10", "ori-test", hp="200"),
    ),
    "find_best by place": (
        lambda api: api.find_best("cifar100", "x-test", None, None, True),
        lambda api: api.find_best("cifar100", "x-test", hp="12"),
    ),
    "find_best by name": (
        lambda api: api.find_best("cifar100", "x-test", FLOP_max=20, use_12epochs_result=False),
        lambda api: api.find_best("cifar100", "x-test", 20, hp="200"),
    ),
    "get_net_param": (
        lambda api: api.get_net_param(0, "cifar10", None, use_12epochs_result=False),
        lambda api: api.get_net_param(0, "cifar10", None, "200"),
    ),
    "get_more_info": (
        lambda api: api.get_more_info(11, "cifar10", None, False, False),
        lambda api: api.get_more_info(11, "cifar10", None, "200", False),
    ),
    "get_more_info by default": (
        lambda api: api.get_more_info(11, "cifar10-valid", is_random=888),
        lambda api: api.get_more_info(11, "cifar10-valid", None, "200", 888),
    ),
    "get_latency": (lambda api: api.get_latency(0, "cifar10"), lambda api: api.get_latency(0, "cifar10", "200")),
    "get_cost_info": (
        lambda api: api.get_cost_info(0, "cifar10", use_12epochs_result=True),
        lambda api: api.get_cost_info(0, "cifar10", "12"),
    ),
    "get_comput_costs": (
        lambda api: api.query_by_index(11).get_comput_costs("cifar100"),
        lambda api: api.query_by_index(11, None, "200").get_compute_costs("cifar100"),
    ),
    "statistics": (lambda api: api.statistics("cifar10", False), lambda api: {3: 2}),
    "clear_params": (lambda api: api.clear_params(0, False), lambda api: api.clear_params(0, "200")),
}


@pytest.mark.parametrize("name", OLD)
def test_calls_of_1x(
    pair: tuple[Any, Any],
    name: str,
    monkeypatch: pytest.MonkeyPatch,
    nothing_known: Callable[[], None],
    capsys: pytest.CaptureFixture[str],
) -> None:
    theirs = pair[0]
    theirs.verbose = pair[1].verbose = False
    expected = described(OLD[name][1](theirs))
    monkeypatch.setenv("NATSDB_NAS_201_API", "1.3")
    nothing_known()
    pair[1].verbose = True  # which 1.x did not look at
    assert described(OLD[name][0](pair[1])) == expected
    assert capsys.readouterr() == ("", "")


def test_two_hundred_epochs_are_the_default_of_1x(
    pair: tuple[Any, Any], nothing_known: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    mine = pair[1]
    mine.verbose = False

    def accuracy() -> float:
        return round(mine.query_by_index(11).get_metrics("cifar10", "ori-test")["accuracy"], 2)

    mine.query_by_arch(0, use_12epochs_result=True)
    assert accuracy() == 91.58  # a call told that it is 1.x
    assert capsys.readouterr().err == ""
    nothing_known()
    mine.query_by_arch(0, "12")
    assert accuracy() == 74.0  # a call told that it is 2.x
    assert capsys.readouterr().err == ""
    nothing_known()
    assert [accuracy(), accuracy()] == [74.0, 74.0]
    # What is new in 2.0 goes with what was assumed.
    assert mine.query_info_str_by_arch(11) == mine.query_by_arch(11, "12")
    assert capsys.readouterr().err == (
        "natsdb: query_by_index names no schedule, and nothing says which nas_201_api the script is for: assumed 2.1, "
        "so 12 epochs (1.x: 200); `natsdb run --nas-201-api 1.3` chooses\n"
    )
    for call in (
        lambda: mine.arch2infos_full,
        lambda: mine.query_by_arch(0),
        lambda: mine.get_latency(0, "cifar10", True),
    ):
        with pytest.raises(
            NatsdbError, match=r"is of nas_201_api 1\.x, but query_by_index was answered as in 2\.1, where"
        ):
            call()


def test_dictionaries_of_1x(real_db: Path) -> None:
    mine = NASBench201API(str(real_db), verbose=False)
    assert mine.arch2infos_less[11] is mine.arch2infos_dict[11]["12"]
    assert mine.arch2infos_full[0] is mine.arch2infos_dict[0]["200"]
    assert list(mine.arch2infos_full) == [0, 11]
    copied = copy.deepcopy(mine)
    assert mine.arch2infos_full.pop(11) is mine.arch2infos_dict[11]["200"]
    assert (list(mine.arch2infos_full), list(mine.arch2infos_less), 11 in mine.arch2infos_full) == ([0], [0, 11], False)
    with pytest.raises(KeyError):
        mine.arch2infos_full[11]
    mine.arch2infos_full[11] = mine.arch2infos_less[11]
    assert mine.query_by_index(11, use_12epochs_result=False).get_total_epoch() == 12
    mine.arch2infos_less.clear()
    assert len(mine.arch2infos_less) == 0
    mine.arch2infos_full = {}
    assert mine.arch2infos_full == {}
    assert list(copied.arch2infos_full) == [0, 11]
    assert copied.query_by_index(11).get_total_epoch() == 200


def test_who_sets_a_dictionary_of_1x_is_of_1x(
    real_db: Path, nothing_known: Callable[[], None], capsys: pytest.CaptureFixture[str]
) -> None:
    """Scripts forget one schedule's results so, to free memory."""
    mine = NASBench201API(str(real_db), verbose=False)
    mine.arch2infos_less = {}
    assert mine.query_by_index(11).get_total_epoch() == 200
    assert capsys.readouterr().err == ""
    nothing_known()
    assert mine.query_by_index(11).get_total_epoch() == 12
    with pytest.raises(NatsdbError, match=r"arch2infos_full is of nas_201_api 1\.x, but query_by_index was answered"):
        mine.arch2infos_full = {}


def test_handles_that_nas_201_api_pickled(all_three: tuple[Any, Any, Any]) -> None:
    theirs = copy.copy(all_three[0])
    theirs.verbose = False
    mine = answered_pickle(theirs)
    assert isinstance(mine, NASBench201API)
    asked = (11, "cifar100", None, "200", False)
    assert described(mine.get_more_info(*asked)) == described(theirs.get_more_info(*asked))
    assert (repr(mine), mine.evaluated_indexes) == (repr(theirs), theirs.evaluated_indexes)
    text = mine.query_by_arch(11, "12")
    # As versions 1.x held them.
    infos = theirs.__dict__.pop("arch2infos_dict")
    theirs.arch2infos_less, theirs.arch2infos_full = ({11: infos[11][hp]} for hp in ("12", "200"))
    del theirs.__dict__["_avaliable_hps"]
    old = answered_pickle(theirs)
    assert old.query_by_index(11, use_12epochs_result=False).get_total_epoch() == 200
    assert old.query_by_arch(11, True) == text


def test_show_of_1x_begins_with_200_epochs(pair: tuple[Any, Any], capsys: pytest.CaptureFixture[str]) -> None:
    mine = pair[1]
    mine.verbose = False
    mine.show(11)
    twelve, two_hundred = capsys.readouterr().out.split(">" * 40 + " 200 epochs ")
    mine.query_by_arch(11)
    assert mine.query_by_arch("no architecture") is None
    mine.show(11)
    first, second = capsys.readouterr().out.split(">" * 40 + " 012 epochs ")
    end = "<" * 40 + "------------" + "<" * 40 + "\n"
    assert first == ">" * 40 + " 200 epochs " + two_hundred.removesuffix(end)
    assert ">" * 40 + " 012 epochs " + second.removesuffix(end) == twelve


def test_a_pth_file_stands_for_the_default_database(real_db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATSDB_HOME", str(real_db))
    monkeypatch.setattr(nas_201, "_warned", False)
    with pytest.warns(UserWarning, match="answered from NATS-Bench's topology data"):
        api = NASBench201API("NAS-Bench-201-v1_1-096897.pth", verbose=False)
    with warnings.catch_warnings():
        warnings.simplefilter("error")  # it is said once
        NASBench201API(verbose=False)
    assert api.evaluated_indexes == [0, 11]


def test_test_api_prints(real_db: Path, capsys: pytest.CaptureFixture[str]) -> None:
    nas_201.test_api(real_db)
    out = capsys.readouterr().out
    assert "--- index=11 ---" in out
    # Each data set's runs, and what builds its network.
    for start in ("cifar10-valid, 777: {", "cifar10, 111: {", "cifar100, 111: {", "ImageNet16-120, 111: {", "config={"):
        assert out.count(f"\n{start}") == (8 if start == "config={" else 2), start
