"""The networks against the authors' own package, xautodl."""

from __future__ import annotations

import random
import warnings
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'natsdb[training]'")
models = pytest.importorskip(
    "xautodl.models", reason="the oracle is not installed: pip install --no-deps xautodl==1.0.0"
)

from natsdb.schema.costs import costs  # noqa: E402
from natsdb.schema.datasets import DATASETS  # noqa: E402
from natsdb.schema.errors import NatsdbError  # noqa: E402
from natsdb.schema.size import SSS_CELL  # noqa: E402
from natsdb.schema.spaces import SPACES, arch_index, arch_str  # noqa: E402
from natsdb.schema.topology import OPS  # noqa: E402
from natsdb.training.networks import Pooled, counted_cost, network, pooled  # noqa: E402

_DRAW = random.Random(5)
# Cells of one operation throughout: all none and all skip compute nothing, the others are extremes too.
DEGENERATE = [f"|{op}~0|+|{op}~0|{op}~1|+|{op}~0|{op}~1|{op}~2|" for op in OPS]
TSS = [*(arch_index("tss", text) for text in DEGENERATE), *_DRAW.sample(range(SPACES["tss"].size), 50)]
SSS = [0, SPACES["sss"].size - 1, *_DRAW.sample(range(SPACES["sss"].size), 50)]
BOTH = [("tss", arch) for arch in TSS] + [("sss", arch) for arch in SSS]
# The extremes and some fifteen of each space; the others are more of the same.
QUICK = {*(("tss", arch) for arch in TSS[:20]), *(("sss", arch) for arch in SSS[:17])}


def _config(space: str, arch: int, classes: int) -> dict[str, Any]:
    text = arch_str(space, arch)
    if space == "tss":
        return {"name": "infer.tiny", "C": 16, "N": 5, "arch_str": text, "num_classes": classes}
    return {"name": "infer.shape.tiny", "channels": text, "genotype": SSS_CELL, "num_classes": classes}


def _oracle(space: str, arch: int, classes: int) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return models.get_cell_based_tiny_net(_config(space, arch, classes))


def _shaken(net: Any) -> None:
    """Values other than the initial ones for what starts at 0 or 1, so that a mix-up would show."""
    draw = torch.Generator().manual_seed(3)
    for name, value in net.state_dict().items():
        if value.is_floating_point() and value.ndim == 1:
            value.add_(0.2 * torch.rand(value.shape, generator=draw, dtype=value.dtype) * ("var" not in name or 1))


def _outputs(net: Any, images: Any, labels: Any) -> list[Any]:
    """Features, logits and all gradients in training mode, then running statistics, then outputs in evaluation."""
    net.train().zero_grad()
    features, logits = net(images)
    (torch.nn.functional.cross_entropy(logits, labels) + features.square().mean()).backward()
    gradients = [parameter.grad for parameter in net.parameters()]
    with torch.no_grad():
        evaluated = net.eval()(images)
    return [features, logits, *gradients, *net.buffers(), *evaluated]


@pytest.mark.parametrize(
    ("space", "arch"), [pytest.param(*one, marks=[] if one in QUICK else pytest.mark.slow) for one in BOTH]
)
def test_outputs_and_gradients_equal_the_authors(space: str, arch: int) -> None:
    classes, height = (10, 16) if arch % 3 == 0 else (120, 8)
    theirs, ours = _oracle(space, arch, classes), network(space, arch, classes)
    _shaken(theirs)
    draw = torch.Generator().manual_seed(arch)
    images = torch.randn(2, 3, height, height, generator=draw, dtype=torch.float64)
    labels = torch.randint(classes, (2,), generator=draw)
    for dtype, tolerance in ((torch.float32, 1e-6), (torch.float64, 1e-12)):
        theirs, ours = theirs.to(dtype), ours.to(dtype)
        ours.load_state_dict(theirs.state_dict(), strict=True)
        expected = _outputs(theirs, images.to(dtype), labels)
        found = _outputs(ours, images.to(dtype), labels)
        for mine, other in zip(found, expected, strict=True):
            scale = max(1.0, other.abs().max().item())
            assert (mine - other).abs().max().item() <= tolerance * scale


@pytest.mark.parametrize(("space", "arch"), BOTH[::10])
def test_keys_their_order_and_initial_draws_equal_the_authors(space: str, arch: int) -> None:
    torch.manual_seed(777)
    theirs = _oracle(space, arch, 100).state_dict()
    torch.manual_seed(777)
    ours = network(space, arch, 100).state_dict()
    assert list(ours) == list(theirs)
    assert all(torch.equal(ours[key], theirs[key]) for key in ours)


def test_the_oracle_would_notice_a_wrong_cell() -> None:
    theirs, ours = _oracle("tss", 1462, 10), network("tss", 1462, 10)
    ours.load_state_dict(theirs.state_dict())
    ours.cells[3].layers[2] = torch.nn.Identity()
    images, labels = torch.randn(4, 3, 8, 8), torch.tensor([0, 1, 2, 3])
    assert (_outputs(ours, images, labels)[1] - _outputs(theirs, images, labels)[1]).abs().max() > 1e-3


@pytest.mark.parametrize("space", ["tss", "sss"])
def test_costs_counted_on_the_module_equal_the_formulas(space: str) -> None:
    for dataset, of in DATASETS.items():
        flops, params = costs(space, dataset)
        for arch in (TSS if space == "tss" else SSS)[:: 1 if dataset == "cifar100" else 9]:
            counted = counted_cost(network(space, arch, of.classes), torch.zeros(1, 3, *[of.image_size] * 2))
            assert counted == (flops[arch], params[arch])


def test_counting_leaves_the_network_as_it_was() -> None:
    net = network("sss", 77, 10)
    before = {key: value.clone() for key, value in net.state_dict().items()}
    counted_cost(net, torch.rand(1, 3, 32, 32))
    assert net.training
    assert all(torch.equal(before[key], value) for key, value in net.state_dict().items())
    assert not any(module._forward_hooks for module in net.modules())


def test_every_way_to_name_an_architecture_gives_the_same_network() -> None:
    def of(make: Any) -> list[Any]:
        torch.manual_seed(1)
        return list(make().state_dict().values())

    for space in ("tss", "sss"):
        ways = [lambda s=space: network(s, 4321, 10), lambda s=space: network(s, arch_str(s, 4321), 10)]
        if space == "sss":
            ways.append(lambda: network("sss", SPACES["sss"].every[4321], 10))
        first, *others = [of(way) for way in ways]
        for other in others:
            assert all(torch.equal(a, b) for a, b in zip(first, other, strict=True))


def test_the_sss_cell_is_topology_9930() -> None:
    assert arch_index("tss", SSS_CELL) == 9930


def test_a_wrong_architecture_is_one_sentence() -> None:
    with pytest.raises(NatsdbError, match="outside the space"):
        network("tss", 15_625, 10)
    with pytest.raises(NatsdbError, match="no architecture of sss"):
        network("sss", [8, 8, 8, 8, 9], 10)


def test_compiled_pooling_has_the_gradient_of_our_own_and_it_is_right(monkeypatch: pytest.MonkeyPatch) -> None:
    x = torch.randn(2, 3, 5, 4, dtype=torch.float64, requires_grad=True)

    def gradient(of: Any) -> Any:
        return torch.autograd.grad((of(x) * x.sin()).sum(), x)[0]

    def compiled(z: Any) -> Any:
        return torch.compile(lambda z: pooled(z), backend="aot_eager", fullgraph=True)(z)

    expected = gradient(pooled)
    assert torch.allclose(gradient(compiled), expected, rtol=1e-12)
    torch.compiler.reset()
    monkeypatch.setattr(Pooled, "backward", staticmethod(lambda ctx, of: of * 0))
    assert not torch.allclose(gradient(compiled), expected)
    assert torch.equal(gradient(pooled), expected)
    torch.compiler.reset()


def test_the_gradient_of_pooling_on_cuda_is_pytorchs_on_a_cpu() -> None:
    x = torch.randn(2, 3, 5, 4, dtype=torch.float64, requires_grad=True)
    of = torch.randn_like(x)
    found = torch.autograd.grad(Pooled.apply(x), x, of)[0]
    expected = torch.autograd.grad(torch.nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False), x, of)[0]
    assert torch.allclose(found, expected, rtol=1e-12)
