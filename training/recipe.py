"""The official recipe on one page: the same for both spaces, every data set and every schedule; only epochs differ.

SGD with Nesterov momentum, weight decay on all parameters, a cosine learning rate that is constant inside an epoch, no
warm-up, batches of 256, plain cross entropy. Figures are formed as the official meters form them: averages of batches'
float32 losses and percentages, weighted by their size. Source: AutoDL-Projects, `xautodl/procedures`.
"""

from __future__ import annotations

import json
import math
import time
import tomllib
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from natsdb.schema.errors import NatsdbError
from natsdb.schema.names import did_you_mean
from natsdb.schema.schedules import cosine
from natsdb.training.data import TrainingData, eval_batches, train_batches
from natsdb.training.graph import Captured
from natsdb.training.networks import Network, counted_cost, network

MOMENTUM = 0.9
WEIGHT_DECAY = 5e-4
BATCH = 256
PRECISIONS = ("float32", "bf16", "float64")
STEPS = ("eager", "compile", "graph", "fused")
# Learning rate of the official recipe by (epoch, epochs).
schedule: Callable[[int, int], float] = cosine


@dataclass(frozen=True)
class Recipe:
    """What a recipe of one's own may change, and what the official one has.

    `learning_rate`: at the start of the cosine; `batch`: images in a training batch; `momentum` and `nesterov` of SGD;
    `weight_decay`: on all parameters; `flip`: how likely an image is mirrored; `crop`: black pixels around an image
    before it is cropped to its size at random, as a share of its height.
    """

    learning_rate: float = 0.1
    batch: int = BATCH
    momentum: float = MOMENTUM
    weight_decay: float = WEIGHT_DECAY
    nesterov: bool = True
    flip: float = 0.5
    crop: float = 0.125

    def rate(self, epoch: int, epochs: int) -> float:
        """The learning rate of an epoch."""
        return schedule(epoch, epochs) * (self.learning_rate / OFFICIAL.learning_rate)

    @property
    def said(self) -> dict[str, Any] | None:
        """What provenance says of it; nothing of the official one."""
        return None if self == OFFICIAL else asdict(self)


OFFICIAL = Recipe()
# Highest value of each number, all of them from 0 (and above it where a training needs that).
_AT_MOST = {"learning_rate": math.inf, "batch": 1 << 20, "momentum": 1, "weight_decay": math.inf, "flip": 1, "crop": 1}


def read_recipe(path: Path) -> Recipe:
    """A recipe from a TOML file: values by the names of `Recipe`; what it does not name is as in the official one.

    Raises:
        NatsdbError: it cannot be read, or has another name or a value that cannot be.
    """
    try:
        said = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise NatsdbError(f"the recipe cannot be read ({error})", where=str(path), remedy="write it as TOML") from error
    official = asdict(OFFICIAL)
    for name, value in said.items():
        if name not in official:
            raise NatsdbError(f"a recipe has no {name!r}", where=str(path), remedy=did_you_mean(name, official))
        kind = type(official[name])
        if kind is float and type(value) is int:
            value = said[name] = float(value)
        least = 0 if name not in ("learning_rate", "batch") else 1 if name == "batch" else math.ulp(0)
        if type(value) is not kind or (
            kind is not bool and not (least <= value <= _AT_MOST[name] and value < math.inf)
        ):
            example = json.dumps(official[name])
            raise NatsdbError(
                f"{name} = {value!r} cannot be",
                where=str(path),
                remedy=f"the official recipe has {name} = {example}",
            )
    recipe = Recipe(**said)
    if recipe.nesterov and not recipe.momentum:
        raise NatsdbError("nesterov needs a momentum", where=str(path), remedy="say nesterov = false")
    return recipe


# From a network, pixels, labels (1×B) and a precision: loss (1) and logits (1×B×classes) of a run.
Forward = Callable[[nn.Module, Tensor, Tensor, str], tuple[Tensor, Tensor]]
# From pixels and labels (M×B), with all that a batch does: losses (M) and logits (M×B×classes) of M runs side by side.
Step = Callable[[Tensor, Tensor], tuple[Tensor, Tensor]]


class Measured(NamedTuple):
    """A pass over a split: mean cross entropy in nats, top-1 and top-5 accuracy in percent, seconds, data included."""

    loss: float
    accuracy: float
    top5: float
    seconds: float


@dataclass
class Training:
    """A network under way. `flops` and `params`: millions, counted on its modules; `epoch`: epochs done."""

    net: Network
    optimizer: torch.optim.Optimizer
    flops: float
    params: float
    epoch: int = 0
    recipe: Recipe = OFFICIAL


def start(
    space: str, arch: int, seed: int, data: TrainingData, precision: str = "float32", recipe: Recipe = OFFICIAL
) -> Training:
    """A network with its initial weights, drawn on the CPU after seeding, as the authors draw them.

    It goes to the data's device. The caller's random state is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        net = network(space, arch, data.classes)
    flops, params = counted_cost(net, torch.zeros(1, *data.train.pixels.shape[1:]))
    # Channels last in memory: on a CPU twice as fast as channels first (measured, see the README of this folder).
    dtype = torch.float64 if precision == "float64" else torch.float32
    net.to(data.train.labels.device, dtype, memory_format=torch.channels_last)
    return Training(net, sgd(net, recipe), flops, params, recipe=recipe)


def sgd(net: nn.Module, recipe: Recipe = OFFICIAL) -> torch.optim.SGD:
    """The optimizer, at the first epoch's learning rate; on a CUDA device one kernel for all weights."""
    cuda, rate, decay = next(net.parameters()).is_cuda, recipe.learning_rate, recipe.weight_decay
    optimizer = torch.optim.SGD(
        net.parameters(), rate, recipe.momentum, nesterov=recipe.nesterov, weight_decay=decay, fused=cuda or None
    )
    set_rate(optimizer, rate)
    return optimizer


def set_rate(optimizer: torch.optim.Optimizer, rate: float) -> None:
    """Set the learning rate; on a CUDA device a tensor, always the same, so that a graph reads it anew."""
    for group in optimizer.param_groups:
        device = group["params"][0].device
        if device.type != "cuda":
            group["lr"] = rate
        elif isinstance(group["lr"], Tensor):
            group["lr"].fill_(rate)
        else:
            group["lr"] = torch.tensor(rate, device=device)


class Together:
    """Runs side by side, whose steps are kept from one epoch to the next: a graph is captured once.

    Each computes what it computes alone, on a CPU to the bit: there they take turns, on a CUDA device their kernels run
    at the same time, as branches of one graph where there is one. One that diverges does not touch the others.

    Args:
        members: of one recipe, with as many epochs done.
        how: one of `STEPS`.
    """

    def __init__(self, members: Sequence[Training], precision: str, how: str = "eager") -> None:
        self.members = list(members)
        train = [training_step(forward, one.net, one.optimizer, precision, how) for one in members]
        test = [evaluation_step(one.net, precision, how) for one in members]
        self._train, self._test = (captured(side_by_side(steps), how) for steps in (train, test))

    def train_epoch(self, data: TrainingData, seeds: Sequence[int], epochs: int) -> list[dict[str, Measured]]:
        """Train for the next of `epochs` epochs, then evaluate every split; what was measured, `train` first.

        Figures of `train` are taken in training mode, with augmentation, while the weights change. A run that diverged
        has figures that are not finite. Seconds are a member's share: those of all, divided.
        """
        members, epoch, recipe = self.members, self.members[0].epoch, self.members[0].recipe
        for member in members:
            set_rate(member.optimizer, recipe.rate(epoch, epochs))
            member.net.train()
        batches = batches_together(data, seeds, epoch, recipe.batch)
        found = [{"train": one} for one in measured_pass(self._train, batches, len(members))]
        for member in members:
            member.net.eval()
        for split in data.evals:
            several = measured_pass(self._test, eval_batches(data, split, BATCH), len(members))
            for figures, one in zip(found, several, strict=True):
                figures[split] = one
        for member in members:
            member.epoch += 1
        return found


def batches_together(
    data: TrainingData, seeds: Sequence[int], epoch: int, size: int
) -> Iterator[tuple[Tensor, Tensor]]:
    """Members' batches of an epoch: B×3M×H×H floats and M×B labels; B×3 and B where all have one seed."""
    if len(set(seeds)) == 1:
        yield from train_batches(data, seeds[0], epoch, size)
        return
    for batch in zip(*(train_batches(data, seed, epoch, size) for seed in seeds), strict=True):
        yield torch.cat([pixels for pixels, _ in batch], 1), torch.stack([labels for _, labels in batch])


def evaluate(net: nn.Module, data: TrainingData, split: str, precision: str) -> Measured:
    """One pass over a split in evaluation mode."""
    net.eval()
    return measured_pass(evaluation_step(net, precision), eval_batches(data, split, BATCH))[0]


def forward(net: nn.Module, pixels: Tensor, labels: Tensor, precision: str) -> tuple[Tensor, Tensor]:
    """Loss and logits of one run; see `Forward`."""
    with autocast(pixels.device, precision):
        _, logits = net(cast(pixels, precision))
        return nn.functional.cross_entropy(logits, labels[0])[None], logits[None]


def training_step(
    forward: Forward, net: nn.Module, optimizer: torch.optim.Optimizer, precision: str, how: str = "eager"
) -> Step:
    """What is done with a batch in training: as it is written, compiled, or (tss, bf16, CUDA) by kernels of our own."""
    run = _fused if how == "fused" else _where_compiled(forward, how)
    parameters = [parameter for group in optimizer.param_groups for parameter in group["params"]]
    zeros: dict[Tensor, Tensor] = {}

    def step(pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        optimizer.zero_grad()
        losses, logits = run(net, pixels, labels, precision)
        losses.sum().backward()
        if unreached := [parameter for parameter in parameters if parameter.grad is None]:
            # Weights that lead nowhere decay too.
            for parameter in unreached:
                parameter.grad = zeros.setdefault(parameter, torch.empty_like(parameter))
            torch._foreach_zero_([parameter.grad for parameter in unreached])
        optimizer.step()
        return losses.detach(), logits.detach()

    return step


def evaluation_step(net: nn.Module, precision: str, how: str = "eager") -> Step:
    """What is done with a batch in evaluation: as it is written, or compiled."""
    run = _where_compiled(forward, how)

    @torch.no_grad()
    def step(pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        return run(net, pixels, labels, precision)

    return step


def captured(step: Step, how: str) -> Step:
    """A step as a CUDA graph, where `how` is a way that has one."""
    return Captured(step) if how in ("graph", "fused") else step


def side_by_side(steps: Sequence[Step]) -> Step:
    """One step of several runs: B×3M or, the same for all, B×3 images and M×B labels."""
    streams: list[torch.cuda.Stream] = []

    def step(pixels: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        parts = pixels.split(3, 1) if pixels.shape[1] > 3 else [pixels] * len(steps)
        each = list(zip(steps, parts, labels.split(1), strict=True))
        found = []
        if not pixels.is_cuda:
            found = [one(part, label) for one, part, label in each]
        else:
            main = torch.cuda.current_stream()
            streams.extend(torch.cuda.Stream() for _ in range(len(steps) - len(streams)))
            for stream, (one, part, label) in zip(streams, each, strict=True):
                stream.wait_stream(main)
                with torch.cuda.stream(stream):
                    found.append(one(part, label))
            for stream, returned in zip(streams, found, strict=True):
                main.wait_stream(stream)
                if not torch.cuda.is_current_stream_capturing():
                    for tensor in (pixels, labels):
                        tensor.record_stream(stream)
                    for tensor in returned:
                        tensor.record_stream(main)
        losses, logits = zip(*found, strict=True)
        return torch.cat(losses), torch.cat(logits)

    return step if len(steps) > 1 else steps[0]


def _fused(net: nn.Module, pixels: Tensor, labels: Tensor, precision: str) -> tuple[Tensor, Tensor]:
    from natsdb.training.fused import forward  # where there is Triton

    assert isinstance(net, Network)
    logits = forward(net, pixels)
    return nn.functional.cross_entropy(logits, labels[0])[None], logits[None]


def _where_compiled(forward: Forward, how: str) -> Forward:
    """As it is written; or compiled, for batches of the largest size so far: for a last, smaller one that takes longer
    than all of these as they are written."""
    if how != "compile":
        return forward
    size = 0

    def run(net: nn.Module, pixels: Tensor, labels: Tensor, precision: str) -> tuple[Tensor, Tensor]:
        nonlocal size
        size = max(size, len(pixels))
        return (_compiled(forward) if len(pixels) == size else forward)(net, pixels, labels, precision)

    return run


@cache
def _compiled(forward: Forward) -> Forward:
    """Forward and backward compiled for the network at hand: one piece, or an error, and never in secret as written."""
    return torch.compile(forward, fullgraph=True, dynamic=False)


def measured_pass(step: Step, batches: Iterable[tuple[Tensor, Tensor]], members: int = 1) -> list[Measured]:
    """Figures of a pass of M runs over batches, whose labels are M×B, or B where all have the same."""
    meter = Meter(members)
    for pixels, labels in batches:
        several = labels.expand(members, -1)
        meter.add(*step(pixels, several), several)
    return meter.measured()


@contextmanager
def threads(number: int) -> Iterator[None]:
    """So many threads of PyTorch on the CPU meanwhile: sums of one are the same on any number of cores."""
    before = torch.get_num_threads()
    torch.set_num_threads(number)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def arithmetic() -> AbstractContextManager[object]:
    """The official runs' arithmetic on a GPU: the authors ask cuDNN for deterministic algorithms; TF32 came later."""
    return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False)


def autocast(device: torch.device, precision: str) -> AbstractContextManager[object]:
    """Where bf16 is asked for, convolutions and products in it; weights, sums and losses stay float32."""
    return torch.autocast(device.type, torch.bfloat16) if precision == "bf16" else nullcontext()


def cast(pixels: Tensor, precision: str) -> Tensor:
    """Pixels in the network's type and order in memory."""
    dtype = torch.float64 if precision == "float64" else torch.float32
    return pixels.to(dtype, memory_format=torch.channels_last)


class Meter:
    """Figures of M runs side by side. Each batch's stay on the device: reading one would make the device wait."""

    def __init__(self, members: int = 1) -> None:
        self._members = members
        self._sizes: list[int] = []
        self._batches: list[Tensor] = []
        self._started = time.perf_counter()

    def add(self, losses: Tensor, logits: Tensor, labels: Tensor) -> None:
        """Note a batch: M, M×B×classes, M×B."""
        size = labels.shape[1]
        hits = logits.detach().topk(min(5, logits.shape[-1])).indices == labels[:, :, None]
        percent = torch.stack([hits[:, :, 0].sum(1), hits.sum((1, 2))]).float() * (100.0 / size)
        self._batches.append(torch.cat([losses.detach()[None], percent]))
        self._sizes.append(size)

    def measured(self) -> list[Measured]:
        """Averages over all images, a member's after the other's; seconds since the start, shared out."""
        sums = [[0.0] * self._members for _ in range(3)]
        for batch, size in zip(torch.stack(self._batches).tolist(), self._sizes, strict=True):
            sums = [[a + b * size for a, b in zip(*pair, strict=True)] for pair in zip(sums, batch, strict=True)]
        seconds = (time.perf_counter() - self._started) / self._members
        images = sum(self._sizes)
        return [
            Measured(loss / images, accuracy / images, top5 / images, seconds)
            for loss, accuracy, top5 in zip(*sums, strict=True)
        ]
