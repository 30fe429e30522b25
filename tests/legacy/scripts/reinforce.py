"""Style: REINFORCE over the operations of the topology space, with a moving baseline and the class itself."""

from __future__ import annotations

import math
import os
import random

from nats_bench.api_topology import NATStopology

ARCHS = [int(text) for text in os.environ["ARCHS"].split(",")]
OPS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")


class Policy:
    """An independent categorical distribution on each edge."""

    def __init__(self, edges: int = 6, rate: float = 0.05) -> None:
        self.logits = [[1e-3 * random.gauss(0.0, 1.0) for _ in OPS] for _ in range(edges)]
        self.rate = rate

    def probabilities(self, edge: int) -> list[float]:
        weights = [math.exp(logit) for logit in self.logits[edge]]
        return [weight / sum(weights) for weight in weights]

    def sample(self) -> list[int]:
        return [random.choices(range(len(OPS)), self.probabilities(edge))[0] for edge in range(len(self.logits))]

    def learn(self, actions: list[int], advantage: float) -> None:
        for edge, action in enumerate(actions):
            for choice, probability in enumerate(self.probabilities(edge)):
                self.logits[edge][choice] += self.rate * advantage * ((choice == action) - probability)


def actions_of(api: NATStopology, index: int) -> list[int]:
    matrix = api.str2matrix(api.arch(index))
    return [int(matrix[node, source]) for node in range(1, 4) for source in range(node)]


def main() -> None:
    api = NATStopology(os.environ["TSS"], True, False)
    known = {index: actions_of(api, index) for index in sorted(ARCHS)}
    for dataset, steps in (("cifar10", 15), ("cifar100", 10), ("ImageNet16-120", 10)):
        random.seed(len(dataset))
        api.reset_time()
        policy, numerator, denominator, trace = Policy(), 0.0, 0.0, []
        for step in range(steps):
            sampled = policy.sample()
            index = min(known, key=lambda i: sum(a != b for a, b in zip(known[i], sampled, strict=True)))
            reward, _, cost, used = api.simulate_train_eval(api.arch(index), dataset, hp="12")
            numerator, denominator = 0.9 * numerator + 0.1 * reward, 0.9 * denominator + 0.1
            policy.learn(known[index], (reward - numerator / denominator) / 100)
            trace.append((reward, index))
            print(f"{dataset} step {step}: {index} reward {reward!r} baseline {numerator / denominator!r} {cost!r}")
        best = max(trace)[1]
        print(dataset, "found", best, api.arch(best), "in", used, "s; first edge", policy.probabilities(0))
        print(api.query_info_str_by_arch(best, "200"))


main()
