"""Style: the scripts of zero-cost-proxy papers, which reach into `arch2infos_dict` and pop it to bound memory."""

from __future__ import annotations

import os

import nats_bench

ARCHS = [int(text) for text in os.environ["ARCHS"].split(",")]
TARGETS = [
    ("cifar10-valid", "x-valid"),
    ("cifar10", "ori-test"),
    ("cifar100", "x-test"),
    ("ImageNet16-120", "x-test"),
]


def proxy(arch: str) -> float:
    """Stand-in for a proxy: what each operation is worth, later nodes more."""
    worth = {"none": 0.0, "skip_connect": 0.25, "avg_pool_3x3": 0.125, "nor_conv_1x1": 1.0, "nor_conv_3x3": 2.0}
    nodes = [[edge.split("~") for edge in node.strip("|").split("|")] for node in arch.split("+")]
    return sum((depth + 1) * worth[op] / (1 + int(source)) for depth, node in enumerate(nodes) for op, source in node)


def kendall(first: list[float], second: list[float]) -> float:
    pairs = [(i, j) for i in range(len(first)) for j in range(i)]
    signs = [(first[i] - first[j]) * (second[i] - second[j]) for i, j in pairs]
    return sum((sign > 0) - (sign < 0) for sign in signs) / max(1, len(pairs))


api = nats_bench.create(os.environ["TSS"], "tss", fast_mode=True, verbose=False)
scores: list[float] = []
accuracies: dict[tuple[str, str], list[float]] = {target: [] for target in TARGETS}
for i in ARCHS:
    api._prepare_info(i)
    arch = api.arch(i)
    infos = api.arch2infos_dict[i]
    scores.append(proxy(arch))
    print(i, arch, scores[-1], list(infos.keys()), "200" in infos, infos["200"].arch_index)
    for dataset, split in TARGETS:
        metrics = infos["200"].get_metrics(dataset, split)
        accuracies[dataset, split].append(metrics["accuracy"])
        print("   ", dataset, split, metrics)
    early = infos["200"].get_metrics("cifar10-valid", "x-valid", iepoch=24, is_random=777)
    print("    after 25 epochs of seed 777", early)
    gone = api.arch2infos_dict.pop(i)
    print("    popped", gone["12"], i in api.arch2infos_dict)

for target, values in accuracies.items():
    print(*target, "tau", kendall(scores, values), "best", ARCHS[values.index(max(values))], max(values))

# A second pass, after everything was popped, must give the numbers of the first.
again = []
for i in reversed(ARCHS):
    again.append(api.get_more_info(i, "cifar10", hp="200", is_random=False)["test-accuracy"])
    api.arch2infos_dict = {}
print("same again:", again[::-1] == accuracies["cifar10", "ori-test"])
print(api.find_best("cifar10", "ori-test", hp="200", enforce_all=False))
