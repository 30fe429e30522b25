"""Style: oracle curves: the best architecture under limits of FLOPs and parameters, by data set and schedule."""

from __future__ import annotations

import os
from typing import Any

import nats_bench

ARCHS = [int(text) for text in os.environ["ARCHS"].split(",")]
METRICS = [
    ("cifar10-valid", "x-valid"),
    ("cifar10-valid", "ori-test"),
    ("cifar10", "valid"),
    ("cifar10", "test"),
    ("cifar10", "train"),
    ("cifar100", "valid"),
    ("cifar100", "x-test"),
    ("ImageNet16-120", "test"),
    ("ImageNet16-120", "ori-test"),
]


def limits(values: list[float], steps: int = 3) -> list[float]:
    """Limits from none fits to all fit; one falls on a value, to see that a limit itself is allowed."""
    lowest, highest = min(values), max(values)
    return [lowest - 0.5, lowest, *(lowest + (highest - lowest) * step / steps for step in range(1, steps)), highest]


def curve(api: Any, hp: str) -> None:
    costs = [api.get_cost_info(index, "cifar10", hp) for index in ARCHS]
    for dataset, split in METRICS:
        best, accuracy = api.find_best(dataset, split, hp=hp, enforce_all=False)
        print(api.search_space_name, hp, dataset, split, "best", best, accuracy, api.arch(best))
    for flops in limits([float(cost["flops"]) for cost in costs]):
        found = api.find_best("cifar10-valid", "x-valid", flop_max=flops, hp=hp, enforce_all=False)
        other = api.find_best("cifar100", "test", flop_max=flops, param_max=None, hp=hp, enforce_all=False)
        print("  flops", flops, found, other)
    for params in limits([float(cost["params"]) for cost in costs]):
        found = api.find_best("cifar10", "test", None, params, hp, False)
        print("  params", params, found)
    middle = costs[len(costs) // 2]
    for dataset in ("cifar10", "cifar100", "ImageNet16-120"):
        both = api.find_best(dataset, "test", middle["flops"], middle["params"], hp=hp, enforce_all=False)
        print("  both", dataset, both, type(both).__name__)


for space, hps in (("tss", ("12", "200")), ("sss", ("01", "12", "90"))):
    api = nats_bench.create(os.environ[space.upper()], space, fast_mode=True, verbose=False)
    # In fast mode nothing is loaded yet, so every architecture is asked for first.
    for index in ARCHS:
        api.get_more_info(index, "cifar10", hp="12", is_random=False)
    print(space, sorted(api.evaluated_indexes), api.fast_mode)
    for hp in hps:
        curve(api, hp)
    for dataset in ("cifar10-valid", "cifar10", "cifar100", "ImageNet16-120"):
        print(dataset, {hp: api.statistics(dataset, hp) for hp in hps})
    # The oracle by hand gives the same.
    values = {i: api.get_more_info(i, "cifar100", hp=hps[-1], is_random=False)["test-accuracy"] for i in sorted(ARCHS)}
    top = max(values, key=lambda i: values[i])
    print(top, values[top], (top, values[top]) == api.find_best("cifar100", "test", hp=hps[-1], enforce_all=False))
