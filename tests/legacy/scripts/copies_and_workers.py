"""Style: an api that is copied, pickled to workers, inherited by forked processes, and read by threads."""

from __future__ import annotations

import copy
import multiprocessing
import os
import pickle
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import nats_bench

ARCHS = [int(text) for text in os.environ["ARCHS"].split(",")]
JOBS = [(index, dataset) for index in ARCHS[:10] for dataset in ("cifar10", "cifar100", "ImageNet16-120")]


def measure(api: Any, index: int, dataset: str) -> tuple[Any, ...]:
    hp = api.full_train_epochs
    info = api.get_more_info(index, dataset, hp=hp, is_random=False)
    cost = api.get_cost_info(index, dataset, hp)
    return index, dataset, info["test-accuracy"], info["train-all-time"], float(cost["flops"]), float(cost["latency"])


class Worker:
    """An actor, or a data set of a loader: it holds the api and goes to other processes with it."""

    def __init__(self, api: Any) -> None:
        self.api = api

    def __call__(self, job: tuple[int, str]) -> tuple[Any, ...]:
        return measure(self.api, *job)


def forked(job: tuple[int, str]) -> tuple[Any, ...]:
    return measure(API, *job)


for space in ("tss", "sss"):
    API = nats_bench.create(os.environ[space.upper()], space, fast_mode=True, verbose=False)
    unread = pickle.dumps(API)  # before anything was asked
    expected = [measure(API, *job) for job in JOBS]
    for line in expected:
        print(space, *line)

    accounted = API.simulate_train_eval(ARCHS[0], "ImageNet16-120", hp="12")[2]
    copied = copy.deepcopy(API)
    loaded = pickle.loads(pickle.dumps(API))
    fresh = pickle.loads(unread)
    for name, other in (("deepcopy", copied), ("pickle", loaded), ("unread", fresh)):
        same = [measure(other, *job) for job in JOBS] == expected
        print(name, type(other).__name__, same, len(other), other[ARCHS[-1]], other.used_time, other.verbose)
    copied.reset_time()
    print("clocks", copied.used_time, loaded.used_time == API.used_time == accounted, fresh.used_time)

    results = API.query_meta_info_by_index(ARCHS[0], hp="12")
    runs = copy.deepcopy(API.query_by_index(ARCHS[0], "cifar10", hp="12"))
    again = pickle.loads(pickle.dumps(results))
    print(again, again.get_metrics("cifar10", "train", 2) == results.get_metrics("cifar10", "train", 2))
    print([(seed, str(pickle.loads(pickle.dumps(run)))) for seed, run in runs.items()])

    with multiprocessing.get_context("fork").Pool(2) as pool:
        print("forked", pool.map(forked, JOBS) == expected)
        print("pickled to workers", pool.map(Worker(fresh), JOBS, chunksize=5) == expected)
    with ThreadPoolExecutor(4) as threads:
        print("threads", list(threads.map(Worker(API), JOBS)) == expected)
        print("threads, unread", list(threads.map(Worker(pickle.loads(unread)), JOBS)) == expected)
