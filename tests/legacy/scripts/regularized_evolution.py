"""Style: regularized evolution (aging) over objects that have `.tostr()`, as in the NATS-Bench algorithms."""

from __future__ import annotations

import collections
import os
import random

import nats_bench

ARCHS = [int(text) for text in os.environ["ARCHS"].split(",")]
OPS = nats_bench.search_space_info("nats-bench", "topology")["op_names"]
WIDTHS = nats_bench.search_space_info("nats-bench", "size")["candidates"]


class Model:
    """An individual: its choices, and what the api said of it."""

    def __init__(self, space: str, genes: tuple[str, ...]) -> None:
        self.space, self.genes, self.accuracy = space, genes, 0.0

    def tostr(self) -> str:
        if self.space == "sss":
            return ":".join(self.genes)
        edges = [f"{op}~{source}" for op, source in zip(self.genes, (0, 0, 1, 0, 1, 2), strict=True)]
        return "+".join(f"|{'|'.join(node)}|" for node in (edges[:1], edges[1:3], edges[3:]))

    @classmethod
    def parse(cls, space: str, text: str) -> Model:
        if space == "sss":
            return cls(space, tuple(text.split(":")))
        edges = [edge for node in text.split("+") for edge in node.strip("|").split("|")]
        return cls(space, tuple(edge.split("~")[0] for edge in edges))

    def mutated(self, known: list[Model]) -> Model:
        """Change a gene, then go to the nearest architecture there are results of: fewest genes apart, first index."""
        genes, place = list(self.genes), random.randrange(len(self.genes))
        choices = list(OPS) if self.space == "tss" else [str(width) for width in WIDTHS]
        genes[place] = random.choice([gene for gene in choices if gene != genes[place]])
        nearest = min(known, key=lambda model: sum(a != b for a, b in zip(model.genes, genes, strict=True)))
        return Model(self.space, nearest.genes)


def evolve(space: str, dataset: str, cycles: int = 12, size: int = 5, sample: int = 3) -> None:
    api = nats_bench.create(os.environ[space.upper()], space, fast_mode=True, verbose=False)
    known = [Model.parse(space, api.arch(index)) for index in sorted(ARCHS)]
    population: collections.deque[Model] = collections.deque()
    history: list[Model] = []
    for _ in range(cycles):
        if len(population) < size:
            child = Model(space, random.choice(known).genes)
        else:
            parent = max((random.choice(population) for _ in range(sample)), key=lambda model: model.accuracy)
            child = parent.mutated(known)
            population.popleft()
        child.accuracy, latency, cost, used = api.simulate_train_eval(child, dataset, hp="12")
        population.append(child)
        history.append(child)
        print(space, dataset, api.query_index_by_arch(child), child.tostr(), child.accuracy, latency, cost, used)
    best = max(history, key=lambda model: model.accuracy)
    print("best", best.tostr(), best.accuracy, api.used_time, random.random())
    print(api.get_more_info(best, dataset, hp=api.full_train_epochs, is_random=False))


for run, dataset in enumerate(("cifar10", "cifar100", "ImageNet16-120")):
    random.seed(run)
    evolve("tss", dataset)
    evolve("sss", dataset)
