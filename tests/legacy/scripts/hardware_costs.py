"""Style: hardware-aware search: a cost table of every data set and schedule, and a front of latency and accuracy."""

from __future__ import annotations

import os
from typing import Any

import nats_bench

ARCHS = [int(text) for text in os.environ["ARCHS"].split(",")]
DATASETS = ("cifar10-valid", "cifar10", "cifar100", "ImageNet16-120")
CONFIGS: list[dict[str, Any]] = [
    {"file_path_or_dict": os.environ["TSS"], "search_space": "topology", "fast_mode": True, "verbose": False},
    {"file_path_or_dict": os.environ["SSS"], "search_space": "size", "fast_mode": True, "verbose": False},
]


def front(points: list[tuple[float, float, int]]) -> list[int]:
    """Indexes of what no other beats: faster first, then more accurate."""
    kept: list[tuple[float, float, int]] = []
    for cost, accuracy, index in sorted(points, key=lambda point: (point[0], -point[1], point[2])):
        if not kept or accuracy > kept[-1][1]:
            kept.append((cost, accuracy, index))
    return [index for _, _, index in kept]


for config in CONFIGS:
    api = nats_bench.create(**config)
    hps = ("12", "200") if api.is_topology else ("01", "12", "90")
    total: dict[str, float] = {}
    for i in ARCHS:
        for hp in hps:
            for dataset in DATASETS:
                cost = api.get_cost_info(i, dataset, hp=hp)
                print(api.search_space_name, i, hp, dataset, {key: float(value) for key, value in cost.items()})
                assert api.get_latency(i, dataset, hp) == cost["latency"]
                for key, value in cost.items():
                    total[key] = total.get(key, 0.0) + value
    print("keys in order", list(total))
    print("sums", {key: float(value) for key, value in total.items()})

    first = api.get_cost_info(ARCHS[0], "cifar10")
    print("default hp", first, {key: type(value).__name__ for key, value in first.items()})
    print("hp as a number", api.get_cost_info(ARCHS[0], "cifar100", 12) == api.get_cost_info(ARCHS[0], "cifar100"))
    first["flops"] = -1.0
    print("the answer is a copy", api.get_cost_info(ARCHS[0], "cifar10")["flops"])

    for dataset in DATASETS[1:]:
        points = []
        for i in ARCHS:
            latency = api.get_latency(i, dataset, hp=hps[-1])
            accuracy = api.get_more_info(i, dataset, hp=hps[-1], is_random=False)["test-accuracy"]
            points.append((latency, accuracy, i))
        print(dataset, "front", front(points), "slowest", max(points))
        slow = [f"{latency * 1000:.3f} ms" for latency, _, _ in sorted(points)]
        print(dataset, "latencies", slow)
