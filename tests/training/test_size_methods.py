"""The three searches of sss: what moves in a step, by which loss, and whole searches through the loop."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'natsdb[training]'")

from natsdb.schema.size import CHANNELS  # noqa: E402
from natsdb.schema.spaces import arch_str  # noqa: E402
from natsdb.training.weight_sharing import ALGORITHMS, Progress, search  # noqa: E402
from natsdb.training.weight_sharing.masking import MaskGumbel, MaskRL  # noqa: E402
from natsdb.training.weight_sharing.method import Epoch, Options  # noqa: E402
from natsdb.training.weight_sharing.size import SizeSupernet  # noqa: E402
from natsdb.training.weight_sharing.size_method import SizeMethod  # noqa: E402
from natsdb.training.weight_sharing.tas import TAS  # noqa: E402
from pictures import write_parquet  # noqa: E402

METHODS = (TAS, MaskGumbel, MaskRL)


def _started(kind: type[SizeMethod], **options: Any) -> tuple[SizeMethod, Any]:
    torch.manual_seed(6)
    method = kind(SizeSupernet(10), Options(**{"epochs": 10, "arch_weight_decay": 0, **options}))
    method.optimizer = method.arch_optimizer()
    return method.train(), torch.optim.SGD(method.net.parameters(), 0.025)


def _batch(seed: int, images: int = 8) -> tuple[Any, Any]:
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(images, 3, 8, 8, generator=draw), torch.randint(10, (images,), generator=draw)


def _kept(values: Any) -> list[Any]:
    return [value.detach().clone() for value in values]


def _same(one: Any, other: Any) -> bool:
    return all(torch.equal(a, b) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("kind", METHODS)
def test_a_weight_step_has_gradients_for_weights_only_and_an_architecture_step_moves_parameters_only(kind: Any) -> None:
    method, weights = _started(kind)
    method.begin(Epoch(1, 0, 10))
    method.arch_step(_batch(0), _batch(1), weights)  # the first advantage of mask_rl is 0
    before = _kept(method.net.parameters()), _kept([method.alphas])
    loss, logits = method.weight_loss(*_batch(1))
    assert loss.item() == pytest.approx(torch.nn.functional.cross_entropy(logits, _batch(1)[1]).item())
    method.alphas.grad = None
    loss.backward()
    assert method.alphas.grad is None
    gradients = _kept(weight.grad for weight in method.net.parameters())
    for seed in range(2, 6):
        loss, logits = method.arch_step(_batch(seed), _batch(1), weights)
        assert not loss.requires_grad
        assert not logits.requires_grad
        assert loss.item() == pytest.approx(torch.nn.functional.cross_entropy(logits, _batch(seed)[1]).item())
    assert _same(_kept(method.net.parameters()), before[0])
    assert _same(gradients, [weight.grad for weight in method.net.parameters()])
    assert not _same([method.alphas], before[1])


@pytest.mark.parametrize("kind", METHODS)
def test_in_the_warm_up_no_parameter_moves_but_batches_run(kind: Any) -> None:
    method, weights = _started(kind, warmup_ratio=0.5)
    for number in (0, 4, 5):
        method.begin(Epoch(1, number, 10))
        alphas = _kept([method.alphas])
        statistics = method.net.cells[1].conv_a.op[2].running_mean.clone()
        for seed in range(3):
            loss, logits = method.arch_step(_batch(seed), _batch(9), weights)
            assert torch.isfinite(loss)
            assert logits.shape == (8, 10)
        assert _same([method.alphas], alphas) == (number < 5)
        assert not torch.equal(statistics, method.net.cells[1].conv_a.op[2].running_mean)


@pytest.mark.parametrize("kind", METHODS)
@pytest.mark.parametrize("warmup_ratio", [None, 0.9])
def test_draws_are_those_of_seed_and_epoch(kind: Any, warmup_ratio: float | None) -> None:
    method, _ = _started(kind, warmup_ratio=warmup_ratio)

    def drawn(seed: int, number: int) -> Any:
        method.begin(Epoch(seed, number, 10))
        torch.rand(3)  # the global generator has no part in it
        return torch.cat([method.gates().factors.detach() for _ in range(4)])

    first = drawn(777, 3)
    assert not torch.equal(first[:6], first[6:12])
    assert torch.equal(first, drawn(777, 3))
    assert not torch.equal(first, drawn(778, 3))
    assert not torch.equal(first, drawn(777, 4))


@pytest.mark.parametrize("kind", METHODS)
def test_the_architecture_found_has_the_greatest_parameter_of_each_row(kind: Any) -> None:
    method, _ = _started(kind)
    with torch.no_grad():
        for row, column in enumerate((3, 0, 7, 7, 4)):
            method.alphas[row, column] = 1.0
    found = method.find(iter(()))
    assert arch_str("sss", found.arch) == "32:8:64:64:40"
    assert found.accuracy is None


def test_sampling_is_rewarded_by_accuracy_over_a_moving_average() -> None:
    method, weights = _started(MaskRL, warmup_ratio=0.1)
    with torch.no_grad():
        method.alphas.copy_(torch.randn(5, 8))
    numerator = denominator = 0.0
    advantages = []
    for number in range(3):  # the first epoch is warm-up: its rewards count in the average, but move nothing
        method.begin(Epoch(1, number, 10))
        for seed in range(6):
            images, _ = _batch(seed)
            # Draw what the step will draw, to know its logits beforehand; then labels that so many of them fit.
            state = method.draw.get_state()
            gates = method.gates()
            alphas = method.alphas.detach().double()
            before = _kept([method.alphas])
            with torch.no_grad():
                places = method.net(images, gates.factors)[1].argmax(1)
            hits = (5 * seed + number) % 9
            labels = torch.where(torch.arange(8) < hits, places, (places + 1) % 10)
            method.draw.set_state(state)
            method.alphas.grad = None
            method.arch_step((images, labels), _batch(9), weights)

            accuracy = 100 * hits / 8
            numerator = 0.95 * numerator + 0.05 * accuracy
            denominator = 0.95 * denominator + 0.05
            assert method.baseline.tolist() == pytest.approx([numerator, denominator])
            if number == 0:
                assert method.alphas.grad is None
                assert _same([method.alphas], before)
                continue
            advantage = accuracy - numerator / denominator
            advantages.append(advantage)
            # d(-advantage·Σ log p)/d alphas: of each block, its row's probabilities less 1 at the width it drew.
            expected = torch.zeros(5, 8, dtype=torch.float64)
            for block, row in enumerate((0, 0, 1, 2, 3, 4)):
                width = int(gates.factors[block].sum())
                expected[row] += advantage * alphas[row].softmax(0)
                expected[row, CHANNELS.index(width)] -= advantage
            assert torch.allclose(method.alphas.grad.double(), expected, rtol=1e-4, atol=1e-4)
    assert min(advantages) < -10
    assert max(advantages) > 10


def test_the_baseline_is_in_a_checkpoint() -> None:
    method, weights = _started(MaskRL)
    method.begin(Epoch(1, 0, 10))
    method.arch_step(_batch(0), _batch(1), weights)
    other, _ = _started(MaskRL)
    other.load_state_dict(method.state_dict())
    assert other.baseline.tolist() == method.baseline.tolist()
    assert other.baseline[1] > 0


def test_sampling_prefers_the_wide_where_only_width_is_rewarded() -> None:
    """Accuracy is 100 % if all six blocks are wider than 32, else 0: the controller finds out within 300 steps."""
    method, weights = _started(MaskRL, arch_learning_rate=0.1)
    method.begin(Epoch(1, 0, 10))
    start = method.alphas.softmax(1)[:, 4:].sum(1)

    class Rewarding(torch.nn.Module):
        def forward(self, images: Any, gates: Any) -> tuple[Any, Any]:
            wide = (gates.sum(1) > 32).all().float()
            return images, torch.stack([wide, 1 - wide]).expand(len(images), 2)

    method.net = Rewarding()
    for _ in range(300):
        method.arch_step((torch.zeros(4, 3, 8, 8), torch.zeros(4, dtype=torch.long)), _batch(0), weights)
    assert start.max() < 0.51
    assert method.alphas.softmax(1)[:, 4:].sum(1).min() > 0.9


SEARCHES = [name for name, of in ALGORITHMS.items() if of.space == "sss"]


def _searched(name: str, data: Path, folder: Path, **options: Any) -> dict[str, Any]:
    return json.loads(search(name, "cifar10", data, folder, seed=777, device="cpu", **options).read_text())


def _numbers(found: dict[str, Any]) -> list[dict[str, Any]]:
    return [{key: value for key, value in row.items() if key != "seconds"} for row in found["epochs"]]


@pytest.fixture(scope="module")
def made_up_pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_parquet(tmp_path_factory.mktemp("pictures"), 40, 10)


@pytest.mark.parametrize(
    "name", ["mask_rl", *(pytest.param(name, marks=pytest.mark.slow) for name in SEARCHES if name != "mask_rl")]
)
def test_a_search_that_stopped_twice_ends_in_the_same_bits(name: str, made_up_pictures: Path, tmp_path: Path) -> None:
    # The first epoch is warm-up: it stops once after that, once after an epoch of the controller.
    options = {"epochs": 3, "batch": 10, "warmup_ratio": 0.3, "arch_learning_rate": 0.05}
    whole = _searched(name, made_up_pictures, tmp_path / "whole", **options)

    def stop(_: Progress) -> None:
        raise KeyboardInterrupt

    for _ in range(2):
        with pytest.raises(KeyboardInterrupt):
            _searched(name, made_up_pictures, tmp_path / "parts", progress=stop, **options)
    assert _numbers(_searched(name, made_up_pictures, tmp_path / "parts", **options)) == _numbers(whole)
    assert [row["epoch"] for row in whole["epochs"]] == [0, 1, 2]
    assert whole["arch_str"] == arch_str("sss", whole["arch"])


def test_the_three_searches_are_there_with_their_published_settings() -> None:
    assert sorted(SEARCHES) == ["mask_gumbel", "mask_rl", "tas"]
    for name in SEARCHES:
        options = ALGORITHMS[name].options
        assert (options.epochs, options.batch, options.warmup_ratio) == (100, 64, None)
        assert options.arch_weight_decay == (0 if name == "mask_rl" else 1e-3)
        assert isinstance(ALGORITHMS[name].start(10, options), dict(zip(SEARCHES, METHODS, strict=True))[name])


@pytest.mark.slow
@pytest.mark.parametrize("name", SEARCHES)
def test_a_search_on_real_pictures_learns_in_two_epochs(name: str, test_data: Path, tmp_path: Path) -> None:
    found = _searched(name, test_data / "images", tmp_path, epochs=2, images=1024)
    first, second = found["epochs"]
    assert found["images"] == {"train": 1024, "x-valid": 1024}
    assert second["train_loss"] < first["train_loss"]
    assert second["arch_loss"] < first["arch_loss"]
    # Better than chance. By loss: accuracy depends on the two draws that so many pictures get, in TAS from 9 to 20 %.
    assert max(first["valid_loss"], second["valid_loss"]) < math.log(10)
