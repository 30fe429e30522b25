"""`NASBench201API` against the official class (nas-bench-201 2.1), both on the same records."""

from __future__ import annotations

import copy
import importlib
import itertools
import sys
import types
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from natsdb.api import nas_201
from natsdb.api.nas_201 import NASBench201API
from natsdb.schema.spaces import strings
from outcomes import outcome


@pytest.fixture(scope="module")
def theirs() -> types.ModuleType:
    """The official package; it imports torch, which opening a dictionary does not need."""
    missing = "torch" not in sys.modules and importlib.util.find_spec("torch") is None
    if missing:
        sys.modules["torch"] = types.ModuleType("torch")
    try:
        return importlib.import_module("nas_201_api")
    finally:
        if missing:
            del sys.modules["torch"]


@pytest.fixture
def pair(theirs: types.ModuleType, real_records: Any, real_db: Path) -> tuple[Any, Any]:
    records = {arch: record for (space, arch), record in real_records.items() if space == "tss"}
    whole = {
        "meta_archs": list(strings("tss")),
        "arch2infos": {arch: {"less": record["12"], "full": record["200"]} for arch, record in records.items()},
        "evaluated_indexes": set(records),
    }
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return theirs.NASBench201API(whole, verbose=False), NASBench201API(str(real_db), verbose=False)


QUESTIONS: dict[str, Callable[[Any, int, str, str], Any]] = {
    "get_more_info": lambda api, i, d, hp: api.get_more_info(i, d, hp=hp),
    "get_more_info of an epoch": lambda api, i, d, hp: api.get_more_info(i, d, 5, hp, False),
    "get_more_info of a seed": lambda api, i, d, hp: api.get_more_info(i, d, None, hp, 777),
    "get_more_info by string": lambda api, i, d, hp: api.get_more_info(api[i], d, hp=hp, is_random=False),
    "get_cost_info": lambda api, i, d, hp: api.get_cost_info(i, d, hp),
    "get_latency": lambda api, i, d, hp: api.get_latency(i, d, hp),
    "get_latency by default": lambda api, i, d, hp: api.get_latency(i, d),
    "simulate_train_eval": lambda api, i, d, hp: (api.simulate_train_eval(i, d, hp), api.used_time),
    "query_by_index": lambda api, i, d, hp: list(api.query_by_index(i, d, hp)),
    "runs": lambda api, i, d, hp: [
        (run.get_train(), run.get_eval("ori-test"), run.get_times(), repr(run))
        for run in api.query_by_index(i, d, hp).values()
    ],
    "query_meta_info_by_index": lambda api, i, d, hp: repr(api.query_meta_info_by_index(i, hp)),
    "query_by_arch": lambda api, i, d, hp: api.query_by_arch(i, hp),
    "query_info_str_by_arch": lambda api, i, d, hp: api.query_info_str_by_arch(api[i], hp),
    "query_index_by_arch": lambda api, i, d, hp: (api.query_index_by_arch(api[i]), api.query_index_by_arch("x")),
    "arch": lambda api, i, d, hp: (api.arch(i), api[i]),
    "an index outside": lambda api, i, d, hp: api.arch(i - 20),
    "get_net_config": lambda api, i, d, hp: api.get_net_config(i, d),
    "get_net_param": lambda api, i, d, hp: api.get_net_param(i, d, None, hp),
    "show": lambda api, i, d, hp: api.show(i),
    "find_best": lambda api, i, d, hp: api.find_best(d, "ori-test", hp=hp),
    "find_best in limits": lambda api, i, d, hp: api.find_best(d, "train", FLOP_max=50, Param_max=None, hp=hp),
    "clear_params": lambda api, i, d, hp: api.clear_params(i, hp),
    "itself": lambda api, i, d, hp: (len(api), api.evaluated_indexes, sorted(api.avaliable_hps), repr(api)[:38]),
    "str2lists": lambda api, i, d, hp: (api.str2lists(api[i]), api.str2matrix(api[i]).tolist()),
}


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
            outcome(lambda api=api, a=(arch, dataset, hp): QUESTIONS[name](api, *a), arch, _rounded)  # type: ignore[misc]
            for api in pair
        )
        assert found[0] == expected[0]
        assert _without_loading(found[1]) == _without_loading(expected[1])
        assert found[2:] == expected[2:]


def _rounded(value: Any) -> Any:
    """A value with its floats at 12 digits: NAS-Bench-201 adds up by NumPy, so last bits and types of floats differ."""
    if isinstance(value, float):
        return f"{value:.12g}"
    if isinstance(value, dict):
        return {key: _rounded(each) for key, each in value.items()}
    return [_rounded(each) for each in value] if isinstance(value, list | tuple) else value


def _without_loading(printed: str) -> str:
    """natsdb says also what it looks for, and forgets a space, as nats_bench does."""
    lines = [line for line in printed.splitlines() if not line.startswith("Call _prepare_info")]
    return "\n".join(lines).replace(" and hp=", "and hp=")


def test_how_older_versions_named_the_schedule(pair: tuple[Any, Any]) -> None:
    mine = pair[1]
    for old, hp in ((True, "12"), (False, "200")):
        asked = {"dataset": "cifar100", "is_random": False}
        assert mine.get_more_info(11, use_12epochs_result=old, **asked) == mine.get_more_info(11, hp=hp, **asked)
        assert mine.get_more_info(11, "cifar100", None, old, False) == mine.get_more_info(11, hp=hp, **asked)
        assert mine.get_latency(11, "cifar10", use_12epochs_result=old) == mine.get_latency(11, "cifar10", hp)
        assert list(mine.query_by_index(11, "cifar10", old)) == list(mine.query_by_index(11, "cifar10", hp))
        assert repr(mine.query_meta_info_by_index(11, old)) == repr(mine.query_meta_info_by_index(11, hp))
        assert mine.get_cost_info(11, "cifar10", old) == mine.get_cost_info(11, "cifar10", hp)
    assert mine.arch2infos_less[11] is mine.arch2infos_dict[11]["12"]
    assert mine.arch2infos_full[0] is mine.arch2infos_dict[0]["200"]
    assert list(mine.arch2infos_full) == [0, 11]
    assert copy.deepcopy(mine).get_latency(11, "cifar10") == mine.get_latency(11, "cifar10")


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
    assert "--- index=11 ---" in capsys.readouterr().out
