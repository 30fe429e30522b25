"""The supernet of sss and its gates against the authors' package, the single networks, and formulas written out."""

from __future__ import annotations

import itertools
import math
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'natsdb[training]'")
models = pytest.importorskip(
    "xautodl.models", reason="the oracle is not installed: pip install --no-deps xautodl==1.0.0"
)

from xautodl.models.shape_searchs import generic_size_tiny_cell_model as theirs_module  # noqa: E402

from natsdb.schema.size import CHANNELS, SSS_CELL  # noqa: E402
from natsdb.training.networks import network  # noqa: E402
from natsdb.training.weight_sharing.loop import step, weight_optimizer  # noqa: E402
from natsdb.training.weight_sharing.masking import MaskGumbel, MaskRL  # noqa: E402
from natsdb.training.weight_sharing.method import Epoch, Options  # noqa: E402
from natsdb.training.weight_sharing.size import SizeSupernet, gated  # noqa: E402
from natsdb.training.weight_sharing.size_method import SizeMethod, prefix_masks, warm_columns  # noqa: E402
from natsdb.training.weight_sharing.tas import TAS, all_stretches  # noqa: E402

METHODS = {"tas": TAS, "mask_gumbel": MaskGumbel, "mask_rl": MaskRL}
EPOCHS = 11
CLASSES = 10


def _theirs(name: str) -> Any:
    config = {"super_type": "search-shape", "name": "generic", "candidate_Cs": list(CHANNELS), "max_num_Cs": 5}
    config |= {"genotype": SSS_CELL, "num_classes": CLASSES, "affine": False, "track_running_stats": False}
    net = models.get_cell_based_tiny_net(config)
    net.set_algo(name)
    return net


def _ours(name: str, warmup_ratio: float | None = None) -> SizeMethod:
    return METHODS[name](SizeSupernet(CLASSES), Options(EPOCHS, warmup_ratio=warmup_ratio))


def _key(theirs: str) -> str:
    """Our name of one of their values."""
    if theirs.startswith("_cells.0."):
        return theirs.replace("_cells.0.", "net.stem.")
    if theirs.startswith("_cells."):
        _, cell, rest = theirs.split(".", 2)
        return f"net.cells.{int(cell) - 1}.{rest}"
    return {"_arch_parameters": "alphas"}.get(theirs, f"net.{theirs}")


def _pair(name: str, warmup_ratio: float | None = None) -> tuple[Any, SizeMethod]:
    """Both with the same values: preferences among widths that matter, and no weight as it started."""
    torch.manual_seed(3)
    theirs, ours = _theirs(name), _ours(name, warmup_ratio)
    for key, value in theirs.state_dict().items():
        if value.ndim == 1 and value.is_floating_point() and len(value) > 1:
            value.add_(0.2 * torch.rand(value.shape))
        if key == "_arch_parameters":
            value.copy_(torch.randn(value.shape))
    state = {_key(key): value for key, value in theirs.state_dict().items() if key not in ("_masks", "_tau")}
    missing, unexpected = ours.load_state_dict(state, strict=False)
    assert (missing, unexpected) == (["baseline"] if name == "mask_rl" else [], [])
    return theirs, ours


def _batch(seed: int, images: int = 4) -> tuple[Any, Any]:
    draw = torch.Generator().manual_seed(seed)
    pixels = torch.randn(images, 3, 8, 8, generator=draw, dtype=torch.float64)
    return pixels, torch.randint(CLASSES, (images,), generator=draw)


def _near(mine: Any, other: Any, tolerance: float) -> None:
    assert mine.shape == other.shape
    assert (mine - other).abs().max().item() <= tolerance * max(1.0, other.abs().max().item())


@pytest.mark.parametrize("name", METHODS)
def test_initial_draws_equal_the_authors(name: str) -> None:
    torch.manual_seed(777)
    theirs = {_key(key): value for key, value in _theirs(name).named_parameters()}
    torch.manual_seed(777)
    ours = dict(_ours(name).named_parameters())
    assert ours.keys() == theirs.keys()
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def _answers(name: str, number: int, dtype: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """What both answer to a batch in an epoch, theirs and ours: outputs, gradients and logits of validation, for three
    seeds of draws."""
    images, labels = _batch(number)
    epoch = Epoch(1, number, EPOCHS)
    theirs, ours = (net.to(dtype) for net in _pair(name))
    ours.begin(epoch)
    theirs.set_tau(epoch.tau())
    their_answers, our_answers = {}, {}
    for seed in range(3):
        theirs.train().zero_grad()
        ours.train().zero_grad()
        torch.manual_seed(seed)
        their_features, their_logits, their_log_probs = theirs(images.to(dtype))
        ours.draw = torch.Generator().manual_seed(seed)
        gates = ours.gates()
        features, logits = ours.net(images.to(dtype), gates.factors)
        their_loss = torch.nn.functional.cross_entropy(their_logits, labels)
        loss = torch.nn.functional.cross_entropy(logits, labels)
        if name == "mask_rl":
            their_loss, loss = their_loss - 3 * sum(their_log_probs).sum(), loss - 3 * gates.log_probability
        their_loss.backward()
        loss.backward()
        torch.manual_seed(seed)
        ours.draw = torch.Generator().manual_seed(seed)
        with torch.no_grad():
            their_valid = theirs.eval()(images.to(dtype))[1]
            valid = ours.eval().validation_logits(images.to(dtype), ours.find(iter(())))
        mine = {key: value.grad.clone() for key, value in ours.named_parameters()}
        grads = {_key(key): value.grad.clone() for key, value in theirs.named_parameters()}
        their_answers |= _of_seed(seed, features=their_features, logits=their_logits, valid=their_valid, **grads)
        our_answers |= _of_seed(
            seed, features=features, logits=logits, valid=valid, **{key: mine[key] for key in grads}
        )
    return their_answers, our_answers


def _of_seed(seed: int, **values: Any) -> dict[str, Any]:
    return {f"{name}, seed {seed}": value.detach() for name, value in values.items()}


def _distance(mine: dict[str, Any], other: dict[str, Any]) -> float:
    """The largest difference of any answer, where it is large relative to the answer's largest value."""
    assert {key: value.shape for key, value in mine.items()} == {key: value.shape for key, value in other.items()}
    return max(((mine[key] - one).abs().max() / max(1.0, one.abs().max().item())).item() for key, one in other.items())


@pytest.mark.parametrize("number", [0, 5, 10], ids=["hot", "warm", "cold"])
@pytest.mark.parametrize("name", METHODS)
def test_outputs_and_gradients_equal_the_authors_with_the_same_seed_of_draws(name: str, number: int) -> None:
    exact, same = _answers(name, number, torch.float64)
    assert _distance(same, exact) <= 1e-12
    # float32 adds in another order, by processor too, so the bound is the authors' own error, that of their features:
    # a gradient jumps by up to 5e-2 from float64 where what a ReLU gets is almost 0, for them and for us.
    theirs, ours = _answers(name, number, torch.float32)
    features = [key for key in exact if key.startswith("features")]
    error = _distance({key: theirs[key] for key in features}, {key: exact[key] for key in features})
    assert _distance(ours, theirs) <= 3 * error


@pytest.mark.parametrize("name", METHODS)
def test_four_steps_of_weights_and_architecture_equal_the_authors(name: str) -> None:
    """Their network under optimizers as they set them, one call after the other as in their loop; float64."""
    theirs, ours = (net.double().train() for net in _pair(name))
    ours.optimizer, by = ours.arch_optimizer(), weight_optimizer(ours)
    momentum = torch.optim.SGD(theirs.weights, 0.025, 0.9, nesterov=True, weight_decay=5e-4)
    adam = torch.optim.Adam(theirs.alphas, 3e-4, (0.5, 0.999), 1e-8, weight_decay=1e-3)
    epoch = Epoch(1, 3, EPOCHS)
    ours.begin(epoch)
    theirs.set_tau(epoch.tau())
    torch.manual_seed(epoch.generator("architectures").initial_seed())
    start = ours.alphas.detach().clone()
    numerator = denominator = 0.0
    for seed in range(4):
        train, arch = _batch(seed), _batch(seed + 10)
        step(ours, by, train, arch)

        theirs.zero_grad()
        torch.nn.functional.cross_entropy(theirs(train[0])[1], train[1]).backward()
        momentum.step()
        theirs.zero_grad()
        _, logits, log_probs = theirs(arch[0])
        loss = torch.nn.functional.cross_entropy(logits, arch[1])
        if name == "mask_rl":
            accuracy = 100 * (logits.argmax(1) == arch[1]).double().mean().item()
            numerator, denominator = 0.95 * numerator + 0.05 * accuracy, 0.95 * denominator + 0.05
            loss = -(accuracy - numerator / denominator) * sum(log_probs).sum()
        loss.backward()
        adam.step()
    mine = dict(ours.named_parameters())
    for key, value in theirs.named_parameters():
        _near(mine[_key(key)], value, 1e-9)
    assert (ours.alphas - start).abs().max() > 1e-4


@pytest.mark.parametrize("name", METHODS)
def test_the_oracle_would_notice_gates_in_another_order(name: str) -> None:
    theirs, ours = _pair(name)
    images, _ = _batch(1)
    ours.begin(Epoch(1, 9, EPOCHS))
    theirs.set_tau(ours.epoch.tau())
    torch.manual_seed(1)
    ours.draw = torch.Generator().manual_seed(1)
    factors = ours.gates().factors
    assert (ours.net(images.float(), factors.flip(0))[1] - theirs(images.float())[1]).abs().max() > 1e-3


@pytest.mark.parametrize("name", METHODS)
def test_the_warm_up_equals_the_authors_with_the_same_widths(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    theirs, ours = _pair(name, warmup_ratio=0.5)
    images, _ = _batch(2)
    ours.begin(Epoch(1, 2, EPOCHS))
    theirs.set_warmup_ratio(ours.full)
    columns = iter(warm_columns(ours.full, Epoch(1, 2, EPOCHS).generator("architectures")).tolist())

    class Replay:
        """Stands in for Python's `random` in their module: never full by chance, then the widths that ours drew."""

        random = staticmethod(lambda: 1.0)
        randint = staticmethod(lambda low, high: next(columns))

    monkeypatch.setattr(theirs_module, "random", Replay)
    expected = theirs(images.float())[1]
    _near(ours.net(images.float(), ours.gates().factors)[1], expected, 1e-6)


def test_the_warm_up_narrows_linearly_and_ends_at_its_part_of_the_epochs() -> None:
    method = METHODS["tas"](SizeSupernet(CLASSES), Options(100, warmup_ratio=0.3))
    full = []
    for number in range(100):
        method.begin(Epoch(1, number, 100))
        full.append(method.full)
    assert full[30:] == [None] * 70
    assert full[:30] == pytest.approx([1 - number / 30 for number in range(30)])
    without = _ours("tas")
    without.begin(Epoch(1, 0, EPOCHS))
    assert without.full is None


@pytest.mark.parametrize("full", [1.0, 0.4, 0.05])
def test_widths_of_the_warm_up_are_as_frequent_as_described(full: float) -> None:
    draw = torch.Generator().manual_seed(5)
    columns = torch.stack([warm_columns(full, draw) for _ in range(4000)])
    for block in range(6):
        found = columns[:, block].bincount(minlength=8) / 4000
        for column, share in enumerate(found.tolist()):
            expected = (1 - full) / 8 + (full if column == 7 else 0)
            assert share == pytest.approx(expected, abs=4.5 * math.sqrt(expected * (1 - expected) / 4000) + 1e-12)
    # Stem and first cell draw apart.
    same = (columns[:, 0] == columns[:, 1]).double().mean().item()
    expected = ((1 - full) / 8 + full) ** 2 + 7 * ((1 - full) / 8) ** 2
    assert same == pytest.approx(expected, abs=0.04)


def _stretched(x: Any, wide: int) -> Any:
    """Adaptive average pooling along the channels, an output channel at a time."""
    narrow = x.shape[1]
    out = []
    for channel in range(wide):
        first, last = math.floor(channel * narrow / wide), math.ceil((channel + 1) * narrow / wide)
        out.append(sum(x[:, source] for source in range(first, last)) / (last - first))
    return torch.stack(out, 1)


def _stretched_gradient(gradient: Any, narrow: int) -> Any:
    """Of the input channels, from the output channels' gradient: each output gives its share to those it averaged."""
    wide = gradient.shape[1]
    found = torch.zeros(len(gradient), narrow, *gradient.shape[2:], dtype=gradient.dtype)
    for channel in range(wide):
        first, last = math.floor(channel * narrow / wide), math.ceil((channel + 1) * narrow / wide)
        for source in range(first, last):
            found[:, source] += gradient[:, channel] / (last - first)
    return found


def test_interpolation_of_two_widths_equals_the_definition_with_its_gradients() -> None:
    stretches = all_stretches().double()
    draw = torch.Generator().manual_seed(1)
    x = torch.randn(2, 64, 3, 3, generator=draw, dtype=torch.float64, requires_grad=True)
    upstream = torch.randn(2, 64, 3, 3, generator=draw, dtype=torch.float64)
    for (i, one), (j, two) in itertools.permutations(enumerate(CHANNELS), 2):
        shares = torch.tensor([0.3, 0.7], dtype=torch.float64, requires_grad=True)
        wider = max(one, two)
        found = gated(x, shares[0] * stretches[i, max(i, j)] + shares[1] * stretches[j, max(i, j)])
        parts = [_stretched(x[:, :width], wider) for width in (one, two)]
        expected = torch.zeros_like(x)
        expected[:, :wider] = 0.3 * parts[0] + 0.7 * parts[1]
        _near(found, expected, 1e-12)

        to_x, to_shares = torch.autograd.grad((found * upstream).sum(), [x, shares])
        by_hand = torch.zeros_like(x)
        for share, width in ((0.3, one), (0.7, two)):
            by_hand[:, :width] += share * _stretched_gradient(upstream[:, :wider], width)
        _near(to_x, by_hand, 1e-12)
        _near(to_shares, torch.stack([(part * upstream[:, :wider]).sum() for part in parts]), 1e-12)


def test_masks_keep_the_first_channels() -> None:
    masks = prefix_masks()
    for column, width in enumerate(CHANNELS):
        assert masks[column].tolist() == [1.0] * width + [0.0] * (64 - width)


def test_the_mixed_mask_is_the_sum_of_masked_features_by_weight() -> None:
    method = _ours("mask_gumbel").double()
    method.begin(Epoch(4, 6, EPOCHS))
    tau = 10 - 9.9 * 6 / 10
    draw = Epoch(4, 6, EPOCHS).generator("architectures")
    noise = -torch.empty(6, 8, dtype=torch.float64).exponential_(generator=draw).log()
    x = torch.randn(2, 64, 2, 2, dtype=torch.float64)
    gates = method.gates()
    assert gates.log_probability is None
    for block, row in enumerate((0, 0, 1, 2, 3, 4)):
        weight = torch.exp((method.alphas[row] + noise[block]) / tau)
        expected = torch.zeros_like(x)
        for column, width in enumerate(CHANNELS):
            expected[:, :width] += weight[column] / weight.sum() * x[:, :width]
        _near(gated(x, gates.factors[block]), expected, 1e-12)


def test_sampled_widths_are_as_frequent_as_their_probabilities() -> None:
    method = _ours("mask_rl")
    with torch.no_grad():
        method.alphas.copy_(torch.randn(5, 8, generator=torch.Generator().manual_seed(2)))
    method.begin(Epoch(1, 0, EPOCHS))
    with torch.no_grad():
        widths = torch.stack([method.gates().factors.sum(1).long() for _ in range(4000)])
    for block, row in enumerate((0, 0, 1, 2, 3, 4)):
        for width, expected in zip(CHANNELS, method.alphas[row].softmax(0).tolist(), strict=True):
            share = (widths[:, block] == width).double().mean().item()
            assert share == pytest.approx(expected, abs=4.5 * math.sqrt(expected * (1 - expected) / 4000))


@pytest.mark.parametrize(
    "widths", [(64,) * 5, (8,) * 5, (24, 24, 24, 40, 40), (16, 40, 24, 8, 56), (48, 8, 64, 32, 16)]
)
def test_one_width_a_block_equals_the_single_network_of_these_widths(widths: tuple[int, ...]) -> None:
    """In training mode, where both normalize by the batch; float64.

    The supernet narrows only what a block gives, its cells are 64 wide inside: equality asks that inside a cell the
    channels beyond its width are not read, so those weights are 0. Its normalization has no weights, so the single
    network's are the initial ones, except in reductions, which have them in both. Biases before a normalization by the
    batch cancel, so those of the supernet may have any value. A skip edge between different widths passes the first
    channels on: in the single network its convolution is that part of the identity, and its normalization is made
    to change nothing, by statistics of its own in evaluation mode.
    """
    torch.manual_seed(4)
    supernet, single = SizeSupernet(CLASSES).double(), network("sss", widths, CLASSES).double()
    for layer, cell in enumerate(supernet.cells):
        if layer not in (1, 3):
            for edge in (2, 4, 5):  # from nodes 1 and 2, which are inside the cell
                cell.layers[edge].op[1].weight.data[:, widths[layer] :] = 0
        else:
            for part in (cell.conv_a, cell.conv_b):
                part.op[2].weight.data.add_(0.3 * torch.rand(64))
                part.op[2].bias.data.add_(0.3 * torch.rand(64))
            cell.conv_b.op[1].weight.data[:, widths[layer] :] = 0
    whole, state = supernet.state_dict(), single.state_dict()
    reductions = ("cells.1.", "cells.3.")
    for key, value in state.items():
        if key in whole and (value.ndim > 1 or key.startswith(reductions)):
            value.copy_(whole[key][tuple(slice(size) for size in value.shape)])
    state["classifier.bias"].copy_(whole["classifier.bias"])
    single.train()
    for layer in (2, 4):
        if widths[layer] != widths[layer - 1]:
            skip = single.cells[layer].layers[3]
            skip.conv.weight.data.copy_(torch.eye(widths[layer], widths[layer - 1])[:, :, None, None])
            skip.bn.running_var.fill_(1 - skip.bn.eps)
            skip.bn.eval()

    images, _ = _batch(7)
    columns = [CHANNELS.index(width) for width in (widths[0], *widths)]
    features, logits = supernet(images, prefix_masks().double()[columns])
    expected_features, expected_logits = single(images)
    _near(logits, expected_logits, 1e-6)
    _near(features[:, : widths[-1]], expected_features, 1e-6)
    assert not features[:, widths[-1] :].any()
    # The equality means something: other widths give other logits.
    columns[3] = (columns[3] + 4) % 8
    assert (supernet(images, prefix_masks().double()[columns])[1] - expected_logits).abs().max() > 1e-3
