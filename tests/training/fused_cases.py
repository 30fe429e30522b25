"""Cells by kernels of our own against PyTorch's layers; `test_fused.py` runs it. On a CPU interpreted, in float32."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from natsdb.training import fused, networks

CUDA = torch.cuda.is_available()
DEVICE, DTYPE = ("cuda", torch.bfloat16) if CUDA else ("cpu", torch.float32)
# In bf16 each value is rounded to 8 bits.
BOUND = 1e-2 if CUDA else 1e-5


def _values(*shape: int, like: Any = None) -> Any:
    drawn = torch.randn(*shape, device=DEVICE) if like is None else torch.randn_like(like)
    return drawn.to(DTYPE, memory_format=torch.channels_last)


def _exact(value: Any) -> Any:
    """The same in float64, in PyTorch's usual order: its pooling on CUDA had a wrong gradient in the other."""
    return value.detach().double().contiguous().requires_grad_(value.requires_grad)


def _near(found: Any, expected: Any, bound: float = BOUND) -> bool:
    return bool((found.double() - expected).norm() <= bound * expected.norm())


@pytest.mark.parametrize(
    ("into", "outof", "size", "relu"), [(16, 32, 3, True), (32, 16, 1, True), (16, 16, 3, False)], ids=str
)
def test_a_convolution_and_its_gradients(into: int, outof: int, size: int, relu: bool) -> None:
    torch.manual_seed(0)
    # More pixels than a tile, and no whole number of tiles.
    x = _values(3, into, 8, 8).requires_grad_()
    weight = torch.nn.Conv2d(into, outof, size, bias=False).to(DEVICE, memory_format=torch.channels_last).weight
    y, sums = fused.Convolution.apply(x, weight, relu)
    dy = _values(like=y)
    y.backward(dy)
    exact, by = _exact(x), weight.detach().to(DTYPE).double().requires_grad_()
    expected = torch.nn.functional.conv2d(exact.relu() if relu else exact, by, padding=size // 2)
    expected.backward(dy.double())
    assert _near(y, expected)
    assert _near(x.grad, exact.grad)
    assert _near(weight.grad, by.grad)
    assert _near(sums[:, 0].sum(0), y.double().sum((0, 2, 3)), 1e-3)
    assert _near(sums[:, 1].sum(0), y.double().square().sum((0, 2, 3)), 1e-5)


def test_pooling_and_its_gradient() -> None:
    torch.manual_seed(0)
    x = _values(3, 16, 8, 8).requires_grad_()
    y = fused.Pool.apply(x)
    dy = _values(like=y)
    y.backward(dy)
    exact = _exact(x)
    expected = torch.nn.functional.avg_pool2d(exact, 3, 1, 1, count_include_pad=False)
    expected.backward(dy.double().contiguous())
    assert _near(y, expected)
    assert _near(x.grad, exact.grad)


@pytest.mark.parametrize("arch", ["mean", "other", "all 3x3", "nothing"])
def test_a_network_and_its_gradients(arch: str) -> None:
    ops = {
        # A node that leads nowhere; every operation on other edges; three values to be normalized at a node.
        "mean": "|nor_conv_3x3~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_1x1~1|none~2|",
        "other": "|avg_pool_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|nor_conv_3x3~0|none~1|skip_connect~2|",
        "all 3x3": "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|",
        "nothing": "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
    }
    nets = []
    for _ in range(2):
        torch.manual_seed(5)
        net = networks.Network(*networks.space_of("tss").skeleton(ops[arch]), 10)
        # As deep as it must be: a cell, a reduction, a cell of another width.
        net.cells = torch.nn.ModuleList(net.cells[at] for at in (0, 5, 6))
        net.lastact[0], net.classifier = torch.nn.BatchNorm2d(32), torch.nn.Linear(32, 10)
        nets.append(net.to(DEVICE).train())
    ours, theirs = nets[0].to(memory_format=torch.channels_last), nets[1].double()
    images, labels = torch.randn(2, 3, 8, 8, device=DEVICE), torch.tensor([3, 7], device=DEVICE)
    found, expected = fused.forward(ours, images, DTYPE), theirs(images.double())[1]
    for logits in (found, expected):
        torch.nn.functional.cross_entropy(logits, labels).backward()
    assert _near(found, expected, 100 * BOUND if CUDA else 1e-4)
    for (name, one), other in zip(ours.named_parameters(), theirs.parameters(), strict=True):
        if one.grad is None:  # it leads nowhere; in the other net its gradient is zeros
            assert not other.grad.any(), name
        elif other.grad.norm() > 1e-6 and not CUDA:  # so few images magnify what bf16 rounds
            assert _near(one.grad, other.grad, 1e-3), name
    for (name, one), other in zip(ours.named_buffers(), theirs.buffers(), strict=True):
        assert torch.allclose(one.double(), other.double(), rtol=10 * BOUND, atol=10 * BOUND), name
