"""The networks of both spaces, with the official state-dict keys and in the official order of registration.

Both are one skeleton: stem, five stages of cells and reductions, normalization, pooling, a linear classifier. In tss
all cells share a topology and the widths are 16, 32, 64; in sss all cells share one topology and the widths differ.
Source: Dong et al., NATS-Bench (TPAMI 2021), section 3; the tests compare them with the authors' package.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor, nn

from natsdb.schema.errors import NatsdbError
from natsdb.schema.spaces import arch_index, arch_str, space_of
from natsdb.schema.topology import EDGES, OPS


class ReluConvNorm(nn.Module):
    """ReLU, convolution, batch normalization. The name `op` is part of the official keys."""

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1) -> None:
        super().__init__()
        self.op = nn.Sequential(
            nn.ReLU(),
            nn.Conv2d(inputs, outputs, kernel, stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(outputs),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.op(x)


class ConvNorm(nn.Module):
    """What a skip edge is where the width changes (sss only): a 1×1 convolution and normalization, no ReLU before."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, 1, bias=False)
        self.bn = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        return self.bn(self.conv(x))


class Skip(nn.Module):
    """The operation `skip_connect`. As a view, and free of cost, it sums gradients in the authors' order."""

    def forward(self, x: Tensor) -> Tensor:
        return x.view_as(x)


class Zero(nn.Module):
    """The operation `none`: a product, so that gradients are zeros and not absent, and weight decay still acts."""

    def forward(self, x: Tensor) -> Tensor:
        return x * 0.0


class Pool(nn.Module):
    """The operation `avg_pool_3x3`: see `pooled`."""

    def forward(self, x: Tensor) -> Tensor:
        return pooled(x)


def pooled(x: Tensor) -> Tensor:
    """Means of 3×3 pixels, of those that there are.

    On CUDA devices with a gradient of our own: PyTorch's was wrong there for channels last with padding until July 2026
    (pytorch/pytorch, issue 188344; seen with 2.11), and networks of pools learnt next to nothing. Compiled with it too:
    what the compiler makes of PyTorch's takes six times as long on a CPU.
    """
    if torch.is_grad_enabled() and (x.is_cuda or torch.compiler.is_compiling()):
        found: Tensor = Pooled.apply(x)
        return found
    return _means(x)


def _means(x: Tensor) -> Tensor:
    return nn.functional.avg_pool2d(x, 3, 1, 1, count_include_pad=False)


class Pooled(torch.autograd.Function):
    """`pooled`, with its gradient in terms of pooling itself: each pixel's share of the means that it is part of."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _means(x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        one = gradient.new_ones(1, 1, *gradient.shape[2:])
        counts = nn.functional.avg_pool2d(one, 3, 1, 1, divisor_override=1)
        return nn.functional.avg_pool2d(gradient / counts, 3, 1, 1, divisor_override=1)


class Cell(nn.Module):
    """Four nodes; each is the sum of the operations on its edges from earlier nodes. Returns the last."""

    def __init__(self, ops: Sequence[str], inputs: int, outputs: int) -> None:
        super().__init__()
        self.layers = nn.ModuleList(
            _operation(op, inputs if source == 0 else outputs, outputs)
            for op, (_, source) in zip(ops, EDGES, strict=True)
        )

    def forward(self, x: Tensor) -> Tensor:
        nodes = [x]
        for operation, (node, source) in zip(self.layers, EDGES, strict=True):
            term = operation(nodes[source])
            if node == len(nodes):
                nodes.append(term)
            else:
                nodes[node] = nodes[node] + term
        return nodes[3]


class Reduction(nn.Module):
    """A residual block that halves height and width: two convolutions beside average pooling and a 1×1 convolution."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv_a = ReluConvNorm(inputs, outputs, 3, stride=2)
        self.conv_b = ReluConvNorm(outputs, outputs, 3)
        self.downsample = nn.Sequential(nn.AvgPool2d(2), nn.Conv2d(inputs, outputs, 1, bias=False))

    def forward(self, x: Tensor) -> Tensor:
        # In this order gradients are summed as the authors' are, to the last bit.
        main = self.conv_b(self.conv_a(x))
        return self.downsample(x) + main


class Network(nn.Module):
    """A network of either space.

    Args:
        ops: operations of every cell on the six edges (see `natsdb.schema.spaces.EDGES`).
        widths: output channels of each layer; the stem has those of the first.
        reductions: indexes of the layers that halve height and width; the others are cells.
        classes: number of classes.
    """

    def __init__(self, ops: Sequence[str], widths: Sequence[int], reductions: Sequence[int], classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, widths[0], 3, padding=1, bias=False), nn.BatchNorm2d(widths[0]))
        self.cells = nn.ModuleList(
            Reduction(inputs, outputs) if layer in reductions else Cell(ops, inputs, outputs)
            for layer, (inputs, outputs) in enumerate(pairwise([widths[0], *widths]))
        )
        self.lastact = nn.Sequential(nn.BatchNorm2d(widths[-1]), nn.ReLU(inplace=True))
        self.classifier = nn.Linear(widths[-1], classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """(features, logits) of normalized images: N×3×H×H floats → N×width and N×classes."""
        x = self.stem(images)
        for cell in self.cells:
            x = cell(x)
        features = nn.functional.adaptive_avg_pool2d(self.lastact(x), 1).flatten(1)
        return features, self.classifier(features)


def network(space: str, arch: int | str | Sequence[int], classes: int) -> Network:
    """The network of an architecture, with PyTorch's default initialization from the global generator.

    Args:
        space: tss, sss, or another one that says of what its networks are made.
        arch: catalogue index or official string, or the choices at all positions, such as the five channel numbers.
        classes: number of classes.

    Raises:
        NatsdbError: there is no such space or architecture, or the space says nothing of its networks.
    """
    of = space_of(space)
    text = arch_str(space, arch) if isinstance(arch, int) else arch if isinstance(arch, str) else of.text(arch)
    arch_index(space, text)
    if of.skeleton is None:
        raise NatsdbError(f"it is not known what the networks of {space} are made of", remedy="give it a `skeleton`")
    return Network(*of.skeleton(text), classes)


def _operation(op: str, inputs: int, outputs: int) -> nn.Module:
    if op == "nor_conv_3x3":
        return ReluConvNorm(inputs, outputs, 3)
    if op == "nor_conv_1x1":
        return ReluConvNorm(inputs, outputs, 1)
    if op == "skip_connect":
        return Skip() if inputs == outputs else ConvNorm(inputs, outputs)
    # The other two keep their width in both spaces: only sss changes it, and its cell has neither.
    assert op in OPS
    assert inputs == outputs
    return Zero() if op == "none" else Pool()


def export_onnx(net: nn.Module, images: Tensor, file: Any, **named: Any) -> None:
    """Write a network in evaluation mode as ONNX, traced on normalized images; its input is called `images`.

    Args:
        file: a path as text, or a binary file.
        named: further names and sizes, as for `torch.onnx.export`.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it says that it is not the newest exporter
        # The newer one (dynamo=True) takes 18 s of CPU for a network, this one 0.8, and their outputs are the same.
        torch.onnx.export(net, (images,), file, dynamo=False, input_names=["images"], **named)


def counted_cost(network: Network, images: Tensor) -> tuple[float, float]:
    """Multiply-adds of one image's forward pass and trainable parameters, both in millions, counted on the modules.

    Convolutions and the classifier count, with their biases; the rest does not (as in the official records).

    Args:
        network: it runs once, in evaluation mode, and is left as it was.
        images: 1×3×H×H floats.
    """
    flops = 0

    def count(module: nn.Module, _: Any, output: Tensor) -> None:
        nonlocal flops
        assert isinstance(module, nn.Conv2d | nn.Linear)
        weights = module.weight[0].numel() + (module.bias is not None)
        flops += weights * output[0].numel()

    hooks = [m.register_forward_hook(count) for m in network.modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    training = network.training
    with torch.no_grad():
        network.eval()(images)
    network.train(training)
    for hook in hooks:
        hook.remove()
    return flops / 1e6, sum(parameter.numel() for parameter in network.parameters()) / 1e6
