"""BOHB: brackets, and the model of good and bad results, against written-out references and statsmodels."""

from __future__ import annotations

import itertools
import math
import random

import numpy as np
import pytest

from natsdb.schema.errors import NatsdbError
from natsdb.schema.spaces import SPACES
from natsdb.search import ALGORITHMS, Benchmark
from natsdb.search.bohb import Density, _promising, _Results, epochs_of_rungs
from natsdb.search.running import play
from natsdb.search.trainings import Trainings


def _answers(space: str = "tss") -> Trainings:
    accuracy = [float(hash(choices) % 1000) / 10 for choices in SPACES[space].numbers]
    epochs = {0: [a / 3 for a in accuracy], 3: [a / 2 for a in accuracy], 11: accuracy}
    spent = {epoch: [float(epoch + 1)] * len(accuracy) for epoch in epochs}
    return Trainings(space, "cifar10", "12", list(range(len(accuracy) + 1)), epochs, spent, None, "made up")


def test_budgets_are_thirds_of_the_schedule() -> None:
    assert epochs_of_rungs(12) == [0, 3, 11]
    assert epochs_of_rungs(12, 12) == [11]
    assert epochs_of_rungs(200) == [int(200 / 81) - 1, int(200 / 27) - 1, int(200 / 9) - 1, int(200 / 3) - 1, 199]
    with pytest.raises(NatsdbError, match="min_budget 13 is outside the schedule; choose 1 to 12"):
        epochs_of_rungs(12, 13)


def test_brackets_cycle_and_promote_the_best() -> None:
    steps = play(ALGORITHMS["bohb"], _answers(), 1e9, 0, 0, {"n_iters": 6})
    bracket = [0] * 9 + [3] * 3 + [11] + [3] * 3 + [11] + [11] * 3
    assert steps.epoch == bracket * 2
    for start in (0, 20):
        for first, many, few in ((0, 9, 3), (9, 3, 1), (13, 3, 1)):
            told = list(zip(steps.accuracy, steps.arch, strict=True))[start + first : start + first + many]
            best = [arch for _, arch in sorted(told, key=lambda one: -one[0])[:few]]
            assert steps.arch[start + first + many : start + first + many + few] == best


def test_of_equal_results_the_first_seen_comes_first() -> None:
    results = _Results(1)
    for number in range(8):
        results.add(50.0, (number,))
    good, bad = results.model((0.3, None))
    assert good.points.tolist() == [[0], [1]]
    assert bad.points.tolist() == [[number] for number in range(2, 8)]
    # All architectures are equal: a bracket promotes those that it drew first.
    epochs = dict.fromkeys((0, 3, 11), [50.0] * 15_625)
    spent = {epoch: [float(epoch + 1)] * 15_625 for epoch in epochs}
    answers = Trainings("tss", "cifar10", "12", list(range(15_626)), epochs, spent, None, "made up")
    steps = play(ALGORITHMS["bohb"], answers, 1e9, 0, 0, {"n_iters": 1})
    assert steps.arch[9:12] == steps.arch[:3]
    assert steps.arch[12] == steps.arch[0]


def test_a_model_is_that_of_all_results_so_far_whoever_asked_before() -> None:
    chance = random.Random(2)
    asked = _Results(2)
    every: list[tuple[float, tuple[int, int]]] = []
    for number in range(1, 200):
        every.append((float(chance.randrange(40)), (chance.randrange(5), chance.randrange(5))))
        asked.add(*every[-1])
        assert asked.enough == (number >= 6)
        if not asked.enough:
            continue
        points = [point for _, point in sorted(every, key=lambda one: one[0])]
        count = max(3, 15 * number // 100)
        expected = points[:count], points[count : count + max(3, 85 * number // 100)]
        for mine, its in zip(asked.model((0.3, None)), expected, strict=True):
            assert mine.points.tolist() == [list(point) for point in its]
            assert mine.bandwidth.tolist() == Density(np.array(its), 0.3).bandwidth.tolist()


def test_density_equals_the_formula() -> None:
    chance = random.Random(4)
    points = [tuple(chance.randrange(5) for _ in range(6)) for _ in range(25)]
    array = np.array(points)
    density = Density(array, 0.3)
    bandwidth = [max(0.3, 1.06 * array[:, d].std() * 25 ** (-1 / 10)) for d in range(6)]
    assert density.bandwidth == pytest.approx(bandwidth, rel=1e-12)
    for candidate in ((0, 1, 2, 3, 4, 0), points[3]):
        expected = 0.0
        for point in points:
            product = 1.0
            for d in range(6):
                levels = len({other[d] for other in points})
                product *= 1 - bandwidth[d] if point[d] == candidate[d] else bandwidth[d] / (levels - 1)
            expected += product / len(points)
        assert density.density(np.array([candidate])) == pytest.approx([expected], rel=1e-10)


def test_density_equals_that_of_statsmodels() -> None:
    statsmodels = pytest.importorskip("statsmodels.nonparametric.kernel_density")
    chance = random.Random(4)
    for space, values, size in itertools.product(("tss", "sss"), (5, 8), (12, 40)):
        positions = 6 if space == "tss" else 5
        points = [tuple(chance.randrange(values) for _ in range(positions)) for _ in range(size)]
        reference = statsmodels.KDEMultivariate(np.array(points), "u" * positions, bw="normal_reference")
        reference.bw = np.clip(reference.bw, 0.3, None)
        mine = Density(np.array(points), 0.3)
        some = np.array([points[0], points[-1], tuple(chance.randrange(values) for _ in range(positions))])
        assert mine.bandwidth == pytest.approx(reference.bw, rel=1e-12)
        assert mine.density(some) == pytest.approx([float(reference.pdf(one)) for one in some], rel=1e-9)


def test_a_value_that_only_one_density_knows_does_not_end_the_search() -> None:
    # Bad points that agree in a position: a candidate that differs there has an infinite density, and is taken at once.
    good = Density(np.array([(0, 0), (1, 1), (2, 0)]), 0.3)
    bad = Density(np.array([(0, 0), (1, 0), (2, 0)]), 0.3)
    assert bad.density(np.array([(0, 1)])) == [math.inf]
    assert math.isfinite(good.density(np.array([(0, 1)]))[0])


def test_proposals_follow_the_model_after_enough_results() -> None:
    answers = _answers()
    benchmark, chance = Benchmark(answers, 1e9, random.Random(0)), random.Random(9)
    search = ALGORITHMS["bohb"].propose(benchmark, chance, min_budget=12, n_iters=400, max_bandwidth=0.8)
    proposal, epoch = next(search)
    told = []
    for _ in range(14):
        told.append(sum(choice == 2 for choice in proposal))
        proposal, epoch = search.send(50.0 + 5 * told[-1])
        assert epoch == 11
    for _ in range(300):
        told.append(sum(choice == 2 for choice in proposal))
        proposal, _ = search.send(50.0 + 5 * told[-1])
    # Uniform proposals have 1.2 twos in the mean.
    assert np.mean(told[-100:]) > 1.2 + 0.5


@pytest.mark.parametrize("widest", [0.8, None])
def test_a_proposal_is_the_likeliest_of_its_candidates(widest: float | None) -> None:
    benchmark, chance, again = Benchmark(_answers(), 1e9, random.Random(0)), random.Random(9), random.Random(9)
    points = np.array([[again.randrange(5) for _ in range(6)] for _ in range(24)])
    chance.setstate(again.getstate())
    good, bad = Density(points[:12], 0.3, widest), Density(points[12:], 0.3, widest)
    for _ in range(40):
        candidates = []
        for _ in range(4):
            origin = good.points[int(again.random() * 12)].tolist()
            kept = [1 - width for width in good.bandwidth]
            candidates.append(
                tuple(
                    v if again.random() < keep else int(again.random() * 5)
                    for v, keep in zip(origin, kept, strict=True)
                )
            )
        ratios = [
            max(1e-32, bad.density(np.array([one]))[0]) / max(1e-32, good.density(np.array([one]))[0])
            for one in candidates
        ]
        assert _promising(benchmark, good, bad, chance, 4) == candidates[ratios.index(min(ratios))]


def test_random_fraction_of_one_is_random_search_on_the_brackets() -> None:
    benchmark, chance, again = Benchmark(_answers(), 1e9, random.Random(0)), random.Random(9), random.Random(9)
    search = ALGORITHMS["bohb"].propose(benchmark, chance, random_fraction=1.0, min_budget=12)
    proposal, _ = next(search)
    for n in range(40):
        if n >= 14:
            again.random()
        assert proposal == benchmark.random(again)
        proposal, _ = search.send(float(n))
