"""Style: a subclass of the api that overrides how architectures are looked up and caches its answers."""

from __future__ import annotations

import os
import random
from typing import Any

import nats_bench
from nats_bench.api_topology import NATStopology

ARCHS = [int(text) for text in os.environ["ARCHS"].split(",")]


class SearchApi(NATStopology):
    """Takes lists of operations as architectures, counts its queries, and gives noise-free accuracies."""

    def __init__(self, path: str, budget: float = 500.0) -> None:
        super().__init__(path, fast_mode=True, verbose=False)
        self.budget = budget
        self.calls: list[tuple[Any, ...]] = []
        self.cache: dict[tuple[Any, ...], dict[str, Any]] = {}

    def query_index_by_arch(self, arch: Any) -> int:
        if isinstance(arch, (list, tuple)):
            edges = [f"{op}~{source}" for op, source in zip(arch, (0, 0, 1, 0, 1, 2), strict=True)]
            arch = "+".join(f"|{'|'.join(node)}|" for node in (edges[:1], edges[1:3], edges[3:]))
        return super().query_index_by_arch(arch)

    def get_more_info(
        self, index: Any, dataset: str, iepoch: int | None = None, hp: str = "12", is_random: bool | int = True
    ) -> dict[str, Any]:
        """Always the mean over the trials, from the cache where it is there."""
        key = (self.query_index_by_arch(index), dataset, iepoch, str(hp))
        self.calls.append((*key, is_random, key in self.cache))
        if key not in self.cache:
            self.cache[key] = super().get_more_info(key[0], dataset, iepoch=iepoch, hp=hp, is_random=False)
        return self.cache[key]

    def get_latency(self, index: int, dataset: str, hp: str = "12") -> float:
        return round(1000 * super().get_latency(index, dataset, hp), 3)

    @property
    def left(self) -> float:
        return self.budget - self.used_time


def ops_of(api: NATStopology, index: int) -> list[str]:
    return [op for node in api.str2lists(api[index]) for op, _ in node]


random.seed(15)
api = SearchApi(os.environ["TSS"])
plain = nats_bench.create(os.environ["TSS"], "tss", fast_mode=True, verbose=False)
print(isinstance(api, NATStopology), type(plain) is NATStopology, type(api).__mro__[1].__name__, api.left)
for index in ARCHS:
    ops = ops_of(api, index)
    print(index, ops, api.query_index_by_arch(ops), plain.query_index_by_arch(ops), api.get_unique_str(ops))
    for dataset in ("cifar10", "cifar100", "ImageNet16-120"):
        print("  ", dataset, api.simulate_train_eval(ops, dataset, hp="12"), api.left)
        print("  ", dataset, plain.simulate_train_eval(index, dataset, hp="12"), plain.used_time)
        print("  ", dataset, api.simulate_train_eval(tuple(ops), dataset, iepoch=30, hp="200"))
    print("  ", api.query_by_arch(ops, "12") == plain.query_by_arch(index, "12"))
for call in api.calls:
    print(call)
print(len(api.cache), api.find_best("cifar100", "valid", hp="200", enforce_all=False), random.random())
print(repr(api).replace(str(api.filename), "ARCHIVE"))
