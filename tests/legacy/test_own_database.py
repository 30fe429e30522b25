"""Scripts on natsdb's own database: what published accuracies say exactly is answered, all else names the archive."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import nats_bench
import pytest

import natsdb
from natsdb import api
from natsdb.schema.costs import costs
from natsdb.schema.errors import Missing
from natsdb.store.locations import BUILTIN


@pytest.fixture
def handle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The handle of a script that names nothing, where there is nothing of the user's own."""
    for name in ("NATSDB_HOME", "NATSDB_TEST_DATA"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    return api.create(None, "tss", fast_mode=True, verbose=False)


@pytest.mark.parametrize(
    ("dataset", "valid", "test"),
    [("cifar10", 91.61, 94.37), ("cifar100", 73.49, 73.51), ("ImageNet16-120", 46.73, 47.31)],
)
def test_the_best_of_all_is_that_of_the_paper(handle: Any, dataset: str, valid: float, test: float) -> None:
    assert handle.find_best(dataset, "valid", hp="200")[1] == pytest.approx(valid, abs=0.005)
    assert handle.find_best(dataset, "test", hp="200")[1] == pytest.approx(test, abs=0.005)
    best = handle.find_best(dataset, "valid", hp="200")
    # What costs as much as a limit is within it.
    limits = [of_all[best[0]] for of_all in costs("tss", dataset)]
    assert handle.find_best(dataset, "valid", *limits, hp="200") == best
    index, accuracy = handle.find_best(dataset, "valid", 20.0, 0.2, hp="200")
    cheapest = handle.find_best(dataset, "valid", 5.0, hp="200")
    assert accuracy < valid
    assert index >= 0
    assert cheapest == (-1, None) if dataset != "ImageNet16-120" else cheapest[0] >= 0


def test_records_answer_as_the_official_package_does(handle: Any, official: dict[str, Path]) -> None:
    oracle = nats_bench.create(str(official["tss"]), "tss", fast_mode=True, verbose=False)
    for arch in (0, 11):
        for hp in ("12", "200"):
            for seed in (777, False):
                asked = (arch, "cifar10-valid", None, hp, seed)
                assert handle.get_more_info(*asked) == oracle.get_more_info(*asked)


@pytest.mark.parametrize(
    "ask",
    [
        lambda it: it.get_more_info(5, "cifar100", hp="200", is_random=False),
        lambda it: it.get_cost_info(5, "cifar100", hp="200"),
        lambda it: it.simulate_train_eval(5, "cifar100", hp="12"),
        lambda it: it.query_by_index(5, "cifar100", hp="200"),
        lambda it: it.query_info_str_by_arch(5, "200"),
        lambda it: it.simulate_many(range(20), "cifar100"),
        lambda it: it.find_best("cifar10", "train"),
    ],
)
def test_what_it_lacks_is_said_with_the_archive_that_has_it(handle: Any, ask: Callable[[Any], Any]) -> None:
    with pytest.raises(Missing, match=r"built-in database: it has .*NATS-tss-v1_0-3ffb9-simple"):
        ask(handle)


@pytest.mark.parametrize("index", [-1, 15625])
def test_what_no_space_has_no_archive_brings(handle: Any, index: int) -> None:
    with pytest.raises(ValueError, match=f"Invalid architecture index {index} vs"):
        handle.get_more_info(index, "cifar10", hp="200")
    with pytest.raises(ValueError, match=f"invalid index of {index}"):
        handle.query_by_index(index, "cifar10", hp="200")


def test_sizes_have_two_records(tmp_path: Path) -> None:
    sizes = api.create(str(BUILTIN), "sss", fast_mode=True, verbose=False)
    assert sizes.get_more_info(11, "cifar10", hp="90", is_random=False)["test-accuracy"] == 85.77
    with pytest.raises(Missing, match=r"of 2 of 32,768 architectures; .*NATS-sss-v1_0-50262"):
        sizes.find_best("cifar10", "valid", hp="90")


def test_it_answers_beside_a_database_without_runs_too(handle: Any) -> None:
    natsdb.attach({"arch": [3, 7], "score": [1.0, 2.0]}, "mine", space="sss", key="arch", partial=True)
    again = api.create(None, "tss", fast_mode=True, verbose=False)
    assert again.find_best("cifar100", "test", hp="200") == handle.find_best("cifar100", "test", hp="200")
