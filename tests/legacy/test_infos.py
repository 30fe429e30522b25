"""`arch2infos_dict` of a database behaves as the official dictionary, and reads only what is asked for."""

from __future__ import annotations

import copy
import pickle
import shutil
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from natsdb import NatsdbError, api
from natsdb.api.infos import LazyInfos
from outcomes import described


@pytest.fixture
def handle(real_db: Path) -> Any:
    return api.create(str(real_db), "sss", fast_mode=True, verbose=False)


def test_it_is_an_ordered_dictionary_of_ordered_dictionaries(handle: Any) -> None:
    infos = handle.arch2infos_dict
    assert isinstance(infos, OrderedDict)
    assert infos is handle.arch2infos_dict
    assert infos[0] is infos[0]
    assert type(infos[0]) is OrderedDict
    assert list(infos[0]) == ["01", "12", "90"]
    assert list(infos) == list(infos.keys()) == [0, 11]
    assert (len(infos), 0 in infos, 1 in infos, bool(infos)) == (2, True, False, True)
    with pytest.raises(KeyError):
        infos[1]


def test_nothing_is_read_before_it_is_asked_for(handle: Any) -> None:
    infos = handle.arch2infos_dict
    handle.get_more_info(0, "cifar10")
    handle.find_best("cifar10", "valid")
    handle.query_by_index(0)
    assert infos.unread == {0, 11}
    infos[0]
    assert infos.unread == {11}


WAYS: dict[str, Callable[[Any], Any]] = {
    "values": lambda infos: list(infos.values()),
    "items": lambda infos: list(infos.items()),
    "dict": lambda infos: dict(infos),
    "OrderedDict": lambda infos: OrderedDict(infos),
    "unpacking": lambda infos: {**infos},
    "copy": lambda infos: infos.copy(),
    "copy.copy": copy.copy,
    "deepcopy": copy.deepcopy,
    "pickle": lambda infos: pickle.loads(pickle.dumps(infos)),
    "get": lambda infos: (infos.get(0), infos.get(1), infos.get(1, 5)),
    "pop": lambda infos: (infos.pop(0), infos.pop(0, 7), list(infos)),
    "pop with a default": lambda infos: (infos.pop(0, 7), infos.pop(1, 7), list(infos)),
    "popitem": lambda infos: (infos.popitem(), infos.popitem(last=False), len(infos)),
    "setdefault": lambda infos: (infos.setdefault(0, 5), infos.setdefault(1, 5), list(infos)),
    "del": lambda infos: (infos.__delitem__(0), list(infos)),
    "set": lambda infos: (infos.__setitem__(0, 5), infos[0], list(infos)),
    "update": lambda infos: (infos.update({1: 5, 0: 6}), infos[1], infos[0], list(infos)),
    "or": lambda infos: infos | {1: 5},
    "reflected or": lambda infos: {1: 5} | infos,
    "in place or": lambda infos: infos.__ior__({1: 5}),
    "clear": lambda infos: (infos.clear(), len(infos), list(infos)),
    "move_to_end": lambda infos: (infos.move_to_end(0), list(infos), list(reversed(infos)), infos),
    "repr": lambda infos: repr(infos).replace("LazyInfos", "OrderedDict"),
    "equal": lambda infos: (infos == infos.copy(), infos != infos.copy(), infos == {}, infos == {}, infos == 3),
}


@pytest.mark.parametrize("name", WAYS)
def test_each_way_to_use_a_dictionary(handle: Any, name: str) -> None:
    plain = OrderedDict((arch, handle._backend.results(arch)) for arch in (0, 11))
    if name in ("repr", "equal"):  # these compare objects
        plain = OrderedDict((arch, handle.arch2infos_dict[arch]) for arch in (0, 11))
    found = WAYS[name](handle.arch2infos_dict)
    assert described(found) == described(WAYS[name](plain))


def test_copies_keep_what_was_changed_and_read_the_rest(handle: Any) -> None:
    handle.arch2infos_dict[0]["12"].reset_latency("cifar10", None, 0.5)
    for made in (copy.deepcopy(handle), pickle.loads(pickle.dumps(handle))):
        assert isinstance(made.arch2infos_dict, LazyInfos)
        assert made.arch2infos_dict.unread == {11}
        assert made.get_latency(0, "cifar10") == 0.5
        assert made.get_latency(11, "cifar10") == handle.get_latency(11, "cifar10")
        made.arch2infos_dict[0]["12"].reset_latency("cifar10", None, 0.25)
    assert handle.get_latency(0, "cifar10") == 0.5


def test_forgetting_all_frees_and_reads_again(handle: Any) -> None:
    before = handle.get_more_info(0, "cifar10", hp="90", is_random=False)
    handle.arch2infos_dict[0]["90"].query("cifar10", 777).train_acc1es[89] = 1.0
    assert handle.get_more_info(0, "cifar10", hp="90", is_random=False)["train-accuracy"] == 1.0
    handle.arch2infos_dict = {}
    assert len(handle.arch2infos_dict) == 0
    assert handle.get_more_info(0, "cifar10", hp="90", is_random=False) == before
    assert list(handle.arch2infos_dict) == [0]
    mine = {5: "mine"}
    handle.arch2infos_dict = mine
    assert handle.arch2infos_dict is mine


def test_what_nobody_read_is_not_read_to_be_dropped(real_db: Path, tmp_path: Path) -> None:
    """Scripts bound their memory like this; the files are gone, so that whoever reads one fails."""
    home = shutil.copytree(real_db, tmp_path / "db")
    for drop in (
        lambda handle: handle.arch2infos_dict.popitem(),
        lambda handle: handle.arch2infos_dict.popitem(last=False),
        lambda handle: handle.arch2infos_dict.pop(11),
        lambda handle: handle.arch2infos_dict.__delitem__(11),
        lambda handle: handle.evaluated_indexes.discard(11),
    ):
        handle = api.create(str(home), "sss", fast_mode=True, verbose=False)
        assert handle.evaluated_indexes == set(handle.arch2infos_dict) == {0, 11}
        (home / "moved").mkdir()
        for path in home.glob("seed/**/*.parquet"):
            path.rename(home / "moved" / path.name)
        handle._backend._blocks.clear()
        dropped = drop(handle)
        assert len(handle.arch2infos_dict) + len(handle.evaluated_indexes) == 3
        if dropped is not None:
            results = dropped[1] if isinstance(dropped, tuple) else dropped
            with pytest.raises(NatsdbError):
                len(results)
        shutil.rmtree(home)
        shutil.copytree(real_db, home)


def test_dropped_results_are_read_when_somebody_looks(handle: Any) -> None:
    plain = handle._backend.results(11)
    for look in (
        lambda results: (list(results), len(results), bool(results), "90" in results, results["90"], results.get("7")),
        lambda results: (list(reversed(results)), list(results.items()), results.pop("01"), list(results.values())),
        lambda results: ({**results}, dict(results), OrderedDict(results), results | {"1": 2}, {"1": 2} | results),
        lambda results: (copy.copy(results), copy.deepcopy(results), pickle.loads(pickle.dumps(results))),
        lambda results: (results.__setitem__("7", 1), results.move_to_end("12"), results.popitem(), list(results)),
    ):
        dropped = handle.arch2infos_dict.pop(11)
        assert described(look(dropped)) == described(look(copy.copy(plain)))
        handle.arch2infos_dict = {}
        handle.get_more_info(11, "cifar10")
