"""natsdb's own searches that came after the paper, on landscapes small enough to follow by hand, and on real ones."""

from __future__ import annotations

import random
import shutil
import warnings
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from typer.testing import CliRunner

import natsdb
from natsdb.cli import app
from natsdb.ingest.attached import keep_attached
from natsdb.schema.errors import NatsdbError
from natsdb.schema.spaces import SPACES
from natsdb.search import ALGORITHMS, Benchmark, predictors, read_trainings, search
from natsdb.search.measures import WarmUp
from natsdb.search.running import LATER, NAMED, options_of, play
from natsdb.search.trainings import Trainings
from natsdb.store.manifest import Attached, Measure

SIZE = SPACES["tss"].size
NUMBERS = SPACES["tss"].numbers


def _whole(accuracy: list[float], **more: Any) -> Trainings:
    """A whole space of these accuracies; epochs last 100 seconds and a pass 10, and each epoch adds a twelfth."""
    by_epoch = {epoch: [value * (epoch + 1) / 12 for value in accuracy] for epoch in range(12)}
    spent = {epoch: [100.0 * (epoch + 1) + 10] * SIZE for epoch in by_epoch}
    return Trainings("tss", "cifar10", "12", list(range(SIZE + 1)), by_epoch, spent, None, "made up", **more)


def _slope() -> list[float]:
    """Accuracy is 10 percent an edge whose operation is the last: one optimum, and no other local one."""
    return [10.0 * choices.count(4) for choices in NUMBERS]


def _distance(one: int, other: int) -> int:
    return sum(a != b for a, b in zip(NUMBERS[one], NUMBERS[other], strict=True))


def test_defaults_are_those_of_the_papers_and_of_naszilla() -> None:
    halving = {"eta": 3, "min_budget": 1, "resume": True}
    predicted = {"num_init": 10, "k": 10, "candidates": 100, "encoding": "paths", "predictor": "forest"}
    assert {name: algorithm.options for name, algorithm in LATER.items()} == {
        "local_search": {"num_init": 10, "query_full_nbhd": False},
        "successive_halving": halving,
        "hyperband": halving,
        "bananas": predicted | {"num_ensemble": 5},
        "npenas": predicted | {"parents": 10},
    }


def test_local_search_climbs_to_the_optimum_over_neighbours_only() -> None:
    accuracy = _slope()
    steps = play(LATER["local_search"], _whole(accuracy), 400 * 1210.0, 0, 0, {"num_init": 1})
    here, top = steps.arch[0], SPACES["tss"].by_numbers[(4,) * 6]
    reached = steps.arch.index(top)
    for arch in steps.arch[1 : reached + 1]:
        # Each is a neighbour of where the search stands, which is the last that was better.
        assert _distance(here, arch) == 1
        if accuracy[arch] > accuracy[here]:
            here = arch
    assert here == top
    # All neighbours of the optimum are worse: after them it starts again, anywhere.
    around = [arch for arch in range(SIZE) if _distance(top, arch) == 1]
    assert set(around) <= set(steps.arch)
    rest = steps.arch[reached + 1 :]
    after = next(place for place, arch in enumerate(rest) if _distance(top, arch) > 1)
    assert set(rest[:after]) == set(around) - set(steps.arch[: reached + 1])
    assert len(set(steps.arch)) == len(steps.arch)


def test_local_search_of_the_whole_neighbourhood_goes_on_from_its_best() -> None:
    # Edge n is worth more than edge n - 1: the steepest way sets the last edges first.
    accuracy = [sum(2.0**edge for edge, choice in enumerate(choices) if choice == 4) for choices in NUMBERS]
    options = {"num_init": 1, "query_full_nbhd": True}
    steps = play(LATER["local_search"], _whole(accuracy), 100 * 1210.0, 1, 0, options)
    here = steps.arch[0]
    lacking = [edge for edge in reversed(range(6)) if NUMBERS[here][edge] != 4]
    assert lacking
    asked = 1
    for edge in lacking:
        around = {arch for arch in range(SIZE) if _distance(here, arch) == 1} - set(steps.arch[:asked])
        assert set(steps.arch[asked : asked + len(around)]) == around
        asked += len(around)
        here = SPACES["tss"].by_numbers[(*NUMBERS[here][:edge], 4, *NUMBERS[here][edge + 1 :])]
    assert accuracy[here] == max(accuracy)


def test_the_best_of_the_first_random_ones_is_the_start_of_local_search() -> None:
    accuracy = _slope()
    steps = play(LATER["local_search"], _whole(accuracy), 11 * 1210.0, 3, 0)
    best = max(steps.arch[:10], key=accuracy.__getitem__)
    assert _distance(best, steps.arch[10]) == 1


@pytest.mark.parametrize("name", ["local_search", "bananas", "npenas"])
def test_a_search_that_trains_nothing_twice_ends_when_all_is_trained(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(Benchmark, "DRAWS", 50)
    pytest.importorskip("sklearn", reason="the extra `predict` is not installed")
    feasible = [7, 1462, 9000, 9001]
    over = [0.0 if arch in feasible else 1.0 for arch in range(SIZE)]
    steps = play(LATER[name], _whole(_slope(), over=over), 1e9, 0, 0, {"num_init": 2})
    assert Counter(steps.arch) == Counter(feasible)


def _rungs(steps: Any) -> list[tuple[int, int]]:
    """(epoch, how many in a row)."""
    found: list[tuple[int, int]] = []
    for epoch in steps.epoch:
        if found and found[-1][0] == epoch:
            found[-1] = (epoch, found[-1][1] + 1)
        else:
            found.append((epoch, 1))
    return found


def test_successive_halving_trains_the_better_third_on() -> None:
    accuracy = [float(arch % 97) for arch in range(SIZE)]
    # Nine for an epoch, three on to the fourth, one on to the twelfth: 9 × 110 + 3 × 310 + 810 seconds.
    steps = play(LATER["successive_halving"], _whole(accuracy), 2 * 2730.0, 0, 0)
    assert _rungs(steps) == [(0, 9), (3, 3), (11, 1)] * 2
    assert steps.seconds[12] == pytest.approx(2730)
    assert np.diff([0.0, *steps.seconds[:13]]).tolist() == pytest.approx([110.0] * 9 + [310.0] * 3 + [810.0])
    first = sorted(steps.arch[:9], key=lambda arch: -accuracy[arch])
    assert steps.arch[9:12] == first[:3]
    assert steps.arch[12] == first[0] == steps.best[12]


def test_hyperband_starts_brackets_ever_later() -> None:
    accuracy = [float(arch % 97) for arch in range(SIZE)]
    steps = play(LATER["hyperband"], _whole(accuracy), 40_000.0, 0, 0)
    # 3 at the last epoch, of the second bracket one went on; then the first bracket again.
    assert _rungs(steps)[:7] == [(0, 9), (3, 3), (11, 1), (3, 5), (11, 4), (0, 9), (3, 3)]


def test_halving_again_from_scratch_pays_whole_trainings() -> None:
    steps = play(LATER["successive_halving"], _whole(_slope()), 1e4, 0, 0, {"resume": False})
    assert np.diff([0.0, *steps.seconds[:13]]).tolist() == pytest.approx([110.0] * 9 + [410.0] * 3 + [1210.0])


def test_rungs_follow_eta_and_the_least_budget() -> None:
    algorithm = LATER["successive_halving"]
    assert list(algorithm.epochs(12, {})) == [0, 3, 11]
    assert list(algorithm.epochs(12, {"eta": 2})) == [0, 2, 5, 11]
    assert list(algorithm.epochs(12, {"min_budget": 4})) == [3, 11]
    steps = play(algorithm, _whole(_slope()), 4000.0, 0, 0, {"eta": 2})
    assert _rungs(steps)[:4] == [(0, 8), (2, 4), (5, 2), (11, 1)]
    for options, said in (
        ({"eta": 1}, "eta 1 is no whole number above 1"),
        ({"min_budget": 13}, "min_budget 13 is"),
        ({"min_budget": 0.5}, "min_budget 0.5 is"),
    ):
        with pytest.raises(NatsdbError, match=said):
            algorithm.epochs(12, options)


def test_a_training_goes_on_in_its_run_and_only_forwards() -> None:
    # Two runs an architecture: the second is 1 percent better and takes twice as long.
    start = list(range(0, 2 * SIZE + 1, 2))
    by_epoch = {epoch: [float(epoch), epoch + 1.0] * SIZE for epoch in (0, 3, 11)}
    spent = {epoch: [100.0 * (epoch + 1) + 10, 200.0 * (epoch + 1) + 20] * SIZE for epoch in (0, 3, 11)}
    answers = Trainings("tss", "cifar10", "12", start, by_epoch, spent, None, "made up")
    seen = set()
    for seed in range(8):
        benchmark = Benchmark(answers, 1e9, random.Random(seed))
        training = benchmark.training(7)
        told = [benchmark.query(training, epoch) for epoch in (0, 3, 11)]
        second = told[0][2] == 1.0
        assert told == [(7, epoch, epoch + second) for epoch in (0, 3, 11)]
        # Training to the end, and three passes.
        assert benchmark.spent == pytest.approx((1200 + 3 * 10) * (1 + second))
        seen.add(second)
        # An epoch that it has seen is not seen again for the price of a pass.
        for epoch in (3, 11):
            with pytest.raises(NatsdbError, match=f"a training that was at epoch 11 cannot go on to epoch {epoch};"):
                benchmark.query(training, epoch)
    assert seen == {False, True}


@pytest.mark.parametrize("name", ["successive_halving", "hyperband"])
def test_an_architecture_is_asked_for_when_its_turn_comes(name: str) -> None:
    # As `--train` trains it then: of a bracket of nine only the two that may be trained.
    asked: list[int] = []
    steps = play(LATER[name], _whole(_slope(), lacking=asked.append), 1e9, 0, 0, most=2)
    assert len(steps.arch) == 2
    assert asked == steps.arch
    # One that goes on is there already.
    asked.clear()
    steps = play(LATER[name], _whole(_slope(), lacking=asked.append), 1e9, 0, 0, most=13)
    assert asked == [arch for arch, epoch in zip(steps.arch, steps.epoch, strict=True) if epoch == steps.epoch[0]]


def test_without_curves_a_sentence_says_which_archive_has_them(made_up_db: Path, tmp_path: Path) -> None:
    done = CliRunner().invoke(
        app, ["search", "hyperband", "--space", "tss", "--dataset", "cifar100", "--hp", "200", "--db", str(made_up_db)]
    )
    assert done.exit_code == 1
    assert "not all runs of tss on cifar100, hp 200, have x-valid accuracies at epoch " in done.stderr
    assert "; ingest an archive that has every epoch, as NATS-tss-v1_0-3ffb9-full, or choose " in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.fixture(scope="module")
def real() -> tuple[Trainings, np.ndarray]:
    """The published accuracies on CIFAR-100, and those of the full training that judge what is found."""
    from natsdb.store.locations import BUILTIN

    judged = natsdb.query(
        "select accuracy from full_accuracy "
        "where space = 'tss' and dataset = 'cifar100' and role = 'valid' order by arch",
        BUILTIN,
    )
    return read_trainings("tss", "cifar100", "12", BUILTIN), judged["accuracy"].to_numpy()


@pytest.mark.parametrize(
    ("name", "runs", "least"), [("local_search", 40, 72.6), ("bananas", 6, 71.9), ("npenas", 6, 71.9)]
)
def test_they_come_near_the_optimum_of_the_real_space(
    real: tuple[Trainings, np.ndarray], name: str, runs: int, least: float
) -> None:
    """The optimum is 73.49; random search comes to 71.5 ± 0.9, regularized evolution to 72.3 ± 1.0."""
    if name != "local_search":
        pytest.importorskip("sklearn", reason="the extra `predict` is not installed")
    answers, judged = real
    found = [play(LATER[name], answers, 40_000.0, 0, run) for run in range(runs)]
    assert play(LATER[name], answers, 40_000.0, 0, 1) == found[1]
    assert np.mean([judged[steps.best[-1]] for steps in found]) > least
    for steps in found:
        assert steps.seconds[-2] < 40_000 <= steps.seconds[-1]
        assert len(set(steps.arch)) == len(steps.arch)


@pytest.mark.parametrize("name", ["bananas", "npenas"])
def test_predictors_take_networks_and_one_hot_and_refuse_others(name: str) -> None:
    pytest.importorskip("sklearn", reason="the extra `predict` is not installed")
    answers = _whole(_slope())
    options = {"predictor": "mlp", "encoding": "one_hot", "num_init": 10, "k": 20}
    steps = play(LATER[name], answers, 30 * 1210.0, 0, 0, options)
    assert steps == play(LATER[name], answers, 30 * 1210.0, 0, 0, options)
    # What the predictor chooses is better than the random ones before.
    assert np.mean(steps.accuracy[10:]) > np.mean(steps.accuracy[:10]) + 5
    with pytest.raises(NatsdbError, match="there is no predictor 'tree'; choose forest or mlp"):
        play(LATER[name], answers, 1e5, 0, 0, {"predictor": "tree"})
    with pytest.raises(NatsdbError, match="there is no encoding 'path'; did you mean paths"):
        play(LATER[name], answers, 1e5, 0, 0, {"encoding": "path"})


def test_the_children_that_npenas_predicts_come_from_all_parents() -> None:
    pytest.importorskip("sklearn", reason="the extra `predict` is not installed")
    # Ten children of each of five parents, all of which are trained: 40 at least, as few come twice.
    options = {"num_init": 5, "parents": 5, "candidates": 50, "k": 50}
    steps = play(LATER["npenas"], _whole(_slope()), 1e9, 0, 0, options, most=5 + 40)
    parents, children = steps.arch[:5], steps.arch[5:]
    of = [{parent for parent in parents if _distance(parent, child) == 1} for child in children]
    assert all(of)
    assert set().union(*of) == set(parents)


def test_bananas_mutates_the_best_in_their_order_until_there_are_enough_candidates() -> None:
    pytest.importorskip("sklearn", reason="the extra `predict` is not installed")
    # Twenty mutations of an architecture are fewer than twenty others, and those of two more.
    options = {"num_init": 5, "candidates": 20, "k": 20}
    steps = play(LATER["bananas"], _whole([float(arch) for arch in range(SIZE)]), 1e9, 0, 0, options, most=5 + 20)
    first, second = sorted(steps.arch[:5], reverse=True)[:2]
    away = [(_distance(first, arch), _distance(second, arch)) for arch in steps.arch[5:]]
    assert all(1 in both for both in away)
    assert sum(one == 1 for one, _ in away) > sum(other == 1 for _, other in away) > 0


@pytest.mark.parametrize("name", [*ALGORITHMS, *LATER])
def test_all_keep_a_limit_and_start_with_the_warm_up(name: str) -> None:
    if LATER.get(name, ALGORITHMS["random"]).packages:
        pytest.importorskip("sklearn", reason="the extra `predict` is not installed")
    over = [float(choices[0] - 2) for choices in NUMBERS]
    value = [float(-abs(arch - 5000)) for arch in range(SIZE)]
    value[5000] = -np.inf
    answers = _whole(_slope(), over=over, warm_up=WarmUp(300, value, [2.0] * SIZE, True))
    steps = play(NAMED[name], answers, 40_000.0, 0, 0)
    assert all(over[arch] <= 0 for arch in steps.arch)
    # Fewer than 300 seconds of them are different; the best 9 are the first that each of these asks for.
    assert 580 <= steps.seconds[0] - 110 * (1 + (steps.epoch[0] > 0) * 10) <= 600
    first = [value[arch] for arch in steps.arch[:9]]
    assert first == sorted(first, reverse=True)
    assert first[0] > -SIZE / 60


def test_a_warm_up_counts_the_seconds_that_a_table_has(made_up_db: Path, tmp_path: Path) -> None:
    db = Path(shutil.copytree(made_up_db, tmp_path / "db"))
    archs = list(range(0, 1400, 20))
    table = pa.table(
        {
            "space": ["tss"] * 70,
            "arch": pa.array(archs, pa.int32()),
            "score": [float(arch) if arch != 1380 else None for arch in archs],
            "score_seconds": [2.0, 4.0] * 34 + [None] * 2,
            "other": [float(-arch) for arch in archs],
        }
    )
    measures = tuple(Measure(one, "DOUBLE") for one in ("score", "score_seconds", "other"))
    keep_attached(db, Attached("mine", ("space", "arch"), measures, 0), table)
    asked: dict[str, Any] = {"runs": 2, "budget": 3000.0, "of": 4000}
    done = search("random", "tss", "cifar10", db, warm_up="mine.score", **asked)
    assert done.notes == ()
    # Some of the 4,000 random ones are measured; those that are not here have no value, and cost nothing. A value
    # without seconds took what the others took on average.
    answers = read_trainings("tss", "cifar10", "12", db, warm_up="mine.score", of=4000)
    assert answers.warm_up is not None
    ((arch, seconds),) = natsdb.query(
        f"select arch, seconds from search_step where search = '{done.search}' and run = 0 and step = 0", db
    ).rows()
    measured = seconds - answers.seconds[11][answers.start[arch]]
    assert measured == pytest.approx(round(measured))
    assert 15 <= measured <= 90
    assert [answers.warm_up.value[arch] for arch in (0, 20, 1380, 1)] == [0, 20, -np.inf, -np.inf]
    assert [answers.warm_up.seconds[arch] for arch in (0, 20, 1360, 1380, 1)] == [2, 4, 3, 0, 0]
    other = search("random", "tss", "cifar10", db, warm_up="mine.other", **asked)
    assert other.search != done.search
    unknown = "there are no mine.other_seconds on cifar10"
    assert other.notes == (f"{unknown}, so the seconds of mine.other itself count nothing",)
    labels = natsdb.query("select label from search_table where space = 'tss'", db)["label"].to_list()
    assert "random of: 4000, warm_up: mine.score budget 3000" in labels
    for warm_up, of, said in (
        (None, 5, "a number of random architectures without a measure; name it with --warm_up"),
        ("mine.score", 0, "the best of 0 architectures are none"),
        ("mine.scor", None, "there is no measure mine.scor"),
    ):
        with pytest.raises(NatsdbError, match=said):
            search("random", "tss", "cifar10", db, warm_up=warm_up, of=of)


@pytest.mark.parametrize("name", ["random", "bohb"])
def test_a_warm_up_that_spends_the_budget_is_said_to_do_so(name: str) -> None:
    answers = _whole(_slope(), warm_up=WarmUp(50, _slope(), [40.0] * SIZE, True))
    assert play(NAMED[name], answers, 2001.0, 0, 0).arch
    said = "the warm-up of run 3 takes 2,000 of 2,000 seconds, and leaves none to train; give a larger --budget"
    with pytest.raises(NatsdbError, match=said):
        play(NAMED[name], answers, 2000.0, 0, 3)


def test_their_options_are_those_of_their_functions() -> None:
    assert LATER["local_search"].options == {"num_init": 10, "query_full_nbhd": False}
    with pytest.raises(NatsdbError, match="bananas has no option --encodin; did you mean --encoding"):
        options_of(LATER["bananas"], {"encodin": "paths"})


@pytest.mark.parametrize("name", ["hyperband", "bananas"])
def test_they_search_a_database_of_either_space(made_up_db: Path, tmp_path: Path, name: str) -> None:
    """With curves, of sizes without paths; judged and kept like the others."""
    if name == "bananas":
        pytest.importorskip("sklearn", reason="the extra `predict` is not installed")
    db = Path(shutil.copytree(made_up_db, tmp_path / "db"))
    done = search(name, "sss", "cifar100", db, runs=2, budget=6000.0)
    steps = natsdb.query(f"from search_step where search = '{done.search}' order by run, step", db)
    assert set(steps["epoch"]) == ({0, 3, 11} if name == "hyperband" else {11})
    judged = natsdb.query("select role, judged from search_result", db).rows()
    assert ("test", 2) in judged


def test_a_member_of_a_forest_is_the_mean_of_its_own_trees() -> None:
    ensemble = pytest.importorskip("sklearn.ensemble", reason="the extra `predict` is not installed")
    chance = np.random.default_rng(0)
    features, goal = chance.integers(0, 2, (40, 12)).astype(np.float32), chance.random(40)
    found = predictors._forest(features, goal, 3, 7)(features[:5])
    forest = ensemble.RandomForestRegressor(3 * predictors._TREES, random_state=7).fit(features, goal)
    trees = np.array([tree.predict(features[:5]) for tree in forest.estimators_])
    expected = [trees[n * predictors._TREES : (n + 1) * predictors._TREES].mean(axis=0) for n in range(3)]
    assert found.tolist() == np.array(expected).tolist()


def test_accuracies_that_are_all_alike_can_be_fitted() -> None:
    pytest.importorskip("sklearn", reason="the extra `predict` is not installed")
    benchmark: Any = SimpleNamespace(space="tss")
    fitted = predictors._fitting(benchmark, "one_hot", "forest", 2)
    assert fitted({NUMBERS[0]: 50.0, NUMBERS[1]: 50.0}, 0)([NUMBERS[2], NUMBERS[3]]).tolist() == [[0.0, 0.0]] * 2


def test_a_network_of_an_ensemble_is_that_of_the_paper() -> None:
    """Of ten layers of 20, trained for 150 epochs by Adam at 0.01 in batches of 32, each from a seed of its own."""
    neural = pytest.importorskip("sklearn.neural_network", reason="the extra `predict` is not installed")
    threadpoolctl = pytest.importorskip("threadpoolctl")
    chance = np.random.default_rng(0)
    features, goal = chance.integers(0, 2, (40, 12)).astype(np.float32), chance.random(40)
    found = predictors._networks(features, goal, 2, 7)(features[:5])
    papers = {"hidden_layer_sizes": (20,) * 10, "learning_rate_init": 0.01, "max_iter": 150, "batch_size": 32}
    with warnings.catch_warnings(), threadpoolctl.threadpool_limits(1):
        warnings.simplefilter("ignore")  # the epochs are over before the loss stands still
        second = neural.MLPRegressor(random_state=8, **papers).fit(features, goal)
        assert found[1].tolist() == second.predict(features[:5]).tolist()
    assert found[0].tolist() != found[1].tolist()
