"""Style: adapters of optimisation toolkits (design-bench, syne-tune): the space as a table of tokens to sample."""

from __future__ import annotations

import os
import random
from typing import Any

import nats_bench
from nats_bench.api_size import ALL_BASE_NAMES as SIZE_NAMES
from nats_bench.api_topology import ALL_BASE_NAMES as TOPOLOGY_NAMES

ARCHS = [int(text) for text in os.environ["ARCHS"].split(",")]


class Oracle:
    """Tokens in, accuracy out."""

    def __init__(self, space: str) -> None:
        self.space = space
        self.info: dict[str, Any] = nats_bench.search_space_info("nats-bench", space)
        self.api = nats_bench.create(os.environ[space.upper()], space, fast_mode=True, verbose=False)

    def tokens(self, arch: str) -> list[int]:
        if self.space == "sss":
            return [self.info["candidates"].index(int(width)) for width in arch.split(":")]
        edges = [edge for node in arch.split("+") for edge in node.strip("|").split("|")]
        return [self.info["op_names"].index(edge.split("~")[0]) for edge in edges]

    def score(self, arch: str, dataset: str) -> float:
        index = self.api.archstr2index[arch]
        answer = self.api.get_more_info(index, dataset, hp=self.api.full_epochs_in_paper, is_random=False)
        return answer["valid-accuracy"] if "valid-accuracy" in answer else answer["test-accuracy"]


print(nats_bench.version(), TOPOLOGY_NAMES, SIZE_NAMES, nats_bench.search_space_info("nas-bench-201", None))
random.seed(8)
for space in ("tss", "sss"):
    oracle = Oracle(space)
    api = oracle.api
    print(space, oracle.info, len(api), type(api.meta_archs).__name__, type(api.archstr2index).__name__)
    for index, arch in enumerate(api):
        if index % 4000 == 0 or index == len(api) - 1:
            print("  ", index, arch, oracle.tokens(arch), api.archstr2index[arch] == index)
    columns = list(zip(*(oracle.tokens(arch) for arch in api.meta_archs), strict=True))
    print("  counts", [[column.count(token) for token in sorted(set(column))] for column in columns])
    print("  ends", api[0], api[-1], api[1:3], api.arch(len(api) - 1), list(api.archstr2index)[:2])
    print("  known", api.meta_archs[5] in api.archstr2index, "nothing" in api.archstr2index, len(api.archstr2index))
    print("  reverse", sum(api.meta_archs[index] != arch for arch, index in api.archstr2index.items()))
    for _ in range(3):
        chosen = random.choice(api.meta_archs)
        number = api.random()
        print("  sampled", chosen, api.query_index_by_arch(chosen), number, api.arch(number))
    print("  subset", random.sample(list(api.archstr2index.keys()), 2), random.sample(range(len(api)), 3))

    table = []
    for index in random.sample(ARCHS, len(ARCHS)):
        for dataset in ("cifar10-valid", "cifar10", "cifar100", "ImageNet16-120"):
            table.append((oracle.score(api[index], dataset), dataset, oracle.tokens(api.arch(index))))
            print("  score", index, *table[-1])
    print("  top", max(table), "lowest", min(table), random.random())
