"""Runs side by side against the same runs alone."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'natsdb[training]'")

from natsdb.schema.spaces import arch_index  # noqa: E402
from natsdb.schema.topology import OPS  # noqa: E402
from natsdb.training import recipe  # noqa: E402
from natsdb.training.data import TrainingData, load  # noqa: E402
from natsdb.training.stack import train_epoch_together  # noqa: E402
from pictures import write_parquet  # noqa: E402

ALL_ONE = [arch_index("tss", f"|{op}~0|+|{op}~0|{op}~1|+|{op}~0|{op}~1|{op}~2|") for op in OPS]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    torch.set_num_threads(1)
    return load("cifar10", write_parquet(tmp_path_factory.mktemp("data"), 20, 12))


def _alone(
    space: str,
    arch: int,
    seed: int,
    data: TrainingData,
    epochs: int,
    precision: str,
    by: recipe.Recipe = recipe.OFFICIAL,
) -> tuple[Any, Any]:
    training = recipe.start(space, arch, seed, data, precision, by)
    return training, [recipe.train_epoch(training, data, seed, epochs, precision) for _ in range(epochs)]


def _distance(found: Any, expected: Any) -> float:
    """Largest difference, over the largest value: sums of skips grow to thousands."""
    return (found - expected).abs().max().item() / max(1.0, expected.abs().max().item())


@pytest.mark.parametrize(
    ("space", "members"),
    [
        pytest.param("tss", [*((arch, 777) for arch in ALL_ONE), (11312, 777), (11312, 888)], marks=pytest.mark.slow),
        pytest.param("tss", [(4444, 777), (4445, 888)], marks=pytest.mark.slow),
        ("sss", [(12345, 777), (12345, 888)]),
    ],
    ids=["all operations", "two topologies", "seeds of a size"],
)
def test_members_equal_the_same_runs_alone(
    space: str, members: list[tuple[int, int]], data: TrainingData, monkeypatch: pytest.MonkeyPatch
) -> None:
    # At the official rate, steps on so few images are chaotic: weights off by 1e-15 move some losses by 1e-6 and more.
    monkeypatch.setattr(recipe, "schedule", lambda epoch, epochs: 1e-4 / (1 + epoch))
    monkeypatch.setattr(recipe, "BATCH", 8)
    monkeypatch.setattr("natsdb.training.stack.BATCH", 8)
    by = recipe.Recipe(batch=8)
    together = [recipe.start(space, arch, seed, data, "float64", by) for arch, seed in members]
    seeds = [seed for _, seed in members]
    found = [train_epoch_together(together, data, seeds, 2, "float64") for _ in range(2)]
    for number, (arch, seed) in enumerate(members):
        training, expected = _alone(space, arch, seed, data, 2, "float64", by)
        for epoch in range(2):
            for split, one in expected[epoch].items():
                assert found[epoch][number][split][:3] == pytest.approx(one[:3], rel=1e-9, abs=1e-9)
        for name, value in training.net.state_dict().items():
            assert _distance(together[number].net.state_dict()[name], value) < 1e-9, name
        for parameter, other in zip(training.net.parameters(), together[number].net.parameters(), strict=True):
            velocity = training.optimizer.state[parameter]["momentum_buffer"]
            assert _distance(together[number].optimizer.state[other]["momentum_buffer"], velocity) < 1e-9
        assert together[number].epoch == 2


def test_a_member_goes_on_alone_where_the_stack_left_it(data: TrainingData) -> None:
    together = [recipe.start("tss", arch, 777, data, "float64") for arch in (9000, 9001)]
    train_epoch_together(together, data, [777, 777], 2, "float64")
    last = recipe.train_epoch(together[1], data, 777, 2, "float64")
    _, expected = _alone("tss", 9001, 777, data, 2, "float64")
    assert last["ori-test"][:3] == pytest.approx(expected[1]["ori-test"][:3], rel=1e-9)


def test_a_member_that_diverges_does_not_touch_the_others(data: TrainingData) -> None:
    together = [recipe.start("tss", arch, 777, data, "float64") for arch in (9000, 9001, 9002)]
    with torch.no_grad():
        together[1].net.stem[0].weight.fill_(float("nan"))
    found = train_epoch_together(together, data, [777] * 3, 1, "float64")
    assert found[1]["train"].loss != found[1]["train"].loss
    for number, arch in ((0, 9000), (2, 9002)):
        _, expected = _alone("tss", arch, 777, data, 1, "float64")
        assert found[number]["ori-test"][:3] == pytest.approx(expected[0]["ori-test"][:3], rel=1e-9)
