"""Style: multi-fidelity search (Hyperband, BOHB): low budgets read early epochs of the short schedule."""

from __future__ import annotations

import os
import random
from typing import Any

import nats_bench

ARCHS = [int(text) for text in os.environ["ARCHS"].split(",")]
BUDGETS = (1.3333333, 4.0, 12.0)


def objective(api: Any, index: int, dataset: str, budget: float) -> dict[str, float]:
    accuracy, latency, cost, used = api.simulate_train_eval(index, dataset, iepoch=int(budget) - 1, hp="12")
    return {"loss": 100 - accuracy, "latency": latency, "cost": cost, "used": used}


def bracket(api: Any, dataset: str) -> None:
    alive = random.sample(ARCHS, min(9, len(ARCHS)))
    for budget in BUDGETS:
        results = {index: objective(api, index, dataset, budget) for index in alive}
        for index, result in results.items():
            print("  ", dataset, int(budget), index, result)
        alive = sorted(alive, key=lambda index: (results[index]["loss"], index))[: max(1, len(alive) // 3)]
    print(api.search_space_name, dataset, "kept", alive, api.used_time, random.random())


def fidelities(api: Any, index: int) -> None:
    longest = api.full_train_epochs
    for dataset in ("cifar10-valid", "cifar10", "cifar100", "ImageNet16-120"):
        seed = api.query_meta_info_by_index(index, "12").get_dataset_seeds(dataset)[0]
        for iepoch in (0, 3, 11, None):
            for is_random in (True, False, seed):
                print(dataset, iepoch, is_random, api.get_more_info(index, dataset, iepoch, "12", is_random))
            number = api.get_more_info(index, dataset, iepoch=iepoch, hp=12, is_random=False)
            print("hp as a number", number == api.get_more_info(index, dataset, iepoch=iepoch, is_random=False))
        for iepoch in (0, 49, longest - 1):
            info = api.get_more_info(api[index], dataset, iepoch=iepoch, hp=longest, is_random=777)
            print(dataset, longest, iepoch, sorted(info), info["train-loss"], info.get("valid-accuracy"))
            print("  ", {key: value for key, value in info.items() if key.startswith(("test", "valtest", "train-"))})
    for draw in range(6):
        print("draw", draw, api.get_more_info(index, "cifar10", hp=str(longest))["test-accuracy"])


random.seed(12)
for space in ("tss", "sss"):
    api = nats_bench.create(os.environ[space.upper()], space, fast_mode=True, verbose=False)
    for dataset in ("cifar10", "cifar100", "ImageNet16-120"):
        api.reset_time()
        bracket(api, dataset)
    for index in ARCHS[:6]:
        fidelities(api, index)
    if space == "sss":
        print(api.get_more_info(ARCHS[-1], "cifar100", hp="01", is_random=False))
        print(api.get_more_info(ARCHS[-1], "cifar10-valid", iepoch=0, hp="01", is_random=True))
print(random.random())
