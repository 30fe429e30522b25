"""A handle shared: by threads, forked and spawned processes, pickles and copies."""

from __future__ import annotations

import copy
import gc
import multiprocessing
import os
import pickle
import random
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from natsdb import api
from natsdb.schema.spaces import SPACES

DATASETS = ("cifar10-valid", "cifar10", "cifar100", "ImageNet16-120")


def _questions(space: str, archs: list[int], count: int) -> list[tuple[Any, ...]]:
    draw = random.Random(5)
    return [
        (draw.choice(archs), draw.choice(DATASETS), draw.choice([None, 0]), draw.choice(SPACES[space].hps), False)
        for _ in range(count)
    ]


def _answers(handle: Any, questions: list[tuple[Any, ...]]) -> list[Any]:
    return [
        (
            handle.get_more_info(*asked),
            handle.get_cost_info(asked[0], asked[1], asked[3]),
            handle.query_by_index(asked[0], asked[1], asked[3])[777 if asked[3] != "12" else 111].get_train(),
            handle.find_best("cifar100", "x-test", hp=asked[3]) if asked[0] % 40 == 0 else None,
        )
        for asked in questions
    ]


@pytest.fixture(scope="module")
def asked(made_up_db: Path) -> Any:
    questions = _questions("tss", list(range(0, 1400, 20)), 300)
    expected = _answers(api.create(str(made_up_db), "tss", verbose=False), questions)
    return str(made_up_db), questions, expected


def test_threads_read_side_by_side(asked: Any) -> None:
    database, questions, expected = asked
    handle = api.create(database, "tss", verbose=False)  # cold: the threads fill it together
    with ThreadPoolExecutor(8) as pool:
        for found in pool.map(_answers, [handle] * 8, [questions] * 8):
            assert found == expected


def _from_fork(handle: Any, questions: list[tuple[Any, ...]], queue: Any) -> None:
    queue.put(_answers(handle, questions))


@pytest.mark.parametrize("warm", [True, False])
def test_a_fork_goes_on_with_the_handle(asked: Any, warm: bool) -> None:
    database, questions, expected = asked
    handle = api.create(database, "tss", verbose=False)
    if warm:
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(_answers, [handle] * 4, [questions[:50]] * 4))
    context = multiprocessing.get_context("fork")
    queue = context.Queue()
    workers = [context.Process(target=_from_fork, args=(handle, questions, queue)) for _ in range(4)]
    for worker in workers:
        worker.start()
    for _ in workers:
        assert queue.get(timeout=60) == expected
    for worker in workers:
        worker.join(30)
        assert worker.exitcode == 0
    assert _answers(handle, questions) == expected


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_workers_get_a_pickled_handle_that_reopens(asked: Any, method: str) -> None:
    database, questions, expected = asked
    handle = api.create(database, "tss", verbose=False)
    _answers(handle, questions)
    assert len(pickle.dumps(handle)) < 3_000_000  # strings of the space, no numbers
    with multiprocessing.get_context(method).Pool(2) as pool:
        halves = pool.starmap(_answers, [(handle, questions[:150]), (handle, questions[150:])])
    assert halves[0] + halves[1] == expected


def test_copies_answer_alike_and_account_for_themselves(asked: Any) -> None:
    database, questions, expected = asked
    handle = api.create(database, "tss", verbose=False)
    handle.simulate_train_eval(0, "cifar10")
    for made in (copy.deepcopy(handle), copy.copy(handle), pickle.loads(pickle.dumps(handle))):
        assert made.used_time == handle.used_time > 0
        assert _answers(made, questions) == expected
        made.reset_time()
    assert handle.used_time > 0


def test_a_forked_child_leaves_the_temporary_database_alone(real_records: Any, tmp_path: Path) -> None:
    import archives

    path = archives.write_single(tmp_path, "sss", {0: real_records["sss", 0]})
    handle = api.create(str(path), "sss", verbose=False)
    child = os.fork()
    if child == 0:
        del handle
        os._exit(0)
    os.waitpid(child, 0)
    folder = handle._backend.home
    assert handle.get_more_info(0, "cifar10", hp="90", iepoch=3)["train-accuracy"] > 0
    del handle
    gc.collect()
    assert not folder.exists()


def test_results_of_a_single_file_outlive_their_handle(real_records: Any, tmp_path: Path) -> None:
    import archives

    path = archives.write_single(tmp_path, "sss", {0: real_records["sss", 0]})
    handle = api.create(str(path), "sss", fast_mode=False, verbose=False)
    folder = handle._backend.home
    results = handle.query_by_index(0, "cifar100", hp="12")
    del handle
    gc.collect()
    assert folder.exists()
    assert {run.get_eval("x-test")["accuracy"] for run in results.values()}
    del results
    gc.collect()
    assert not folder.exists()
