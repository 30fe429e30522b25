"""Step 2: how fast a topology of mean cost trains, in each way that there is, and what the card's memory allows.

Training steps of full batches, augmentation and meters included, without evaluation: images a second, and from that the
seconds of 12 epochs of 50,000 images. A step's operations read their tensors once and write their results once, each
for itself; these bytes over its seconds, as a share of what a copy reaches on the same card, say how near it is to the
limit of its memory, as long as nothing is fused.
"""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from functools import partial
from itertools import count, islice
from statistics import median
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from natsdb.schema.spaces import arch_index
from natsdb.training.data import TrainingData
from natsdb.training.graph import WARM_UP
from natsdb.training.prove.machine import pictures
from natsdb.training.prove.published import DATASET, spread
from natsdb.training.prove.tasks import Found, Given
from natsdb.training.recipe import (
    BATCH,
    Step,
    arithmetic,
    batches_together,
    captured,
    forward,
    measured_pass,
    side_by_side,
    start,
    training_step,
)
from natsdb.training.run import Failure, Task, settings_of, train_together
from natsdb.training.run_files import TrainingRun, checkpoints

# Each operation once, and 1×1 once more: 51 million multiply-adds, the mean of the space is 55.
MEAN = arch_index("tss", "|nor_conv_3x3~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_1x1~1|none~2|")
EPOCHS, IMAGES, SEED = 12, 50_000, 777
ROUNDS, PROFILED = 3, 3


def bandwidth(given: Given, gib: float) -> Found:
    """Bytes a second that a copy in the device's memory reads and writes, the best of some rounds."""
    source = torch.empty(int(gib * 2**30 / 8), device=given.device)
    target = torch.empty_like(source)
    best = float("inf")
    for _ in range(5):
        _wait(given.device)
        began = time.perf_counter()
        for _ in range(10):
            target.copy_(source)
        _wait(given.device)
        best = min(best, (time.perf_counter() - began) / 10)
    return {"gigabytes_a_second": round(2 * source.numel() * source.element_size() / best / 1e9, 1)}


def row(
    given: Given,
    seconds: float,
    *,
    runs: int = 1,
    precision: str = "float32",
    step: str = "eager",
    plain: bool = False,
    free: bool = False,
    one_topology: bool = False,
    batch: int = BATCH,
) -> Found:
    """Speed of training so many runs side by side.

    Args:
        seconds: of measuring, in three rounds, after the step has run a few times.
        plain: as anybody writes it: channels first, PyTorch's own settings (TF32 in convolutions).
        free: cuDNN chooses its algorithms by trying them, which need not be deterministic.
        one_topology: the mean one with several seeds; else the members' topologies are spread over the published range.
    """
    data = pictures(given, given.device)
    cuda = given.device.startswith("cuda")
    archs = [MEAN] * runs if runs == 1 or one_topology else spread(runs)
    # As in step 3: topologies of one seed, whose batches are the same; of one topology, several seeds.
    seeds = [SEED + n * one_topology for n in range(runs)]
    if cuda:
        torch.cuda.reset_peak_memory_stats()
    with _flags(plain, free):
        took, eager, batches = _made(data, archs, seeds, precision, step, plain, batch)
        began = time.perf_counter()
        # As many as a graph needs before it is replayed.
        measured_pass(took, islice(batches, WARM_UP + 2 if cuda else 1), runs)
        set_up = time.perf_counter() - began
        began = time.perf_counter()
        measured_pass(took, islice(batches, 2 if cuda else 1), runs)
        once = (time.perf_counter() - began) / (2 if cuda else 1)
        steps = max(1, min(IMAGES // batch, int(seconds / ROUNDS / once)))
        rounds = []
        for _ in range(ROUNDS):
            began = time.perf_counter()
            measured_pass(took, islice(batches, steps), runs)
            rounds.append((time.perf_counter() - began) / steps)
        a_step = median(rounds)
        rate = runs * batch / a_step
        found: Found = {
            "runs": runs,
            "precision": precision,
            "step": step,
            "topologies": len(set(archs)),
            "channels_last": not plain,
            "deterministic": not (plain or free),
            "images_a_second": round(rate, 1),
            "milliseconds_a_step": round(1e3 * a_step, 3),
            "rounds": [round(1e3 * one, 3) for one in rounds],
            "seconds_a_run": round(EPOCHS * IMAGES / rate, 3),
            "set_up_seconds": round(set_up, 2),
        }
        if cuda:
            found["peak_gib"] = round(torch.cuda.max_memory_reserved() / 2**30, 2)
        given.tell(found)
        # What follows explains the figures; they stand without it.
        found |= _explained("kernels", partial(_kernels, given, took, batches, runs))
        given.tell(found)
        # A graph holds the memory of its step: the same step as it is written would need as much again.
        del took
        gc.collect()
        if cuda:
            torch.cuda.empty_cache()
        if step not in ("compile", "fused"):  # there its operations are others
            found |= _explained("traffic", partial(_traffic, given, found, eager, batches, runs))
    return found


def _explained(what: str, explain: Callable[[], Found]) -> Found:
    try:
        return explain()
    except Exception as error:
        return {f"no_{what}": f"{type(error).__name__}: {error}".splitlines()[0][:300]}


def whole_run(given: Given, precision: str, step: str, epochs: int, images: int | None = None) -> Found:
    """A run of the mean topology as `natsdb train` trains it: every epoch evaluated, with its checkpoint."""
    data = pictures(given, given.device, images=images)
    run = TrainingRun("tss", MEAN, str(EPOCHS), DATASET, SEED)
    folder = given.out / "runs-alone"
    for left in checkpoints(run, folder):
        left.unlink()
    task = Task((run,), data, settings_of(data, precision, step, images), epochs, False)
    train, test, whole = 0.0, 0.0, 0.0
    found: Found = {}
    for done in train_together(task, folder):
        if isinstance(done, Failure):
            raise RuntimeError(done.reason)
        train += done.measured["train"].seconds
        test += sum(of.seconds for split, of in done.measured.items() if split != "train")
        whole += done.seconds
        found = {
            "precision": precision,
            "step": step,
            "epochs": done.epoch + 1,
            "images": len(data.train),
            "training_seconds": round(train, 3),
            "evaluation_seconds": round(test, 3),
            "seconds": round(whole, 3),
            "accuracy": done.measured["ori-test"].accuracy,
        }
        given.tell(found)
    return found


def _made(
    data: TrainingData, archs: list[int], seeds: list[int], precision: str, how: str, plain: bool, batch: int
) -> tuple[Step, Step, Iterator[tuple[Tensor, Tensor]]]:
    """A step, the same before it is captured, and full batches without end."""
    trainings = [start("tss", arch, seed, data, precision) for arch, seed in zip(archs, seeds, strict=True)]
    if plain:
        for one in trainings:
            one.net.to(memory_format=torch.contiguous_format)
    function = _plain if plain else forward
    steps = [training_step(function, one.net.train(), one.optimizer, precision, how) for one in trainings]

    def batches() -> Iterator[tuple[Tensor, Tensor]]:
        for epoch in count():
            for pixels, labels in batches_together(data, seeds, epoch, batch):
                if len(pixels) == batch:
                    yield pixels, labels

    step = side_by_side(steps)
    return captured(step, how), step, batches()


def _plain(net: nn.Module, pixels: Tensor, labels: Tensor, precision: str) -> tuple[Tensor, Tensor]:
    _, logits = net(pixels)
    return nn.functional.cross_entropy(logits, labels[0])[None], logits[None]


def _flags(plain: bool, free: bool) -> AbstractContextManager[object]:
    if plain:
        return torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=False, allow_tf32=True)
    if free:
        return torch.backends.cudnn.flags(enabled=True, benchmark=True, deterministic=False, allow_tf32=False)
    return arithmetic()


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize()


Batches = Iterator[tuple[Tensor, Tensor]]


def _kernels(given: Given, took: Step, batches: Batches, runs: int) -> Found:
    """The kernels that take most of the device's time: name, share of it, milliseconds and calls a step."""
    cuda = given.device.startswith("cuda")
    activities = [torch.profiler.ProfilerActivity.CPU]
    if cuda:
        activities.append(torch.profiler.ProfilerActivity.CUDA)
    with torch.profiler.profile(activities=activities) as profile:
        measured_pass(took, islice(batches, PROFILED if cuda else 1), runs)
        _wait(given.device)
    steps = PROFILED if cuda else 1
    events = list(profile.key_averages())
    if cuda:
        events = [event for event in events if "cuda" in str(event.device_type).lower()]
    times = [(event, _microseconds(event, cuda)) for event in events]
    whole = sum(time for _, time in times) or 1.0
    times.sort(key=lambda pair: -pair[1])
    return {
        "kernels": [
            [event.key[:120], round(100 * time / whole, 1), round(time / steps / 1e3, 4), event.count // steps]
            for event, time in times[:10]
        ],
        # Over the step's seconds: what is missing, the device waited.
        "busy_milliseconds_a_step": round(whole / steps / 1e3, 3),
    }


def _microseconds(event: Any, cuda: bool) -> float:
    # PyTorch renamed it, and may keep the old name for a while.
    for name in ("self_device_time_total", "self_cuda_time_total") if cuda else ("self_cpu_time_total",):
        if hasattr(event, name):
            return float(getattr(event, name))
    return 0.0


def _traffic(given: Given, found: Found, eager: Step, batches: Batches, runs: int) -> Found:
    """Bytes that a step's operations move, and the share of the memory's bandwidth that this is."""
    bandwidth = given.before.get("memory bandwidth", {}).get("gigabytes_a_second")
    pixels, labels = next(batches)
    with Traffic() as traffic:
        eager(pixels, labels.expand(runs, -1))
    _wait(given.device)
    moved: Found = {"gigabytes_a_step": round(traffic.bytes / 1e9, 4), "operations_a_step": traffic.operations}
    if bandwidth:
        share = traffic.bytes / 1e6 / found["milliseconds_a_step"] / bandwidth
        moved["share_of_bandwidth"] = round(share, 3)
    return moved


class Traffic(TorchDispatchMode):
    """Counts, for what runs inside, the bytes that operations read and write: each tensor once for each operation.

    Views move nothing. Backward passes count too.
    """

    def __init__(self) -> None:
        super().__init__()
        self.bytes = 0
        self.operations = 0

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        returned = func(*args, **(kwargs or {}))
        read = list(_tensors([args, kwargs or {}]))
        written = [
            tensor
            for argument, value in zip(func._schema.arguments, args, strict=False)
            if argument.alias_info is not None and argument.alias_info.is_write
            for tensor in _tensors(value)
        ]
        places = {tensor.untyped_storage().data_ptr() for tensor in read}
        new = [tensor for tensor in _tensors(returned) if tensor.untyped_storage().data_ptr() not in places]
        if new or written:
            self.bytes += sum(map(_bytes, (*read, *written, *new)))
            self.operations += 1
        return returned


def _tensors(value: Any) -> Iterator[Tensor]:
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, dict):
        yield from _tensors(list(value.values()))
    elif isinstance(value, list | tuple):
        for one in value:
            yield from _tensors(one)


def _bytes(tensor: Tensor) -> int:
    # What is expanded has more elements than bytes.
    return min(tensor.numel() * tensor.element_size(), tensor.untyped_storage().nbytes())
