"""Search with shared weights: epochs of paired steps, a checkpoint after each, and a file of what was found.

FOLDER/gdas/cifar10-777-<digest>.json                   a finished search; its appearance is the commit point
FOLDER/gdas/cifar10-777-<digest>.<digest>.checkpoint    a search under way, after its last whole epoch

The first digest is that of what was asked for and of the images, the second that of all that decides the numbers. Every
draw comes from the seed and the epoch, so a search that was killed ends as one that nothing disturbed.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import torch

from natsdb.schema.errors import NatsdbError
from natsdb.schema.spaces import arch_str
from natsdb.training.data import TrainingData
from natsdb.training.recipe import MOMENTUM, WEIGHT_DECAY, Measured, Meter, arithmetic, cast
from natsdb.training.run import code_digest, device_of, settings_of
from natsdb.training.run_files import write, write_with
from natsdb.training.weight_sharing.method import Algorithm, Batch, Epoch, Method, Options, Outcome
from natsdb.training.weight_sharing.pairs import load_for_search, pairs, validation, validation_without_end
from natsdb.training.weight_sharing.registry import algorithm_of, options_of, said_options

FORMAT = 1
# The weights' learning rate, from the first to the last by a cosine, constant inside an epoch.
RATES = (0.025, 0.001)


@dataclass(frozen=True)
class Searched:
    """An epoch of a search, as it stands in the file. Losses are mean cross entropies in nats, accuracies percent.

    `seconds`: of real time since the start; `arch`, `arch_str`: the architecture found after the epoch; `candidate`:
    its accuracy on one validation batch, None where the method takes none; `valid_…`: the method's own, over all
    validation images; `train_…`, `arch_…`: of the two kinds of steps, while both change.
    """

    epoch: int
    seconds: float
    arch: int
    arch_str: str
    candidate: float | None
    valid_accuracy: float
    valid_loss: float
    train_accuracy: float
    train_loss: float
    arch_accuracy: float
    arch_loss: float


@dataclass(frozen=True)
class Progress:
    """An epoch of a search is done. `rate`: steps a second in it; `seconds_left`: at the pace of this call."""

    algorithm: str
    done: Searched
    epochs: int
    rate: float
    seconds_left: float


def search(
    algorithm: str,
    dataset: str,
    data: Path,
    folder: Path,
    *,
    space: str | None = None,
    seed: int = 777,
    images: int | None = None,
    device: str | None = None,
    download: bool = False,
    progress: Callable[[Progress], None] | None = None,
    **options: Any,
) -> Path:
    """Search an architecture with shared weights; a search that is finished already is left alone.

    Killed at any moment, the same call goes on after the last whole epoch; on a CPU, with as many threads, it ends in
    the same numbers, bit for bit (seconds apart).

    Args:
        algorithm: one of `natsdb.training.weight_sharing.ALGORITHMS`.
        dataset: cifar10, cifar100 or ImageNet16-120.
        data: folder of the data set; see `natsdb.training.images.read_images`.
        folder: of searches, finished and under way.
        space: tss or sss; that of the algorithm if None.
        seed: of initial values and of all that is drawn.
        images: at most so many training images, and so many for the architecture; all if None.
        device: as PyTorch names it; a GPU if there is one, else the CPU, if None.
        download: fetch CIFAR if it is not there.
        progress: called after each epoch.
        options: `epochs`, `batch`, `valid_batch`, and those that the algorithm takes; see `Options`.

    Returns:
        The file of the finished search: JSON; its `epochs` are rows of `Searched`.

    Raises:
        NatsdbError: there is no such algorithm in the space, no such data set or device; an option is not one of the
            algorithm's or out of range; the data set is missing or damaged; the search diverges; the folder cannot be
            written.
    """
    of = algorithm_of(algorithm, space)
    asked = options_of(algorithm, options)
    if not 0 <= seed < 1 << 31:
        raise NatsdbError("a seed is a whole number from 0 to 2147483647", remedy="the official ones are 777, 888, 999")
    if images is not None and images < 1:
        raise NatsdbError("a search needs an image at least", remedy="leave --images out")
    loaded = load_for_search(dataset, data, device_of(device), images=images, download=download)
    key = {
        "natsdb_search": FORMAT,
        "algorithm": algorithm,
        "space": of.space,
        "dataset": dataset,
        "seed": seed,
        "options": said_options(algorithm, asked),
    }
    provenance = {**settings_of(loaded, "float32", "eager", images), "search": code_digest(Path(__file__).parent)}
    name = f"{dataset}-{seed}-{_digest([key, loaded.fingerprint, images])}"
    path = folder / algorithm / f"{name}.json"
    checkpoint = path.with_name(f"{name}.{_digest([key, provenance])}.checkpoint")
    if path.exists():
        return path
    published = said_options(algorithm, of.options)
    changed = {option: value for option, value in said_options(algorithm, asked).items() if value != published[option]}
    under_way = start(of, asked, seed, loaded)
    if checkpoint.exists():
        _resume(under_way, checkpoint)
    for done in _go_on(under_way, seed, loaded, checkpoint, algorithm):
        if progress is not None:
            progress(done)
    last = under_way.rows[-1]
    found = {
        **key,
        "changed": changed if images is None else {**changed, "images": images},
        "images": {"train": len(loaded.train), "x-valid": len(loaded.evals["x-valid"])},
        "arch": last.arch,
        "arch_str": last.arch_str,
        "seconds": last.seconds,
        "epochs": [asdict(row) for row in under_way.rows],
        "provenance": provenance,
    }
    write(path, json.dumps(found, indent=1).encode())
    for left in (*path.parent.glob(f"{name}.*.checkpoint"), *path.parent.glob(f"{name}.*.tmp")):
        left.unlink(missing_ok=True)
    return path


@dataclass
class UnderWay:
    """A search under way: its method, the optimizer of its weights, and a row for each epoch that is done."""

    space: str
    method: Method
    weights: torch.optim.SGD
    rows: list[Searched]


def start(algorithm: Algorithm, options: Options, seed: int, data: TrainingData) -> UnderWay:
    """A search with its initial values, drawn on the CPU after seeding; on the data's device.

    The caller's random state is left as it was.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        method = algorithm.start(data.classes, options)
    method.to(data.train.labels.device, memory_format=torch.channels_last)
    method.optimizer = method.arch_optimizer()
    return UnderWay(algorithm.space, method, weight_optimizer(method), [])


def weight_optimizer(method: Method) -> torch.optim.SGD:
    """The optimizer of the supernet's weights.

    Each weight has a gradient from the start, 0 where no operation that runs has it: in the authors' PyTorch gradients
    were set to 0 and not removed, so momentum and weight decay go on moving what a step does not sample.
    """
    parameters = list(method.net.parameters())
    for parameter in parameters:
        parameter.grad = torch.zeros_like(parameter)
    return torch.optim.SGD(parameters, RATES[0], MOMENTUM, nesterov=True, weight_decay=WEIGHT_DECAY, fused=True)


def step(method: Method, weights: torch.optim.SGD, train: Batch, arch: Batch) -> tuple[Outcome, Outcome]:
    """A step of the weights on one batch, then one of the architecture on another."""
    weights.zero_grad(set_to_none=False)
    loss, logits = method.weight_loss(*train)
    loss.backward()
    weights.step()
    return (loss.detach(), logits.detach()), method.arch_step(arch, train, weights)


def _go_on(under_way: UnderWay, seed: int, data: TrainingData, checkpoint: Path, algorithm: str) -> Iterator[Progress]:
    """The epochs that are left, each with its checkpoint."""
    before, first = (under_way.rows[-1].seconds if under_way.rows else 0.0), len(under_way.rows)
    epochs, began = under_way.method.options.epochs, time.perf_counter()
    for number in range(first, epochs):
        with arithmetic():
            row, rate = _epoch(under_way, Epoch(seed, number, epochs), data, before - began)
        under_way.rows.append(row)
        _save(under_way, checkpoint)
        left = (row.seconds - before) / (number + 1 - first) * (epochs - number - 1)
        yield Progress(algorithm, row, epochs, rate, left)


def _epoch(under_way: UnderWay, epoch: Epoch, data: TrainingData, since: float) -> tuple[Searched, float]:
    """One epoch, and its steps a second. `since` is added to the clock to give seconds since the search's start."""
    method, weights = under_way.method, under_way.weights
    options = method.options
    for group in weights.param_groups:
        group["lr"] = rate_of(epoch)
    method.begin(epoch)
    method.train()
    trained, moved, steps, began = Meter(), Meter(), 0, time.perf_counter()
    for train, arch in pairs(data, epoch, options.batch):
        train, arch = _last(train), _last(arch)
        outcome, arch_outcome = step(method, weights, train, arch)
        _note(trained, outcome, train)
        _note(moved, arch_outcome, arch)
        steps += 1
    of_train, of_arch = trained.measured()[0], moved.measured()[0]
    _check(of_train, "training", epoch)
    rate = steps / (time.perf_counter() - began)
    method.eval()
    with torch.no_grad():
        candidates = validation_without_end(data, epoch.generator("candidates"), options.valid_batch)
        found = method.find(map(_last, candidates))
        meter = Meter()
        for batch in map(_last, validation(data, epoch.generator("validation"), options.valid_batch)):
            logits = method.validation_logits(batch[0], found)
            _note(meter, (torch.nn.functional.cross_entropy(logits, batch[1]), logits), batch)
    of_valid = meter.measured()[0]
    _check(of_valid, "validation", epoch)
    row = Searched(
        epoch.number,
        time.perf_counter() + since,
        found.arch,
        arch_str(under_way.space, found.arch),
        found.accuracy,
        of_valid.accuracy,
        of_valid.loss,
        of_train.accuracy,
        of_train.loss,
        of_arch.accuracy,
        of_arch.loss,
    )
    return row, rate


def rate_of(epoch: Epoch) -> float:
    """The weights' learning rate in an epoch."""
    first, last = RATES
    return last + (first - last) * (1 + math.cos(math.pi * epoch.number / epoch.epochs)) / 2


def _last(batch: Batch) -> Batch:
    """A batch with channels last in memory, as the supernets are."""
    return cast(batch[0], "float32"), batch[1]


def _note(meter: Meter, outcome: Outcome, batch: Batch) -> None:
    loss, logits = outcome
    meter.add(loss[None], logits[None], batch[1][None])


def _check(measured: Measured, what: str, epoch: Epoch) -> None:
    if not math.isfinite(measured.loss):
        raise NatsdbError(
            f"the search diverges: the {what} loss of epoch {epoch.number} is {measured.loss}",
            remedy="try another seed, or a lower --arch-learning-rate",
        )


def _digest(of: Any) -> str:
    return hashlib.sha256(json.dumps(of).encode()).hexdigest()[:8]


def _save(under_way: UnderWay, checkpoint: Path) -> None:
    optimizer = under_way.method.optimizer
    state = {
        "rows": [asdict(row) for row in under_way.rows],
        "method": under_way.method.state_dict(),
        "weights": under_way.weights.state_dict(),
        "optimizer": None if optimizer is None else optimizer.state_dict(),
    }
    write_with(checkpoint, lambda file: torch.save(state, file))


def _resume(under_way: UnderWay, checkpoint: Path) -> None:
    method = under_way.method
    try:
        state = torch.load(checkpoint, map_location="cpu", weights_only=True)
        method.load_state_dict(state["method"])
        under_way.weights.load_state_dict(state["weights"])
        if method.optimizer is not None:
            method.optimizer.load_state_dict(state["optimizer"])
        under_way.rows = [Searched(**row) for row in state["rows"]]
    except Exception as error:  # torch raises many kinds on a damaged file
        raise NatsdbError(
            "the checkpoint is damaged", where=str(checkpoint), remedy="remove it to start over"
        ) from error
