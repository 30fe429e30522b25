"""Searches that train one architecture at a time: what they are told, what they propose, and when they end."""

from __future__ import annotations

import itertools
import math
import random
from collections import Counter
from dataclasses import replace
from pathlib import Path
from typing import Any

import nats_bench
import numpy as np
import pytest

from natsdb.schema.errors import NatsdbError
from natsdb.schema.schedules import HPS
from natsdb.schema.spaces import SPACES, arch_str
from natsdb.schema.topology import EDGES, OPS
from natsdb.search import ALGORITHMS, Algorithm, Benchmark, mutated, read_trainings
from natsdb.search.running import load_algorithm, options_of, play
from natsdb.search.trainings import Trainings

ARCHS = range(0, 1400, 20)


def _whole(space: str = "tss", seconds: float = 100.0) -> Trainings:
    """A benchmark of a whole space: accuracy is 10 percent a choice above 0, and 3 epochs cost a quarter."""
    accuracy = [10.0 * sum(choice > 0 for choice in choices) for choices in SPACES[space].numbers]
    size = SPACES[space].size
    by_epoch = {11: accuracy, 3: [value / 2 for value in accuracy], 0: [value / 4 for value in accuracy]}
    spent = {epoch: [seconds * (epoch + 1) / 12] * size for epoch in by_epoch}
    return Trainings(space, "cifar10", "12", list(range(size + 1)), by_epoch, spent, None, "made up")


@pytest.mark.parametrize("space", ["tss", "sss"])
@pytest.mark.parametrize("dataset", ["cifar10", "cifar100", "ImageNet16-120"])
@pytest.mark.parametrize(("longest", "epoch"), [(False, None), (False, 3), (True, None)])
def test_answers_are_those_of_simulate_train_eval(
    made_up: dict[str, Path], made_up_db: Path, space: str, dataset: str, longest: bool, epoch: int | None
) -> None:
    hp = SPACES[space].hps[-1] if longest else "12"
    api = nats_bench.create(str(made_up[space]), space, fast_mode=True, verbose=False)
    answers = read_trainings(space, dataset, hp, made_up_db, [] if longest else [3])
    for arch in ARCHS[::10]:
        official, mine = set(), set()
        for _ in range(12):
            accuracy, _, cost, _ = api.simulate_train_eval(arch, dataset, iepoch=epoch, hp=hp)
            official.add((accuracy, round(cost, 6)))
        benchmark = Benchmark(answers, 1e9, random.Random(1))
        for _ in range(40):
            before = benchmark.spent
            found, at, accuracy = benchmark.query(arch, epoch)
            assert (found, at) == (arch, HPS[hp] - 1 if epoch is None else epoch)
            mine.add((accuracy, round(benchmark.spent - before, 6)))
        assert official <= mine
        assert len(mine) == answers.start[arch + 1] - answers.start[arch]


def test_a_process_that_knows_no_such_space_says_where_to_register_it() -> None:
    with pytest.raises(NatsdbError, match="knows no space 'toy'; register it above the script's `if __name__"):
        Benchmark(replace(_whole(), space="toy"), 1e9, random.Random(0))


def test_the_nearest_architecture_answers_for_one_that_is_not_there(made_up_db: Path) -> None:
    answers = read_trainings("tss", "cifar10", "12", made_up_db)
    assert answers.held == len(ARCHS)
    held = list(ARCHS)
    every = SPACES["tss"].numbers
    for arch in (3, 20, 777, 15_000):
        distance = {other: sum(a != b for a, b in zip(every[arch], every[other], strict=True)) for other in held}
        nearest = min(held, key=lambda other: (distance[other], other))
        assert Benchmark(answers, 1e9, random.Random(0)).query(arch)[0] == nearest


@pytest.mark.parametrize(
    "proposal",
    [1462, np.int64(1462), arch_str("tss", 1462), SPACES["tss"].numbers[1462], list(SPACES["tss"].numbers[1462])],
)
def test_an_architecture_is_proposed_by_index_string_or_choices(proposal: object) -> None:
    assert Benchmark(_whole(), 1e9, random.Random(0)).query(proposal)[0] == 1462


@pytest.mark.parametrize("proposal", [-1, 15_625, "|none~0|", (1, 2), (9,) * 6, None, 1.5])
def test_what_is_no_architecture_is_refused(proposal: object) -> None:
    with pytest.raises(NatsdbError, match=r"is no architecture of tss|outside the space tss"):
        Benchmark(_whole(), 1e9, random.Random(0)).query(proposal)


def test_an_index_that_is_none_is_refused_with_those_that_there_are() -> None:
    for index in (-1, 15_625):
        with pytest.raises(NatsdbError, match=f"index {index} is outside the space tss; choose 0 to 15624$"):
            Benchmark(_whole(), 1e9, random.Random(0)).query(index)


def test_an_epoch_that_was_not_read_is_refused() -> None:
    with pytest.raises(NatsdbError, match="the search asks for epoch 5, which was not read"):
        Benchmark(_whole(), 1e9, random.Random(0)).query(0, 5)


@pytest.mark.parametrize("space", ["tss", "sss"])
def test_random_architectures_are_uniform(space: str) -> None:
    benchmark, chance = Benchmark(_whole(space), 1.0, random.Random(0)), random.Random(5)
    drawn = Counter(itertools.chain.from_iterable(enumerate(benchmark.random(chance)) for _ in range(8000)))
    expected = 8000 / benchmark.values
    assert len(drawn) == benchmark.positions * benchmark.values
    assert all(abs(count - expected) < 6 * math.sqrt(expected) for count in drawn.values())


def test_mutation_of_a_topology_picks_a_node_then_an_edge_and_changes_its_operation() -> None:
    benchmark, chance = Benchmark(_whole(), 1.0, random.Random(0)), random.Random(3)
    parent, changed = (0, 1, 2, 3, 4, 0), Counter()
    for _ in range(18_000):
        child = mutated(benchmark, parent, chance)
        (at,) = [edge for edge in range(6) if child[edge] != parent[edge]]
        changed[at, child[at]] += 1
    for (edge, _), count in changed.items():
        to = EDGES[edge][0]
        expected = 18_000 / 3 / to / (len(OPS) - 1)
        assert abs(count - expected) < 6 * math.sqrt(expected)
    assert len(changed) == 6 * 4


def test_mutation_of_a_size_picks_a_layer_and_any_width() -> None:
    benchmark, chance = Benchmark(_whole("sss"), 1.0, random.Random(0)), random.Random(3)
    same = sum(mutated(benchmark, (1, 2, 3, 4, 5), chance) == (1, 2, 3, 4, 5) for _ in range(8000))
    assert abs(same - 1000) < 200


@pytest.mark.parametrize("name", ["random", "regularized_ea", "reinforce", "bohb"])
def test_a_run_ends_when_the_budget_is_spent_and_keeps_the_best(name: str) -> None:
    steps = play(ALGORITHMS[name], _whole(), 3000.0, 7, 0)
    over = [seconds >= 3000 for seconds in steps.seconds]
    # BOHB goes on for an evaluation, so that its curve can be read between the two nearest.
    assert over == [False] * (len(over) - 1 - (name == "bohb")) + [True] * (1 + (name == "bohb"))
    best: tuple[int, float] = (-1, -1.0)
    for arch, epoch, accuracy, kept in zip(steps.arch, steps.epoch, steps.accuracy, steps.best, strict=True):
        if (epoch, accuracy) > best:
            best, index = (epoch, accuracy), arch
        assert kept == index


@pytest.mark.parametrize("name", ["random", "regularized_ea", "reinforce", "bohb"])
def test_a_run_is_a_function_of_seed_and_number(name: str) -> None:
    answers, algorithm = _whole(), ALGORITHMS[name]
    assert play(algorithm, answers, 2000.0, 7, 3) == play(algorithm, answers, 2000.0, 7, 3)
    assert play(algorithm, answers, 2000.0, 7, 3) != play(algorithm, answers, 2000.0, 7, 4)
    assert play(algorithm, answers, 2000.0, 7, 3) != play(algorithm, answers, 2000.0, 8, 3)


@pytest.mark.parametrize("name", ["regularized_ea", "reinforce", "bohb"])
def test_a_search_that_learns_beats_random_search(name: str) -> None:
    def mean(of: str) -> float:
        runs = [play(ALGORITHMS[of], _whole("sss"), 15_000.0, 1, run) for run in range(10)]
        # The mean of what was proposed late: the best is the same for all on so easy a benchmark.
        late = [[a for a, e in zip(r.accuracy, r.epoch, strict=True) if e == 11][-20:] for r in runs]
        return float(np.mean([np.mean(accuracies) for accuracies in late]))

    options = {"learning_rate": 0.1} if name == "reinforce" else {}
    runs = [play(ALGORITHMS[name], _whole("sss"), 15_000.0, 1, run, options) for run in range(10)]
    late = [[a for a, e in zip(r.accuracy, r.epoch, strict=True) if e == 11][-20:] for r in runs]
    assert float(np.mean([np.mean(accuracies) for accuracies in late])) > mean("random") + 1


def test_evolution_keeps_the_youngest_and_breeds_the_fittest_of_a_tournament() -> None:
    benchmark, chance = Benchmark(_whole(), 1e9, random.Random(0)), random.Random(11)
    search = ALGORITHMS["regularized_ea"].propose(benchmark, chance, ea_population=4, ea_sample_size=2)
    again = random.Random(11)
    population = []
    proposal = next(search)
    for n in range(4):
        assert proposal == benchmark.random(again)
        population.append((float(n % 3), proposal))
        proposal = search.send(float(n % 3))
    for n in range(30):
        first, second = (population[int(again.random() * 4)] for _ in range(2))
        parent = second if second[0] > first[0] else first
        assert proposal == mutated(benchmark, parent[1], again)
        population = [*population[1:], (float(n * 7 % 5), proposal)]
        proposal = search.send(float(n * 7 % 5))


def test_evolution_ends_after_its_cycles_where_they_are_given() -> None:
    steps = play(ALGORITHMS["regularized_ea"], _whole(), 1e9, 0, 0, {"ea_cycles": 12})
    assert len(steps.arch) == 10 + 12


def test_reinforce_follows_adam_on_the_written_out_gradient() -> None:
    benchmark, chance = Benchmark(_whole(), 1e9, random.Random(0)), random.Random(2)
    search = ALGORITHMS["reinforce"].propose(benchmark, chance, learning_rate=0.2, EMA_momentum=0.5)
    again = random.Random(2)
    theta = [[1e-3 * again.gauss(0, 1) for _ in range(5)] for _ in range(6)]
    m = [[0.0] * 5 for _ in range(6)]
    v = [[0.0] * 5 for _ in range(6)]
    numerator = denominator = 0.0
    chosen, reward = next(search), 0.0
    for step in range(1, 25):
        draws = [again.random() for _ in range(6)]
        softmax = [[math.exp(t) / sum(map(math.exp, row)) for t in row] for row in theta]
        expected = tuple(
            next(k for k in range(5) if sum(row[: k + 1]) >= draw) for row, draw in zip(softmax, draws, strict=True)
        )
        assert chosen == expected
        reward = 50.0 + 10 * math.sin(step)
        chosen = search.send(reward)
        numerator = 0.5 * numerator + 0.5 * reward
        denominator = 0.5 * denominator + 0.5
        advantage = reward - numerator / denominator
        for i, k in itertools.product(range(6), range(5)):
            gradient = advantage * (softmax[i][k] - (k == expected[i]))
            m[i][k] = 0.9 * m[i][k] + 0.1 * gradient
            v[i][k] = 0.999 * v[i][k] + 0.001 * gradient**2
            theta[i][k] -= 0.2 * (m[i][k] / (1 - 0.9**step)) / (math.sqrt(v[i][k] / (1 - 0.999**step)) + 1e-8)


def test_reinforce_takes_the_last_choice_where_rounding_leaves_the_sum_of_odds_below_a_draw() -> None:
    class Last(random.Random):
        def random(self) -> float:
            return math.nextafter(1, 0)

    benchmark = Benchmark(_whole(), 1e9, random.Random(0))
    search = ALGORITHMS["reinforce"].propose(benchmark, Last(3))
    proposal = next(search)
    for step in range(60):
        assert proposal == (4,) * 6
        proposal = search.send(float(step % 7))


def test_without_a_limit_nothing_is_over_it() -> None:
    assert Benchmark(_whole(), 1e9, random.Random(0)).over((0,) * 6) == 0


def test_defaults_are_those_of_the_published_scripts() -> None:
    assert {name: algorithm.options for name, algorithm in ALGORITHMS.items()} == {
        "random": {},
        "regularized_ea": {"ea_population": 10, "ea_sample_size": 3, "ea_cycles": None},
        "reinforce": {"learning_rate": 0.01, "EMA_momentum": 0.9},
        "bohb": {
            "num_samples": 4,
            "random_fraction": 0.0,
            "bandwidth_factor": 3,
            "min_bandwidth": 0.3,
            "max_bandwidth": None,
            "min_budget": 1,
            "n_iters": 300,
        },
    }


def test_an_option_that_an_algorithm_does_not_have_is_refused() -> None:
    with pytest.raises(NatsdbError, match="random has no option --learning_rate; there are none"):
        options_of(ALGORITHMS["random"], {"learning_rate": 0.1})
    assert options_of(ALGORITHMS["bohb"], {"num_samples": 4, "min_budget": 12.0}) == {"min_budget": 12}


def test_a_search_of_ones_own_is_a_function_in_a_file(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text("def first(benchmark, chance, *, start=0):\n    for arch in range(start, 3):\n        yield arch\n")
    own = load_algorithm(f"{path}:first")
    assert play(own, _whole(), 1e9, 0, 0, {"start": 1}).arch == [1, 2]
    assert own.options == {"start": 0}


def test_a_file_of_ones_own_may_have_dataclasses(tmp_path: Path) -> None:
    path = tmp_path / "mine.py"
    path.write_text(
        "from __future__ import annotations\nfrom dataclasses import dataclass\n\n"
        "@dataclass\nclass Place:\n    arch: int\n\ndef first(benchmark, chance):\n    yield Place(7).arch\n"
    )
    assert play(load_algorithm(f"{path}:first"), _whole(), 1e9, 0, 0).arch == [7]


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("regularised_ea", "there is no algorithm 'regularised_ea'; did you mean regularized_ea"),
        ("nowhere.py:search", "nowhere.py: there is no such file; name one as FILE.py:FUNCTION"),
        ("{}:other", "it has no function 'other'"),
        ("{}.broken.py:x", r"it cannot be run \(ZeroDivisionError"),
        ("{}.script.py:x", r"it cannot be run \(SystemExit: 0\)"),
    ],
)
def test_an_algorithm_that_is_not_there_is_said_in_one_sentence(tmp_path: Path, name: str, said: str) -> None:
    path = tmp_path / "mine.py"
    path.write_text("def first(benchmark, chance):\n    yield 0\n")
    (tmp_path / "mine.py.broken.py").write_text("1 / 0\n")
    (tmp_path / "mine.py.script.py").write_text("def x(benchmark, chance):\n    yield 0\n\nraise SystemExit(0)\n")
    with pytest.raises(NatsdbError, match=said):
        load_algorithm(name.format(path))


def test_choices_and_indexes_go_both_ways() -> None:
    for space in ("tss", "sss"):
        assert all(SPACES[space].by_numbers[choices] == arch for arch, choices in enumerate(SPACES[space].numbers))
    ops = [OPS[choice] for choice in SPACES["tss"].numbers[1462]]
    assert arch_str("tss", 1462) == "|{}~0|+|{}~0|{}~1|+|{}~0|{}~1|{}~2|".format(*ops)


def test_a_search_may_ask_at_an_earlier_epoch_and_the_latest_epoch_counts_first() -> None:
    def search(benchmark: Benchmark, chance: random.Random):  # type: ignore[no-untyped-def]
        yield SPACES["tss"].numbers[1462], 3
        yield (0,) * 6
        yield (1,) * 5 + (0,), 3

    algorithm = Algorithm("two", search, lambda epochs, options: (3,))
    first, none = SPACES["tss"].numbers[1462], SPACES["tss"].by_numbers[(0,) * 6]
    assert play(algorithm, _whole(), 1e9, 0, 0).best == [1462, none, none]
    assert play(algorithm, _whole(), 1e9, 0, 0, mixed=True).best == [1462, 1462, 1462]
    assert sum(choice > 0 for choice in first) == 6


def _limited(space: str = "tss", most: int = 2) -> Trainings:
    """`_whole` where architectures of more than so many choices above 0, a twentieth of tss at 2, are infeasible."""
    over = [float(sum(choice > 0 for choice in choices) - most) for choices in SPACES[space].numbers]
    return replace(_whole(space), over=over)


@pytest.mark.parametrize("space", ["tss", "sss"])
@pytest.mark.parametrize("name", ALGORITHMS)
def test_what_is_over_a_limit_is_never_trained_and_the_limit_is_reached(name: str, space: str) -> None:
    answers = _limited(space)
    steps = play(ALGORITHMS[name], answers, 20_000.0, 3, 0)
    assert answers.over is not None
    assert max(answers.over[arch] for arch in steps.arch) == 0
    # Of 100 s each: refusals cost no time.
    assert steps.seconds[-1] >= 20_000 > steps.seconds[-3]
    assert len(set(steps.arch)) > 20


def test_random_architectures_are_uniform_among_the_feasible() -> None:
    answers = _limited(most=1)
    benchmark, chance = Benchmark(answers, 1.0, random.Random(0)), random.Random(5)
    drawn = Counter(benchmark.random(chance) for _ in range(2500))
    assert len(drawn) == 25  # all zeros, and 6 × 4 with one other choice
    assert all(abs(count - 100) < 60 for count in drawn.values())


@pytest.mark.parametrize("name", ALGORITHMS)
def test_a_single_feasible_architecture_is_found(name: str) -> None:
    over = [1.0] * 15_625
    over[777] = 0.0
    steps = play(ALGORITHMS[name], replace(_whole(), over=over), 300.0, 0, 0)
    assert set(steps.arch) == {777}


def test_a_limit_that_all_keep_changes_nothing() -> None:
    for algorithm in ALGORITHMS.values():
        loose = play(algorithm, replace(_whole(), over=[0.0] * 15_625), 8000.0, 1, 2)
        assert loose == play(algorithm, _whole(), 8000.0, 1, 2)


def test_a_search_of_ones_own_is_told_0_of_what_is_infeasible_and_ends() -> None:
    told: list[float] = []

    def mine(benchmark: Benchmark, chance: random.Random) -> Any:
        told.append((yield 15_624))
        told.append((yield benchmark.random(chance)))
        while True:
            told.append((yield (SPACES["tss"].numbers[15_624], 3)))

    with pytest.raises(NatsdbError, match=r"mine proposed 1,001 infeasible architectures one after the other; let it"):
        play(Algorithm("mine", mine), _limited(), 1e4, 0, 0)
    assert told[0] == 0
    assert told[1] > 0
    assert len(told) == 1002
