"""Where numbers are equal, seeds disagree or some runs lack a split: which of them the official package takes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nats_bench
import pytest

import archives
from natsdb import api
from natsdb.ingest import ingest
from outcomes import outcome
from pairs import both

Change = Callable[[int, dict[str, Any]], None]
CALLS: dict[str, Callable[[Any], Any]] = {
    "find_best": lambda api: [
        api.find_best("cifar100", split, hp="12") for split in ("valid", "test", "train", "ori-test")
    ],
    "find_best of few FLOPs": lambda api: [
        api.find_best("cifar100", "ori-test", limit, None, "12") for limit in (1.0, 1.5, 1.25, 2.0, None)
    ],
    "find_best of few parameters": lambda api: [
        api.find_best("cifar100", "ori-test", None, limit, "12") for limit in (0.1, 0.25, 0.5)
    ],
    "get_cost_info": lambda api: [api.get_cost_info(arch, "cifar100", "12") for arch in (1, 2, 3)],
    "mean": lambda api: [api.get_more_info(arch, "cifar100", hp="12", is_random=False) for arch in (1, 2, 3)],
    "mean inside": lambda api: api.get_more_info(2, "cifar100", iepoch=4, hp="12", is_random=False),
    "a seed": lambda api: api.get_more_info(2, "cifar100", hp="12", is_random=888),
    "simulate_train_eval": lambda api: [api.simulate_train_eval(arch, "cifar100", None, "12") for arch in (1, 2, 3)],
    "simulated at an epoch": lambda api: [api.simulate_train_eval(arch, "cifar100", 3, "12") for arch in (1, 2, 3)],
    "times": lambda api: [
        api.query_by_index(1, "cifar100", "12")[888].get_eval("x-test", epoch) for epoch in (None, 3)
    ],
}


def _equal_accuracies(arch: int, run: dict[str, Any]) -> None:
    for name in run["eval_acc1es"]:
        run["eval_acc1es"][name] = 50.0
    run["train_acc1es"] = dict.fromkeys(run["train_acc1es"], 60.0)
    run["flop"], run["params"] = 1.0 + arch / 4, 0.25 * arch


def _flops_by_seed(arch: int, run: dict[str, Any]) -> None:
    run["flop"] = {777: 1.0, 888: 1.25, 999: 1.5}[int(run["seed"])] + (0 if arch == 2 else 1e-7)
    run["params"] = {777: 0.1, 888: 0.25, 999: 0.5}[int(run["seed"])] if arch == 3 else 0.25


def _a_split_is_missing(arch: int, run: dict[str, Any]) -> None:
    if arch == 2 and int(run["seed"]) == 999:
        run["eval_names"] = [name for name in run["eval_names"] if name != "x-test"]
        for name in ("eval_acc1es", "eval_losses", "eval_times"):
            run[name] = {key: value for key, value in run[name].items() if not key.startswith("x-test@")}


def _times_vary(arch: int, run: dict[str, Any]) -> None:
    if arch == 1:
        for name in ("train_times", "eval_times"):
            run[name] = {key: 1.0 + number / 8 for number, key in enumerate(run[name])}


@pytest.fixture(scope="module", params=[_equal_accuracies, _flops_by_seed, _a_split_is_missing, _times_vary])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Any]:
    """Handles of both packages on three sizes, whose runs at hp 12 were changed."""
    home = tmp_path_factory.mktemp("changed")
    records = {arch: archives.record("sss", arch) for arch in (1, 2, 3)}
    for arch, record in records.items():
        del record["90"]
        for run in record["12"]["all_results"].values():
            request.param(arch, run)
    file = archives.write_single(home, "sss", records)
    ingest([file], home / "db")
    official = nats_bench.create(str(file), "sss", fast_mode=False, verbose=False)
    return official, api.create(str(home / "db"), "sss", fast_mode=False, verbose=False)


@pytest.mark.parametrize("name", CALLS)
def test_what_is_answered_is_what_the_official_package_answers(pair: tuple[Any, Any], name: str) -> None:
    official, mine = (outcome(lambda handle=handle: CALLS[name](handle), 0) for handle in pair)  # type: ignore[misc]
    assert mine == official


@pytest.mark.parametrize("iepoch", [None, 4])
def test_many_equal_a_loop(pair: tuple[Any, Any], iepoch: int | None) -> None:
    _, mine = pair

    def many() -> Any:
        return mine.get_many([1, 2, 3], "cifar100", iepoch, "12", False).to_dicts()

    def each() -> Any:
        return [{"arch": arch, **mine.get_more_info(arch, "cifar100", iepoch, "12", False)} for arch in (1, 2, 3)]

    def known(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
        return [{key: value for key, value in row.items() if value is not None} for row in rows]

    assert outcome(many, describe=known)[0] == outcome(each, describe=known)[0]


def test_who_changes_an_answer_changes_no_other(real_db: Path, official: dict[str, Path]) -> None:
    _, mine = both(official["tss"], real_db, "tss")
    asked: list[Callable[[], Any]] = [
        lambda: mine.get_more_info(11, "cifar100", hp="200", is_random=False),
        lambda: mine.get_more_info(11, "cifar100", iepoch=5, hp="12", is_random=False),
        lambda: mine.get_cost_info(11, "cifar100", "200"),
        lambda: mine.get_net_config(11, "cifar100"),
        lambda: mine.query_meta_info_by_index(11, "200").get_metrics("cifar100", "ori-test"),
    ]
    for ask in asked:
        before = dict(ask())
        found = ask()
        for key in list(found):
            found[key] = None
        found["mine"] = 1
        assert dict(ask()) == before
