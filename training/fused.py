"""Cells in bf16 by kernels of our own (Triton), where PyTorch's many small passes over memory take the time of a step.

A node of a cell is one pass: what arrives on its edges is normalized and summed while it is read. A convolution applies
the ReLU before it while it reads, and sums what the normalization after it needs while it writes. Activations are bf16,
sums, statistics and weights float32; sums are formed in the same order each time. Channels last throughout: P×C, P
pixels of all images. Widths are powers of two from 16, as all of tss has.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
import triton
from torch import Tensor, nn

from natsdb.schema.topology import EDGES
from natsdb.training import kernels
from natsdb.training.networks import Cell, Network, Reduction, ReluConvNorm, Skip, Zero

# Pixels that a program has at a time, and programs that a kernel has at the most (four for each multiprocessor).
BLOCK, PROGRAMS = 128, 528


class Normal(NamedTuple):
    """A value that is to be normalized: what a convolution gave, its sums by program, and the normalization."""

    value: Tensor
    sums: Tensor
    norm: nn.BatchNorm2d


def _programs(pixels: int, block: int) -> int:
    return min(PROGRAMS, triton.cdiv(pixels, block))


def _block(pixels: int) -> int:
    """Small images have few pixels: then smaller tiles, so that there is one for each multiprocessor."""
    return BLOCK if pixels >= 65_536 else BLOCK // 2


def _pixels(x: Tensor) -> int:
    """Of all images."""
    return x.numel() // x.shape[1]


def _convolve(x: Tensor, weight: Tensor, y: Tensor, kept: Tensor, sums: Tensor, relu: bool, back: bool) -> None:
    """See `natsdb.training.kernels.convolve`."""
    pixels, into, outof = _pixels(x), x.shape[1], y.shape[1]
    to_out, to_in, to_row, to_column = weight.stride()
    if back:
        to_out, to_in = to_in, to_out
    block = _block(pixels)
    kernels.convolve[(_programs(pixels, block),)](
        x, weight, kept, y, sums, pixels, to_in, to_out, to_row, to_column,
        x.shape[2], into, outof, weight.shape[2], relu, back, block, num_warps=8 if into * outof >= 4096 else 4,
    )  # fmt: skip


class Convolution(torch.autograd.Function):
    """ReLU, or none, and convolution, N×C×H×H → the same, and the sums by program that its normalization needs."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, relu: bool) -> tuple[Tensor, Tensor]:
        y = _like(x, weight.shape[0])
        pixels = _pixels(x)
        sums = x.new_empty(_programs(pixels, _block(pixels)), 2, weight.shape[0], dtype=torch.float32)
        _convolve(x, weight, y, x, sums, relu, back=False)
        ctx.save_for_backward(x, weight)
        ctx.relu = relu
        ctx.mark_non_differentiable(sums)
        ctx.set_materialize_grads(False)
        return y, sums

    @staticmethod
    def backward(ctx: Any, dy: Tensor, _: Any) -> tuple[Tensor | None, Tensor, None]:
        x, weight = ctx.saved_tensors
        dy = dy.contiguous(memory_format=torch.channels_last)
        dx = None
        if ctx.needs_input_grad[0]:
            dx = _like(x, x.shape[1])
            _convolve(dy, weight, dx, x, dy, ctx.relu, back=True)
        channels, height, pixels = x.shape[1], x.shape[2], _pixels(x)
        out, size, block = weight.shape[0], weight.shape[2], _block(pixels)
        wide = triton.next_power_of_2(size * channels)
        # As many programs as there is room for, and parts of no more than 4 MB in all.
        parts = min(PROGRAMS // size, triton.cdiv(pixels, block), max(22, 2**20 // (size * wide * out)))
        part = x.new_empty(parts, size, wide, out, dtype=torch.float32)
        kernels.by_weight[(parts, size)](
            x, dy, part, pixels, height, channels, out, size, wide, ctx.relu, block,
            num_warps=8 if wide * out > 8192 else 4,
        )  # fmt: skip
        dw = torch.empty_like(weight)
        to_out, to_in, to_row, to_column = dw.stride()
        kernels.add_parts[(triton.cdiv(dw.numel(), 64),)](
            part, dw, parts, to_in, to_out, to_row, to_column, channels, out, size, wide, 64
        )
        return dx, dw, None


class Node(torch.autograd.Function):
    """The sum of values that are normalized, each over all images, and of values as they are.

    Arguments: how many of each, for each of the first its normalization, then their sums by program, the values of the
    first kind, those of the second, weights, biases.
    """

    @staticmethod
    def forward(ctx: Any, normal: int, plain: int, norms: Sequence[nn.BatchNorm2d], *of: Tensor) -> Tensor:
        sums, values, plains, weights, biases = _parted(of, normal, normal, plain, normal, normal)
        like = (values or plains)[0]
        channels, pixels = like.shape[1], _pixels(like)
        out = _like(like, channels)
        stats = like.new_empty(normal, 4, channels, dtype=torch.float32)
        for number, norm in enumerate(norms):
            assert norm.running_mean is not None
            assert norm.running_var is not None
            kernels.statistics[(1,)](
                sums[number], len(sums[number]), weights[number], biases[number], norm.running_mean, norm.running_var,
                stats[number], pixels, norm.momentum, norm.eps, channels, 16_384 // channels, num_warps=16,
            )  # fmt: skip
        y, p = _three(values, like), _three(plains, like)
        kernels.add_up[(triton.cdiv(out.numel(), 1024),)](
            *y, *_three(list(stats), stats), *p, out, out.numel(), normal, plain, channels, 1024
        )
        ctx.save_for_backward(stats, *values)
        ctx.plain = plain
        return out

    @staticmethod
    def backward(ctx: Any, d: Tensor) -> tuple[Any, ...]:
        stats, *values = ctx.saved_tensors
        normal = len(values)
        if not normal:
            return None, None, None, *[d] * ctx.plain
        d = d.contiguous(memory_format=torch.channels_last)
        channels, pixels = d.shape[1], _pixels(d)
        programs = _programs(pixels, BLOCK)
        sums = stats.new_empty(programs, 4, channels)
        y, of = _three(values, d), _three(list(stats), stats)
        kernels.by_norm[(programs,)](d, *y, *of, sums, pixels, normal, channels, BLOCK)
        dweights, dbiases = stats.new_empty(normal, channels), stats.new_empty(normal, channels)
        by = stats.new_empty(normal, 3, channels)
        kernels.by_norm_end[(normal,)](
            sums, programs, *of, dweights, dbiases, by, pixels, channels, 16_384 // channels, num_warps=16
        )
        dy = [_like(d, channels) for _ in values]
        kernels.by_values[(triton.cdiv(d.numel(), 1024),)](d, *y, *_three(dy, d), by, d.numel(), normal, channels, 1024)
        return None, None, None, *[None] * normal, *dy, *[d] * ctx.plain, *dweights, *dbiases


class Pool(torch.autograd.Function):
    """Average pooling of 3×3 pixels, those beyond the border not counted."""

    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        return _pooled(x, False)

    @staticmethod
    def backward(ctx: Any, d: Tensor) -> Tensor:
        return _pooled(d.contiguous(memory_format=torch.channels_last), True)


def _pooled(x: Tensor, back: bool) -> Tensor:
    y = _like(x, x.shape[1])
    kernels.pool[(triton.cdiv(x.numel(), 1024),)](x, y, _pixels(x), x.shape[2], x.shape[1], back, 1024)
    return y


def _like(x: Tensor, channels: int) -> Tensor:
    images, _, height, width = x.shape
    return torch.empty(
        images, channels, height, width, dtype=x.dtype, device=x.device, memory_format=torch.channels_last
    )


def _three(tensors: Sequence[Tensor], other: Tensor) -> list[Tensor]:
    """Three of them: those that a kernel does not look at are any."""
    return [*tensors, *[other] * (3 - len(tensors))]


def _parted(of: Sequence[Tensor], *counts: int) -> list[list[Tensor]]:
    parts, at = [], 0
    for count in counts:
        parts.append(list(of[at : at + count]))
        at += count
    return parts


def node(normal: Sequence[Normal], plain: Sequence[Tensor]) -> Tensor:
    """The sum of values to be normalized and of values as they are."""
    if not normal and len(plain) == 1:
        return plain[0]
    norms = [one.norm for one in normal]
    given = [one.sums for one in normal], [one.value for one in normal], plain
    found: Tensor = Node.apply(
        len(normal), len(plain), norms, *given[0], *given[1], *given[2],
        *(norm.weight for norm in norms), *(norm.bias for norm in norms),
    )  # fmt: skip
    return found


def convolved(x: Tensor, op: ReluConvNorm) -> Normal:
    """ReLU and convolution; the normalization is left to the node."""
    convolution, norm = op.op[1], op.op[2]
    if convolution.stride == (1, 1):
        value, sums = Convolution.apply(x, convolution.weight, True)
        return Normal(value, sums, norm)
    value = _strided(nn.functional.relu(x), convolution.weight, 1)
    pixels = _pixels(value)
    sums = value.new_empty(_programs(pixels, BLOCK), 2, value.shape[1], dtype=torch.float32)
    kernels.sums[(len(sums),)](value.detach(), sums, pixels, value.shape[1], BLOCK)
    return Normal(value, sums, norm)


def _strided(x: Tensor, weight: Tensor, padding: int) -> Tensor:
    """PyTorch's convolution in steps of two pixels: there are four of them in a network."""
    value = nn.functional.conv2d(x, weight.to(x.dtype), None, 2, padding)
    return value.contiguous(memory_format=torch.channels_last)


def cell(of: Cell, x: Tensor) -> Tensor:
    """A cell; edges from which nothing leads to its end are worked out too, for their running figures."""
    nodes = [x]
    for target in (1, 2, 3):
        normal, plain = [], []
        for op, (end, source) in zip(of.layers, EDGES, strict=True):
            if end != target or isinstance(op, Zero):
                continue
            if isinstance(op, ReluConvNorm):
                normal.append(convolved(nodes[source], op))
            else:
                plain.append(nodes[source] if isinstance(op, Skip) else Pool.apply(nodes[source]))
        nodes.append(node(normal, plain) if normal or plain else x * 0.0)
    return nodes[3]


def reduction(of: Reduction, x: Tensor) -> Tensor:
    """A residual block. Means of 2×2 pixels and then a 1×1 convolution are one of 2×2, each weight a quarter."""
    main = convolved(node([convolved(x, of.conv_a)], []), of.conv_b)
    beside = _strided(x, (of.downsample[1].weight / 4).expand(-1, -1, 2, 2), 0)
    return node([main], [beside])


def stem(of: nn.Sequential, images: Tensor, dtype: torch.dtype) -> Tensor:
    """The stem, on images to which black channels are added: a kernel reads 16 of them at least."""
    x = torch.empty(
        len(images), 16, *images.shape[2:], dtype=dtype, device=images.device, memory_format=torch.channels_last
    )
    x[:, :3] = images
    x[:, 3:] = 0
    weight = nn.functional.pad(of[0].weight, (0, 0, 0, 0, 0, 13))
    value, sums = Convolution.apply(x, weight, False)
    return node([Normal(value, sums, of[1])], [])


def forward(net: Network, images: Tensor, dtype: torch.dtype = torch.bfloat16) -> Tensor:
    """Logits (N×classes, float32) of normalized images in training mode."""
    x = stem(net.stem, images, dtype)
    for one in net.cells:
        x = cell(one, x) if isinstance(one, Cell) else reduction(one, x)
    # The last normalization is PyTorch's own, and counts its batches.
    norms = [one for one in net.modules() if isinstance(one, nn.BatchNorm2d) and one is not net.lastact[0]]
    torch._foreach_add_([one.num_batches_tracked for one in norms], 1)
    logits: Tensor = net.classifier(net.lastact(x.float()).mean((2, 3)))
    return logits
