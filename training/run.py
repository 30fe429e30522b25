"""Train runs one after the other, and survive a kill at any moment.

After each epoch a checkpoint is renamed into place. Its name holds a digest of all that decides a run's numbers, so it
is taken up only where it leads to the same rows.
"""

from __future__ import annotations

import hashlib
import json
import math
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

import natsdb
from natsdb.schema.errors import NatsdbError
from natsdb.schema.schedules import HPS
from natsdb.training.data import DataSet, load
from natsdb.training.folder import Run, finished, key_of, remove_traces, write, write_with
from natsdb.training.recipe import PRECISIONS, Measured, Training, start, train_epoch


class Diverged(Exception):
    """A loss is not a finite number: which, and when."""


@dataclass(frozen=True)
class Progress:
    """An epoch is done: of which run, the run's place among those to do (from 1), and what was measured.

    `rate`: images a second, training and evaluation together; `seconds_left`: for all runs, at this command's pace.
    """

    run: Run
    number: int
    runs: int
    epoch: int
    epochs: int
    measured: dict[str, Measured]
    rate: float
    seconds_left: float


@dataclass(frozen=True)
class Report:
    """What `train` did: runs finished now and before, and those that failed with their reasons.

    `lost`: why the device can no longer be used, if so; the runs after that were not tried.
    """

    folder: Path
    finished: int = 0
    before: int = 0
    failed: list[tuple[Run, str]] = field(default_factory=list)
    lost: str = ""


def train(
    runs: Sequence[Run],
    folder: Path,
    data: Path,
    *,
    device: str | None = None,
    precision: str = "float32",
    images: int | None = None,
    epochs: int | None = None,
    keep_weights: bool = False,
    download: bool = False,
    progress: Callable[[Progress], None] | None = None,
) -> Report:
    """Train runs one after the other, each by the official recipe; those that are finished already are left alone.

    Killed at any moment, the same call goes on after the last whole epoch; on a CPU, with as many threads, its numbers
    are those of a run that nothing disturbed, bit for bit (seconds apart). A run that fails is noted, with its reason,
    and the others go on; the same call tries it again.

    Args:
        runs: what to train; see `runs_of`.
        folder: of the runs, finished and under way.
        data: folder of the data set; see `natsdb.training.images.read_images`.
        device: as PyTorch names it; a GPU if there is one, else the CPU, if None.
        precision: float32 (the official one, without TF32), bf16 (autocast; weights and sums in float32) or float64.
        images, epochs: for reduced runs: at most so many images a split, another number of epochs than the schedule's
            (the learning rate follows it). Reduced runs say so in their provenance.
        keep_weights: keep the trained weights too.
        download: fetch CIFAR if it is not there.
        progress: called after each epoch.

    Raises:
        NatsdbError: the data set is missing or damaged; there is no such device; the folder holds runs of these keys
            with other settings; it cannot be written.
    """
    where = _device(device)
    if precision not in PRECISIONS:
        raise NatsdbError(f"there is no precision {precision!r}", remedy=f"choose {', '.join(PRECISIONS)}")
    if (images is not None and images < 1) or (epochs is not None and not 0 < epochs < 1 << 15):
        raise NatsdbError("a run needs an image and an epoch at least", remedy="leave --images and --epochs out")
    loaded: dict[str, DataSet] = {}
    settings: dict[str, dict[str, Any]] = {}
    for dataset in dict.fromkeys(run.dataset for run in runs):
        loaded[dataset] = load(dataset, data, where, images=images, download=download)
        settings[dataset] = _settings(where, precision, loaded[dataset], images)
    todo = [run for run in runs if not finished(run, folder, settings[run.dataset], epochs or HPS[run.hp])]
    failed: list[tuple[Run, str]] = []
    spent: list[float] = []
    for number, run in enumerate(todo, 1):
        last = epochs or HPS[run.hp]
        later = sum(epochs or HPS[other.hp] for other in todo[number:])
        try:
            for done in _epochs(run, folder, loaded[run.dataset], settings[run.dataset], last, keep_weights):
                spent.append(done.seconds)
                left = (last - done.epoch - 1 + later) * sum(spent) / len(spent)
                if progress is not None:
                    rate = done.images / done.seconds
                    progress(Progress(run, number, len(todo), done.epoch, last, done.measured, rate, left))
        except Exception as error:  # whatever befalls one run, the others go on: its reason is kept
            failed.append((run, _reason(error)))
            note = {**key_of(run), "reason": failed[-1][1], "provenance": settings[run.dataset]}
            write(run.path(folder, ".failed.json"), json.dumps(note, indent=1).encode())
            if lost := _lost(where):
                return Report(folder, number - len(failed), len(runs) - len(todo), failed, lost)
    return Report(folder, len(todo) - len(failed), len(runs) - len(todo), failed)


class _Epoch(NamedTuple):
    """An epoch that is done: what was measured, how many images were passed, seconds with the checkpoint."""

    epoch: int
    measured: dict[str, Measured]
    images: int
    seconds: float


def _epochs(
    run: Run, folder: Path, data: DataSet, settings: dict[str, Any], epochs: int, keep_weights: bool
) -> Iterator[_Epoch]:
    """Train a run epoch by epoch from where it was, then write its file."""
    digest = hashlib.sha256(json.dumps([settings, epochs]).encode()).hexdigest()[:8]
    checkpoint = run.path(folder, f".{digest}.checkpoint")
    training = start(run.space, run.arch, run.seed, data, settings["precision"])
    curves = _resume(training, checkpoint) if checkpoint.exists() else {}
    images = {"train": len(data.train)} | {split: len(of) for split, of in data.evals.items()}
    while training.epoch < epochs:
        began = time.perf_counter()
        # The authors ask cuDNN for deterministic algorithms; TF32 came after their runs.
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            measured = train_epoch(training, data, run.seed, epochs, settings["precision"])
        for split, values in measured.items():
            if not math.isfinite(values.loss):
                raise Diverged(f"diverged: the {split} loss of epoch {training.epoch - 1} is {values.loss}")
            curves.setdefault(split, []).append(list(values))
        _save(training, curves, checkpoint)
        yield _Epoch(training.epoch - 1, measured, sum(images.values()), time.perf_counter() - began)
    if keep_weights:
        weights = {name: value.cpu().numpy() for name, value in training.net.state_dict().items()}
        write_with(run.path(folder, ".npz"), lambda file: np.savez(file, **weights))
    done = {
        **key_of(run),
        "epochs": epochs,
        "flops": training.flops,
        "params": training.params,
        "images": images,
        "measured": {
            split: dict(zip(Measured._fields, map(list, zip(*rows, strict=True)), strict=True))
            for split, rows in curves.items()
        },
        "provenance": settings,
    }
    write(run.path(folder, ".json"), json.dumps(done, indent=1).encode())
    remove_traces(run, folder)


def _settings(device: torch.device, precision: str, data: DataSet, images: int | None) -> dict[str, Any]:
    """All that decides a run's numbers besides its key and epochs: what its provenance says."""
    name = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{device.type} ({platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, "
        f"{torch.get_num_threads()} threads)"
    )
    return {
        "natsdb": natsdb.__version__,
        "training": _code_digest(),
        "torch": torch.__version__,
        "device": name,
        "precision": precision,
        "data": data.fingerprint,
        "images": images,
    }


def _code_digest() -> str:
    """First digits of the SHA-256 of this package's source: two runs of equal digests were trained by equal code."""
    digest = hashlib.sha256()
    for path in sorted(Path(__file__).parent.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _device(name: str | None) -> torch.device:
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        first = str(error).split("\n")[0]
        raise NatsdbError(f"there is no device {name!r} ({first})", remedy="leave --device out") from error
    return device


def _lost(device: torch.device) -> str:
    """Why the device cannot be used any more; empty if it can. After some CUDA errors a process never can again."""
    if device.type != "cuda":
        return ""
    try:
        torch.cuda.empty_cache()
        torch.zeros(1, device=device).add_(1).item()
    except RuntimeError as error:
        return str(error).split("\n")[0]
    return ""


def _reason(error: Exception) -> str:
    first = str(error).split("\n")[0].strip()
    if isinstance(error, Diverged | NatsdbError):
        return first
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in first:
        return f"out of memory: {first}"
    return f"{type(error).__name__}: {first}"


def _save(training: Training, curves: dict[str, list[list[float]]], path: Path) -> None:
    state = {
        "epoch": training.epoch,
        "curves": curves,
        "network": training.net.state_dict(),
        "optimizer": training.optimizer.state_dict(),
    }
    write_with(path, lambda file: torch.save(state, file))


def _resume(training: Training, path: Path) -> dict[str, list[list[float]]]:
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        training.net.load_state_dict(state["network"])
        training.optimizer.load_state_dict(state["optimizer"])
        training.epoch = state["epoch"]
        return dict(state["curves"])
    except Exception as error:  # torch raises many kinds on a damaged file
        raise NatsdbError("the checkpoint is damaged", where=str(path), remedy="remove it to start over") from error
