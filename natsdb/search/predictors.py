"""Searches that train what a predictor, fitted to the accuracies seen so far, holds for good: BANANAS and NPENAS.

The predictor is one of scikit-learn's: forests, as they take milliseconds, or the feedforward networks of BANANAS.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from functools import cache

import numpy as np

from natsdb.schema.encodings import one_hot, paths
from natsdb.schema.errors import NatsdbError
from natsdb.schema.names import did_you_mean
from natsdb.schema.space import Choices
from natsdb.schema.spaces import SPACES
from natsdb.search.benchmark import Benchmark
from natsdb.search.local_search import unseen
from natsdb.search.multi_trial import Search, mutated

# Of a forest that is a member of an ensemble.
_TREES = 4


def bananas(
    benchmark: Benchmark,
    chance: random.Random,
    *,
    num_init: int = 10,
    k: int = 10,
    candidates: int = 100,
    num_ensemble: int = 5,
    encoding: str = "paths",
    predictor: str = "forest",
) -> Search:
    """BANANAS (White et al., AAAI 2021): Bayesian optimization with an ensemble of predictors on the path encoding.

    Candidates are mutations of the best five architectures so far, in order of these; each member of the ensemble
    predicts their accuracies; of each candidate a value is drawn from the normal distribution of these predictions
    (independent Thompson sampling), and the `k` of the highest values are trained. Defaults are those of the authors'
    code (naszilla) but for the predictor.

    Args:
        num_init: random architectures at the start.
        k: architectures trained between two fits.
        candidates: mutations that are predicted, at most.
        num_ensemble: members of the ensemble: networks, or forests of four trees.
        encoding: what a predictor sees: paths, or one_hot; of a space without cells always one_hot.
        predictor: forest; or mlp, the paper's network of ten layers of 20, which takes some twenty times as long.
    """
    seen: dict[Choices, float] = {}

    def chosen(archs: list[Choices], predict: Callable[[list[Choices]], np.ndarray]) -> list[Choices]:
        of = predict(archs)
        mean, deviation = of.mean(axis=0).tolist(), of.std(axis=0).tolist()
        value = [chance.gauss(one, spread) for one, spread in zip(mean, deviation, strict=True)]
        return [archs[at] for at in sorted(range(len(archs)), key=lambda at: -value[at])[:k]]

    def proposed() -> list[Choices]:
        return _mutations(benchmark, chance, seen, _best(seen, 5), candidates, candidates)

    fitted = _fitting(benchmark, encoding, predictor, num_ensemble)
    yield from _predicted(benchmark, chance, seen, num_init, proposed, fitted, chosen)


def npenas(
    benchmark: Benchmark,
    chance: random.Random,
    *,
    num_init: int = 10,
    k: int = 10,
    parents: int = 10,
    candidates: int = 100,
    encoding: str = "paths",
    predictor: str = "forest",
) -> Search:
    """NPENAS (Wei et al., TNNLS 2022), its variant NP: evolution, of whose many children a predictor chooses.

    The best `parents` so far have together `candidates` children by mutation; the `k` of the highest predicted accuracy
    are trained. Where the paper has a graph network, the predictor is scikit-learn's.

    Args:
        num_init: random architectures at the start.
        k: architectures trained between two fits.
        parents: how many of the best are mutated.
        candidates: children that are predicted, at most.
        encoding: what the predictor sees: paths, or one_hot; of a space without cells always one_hot.
        predictor: forest, of twenty trees; or mlp, a network of ten layers of 20.
    """
    seen: dict[Choices, float] = {}

    def chosen(archs: list[Choices], predict: Callable[[list[Choices]], np.ndarray]) -> list[Choices]:
        value = predict(archs).mean(axis=0).tolist()
        return [archs[at] for at in sorted(range(len(archs)), key=lambda at: -value[at])[:k]]

    def proposed() -> list[Choices]:
        return _mutations(benchmark, chance, seen, _best(seen, parents), max(1, candidates // parents), candidates)

    fitted = _fitting(benchmark, encoding, predictor, 1 if predictor == "mlp" else 5)
    yield from _predicted(benchmark, chance, seen, num_init, proposed, fitted, chosen)


_Predict = Callable[[list[Choices]], np.ndarray]


def _predicted(
    benchmark: Benchmark,
    chance: random.Random,
    seen: dict[Choices, float],
    num_init: int,
    proposed: Callable[[], list[Choices]],
    fitted: Callable[[dict[Choices, float], int], _Predict],
    chosen: Callable[[list[Choices], _Predict], list[Choices]],
) -> Search:
    """Random architectures, then again and again those chosen among the ones proposed; none is trained twice."""
    for _ in range(num_init):
        first = unseen(benchmark, chance, seen)
        if first is None:
            return
        seen[first] = yield first
    while True:
        archs = proposed()
        if archs:
            following = chosen(archs, fitted(seen, chance.getrandbits(31)))
        else:
            # All neighbours of the best are known.
            other = unseen(benchmark, chance, seen)
            if other is None:
                return
            following = [other]
        for one in following:
            seen[one] = yield one


def _best(seen: dict[Choices, float], count: int) -> list[Choices]:
    """The most accurate so far, the first of equals first."""
    return sorted(seen, key=lambda one: -seen[one])[:count]


def _mutations(
    benchmark: Benchmark,
    chance: random.Random,
    seen: dict[Choices, float],
    parents: list[Choices],
    each: int,
    most: int,
) -> list[Choices]:
    """New architectures by so many mutations of each of these, in order, until there are enough."""
    found: dict[Choices, None] = {}
    for parent in parents:
        for _ in range(each):
            child = mutated(benchmark, parent, chance)
            if child not in seen:
                found[child] = None
        if len(found) >= most:
            break
    return list(found)[:most]


@cache
def _features(space: str, encoding: str) -> np.ndarray:
    """What a predictor sees of each architecture of a space, in index order: float32, a row each."""
    of = SPACES[space]
    if encoding not in ("paths", "one_hot"):
        raise NatsdbError(f"there is no encoding {encoding!r}", remedy=did_you_mean(encoding, ("paths", "one_hot")))
    made = paths if encoding == "paths" and of.edges else one_hot
    return made(space, range(of.size)).reshape(of.size, -1).astype(np.float32)


def _fitting(
    benchmark: Benchmark, encoding: str, predictor: str, members: int
) -> Callable[[dict[Choices, float], int], _Predict]:
    """How accuracies seen become a predictor: architectures → predictions, a row a member, in standard deviations."""
    of, features = SPACES[benchmark.space].by_numbers, _features(benchmark.space, encoding)
    if predictor not in ("forest", "mlp"):
        raise NatsdbError(f"there is no predictor {predictor!r}", remedy="choose forest or mlp")

    def rows(archs: list[Choices]) -> np.ndarray:
        return features[[of[one] for one in archs]]

    def fitted(seen: dict[Choices, float], seed: int) -> _Predict:
        told = np.array(list(seen.values()))
        goal = (told - told.mean()) / (told.std() or 1.0)
        fit = _forest if predictor == "forest" else _networks
        predict = fit(rows(list(seen)), goal, members, seed)
        return lambda archs: predict(rows(archs))

    return fitted


def _forest(features: np.ndarray, goal: np.ndarray, members: int, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    from sklearn.ensemble import RandomForestRegressor

    forest = RandomForestRegressor(_TREES * members, random_state=seed).fit(features, goal)

    def predict(of: np.ndarray) -> np.ndarray:
        every = np.array([tree.tree_.predict(of).reshape(-1) for tree in forest.estimators_])
        return every.reshape(members, _TREES, -1).mean(axis=1)

    return predict


def _networks(features: np.ndarray, goal: np.ndarray, members: int, seed: int) -> Callable[[np.ndarray], np.ndarray]:
    import warnings

    from sklearn.neural_network import MLPRegressor
    from threadpoolctl import threadpool_limits

    layers, rate, epochs = (20,) * 10, 0.01, 150
    with warnings.catch_warnings(), threadpool_limits(1):
        # That the epochs are over before the loss stands still is how the paper trains.
        warnings.simplefilter("ignore")
        every = [
            MLPRegressor(
                hidden_layer_sizes=layers,
                learning_rate_init=rate,
                max_iter=epochs,
                batch_size=32,
                random_state=seed + one,
            ).fit(features, goal)
            for one in range(members)
        ]

    def predict(of: np.ndarray) -> np.ndarray:
        with threadpool_limits(1):
            return np.array([one.predict(of) for one in every])

    return predict
