"""Handles and runs as objects: what `vars` shows, pickles of the official packages, indexes that are no integers."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import nats_bench
import pytest

from natsdb import api
from outcomes import answered_pickle, described, outcome


def test_vars_of_a_run_are_its_fields(real_pair: Any) -> None:
    runs = [handle.query_by_index(11, "cifar100", "200")[777] for handle in real_pair("tss")]
    theirs, mine = runs
    assert {name for name in dir(theirs) if not name.startswith("__")} <= set(dir(mine))
    assert "_rows" not in dir(mine)
    assert described(vars(mine)) == described(vars(theirs))
    assert mine.__dict__ is vars(mine)
    for run in runs:
        vars(run)["train_acc1es"][199] = 1.5
        vars(run)["note"] = "mine"
        del vars(run)["train_acc5es"]
    assert mine.get_train() == theirs.get_train()
    assert described(mine.state_dict()) == described(theirs.state_dict())
    assert not hasattr(mine, "train_acc5es")
    assert described(pickle.loads(pickle.dumps(mine)).state_dict()) == described(theirs.state_dict())
    for run in runs:
        vars(run).clear()
    for call in (lambda run: run.get_train(3), lambda run: run.get_eval("x-test"), lambda run: run.get_times()):
        expected, found = (outcome(lambda run=run, call=call: call(run)) for run in runs)  # type: ignore[misc]
        assert found == expected


def test_results_that_a_script_makes_itself(real_pair: Any) -> None:
    """Empty ones, then with a run of a handle in them."""
    made = [kind(11, "a cell") for kind in (nats_bench.ArchResults, api.ArchResults)]
    assert described(made[1].state_dict()) == described(made[0].state_dict())
    for results, handle in zip(made, real_pair("tss"), strict=True):
        results.update("cifar100", 777, handle.query_by_index(11, "cifar100", "200")[777])
    assert described(made[1].state_dict()) == described(made[0].state_dict())
    assert repr(made[1]) == repr(made[0])


def test_a_run_whose_fields_were_shown_answers_alike(real_pair: Any) -> None:
    for hp in ("12", "200"):
        runs = [handle.query_by_index(0, "cifar10-valid", hp)[777] for handle in real_pair("tss")]
        vars(runs[1])
        for call in (
            lambda run: run.get_times(),
            lambda run: (run.get_train(3), run.get_eval("x-valid"), run.get_eval("ori-test")),
            lambda run: run.get_eval("x-test"),
            lambda run: (repr(run), run.get_latency(), run.get_config(None), run.get_net_param()),
        ):
            expected, found = (outcome(lambda run=run, call=call: call(run)) for run in runs)  # type: ignore[misc]
            assert found == expected


@pytest.mark.parametrize("space", ["tss", "sss"])
def test_a_handle_that_the_official_package_pickled(official: dict[str, Path], space: str) -> None:
    theirs = nats_bench.create(str(official[space]), space, fast_mode=True, verbose=False)
    theirs.simulate_train_eval(0, "cifar10")
    mine = answered_pickle(theirs)
    assert type(mine).__module__.startswith("natsdb.")
    assert (repr(mine), mine.used_time, mine.archive_dir) == (repr(theirs), theirs.used_time, theirs.archive_dir)
    for arch in (0, 11):  # held in the pickle, and read from the folder that it names
        for call in (
            lambda handle, arch=arch: handle.get_more_info(arch, "cifar100", hp="12"),
            lambda handle, arch=arch: handle.query_by_index(arch, "cifar10", "12"),
            lambda handle: (handle.evaluated_indexes, sorted(handle.avaliable_hps), len(handle)),
            lambda handle: handle.find_best("cifar10", "valid", enforce_all=False),
        ):
            expected, found = (outcome(lambda one=one, call=call: call(one)) for one in (theirs, mine))  # type: ignore[misc]
            assert found == expected
    again = pickle.loads(pickle.dumps(mine))
    assert again.get_cost_info(11, "cifar10") == theirs.get_cost_info(11, "cifar10")


def test_indexes_that_are_no_integers(real_pair: Any) -> None:
    theirs, mine = real_pair("tss")
    for index in (11.0, 11.5, 3.0, -1.0, 20000.0, "x"):
        for call in (
            lambda handle, index=index: handle.query_by_index(index, "cifar10", "12"),
            lambda handle, index=index: handle.query_meta_info_by_index(index),
            lambda handle, index=index: handle.get_cost_info(index, "cifar10"),
            lambda handle, index=index: handle.get_more_info(index, "cifar10"),
        ):
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                expected, found = (outcome(lambda one=one, call=call: call(one))[0] for one in (theirs, mine))  # type: ignore[misc]
            assert found[:2] == expected[:2], index
