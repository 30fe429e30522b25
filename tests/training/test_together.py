"""Runs side by side against the same runs alone."""

from __future__ import annotations

from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'natsdb[training]'")

from natsdb.schema.spaces import arch_index  # noqa: E402
from natsdb.schema.topology import OPS  # noqa: E402
from natsdb.training import recipe  # noqa: E402
from natsdb.training.data import TrainingData, load  # noqa: E402
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
    alone = recipe.Together([training], precision)
    return training, [alone.train_epoch(data, [seed], epochs)[0] for _ in range(epochs)]


def test_members_are_the_same_runs_alone_to_the_bit(data: TrainingData) -> None:
    by = recipe.Recipe(batch=8)
    # Two topologies, two seeds: other weights and other batches.
    members = [(ALL_ONE[0], 777), (ALL_ONE[-1], 777), (11312, 888)]
    trainings = [recipe.start("tss", arch, seed, data, "float32", by) for arch, seed in members]
    together = recipe.Together(trainings, "float32")
    found = [together.train_epoch(data, [seed for _, seed in members], 2) for _ in range(2)]
    for number, (arch, seed) in enumerate(members):
        training, expected = _alone("tss", arch, seed, data, 2, "float32", by)
        for epoch in range(2):
            assert {split: one[:3] for split, one in found[epoch][number].items()} == {
                split: one[:3] for split, one in expected[epoch].items()
            }
        for name, value in training.net.state_dict().items():
            assert torch.equal(trainings[number].net.state_dict()[name], value), name
        for parameter, other in zip(training.net.parameters(), trainings[number].net.parameters(), strict=True):
            velocity = training.optimizer.state[parameter]["momentum_buffer"]
            assert torch.equal(trainings[number].optimizer.state[other]["momentum_buffer"], velocity)
        assert trainings[number].epoch == 2


def test_a_member_goes_on_alone(data: TrainingData) -> None:
    trainings = [recipe.start("sss", arch, 777, data) for arch in (1, 2)]
    recipe.Together(trainings, "float32").train_epoch(data, [777, 777], 2)
    last = recipe.Together(trainings[1:], "float32").train_epoch(data, [777], 2)[0]
    _, expected = _alone("sss", 2, 777, data, 2, "float32")
    assert last["ori-test"][:3] == expected[1]["ori-test"][:3]


def test_a_member_that_diverges_does_not_touch_the_others(data: TrainingData) -> None:
    trainings = [recipe.start("sss", arch, 777, data) for arch in (1, 2, 3)]
    with torch.no_grad():
        trainings[1].net.stem[0].weight.fill_(float("nan"))
    found = recipe.Together(trainings, "float32").train_epoch(data, [777] * 3, 1)
    assert found[1]["train"].loss != found[1]["train"].loss
    for number, arch in ((0, 1), (2, 3)):
        _, expected = _alone("sss", arch, 777, data, 1, "float32")
        assert found[number]["ori-test"][:3] == expected[0]["ori-test"][:3]


def test_weights_that_lead_nowhere_decay(data: TrainingData) -> None:
    training = recipe.start("sss", 0, 777, data)
    unused = torch.nn.Parameter(torch.ones(3))
    optimizer = torch.optim.SGD([*training.net.parameters(), unused], 0.1, 0.9, nesterov=True, weight_decay=0.5)
    step = recipe.training_step(recipe.forward, training.net, optimizer, "float32")
    for _ in range(2):
        step(torch.randn(4, 3, 32, 32), torch.zeros(1, 4, dtype=torch.long))
    # By hand: two steps of Nesterov's momentum on decay alone.
    weight, velocity = 1.0, 0.0
    for _ in range(2):
        velocity = 0.9 * velocity + 0.5 * weight
        weight -= 0.1 * (0.5 * weight + 0.9 * velocity)
    assert unused.tolist() == pytest.approx([weight] * 3)
