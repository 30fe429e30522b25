"""Many at once: the numbers and random draws of a loop of single calls."""

from __future__ import annotations

import random
import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import archives
from natsdb import NatsdbError, api
from natsdb.api.columns import _sums
from natsdb.ingest import ingest
from natsdb.schema.schedules import HPS
from natsdb.schema.spaces import SPACES
from outcomes import outcome
from pairs import ARCHS

DATASETS = ("cifar10", "cifar100", "ImageNet16-120")


def _simulated_alike(handle: Any, archs: list[int], dataset: str, iepoch: int | None, hp: str, seed: int) -> None:
    handle.reset_time()
    random.seed(seed)
    frame = handle.simulate_many(np.array(archs, np.int64), dataset, iepoch, hp)
    state, used = random.getstate(), handle.used_time
    handle.reset_time()
    random.seed(seed)
    expected = [handle.simulate_train_eval(arch, dataset, iepoch, hp) for arch in archs]
    assert frame["arch"].to_list() == archs
    assert frame.select("accuracy", "latency", "time", "used_time").rows() == expected
    assert random.getstate() == state
    assert handle.used_time == used


def _more_alike(handle: Any, archs: list[int], dataset: str, iepoch: int | None, hp: str, seed: Any) -> None:
    random.seed(7)
    failed: Exception | None = None
    expected: list[dict[str, Any]] = []
    try:
        expected = [handle.get_more_info(arch, dataset, iepoch, hp, seed) for arch in archs]
    except (KeyError, ValueError) as error:
        failed = error
    if failed is not None:
        with pytest.raises(type(failed), match=re.escape(str(failed))):
            handle.get_many(archs, dataset, iepoch, hp, seed)
        return
    state = random.getstate()
    random.seed(7)
    frame = handle.get_many(archs, dataset, iepoch, hp, seed)
    assert frame.columns[1:] == [key for key in expected[0] if key != "comment"]
    assert frame["arch"].to_list() == archs
    assert frame.select(frame.columns[1:]).rows() == [
        tuple(info[key] for key in frame.columns[1:]) for info in expected
    ]
    assert random.getstate() == state


@pytest.mark.parametrize("space", ["tss", "sss"])
@settings(max_examples=30, deadline=None, suppress_health_check=list(HealthCheck), derandomize=True)
@given(data=st.data())
def test_many_equal_a_loop(generated: Any, space: str, data: st.DataObject) -> None:
    handle = api.create(str(generated[1]), space, verbose=False)
    archs = data.draw(st.lists(st.sampled_from(ARCHS), min_size=1, max_size=40), "archs")
    hp = data.draw(st.sampled_from(SPACES[space].hps), "hp")
    iepoch = data.draw(st.one_of(st.none(), st.integers(0, HPS[hp] - 1)), "iepoch")
    dataset = data.draw(st.sampled_from(DATASETS), "dataset")
    _simulated_alike(handle, archs, dataset, iepoch, hp, data.draw(st.integers(0, 99), "seed"))
    trained = data.draw(st.sampled_from(["cifar10-valid", *DATASETS]), "trained on")
    _more_alike(handle, archs, trained, iepoch, hp, data.draw(st.sampled_from([True, False, 777, 888, 5]), "is_random"))


@pytest.mark.parametrize("dataset", DATASETS)
def test_an_epoch_without_validation_costs_an_average_pass(real_db: Path, dataset: str) -> None:
    """Of CIFAR-100 and ImageNet16-120 the real records have it after the last epoch alone."""
    handle = api.create(str(real_db), "tss", verbose=False)
    for iepoch in (0, 3, 198):
        _simulated_alike(handle, [0, 11, 0, 11, 11], dataset, iepoch, "200", iepoch)


def test_sums_are_those_of_python_s_sum_to_the_bit() -> None:
    for values in ([0.1] * 10, [1e16, 1.0, -1e16], [1.0, 1e100, 1.0, -1e100], [3.5]):
        columns = [np.array([value, -value]) for value in values]
        assert _sums(columns, False).tolist() == [sum(values), sum(-value for value in values)]
        running = 0.0
        for value in values:
            running += value
        assert _sums(columns, True).tolist() == [running, -running]


@pytest.mark.parametrize(
    ("version", "plain", "expected"), [((3, 11), False, 0.0), ((3, 12), False, 1.0), ((3, 12), True, 0.0)]
)
def test_what_rounding_lost_is_added_as_by_the_python_that_runs(
    monkeypatch: pytest.MonkeyPatch, version: tuple[int, int], plain: bool, expected: float
) -> None:
    monkeypatch.setattr("natsdb.api.columns.sys", SimpleNamespace(version_info=version))
    assert _sums([np.array([value]) for value in (1e16, 1.0, -1e16)], plain).tolist() == [expected]


def test_results_that_were_changed_count(generated: Any) -> None:
    handle = api.create(str(generated[1]), "sss", verbose=False)
    handle.arch2infos_dict[60]["12"].reset_latency("cifar10", None, 0.5)
    handle.arch2infos_dict[60]["12"].query("cifar10", 777).train_losses[11] = -1.0
    assert handle.simulate_many([40, 60, 80], "cifar10")["latency"][1] == 0.5
    assert handle.get_many([40, 60, 80], "cifar10", is_random=777)["train-loss"][1] == -1.0
    _simulated_alike(handle, [40, 60, 80, 60], "cifar10", None, "12", 1)


@pytest.fixture(scope="module")
def uneven(tmp_path_factory: pytest.TempPathFactory) -> Any:
    """A handle on three sizes at hp 12: latencies of 1 differ by data set and seed, those of 2 were not measured,
    passes of 1030 were not timed, and one of its accuracies is a whole number."""
    home = tmp_path_factory.mktemp("uneven")
    records = {arch: {"12": archives.record("sss", arch)["12"]} for arch in (1, 2, 1030)}
    for run in records[2]["12"]["all_results"].values():
        run["latency"] = [0.0]
    for (dataset, seed), run in records[1]["12"]["all_results"].items():
        run["latency"] = [np.float64({777: 0.25, 888: 1.0, 999: 2.5}[seed] + len(dataset) / 64)]
    for run in records[1030]["12"]["all_results"].values():
        run["eval_times"] = {}
        run["train_acc1es"][3] = 10
    ingest([archives.write_single(home, "sss", records)], home / "db")
    return api.create(str(home / "db"), "sss", verbose=False)


@pytest.mark.parametrize("dataset", DATASETS)
def test_latencies_are_those_of_the_data_set_however_long(uneven: Any, dataset: str) -> None:
    """On CIFAR-10 the accuracy is that of other runs, on half of the images."""
    _simulated_alike(uneven, [1, 1, 1], dataset, None, "12", 3)
    expected = sum(seconds + len(dataset) / 64 for seconds in (0.25, 1.0, 2.5)) / 3
    assert uneven.simulate_many([1], dataset)["latency"].to_list() == [expected]


@pytest.mark.parametrize("dataset", DATASETS)
def test_without_a_latency_it_is_answered_as_one_by_one(uneven: Any, dataset: str) -> None:
    _simulated_alike(uneven, [1, 2], dataset, None, "12", 3)


def test_a_whole_number_is_answered_as_one(uneven: Any) -> None:
    """As it stands in the record, where others beside it are floats."""
    one, other = (uneven.get_more_info(1030, "cifar100", epoch, "12", 777)["train-accuracy"] for epoch in (3, 4))
    assert (repr(one), type(other)) == ("10", float)


@pytest.mark.parametrize("iepoch", [None, 3])
def test_times_that_nobody_took_are_null(uneven: Any, iepoch: int | None) -> None:
    frame = uneven.get_many([1030], "cifar100", iepoch, "12", False)
    assert frame["test-all-time"].to_list() == frame["test-per-time"].to_list() == [None]
    assert frame["train-all-time"].item() > 0
    _more_alike(uneven, [1030], "cifar100", iepoch, "12", False)


@pytest.mark.parametrize("iepoch", [True, 5.0, "5", np.int64(5)])
def test_an_epoch_that_is_no_integer_is_answered_as_by_a_loop(uneven: Any, iepoch: Any) -> None:
    asked = ("cifar100", iepoch, "12", False)
    expected, found = (
        outcome(call, describe=list)[0]
        for call in (
            lambda: [{"arch": 1, **uneven.get_more_info(1, *asked)}],
            lambda: uneven.get_many([1], *asked).to_dicts(),
        )
    )
    assert found == expected


def test_archs_may_be_strings_and_other_arrays(generated: Any) -> None:
    handle = api.create(str(generated[1]), "sss", verbose=False)
    expected = handle.get_many([20, 40], "cifar10")
    for archs in (
        [handle[20], handle[40]],
        np.array([20, 40], np.uint8),
        pl.Series([20, 40]),
        (20, 40),
        range(20, 60, 20),
    ):
        assert handle.get_many(archs, "cifar10").equals(expected)
    assert handle.get_many([], "cifar10").shape[0] == handle.simulate_many([], "cifar10").shape[0] == 0
    with pytest.raises(ValueError, match=r"Invalid architecture index 40000 vs \[0, 32768\]"):
        handle.get_many(np.array([20, 40000]), "cifar10")
    with pytest.raises(ValueError, match="Did not find 310 from arch2infos_dict"):
        handle.get_many([20, 310], "cifar10")
    with pytest.raises(ValueError, match="Invalid dataset name : mnist"):
        handle.simulate_many([20], "mnist")
    with pytest.raises(KeyError, match="200"):
        handle.simulate_many([20], "cifar10", hp="200")


def test_who_has_no_results_is_not_given_those_of_another(real_db: Path) -> None:
    """As many are asked for as there are results of: architectures 0 and 11."""
    handle = api.create(str(real_db), "tss", verbose=False)
    with pytest.raises(ValueError, match="Did not find 5 from arch2infos_dict"):
        handle.get_many([0, 5], "cifar10")


def test_time_is_accounted_for_only_if_asked(generated: Any) -> None:
    handle = api.create(str(generated[1]), "tss", verbose=False)
    frame = handle.simulate_many([20, 40], "cifar10", account_time=False)
    assert handle.used_time == 0
    assert frame["used_time"].to_list() == [0.0, 0.0]
    handle.simulate_many([20, 40], "cifar10")
    assert handle.used_time == pytest.approx(frame["time"].sum())


def test_sql_and_frames(real_db: Path, official: dict[str, Path]) -> None:
    handle = api.create(str(real_db), "tss", verbose=False)
    assert handle.sql("select count(*) as n from final where space = 'tss'").item() == len(handle.frame("final"))
    assert set(handle.frame("final")["space"]) == {"tss"}
    assert len(handle.frame("dataset")) == 13
    with pytest.raises(NatsdbError, match="there is no table 'finals'"):
        handle.frame("finals")
    folder = api.create(str(official["tss"]), "tss", True, False)
    assert folder.simulate_many([], "cifar10").shape == (0, 5)
    _simulated_alike(folder, [0, 11], "cifar10", None, "12", 1)
    _more_alike(folder, [0, 11], "cifar100", 3, "12", False)
    with pytest.raises(NatsdbError, match="SQL asks a natsdb database"):
        folder.sql("select 1")
