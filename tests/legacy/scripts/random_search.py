"""Style: random search of the NATS-Bench algorithms: simulated training against a time budget, in both spaces."""

from __future__ import annotations

import os
import random
from typing import Any

from nats_bench import create

ARCHS = [int(text) for text in os.environ["ARCHS"].split(",")]
BUDGETS = {"cifar10": 600.0, "cifar100": 1200.0, "ImageNet16-120": 3600.0}
MOST_TRIALS = 20


class Candidate:
    """What a search holds; the api only wants its `tostr`."""

    def __init__(self, text: str) -> None:
        self.text = text

    def tostr(self) -> str:
        return self.text


def search(api: Any, dataset: str, seed: int) -> None:
    random.seed(seed)
    api.reset_time()
    best_index, best_accuracy, trials = -1, -1.0, 0
    total_cost: list[float] = []
    while api.used_time < BUDGETS[dataset] and trials < MOST_TRIALS:
        index = random.choice(ARCHS)
        arch = random.choice([index, api[index], Candidate(api[index])])
        accuracy, latency, cost, used = api.simulate_train_eval(arch, dataset, iepoch=None, hp="12")
        trials += 1
        total_cost.append(used)
        if accuracy > best_accuracy:
            best_index, best_accuracy = api.query_index_by_arch(arch), accuracy
            print(f"  trial {trials:2d}: {type(arch).__name__} {index} {accuracy!r} {latency!r} {cost!r} {used!r}")
    print(f"{dataset} seed {seed}: best {best_index} {best_accuracy!r} in {trials} trials, {api.used_time!r} s")
    print("  costs", [round(value, 9) for value in total_cost], total_cost[-1] == api.used_time)
    # The random state tells how many draws the api took.
    print("  next draw", random.random())


for space in ("tss", "sss"):
    api = create(os.environ[space.upper()], space, fast_mode=True, verbose=False)
    print(space, api.search_space_name, api.full_train_epochs, api.is_topology, api.is_size, repr(api.used_time))
    for dataset in BUDGETS:
        for seed in (0, 1):
            search(api, dataset, seed)

    before = api.used_time
    random.seed(77)
    free = api.simulate_train_eval(ARCHS[-1], "cifar100", hp="12", account_time=False)
    print("not accounted", free, api.used_time == before)
    longest = {"tss": "200", "sss": "90"}[space]
    for iepoch in (0, 9, None):
        print(longest, iepoch, api.simulate_train_eval(ARCHS[0], dataset="cifar100", iepoch=iepoch, hp=longest))
        print(longest, iepoch, api.simulate_train_eval(ARCHS[0], dataset="cifar10", iepoch=iepoch, hp=longest))
    api.reset_time()
    print("reset", repr(api.used_time), repr(api._used_time), random.random())
