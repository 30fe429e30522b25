"""Style: robust scripts, which catch what the api raises: unknown data sets, schedules, seeds, epochs."""

from __future__ import annotations

import os
import random
from collections.abc import Callable
from typing import Any

import nats_bench
import numpy as np

ARCHS = [int(text) for text in os.environ["ARCHS"].split(",")]
FIRST = ARCHS[0]


def attempt(call: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    asked = ", ".join([*map(repr, args), *(f"{key}={value!r}" for key, value in kwargs.items())])
    try:
        answer = call(*args, **kwargs)
    except Exception as error:
        print(f"{call.__name__}({asked}): {type(error).__name__}: {str(error)[:160]}")
    else:
        print(f"{call.__name__}({asked}): gives {answer!r}")


random.seed(14)
for space, hp in (("tss", "200"), ("sss", "90")):
    api = nats_bench.create(os.environ[space.upper()], space, fast_mode=True, verbose=False)
    for index in ARCHS:
        api._prepare_info(index)
    info = api.query_meta_info_by_index(FIRST, hp)
    run = info.query("cifar100", 777)
    print(f"--- {space}")
    for name in ("svhn", "cifar", "CIFAR10", "cifar10-test"):
        attempt(api.get_more_info, FIRST, name, hp=hp, is_random=False)
        attempt(api.get_more_info, FIRST, name)
        attempt(api.simulate_train_eval, FIRST, name)
        attempt(api.query_by_index, FIRST, name, hp=hp)
        attempt(api.get_cost_info, FIRST, name)
        attempt(api.get_net_config, FIRST, name)
        attempt(api.find_best, name, "x-test", hp=hp, enforce_all=False)
        attempt(api.statistics, name, hp)
    attempt(api.simulate_train_eval, FIRST, "cifar10-valid")
    for wrong in ("13", 1, "1", None, 300):
        attempt(api.get_more_info, FIRST, "cifar10", hp=wrong)
        attempt(api.query_by_index, FIRST, "cifar10", hp=wrong)
        attempt(api.query_by_arch, FIRST, wrong)
        attempt(api.get_latency, FIRST, "cifar10", wrong)
    attempt(api.query_by_arch, FIRST, 12)  # a number does elsewhere, not here
    attempt(api.find_best, "cifar10", "test", hp=12, enforce_all=False)
    attempt(api.find_best, "cifar10-valid", "valid", hp="12", enforce_all=False)
    for seed in (1, 111, 999999, "777", None, np.int64(777)):
        attempt(api.get_more_info, FIRST, "cifar100", hp=hp, is_random=seed)
        attempt(info.get_metrics, "cifar100", "x-test", None, seed)
        attempt(api.get_net_param, FIRST, "cifar100", seed, hp)
    attempt(info.query, "cifar100", 1)
    attempt(info.query, "svhn")
    for epoch in (-1, 12, 200, "3", 2.0):
        attempt(api.get_more_info, FIRST, "cifar10", epoch, "12", False)
        attempt(run.get_train, epoch)
        attempt(run.get_eval, "ori-test", epoch)
    for split, last in (("nothing", None), ("x-valid", 5), ("valid", None), ("train", 0)):
        attempt(run.get_eval, split, last)
    attempt(info.get_metrics, "cifar10", "x-valid")

print(random.random())
