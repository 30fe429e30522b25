"""The recipe against a loop written out by hand over the authors' network, and its figures against plain sums."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'natsdb[training]'")
models = pytest.importorskip(
    "xautodl.models", reason="the oracle is not installed: pip install --no-deps xautodl==1.0.0"
)

from torchvision.transforms import v2  # noqa: E402

from natsdb.schema.schedules import cosine, learning_rate  # noqa: E402
from natsdb.schema.size import SSS_CELL  # noqa: E402
from natsdb.schema.spaces import arch_str  # noqa: E402
from natsdb.training import recipe  # noqa: E402
from natsdb.training.data import TrainingData, draws, load, normalized  # noqa: E402
from pictures import write_parquet  # noqa: E402


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> TrainingData:
    torch.set_num_threads(1)
    return load("cifar10", write_parquet(tmp_path_factory.mktemp("data"), 40, 30))


def test_learning_rates_are_the_official_ones() -> None:
    assert [learning_rate(hp, 0) for hp in ("01", "12", "90", "200")] == [0.1] * 4
    last = [learning_rate("12", 11), learning_rate("90", 89), learning_rate("200", 199)]
    assert last == pytest.approx([0.0017037, 3.046e-5, 6.168e-6], rel=1e-4)
    assert recipe.schedule is cosine


def test_two_epochs_equal_a_loop_written_out_by_hand(data: TrainingData) -> None:
    # In float64: the recipe keeps channels last in memory, and float32 sums in another order end elsewhere.
    training = recipe.start("sss", 1234, 777, data, "float64", recipe.Recipe(batch=16))
    alone = recipe.Together([training], "float64")
    found = [alone.train_epoch(data, [777], 2)[0] for _ in range(2)]

    torch.manual_seed(777)
    config = {"name": "infer.shape.tiny", "channels": arch_str("sss", 1234), "genotype": SSS_CELL, "num_classes": 10}
    net = models.get_cell_based_tiny_net(config).double()
    velocity = {name: torch.zeros_like(value) for name, value in net.named_parameters()}
    normalize = v2.Normalize([125.3 / 255, 123.0 / 255, 113.9 / 255], [63.0 / 255, 62.1 / 255, 66.7 / 255])
    losses = []
    for epoch, rate in ((0, 0.1), (1, 0.05)):
        drawn = draws(777, epoch, 40, 4)
        total = 0.0
        for ids, flips, shifts in zip(drawn.order.split(16), drawn.flip.split(16), drawn.shift.split(16), strict=True):
            images = []
            for id, flip, (top, left) in zip(ids.tolist(), flips.tolist(), shifts.tolist(), strict=True):
                image = v2.functional.pad(data.train.pixels[id].flip(-1) if flip else data.train.pixels[id], [4])
                images.append(normalize(v2.functional.crop(image, top, left, 32, 32).float() / 255))
            net.zero_grad()
            loss = torch.nn.functional.cross_entropy(net(torch.stack(images).double())[1], data.train.labels[ids])
            loss.backward()
            total += loss.item() * len(ids)
            with torch.no_grad():
                for name, weight in net.named_parameters():
                    gradient = weight.grad + 5e-4 * weight
                    velocity[name] = 0.9 * velocity[name] + gradient
                    weight -= rate * (gradient + 0.9 * velocity[name])
        losses.append(total / 40)
    assert [one["train"].loss for one in found] == pytest.approx(losses, rel=1e-6)
    for name, value in training.net.state_dict().items():
        assert torch.allclose(value, net.state_dict()[name], rtol=1e-6, atol=1e-8), name


def test_figures_are_means_over_images(data: TrainingData, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recipe, "BATCH", 8)
    training = recipe.start("sss", 0, 1, data)
    training.net.train()
    for _ in range(3):  # running statistics that are not the initial ones
        training.net(torch.randn(16, 3, 32, 32))
    found = recipe.evaluate(training.net, data, "ori-test", "float32")
    images = data.evals["ori-test"]
    with torch.no_grad():
        logits = training.net.eval()(normalized(images.pixels, data))[1].double()
    expected = torch.nn.functional.cross_entropy(logits, images.labels).item()
    places = (logits > logits[range(30), images.labels][:, None]).sum(1)
    assert found.loss == pytest.approx(expected, rel=1e-5)
    assert found.accuracy == pytest.approx(100 * (places == 0).double().mean().item(), abs=1e-4)
    assert found.top5 == pytest.approx(100 * (places < 5).double().mean().item(), abs=1e-4)
    assert found.seconds > 0


def test_training_learns_and_bf16_is_near(data: TrainingData) -> None:
    last = {}
    for precision in recipe.PRECISIONS:
        training = recipe.start("sss", 0, 777, data, precision)
        alone = recipe.Together([training], precision)
        for _ in range(8):
            last[precision] = alone.train_epoch(data, [777], 8)[0]["train"].loss
        assert all(value.dtype != torch.bfloat16 for value in training.net.state_dict().values())
    assert last["float32"] < 2.0
    assert last["bf16"] == pytest.approx(last["float32"], rel=0.15)
    assert last["bf16"] != last["float32"]
    assert last["float64"] == pytest.approx(last["float32"], rel=0.02)


def test_starting_leaves_the_random_state_alone(data: TrainingData) -> None:
    torch.manual_seed(5)
    expected = torch.rand(1)
    torch.manual_seed(5)
    one, two = (recipe.start("sss", 0, 777, data) for _ in range(2))
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(one.net.stem[0].weight, two.net.stem[0].weight)
