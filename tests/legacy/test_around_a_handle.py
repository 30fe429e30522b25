"""What changes around an open handle: the database, the working directory, methods put on it; and that it goes."""

from __future__ import annotations

import copy
import gc
import pickle
import random
import shutil
import sys
import threading
import warnings
import weakref
from pathlib import Path
from typing import Any

import nats_bench
import numpy as np
import pytest

from natsdb import NatsdbError, api
from natsdb.api.answers import INNER
from natsdb.api.nas_201 import NASBench201API
from natsdb.ingest import ingest
from outcomes import outcome


@pytest.fixture
def growing(official: dict[str, Path], tmp_path: Path) -> tuple[Path, Path]:
    """A database of architecture 0 of sss, and a folder with the record of another one."""
    first, more = tmp_path / "first", tmp_path / "more"
    for folder, name in ((first, "000000.pickle.pbz2"), (more, "000011.pickle.pbz2")):
        folder.mkdir()
        shutil.copy(official["sss"] / name, folder / name)
    ingest([first], tmp_path / "db")
    return tmp_path / "db", more


def test_a_handle_keeps_the_version_that_it_opened(growing: tuple[Path, Path], official: dict[str, Path]) -> None:
    database, more = growing
    expected = nats_bench.create(str(official["sss"]), "sss", fast_mode=True, verbose=False)
    handles = [api.create(str(database), "sss", fast_mode=True, verbose=False) for _ in range(4)]
    handles[0].get_more_info(0, "cifar10", hp="90")
    held = handles[1].arch2infos_dict[0]
    seen = handles[2].query_by_index(0, "cifar10", "90")[777]
    assert seen.get_train(3) == expected.query_by_index(0, "cifar10", "90")[777].get_train(3)
    ingest([more], database)
    for handle in handles[:2]:
        for call in (
            lambda handle: handle.get_more_info(0, "cifar100", 5, "90", False),
            lambda handle: handle.get_more_info(0, "cifar10", hp="12", is_random=False),
            lambda handle: handle.get_cost_info(0, "cifar100", "12"),
            lambda handle: handle.query_by_index(0, "cifar10", "12")[888].state_dict(),
        ):
            assert outcome(lambda h=handle, c=call: c(h)) == outcome(lambda c=call: c(expected))  # type: ignore[misc]
    theirs = expected.query_meta_info_by_index(0, "90")
    assert held["90"].get_metrics("cifar100", "x-test", 4) == theirs.get_metrics("cifar100", "x-test", 4)
    assert held["90"].state_dict().keys() == theirs.state_dict().keys()
    assert seen.eval_losses == theirs.query("cifar10", 777).eval_losses
    assert seen.get_times() == theirs.query("cifar10", 777).get_times()
    # What nobody had asked for yet is of that version too.
    assert handles[3].find_best("cifar10", "test", hp="90")[0] == 0
    assert handles[3].evaluated_indexes == {0}
    with pytest.raises(ValueError, match="Did not find 11"):
        handles[3].get_many([0, 11], "cifar10", iepoch=3)
    # To load is to take what is there now; so is to open the database again.
    handles[0].reload(str(database), 11)
    assert handles[0].get_more_info(11, "cifar10", hp="90")["test-accuracy"] > 0
    assert handles[0].evaluated_indexes == {0, 11}
    assert pickle.loads(pickle.dumps(handles[1])).get_more_info(11, "cifar10", hp="90")["test-accuracy"] > 0
    assert len(api.create(str(database), "sss", verbose=False).get_many([0, 11], "cifar10", iepoch=3)) == 2


def test_results_of_another_database_are_taken_from_there(growing: tuple[Path, Path], real_db: Path) -> None:
    handle = api.create(str(growing[0]), "sss", fast_mode=True, verbose=False)
    handle.reload(str(real_db), 11)
    asked = (11, "cifar10", None, "90", False)
    assert handle.get_more_info(*asked) == api.create(str(real_db), "sss", verbose=False).get_more_info(*asked)
    assert handle.evaluated_indexes == {0, 11}


def test_a_database_that_is_gone_is_one_sentence(growing: tuple[Path, Path]) -> None:
    handle = api.create(str(growing[0]), "sss", verbose=False)
    shutil.rmtree(growing[0])
    with pytest.raises(NatsdbError, match=r"the file is gone, .*; open the database again"):
        handle.get_more_info(0, "cifar10")


def test_the_working_directory_may_change(
    official: dict[str, Path], real_db: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import archives

    archives.write_tar(official["sss"], tmp_path / "archive.tar")
    (tmp_path / "db").symlink_to(real_db)
    monkeypatch.chdir(tmp_path)
    handles = [api.create(given, "sss", False, False) for given in ("db", "archive.tar")]
    fast = api.create("db", "sss", True, False)
    monkeypatch.chdir("/")
    for handle in (*handles, *map(pickle.loads, map(pickle.dumps, handles)), fast, copy.deepcopy(fast)):
        assert handle.get_more_info(0, "cifar10", hp="90", iepoch=4)["train-accuracy"] > 0
    assert (fast.archive_dir, fast.filename) == ("db", "db")
    fast.arch2infos_dict.pop(0)
    assert fast.get_more_info(0, "cifar10")["train-accuracy"] > 0


def test_methods_that_are_put_on_a_handle_are_asked(real_pair: Any) -> None:
    pair = real_pair("tss")
    for handle in pair:
        handle.get_latency = lambda *_, **__: 42
    theirs, mine = (outcome(lambda h=h: h.simulate_train_eval(0, "cifar100", hp="12")) for h in pair)  # type: ignore[misc]
    assert mine == theirs
    for handle in pair:
        handle.get_more_info = lambda *_, **__: {"valid-accuracy": 1.0, "train-all-time": 2.0, "valid-per-time": 3.0}
    theirs, mine = (outcome(lambda h=h: h.simulate_train_eval(0, "cifar100", hp="12")) for h in pair)  # type: ignore[misc]
    assert mine == theirs


def test_a_subclass_that_answers_all_itself_is_asked(real_db: Path) -> None:
    kind, asked = type(api.create(str(real_db), "tss", verbose=False)), []

    def own(name: str) -> Any:
        def answer(self: Any, *given: Any, **more: Any) -> Any:
            asked.append(name)
            return getattr(kind, name)(self, *given, **more)

        return answer

    mine = type("Mine", (kind,), {name: own(name) for name in INNER})(str(real_db), True, False)
    mine.simulate_train_eval(11, "cifar10", hp="12")
    assert {"query_index_by_arch", "get_more_info"} <= set(asked)


def test_arguments_that_cannot_be_keys(real_pair: Any) -> None:
    pair = real_pair("tss")
    for asked in ((0, "cifar100", 5, "200", [777]), (0, "cifar100", [5], "200", False), (0, "cifar10", None, "12", {})):
        theirs, mine = (outcome(lambda h=h, a=asked: h.get_more_info(*a)) for h in pair)  # type: ignore[misc]
        assert mine == theirs


def test_warnings_come_as_often(real_pair: Any) -> None:
    counts = []
    for handle in real_pair("tss"):
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("default")
            handle.clear_params(7)
            handle.clear_params(7)
            handle.clear_params(7)
        counts.append(len(caught))
    assert counts[0] == counts[1]


def test_a_handle_is_freed_when_it_is_dropped(made_up_db: Path) -> None:
    gc.disable()
    try:
        handle = api.create(str(made_up_db), "tss", verbose=False)
        handle.get_more_info(0, "cifar10", iepoch=3, hp="200")
        handle.simulate_train_eval(20, "cifar10")
        handle.find_best("cifar10", "valid")
        gone = weakref.ref(handle._backend)
        del handle
        assert gone() is None
    finally:
        gc.enable()


def test_threads_get_the_same_results(real_db: Path) -> None:
    before = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        for _ in range(40):
            infos = api.create(str(real_db), "sss", verbose=False).arch2infos_dict
            found: list[Any] = []
            threads = [threading.Thread(target=lambda i=infos, f=found: f.append(i[11])) for _ in range(4)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len({id(one) for one in found}) == 1
            assert found[0] is infos[11]
    finally:
        sys.setswitchinterval(before)


def test_weights_of_a_loaded_dictionary_are_left_alone(official: dict[str, Path], real_records: Any) -> None:
    whole = {
        "meta_archs": api.NATSsize(str(official["sss"]), True, False).meta_archs,
        "arch2infos": {0: copy.deepcopy(real_records["sss", 0])},
        "evaluated_indexes": [0],
    }
    weights = {"a": np.ones(3), "b": "anything"}
    whole["arch2infos"][0]["12"]["all_results"]["cifar10", 777]["net_state_dict"] = weights
    theirs, mine = (package.create(whole, "sss", verbose=False) for package in (nats_bench, api))
    found = mine.get_net_param(0, "cifar10", 777)
    assert found.keys() == theirs.get_net_param(0, "cifar10", 777).keys()
    assert np.array_equal(found["a"], weights["a"])


def test_nas_bench_201_on_a_folder_and_reloaded(official: dict[str, Path], real_db: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        folder, database = (NASBench201API(str(path), verbose=False) for path in (official["tss"], real_db))
    random.seed(1)
    expected = database.get_more_info(11, "cifar10", hp="200")
    random.seed(1)
    assert folder.get_more_info(11, "cifar10", hp="200") == expected
    assert folder.query_by_arch(0, "12") == database.query_by_arch(0, "12")
    assert folder.evaluated_indexes == [0, 11]
    database.reload(str(real_db), 0)
    database.reload(str(official["tss"]), 11)
    random.seed(1)
    assert database.get_more_info(11, "cifar10", hp="200") == expected
