"""Several runs as one program: their channels lie side by side, their convolutions are groups of one convolution.

A small network leaves a GPU idle; members side by side fill it. Every layer works on each channel or each group of
channels alone, so a member computes what it would compute alone, and one that diverges does not touch the others.
Members of tss may have any topologies: on each edge an operation is worked out for those that have it, all at once.
Members of sss share their widths. In float64 the tests hold members to 1e-9 of the same runs alone.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import chain

import torch
from torch import Tensor, nn

from natsdb.schema.spaces import SPACES
from natsdb.training.data import TrainingData, eval_batches, train_batches
from natsdb.training.networks import Cell, ConvNorm, Network, Reduction, ReluConvNorm, Skip, Zero
from natsdb.training.recipe import (
    BATCH,
    Measured,
    Training,
    autocast,
    cast,
    evaluation_step,
    measured_pass,
    sgd,
    training_step,
)
from natsdb.training.run_files import TrainingRun


def stacks(runs: Sequence[TrainingRun], size: int) -> list[list[TrainingRun]]:
    """Runs that can go side by side, `size` or fewer in a list: of one space, data set, hp, and in sss of one size."""
    alike: dict[tuple[object, ...], list[TrainingRun]] = {}
    for run in runs:
        alike.setdefault((run.space, run.dataset, run.hp, run.arch if SPACES[run.space].numeric else None), []).append(
            run
        )
    return [group[at : at + size] for group in alike.values() for at in range(0, len(group), size)]


# A tensor of the stack, and those of the members that it holds one after the other.
Link = tuple[Tensor, list[Tensor]]


class Stack(nn.Module):
    """Networks of one space and data set side by side, with copies of their weights; `links` says whose is what.

    Forward: B×3M×H×H images, a member's three channels after the other's → M×B×classes logits.
    """

    def __init__(self, members: Sequence[Network]) -> None:
        super().__init__()
        self.links: list[Link] = []
        self.stem = _stacked([m.stem for m in members], self.links)
        self.cells = nn.ModuleList(
            _stacked(layer, self.links) for layer in zip(*(m.cells for m in members), strict=True)
        )
        self.lastact = _stacked([m.lastact for m in members], self.links)
        self.weight, self.bias = (
            _linked([getattr(m.classifier, name) for m in members], self.links, torch.stack)
            for name in ("weight", "bias")
        )

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        for cell in self.cells:
            x = cell(x)
        features = nn.functional.adaptive_avg_pool2d(self.lastact(x), 1)
        features = features.view(len(images), len(self.weight), -1).transpose(0, 1)
        return torch.baddbmm(self.bias[:, None], features, self.weight.transpose(1, 2))


class Edge(nn.Module):
    """An edge of a cell on which members have different operations: each is worked out for the members that have it."""

    def __init__(self, operations: Sequence[nn.Module], links: list[Link]) -> None:
        super().__init__()
        kinds = [_kind(operation) for operation in operations]
        self.members = [[n for n, kind in enumerate(kinds) if kind == one] for one in dict.fromkeys(kinds)]
        self.parts = nn.ModuleList(_stacked([operations[n] for n in of], links) for of in self.members)
        order = list(chain.from_iterable(self.members))
        self.register_buffer("order", torch.tensor(order), persistent=False)
        self.register_buffer("back", torch.tensor(order).argsort(), persistent=False)

    def forward(self, x: Tensor) -> Tensor:
        if len(self.parts) == 1:
            return self.parts[0](x)
        by_member = x.unflatten(1, (len(self.order), -1))
        pieces = by_member.index_select(1, self.order).split([len(of) for of in self.members], 1)
        done = [
            part(piece.flatten(1, 2)).unflatten(1, (piece.shape[1], -1))
            for part, piece in zip(self.parts, pieces, strict=True)
        ]
        return torch.cat(done, 1).index_select(1, self.back).flatten(1, 2)


def _kind(operation: nn.Module) -> tuple[object, ...]:
    return type(operation), operation.op[1].kernel_size if isinstance(operation, ReluConvNorm) else None


def _linked(tensors: list[Tensor], links: list[Link], join: object = torch.cat) -> nn.Parameter:
    assert callable(join)
    whole = nn.Parameter(join([tensor.detach() for tensor in tensors]))
    links.append((whole, tensors))
    return whole


def _stacked(modules: Sequence[nn.Module], links: list[Link]) -> nn.Module:
    """One module that does for channels side by side what each of these does for its own."""
    first, count = modules[0], len(modules)
    if isinstance(first, nn.Conv2d):
        shape = (first.in_channels * count, first.out_channels * count, first.kernel_size, first.stride, first.padding)
        conv = nn.Conv2d(*shape, groups=count, bias=False)
        conv.weight = _linked([m.weight for m in modules], links)
        return conv
    if isinstance(first, nn.BatchNorm2d):
        norm = nn.BatchNorm2d(first.num_features * count)
        norm.weight, norm.bias = (_linked([getattr(m, name) for m in modules], links) for name in ("weight", "bias"))
        for name in ("running_mean", "running_var"):
            parts = [getattr(m, name) for m in modules]
            setattr(norm, name, torch.cat(parts))
            links.append((getattr(norm, name), parts))
        # One for all: members have done as many batches.
        norm.num_batches_tracked = first.num_batches_tracked.clone()
        links.append((norm.num_batches_tracked, [m.num_batches_tracked for m in modules]))
        return norm
    if isinstance(first, nn.Sequential):
        return nn.Sequential(*(_stacked(group, links) for group in zip(*modules, strict=True)))
    if isinstance(first, ReluConvNorm | ConvNorm | Reduction | Cell):
        # The same forward, over stacked parts.
        whole = type(first).__new__(type(first))
        nn.Module.__init__(whole)
        for name, _ in first.named_children():
            parts = [getattr(m, name) for m in modules]
            edges = zip(*parts, strict=True) if isinstance(first, Cell) else ()
            whole.add_module(
                name,
                nn.ModuleList(Edge(edge, links) for edge in edges)
                if isinstance(first, Cell)
                else _stacked(parts, links),
            )
        return whole
    assert isinstance(first, nn.ReLU | nn.AvgPool2d | Skip | Zero)
    return first


def train_epoch_together(
    members: Sequence[Training],
    data: TrainingData,
    seeds: Sequence[int],
    epochs: int,
    precision: str,
    how: str = "eager",
) -> list[dict[str, Measured]]:
    """What `natsdb.training.recipe.train_epoch` does, for several runs at once, by one recipe; all have done as many
    epochs.

    A member that diverged has figures that are not finite. Seconds are a member's share: those of all, divided.
    """
    epoch = members[0].epoch
    stack = Stack([member.net for member in members]).to(data.train.labels.device)
    recipe = members[0].recipe
    optimizer = sgd(stack, epoch, epochs, recipe)
    state = {part: member.optimizer.state[part] for member in members for part in member.net.parameters()}
    for whole, parts in stack.links:
        held = [(state.get(part) or {}).get("momentum_buffer") for part in parts]
        if all(one is not None for one in held):
            optimizer.state[whole]["momentum_buffer"] = torch.cat(held).view_as(whole)
    stack.train()
    step = training_step(forward, stack, optimizer, precision, how)
    found = [{"train": one} for one in measured_pass(step, batches(data, seeds, epoch, recipe.batch), len(members))]
    stack.eval()
    step = evaluation_step(forward, stack, precision, how)
    for split in data.evals:
        several = measured_pass(step, eval_batches(data, split, BATCH), len(members))
        for figures, one in zip(found, several, strict=True):
            figures[split] = one
    with torch.no_grad():
        for whole, parts in stack.links:
            pieces = whole.chunk(len(parts)) if whole.ndim else [whole] * len(parts)
            for part, piece in zip(parts, pieces, strict=True):
                part.copy_(piece.view_as(part))
            momentum = (optimizer.state.get(whole) or {}).get("momentum_buffer")  # none where the recipe has none
            if momentum is not None:
                for part, piece in zip(parts, momentum.chunk(len(parts)), strict=True):
                    state[part]["momentum_buffer"] = piece.view_as(part).clone()
    for member in members:
        member.epoch += 1
        for group in member.optimizer.param_groups:  # as `train_epoch` leaves it
            group["lr"] = optimizer.param_groups[0]["lr"]
    return found


def batches(data: TrainingData, seeds: Sequence[int], epoch: int, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """The members' batches of an epoch side by side: B×3M×H×H floats and M×B labels."""
    for batch in zip(*(train_batches(data, seed, epoch, size) for seed in seeds), strict=True):
        yield torch.cat([pixels for pixels, _ in batch], 1), torch.stack([labels for _, labels in batch])


def forward(stack: nn.Module, pixels: Tensor, labels: Tensor, precision: str) -> tuple[Tensor, Tensor]:
    """Mean cross entropy (M) and logits (M×B×classes) of the members; B×3 pixels are the same for all."""
    with autocast(pixels.device, precision):
        if pixels.shape[1] == 3:
            pixels = pixels.repeat(1, len(labels), 1, 1)
        logits = stack(cast(pixels, precision))
        losses = nn.functional.cross_entropy(logits.transpose(1, 2), labels, reduction="none").mean(1)
        return losses, logits
