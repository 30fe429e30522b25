"""Train runs one after the other or several side by side, and survive a kill at any moment.

After each epoch a checkpoint of each run is renamed into place. It is taken up only where it leads to the same rows;
see `natsdb.training.run_files.checkpoint_path`.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
import platform
import time
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

import natsdb
from natsdb.schema.errors import NatsdbError, said_by
from natsdb.schema.names import did_you_mean
from natsdb.schema.schedules import MOST, epochs_of
from natsdb.training.data import TrainingData, load
from natsdb.training.own_data import Own
from natsdb.training.recipe import (
    OFFICIAL,
    PRECISIONS,
    STEPS,
    Measured,
    Recipe,
    Together,
    Training,
    arithmetic,
    start,
)
from natsdb.training.run_files import (
    TrainingRun,
    check_recipe,
    checkpoint_path,
    finished,
    key_of,
    remove_traces,
    write,
    write_with,
)


class Diverged(Exception):
    """A loss is not a finite number: which, and when."""


@dataclass(frozen=True)
class Progress:
    """An epoch is done: of which run, the run's place among those to do (from 1), and what was measured.

    `rate`: images a second, training and evaluation together; `seconds_left`: for all runs, at this command's pace;
    `ended`: runs that are through, finished or failed.
    """

    run: TrainingRun
    number: int
    runs: int
    epoch: int
    epochs: int
    measured: dict[str, Measured]
    rate: float
    seconds_left: float
    ended: int


@dataclass(frozen=True)
class TrainReport:
    """What `train` did: runs finished now and before, and those that failed with their reasons.

    `lost`: why the device can no longer be used, if so; the runs after that were not tried.
    """

    folder: Path
    finished: int = 0
    before: int = 0
    failed: list[tuple[TrainingRun, str]] = field(default_factory=list)
    lost: str = ""


class Task(NamedTuple):
    """Runs to train side by side, one or several; all that decides their numbers but for the keys is in `settings`."""

    runs: tuple[TrainingRun, ...]
    data: TrainingData
    settings: dict[str, Any]
    epochs: int
    keep_weights: bool


class Epoch(NamedTuple):
    """An epoch of a run is done: what was measured, how many images were passed, seconds with the checkpoint.

    Seconds are the run's share, where several were trained side by side.
    """

    run: TrainingRun
    epoch: int
    measured: dict[str, Measured]
    images: int
    seconds: float


class Failure(NamedTuple):
    """A run failed. Its reason is a text: an exception would hold on to the device's memory."""

    run: TrainingRun
    reason: str
    settings: dict[str, Any]


# What does tasks, writes their files into a folder, and tells of each epoch and each failure when it is written.
Trainer = Callable[[Sequence[Task], Path], Generator[Epoch | Failure, None, None]]


def train(
    runs: Sequence[TrainingRun],
    folder: Path,
    data: Path,
    *,
    device: str | None = None,
    precision: str = "float32",
    images: int | None = None,
    epochs: int | None = None,
    stack: int = 1,
    step: str = "eager",
    keep_weights: bool = False,
    download: bool = False,
    recipe: Recipe = OFFICIAL,
    own: Mapping[str, Own] | None = None,
    trainer: Trainer | None = None,
    progress: Callable[[Progress], None] | None = None,
) -> TrainReport:
    """Train runs, each by the official recipe, or by one of one's own; those that are finished already are left alone.

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
        stack: so many runs side by side, where they go together; see `stacks`. Their numbers are those of the same runs
            alone, on a CPU to the bit, also when they are resumed with another `stack`.
        step: eager, as it is written; compile, by torch.compile, which takes minutes for a network; or graph,
            captured as a CUDA graph. Numbers are the same but for rounding.
        keep_weights: keep the trained weights too.
        download: fetch CIFAR if it is not there.
        recipe: of one's own; a folder of runs has those of one recipe.
        own: data sets of one's own by name, of which nothing is read from `data`; see
            `natsdb.training.own_data.own_data`.
        trainer: what trains elsewhere than here, and then decides on the device; see `natsdb.training.cluster`.
        progress: called after each epoch.

    Raises:
        NatsdbError: the data set is missing or damaged; there is no such device, or it cannot do that step; the folder
            holds runs of these keys with other settings; it cannot be written.
    """
    if trainer is not None and device is not None:
        raise NatsdbError(
            f"the device {device} is this machine's, and runs are to be trained elsewhere", remedy="leave --device out"
        )
    where = device_of("cpu" if trainer else device)
    if precision not in PRECISIONS:
        raise NatsdbError(f"there is no precision {precision!r}", remedy=did_you_mean(precision, PRECISIONS))
    if (images is not None and images < 1) or (epochs is not None and not 0 < epochs <= MOST):
        raise NatsdbError(
            f"a run needs an image at least and 1 to {MOST:,} epochs", remedy="leave --images and --epochs out"
        )
    if stack < 1:
        raise NatsdbError("a stack needs a run at least", remedy="leave --stack out")
    if step not in STEPS:
        raise NatsdbError(f"there is no step {step!r}", remedy=f"choose {', '.join(STEPS)}")
    if step == "compile" and stack > 1:
        raise NatsdbError("compiled runs are trained one after the other", remedy="leave --stack or --compile out")
    if trainer is None:
        _check_step(step, where)
    if step == "fused" and (precision != "bf16" or {run.space for run in runs} - {"tss"}):
        raise NatsdbError("fused cells are those of tss, in bf16", remedy="say --precision bf16, or leave --fused out")
    check_recipe(folder, recipe.said)
    loaded: dict[str, TrainingData] = {}
    settings: dict[str, dict[str, Any]] = {}
    for dataset in dict.fromkeys(run.dataset for run in runs):
        loaded[dataset] = load(
            dataset,
            data,
            where,
            images=images,
            download=download,
            flip=recipe.flip,
            crop=recipe.crop,
            own=(own or {}).get(dataset),
        )
        settings[dataset] = settings_of(loaded[dataset], precision, step, images, recipe)
    todo = [run for run in runs if not finished(run, folder, settings[run.dataset], epochs or epochs_of(run.hp))]
    tasks = [
        Task(tuple(of), loaded[of[0].dataset], settings[of[0].dataset], epochs or epochs_of(of[0].hp), keep_weights)
        for of in stacks(todo, stack)
    ]
    number = {run: place for place, run in enumerate((run for task in tasks for run in task.runs), 1)}
    last = {run: epochs or epochs_of(run.hp) for run in todo}
    left = dict(last)
    failed: list[tuple[TrainingRun, str]] = []
    spent: list[float] = []
    # Closed whatever happens, so that nothing goes on elsewhere after this call.
    with closing((trainer or _in_turn)(tasks, folder)) as events:
        for done in events:
            left[done.run] = 0 if isinstance(done, Failure) else last[done.run] - done.epoch - 1
            if isinstance(done, Failure):
                failed.append((done.run, done.reason))
                note = {**key_of(done.run), "reason": done.reason, "provenance": done.settings}
                write(done.run.path(folder, ".failed.json"), json.dumps(note, indent=1).encode())
                if lost := _lost(where):
                    ended = sum(run.path(folder, ".json").exists() for run in todo)
                    return TrainReport(folder, ended, len(runs) - len(todo), failed, lost)
                continue
            spent.append(done.seconds)
            if progress is not None:
                at = (done.run, number[done.run], len(todo), done.epoch, last[done.run])
                pace = (done.images / done.seconds, sum(left.values()) * sum(spent) / len(spent))
                progress(Progress(*at, done.measured, *pace, ended=sum(not rest for rest in left.values())))
    return TrainReport(folder, len(todo) - len(failed), len(runs) - len(todo), failed)


def _in_turn(tasks: Sequence[Task], folder: Path) -> Generator[Epoch | Failure, None, None]:
    for task in tasks:
        yield from train_together(task, folder)


@dataclass(eq=False)
class _Member:
    """A run under way. `curves`: rows of figures by split; `stack`: how many were trained side by side, at the most."""

    run: TrainingRun
    checkpoint: Path
    training: Training
    curves: dict[str, list[list[float]]] = field(default_factory=dict)
    stack: int = 1


def stacks(runs: Sequence[TrainingRun], size: int) -> list[list[TrainingRun]]:
    """Runs that can go side by side, `size` or fewer in a list: of one space, data set and hp."""
    alike: dict[tuple[str, ...], list[TrainingRun]] = {}
    for run in runs:
        alike.setdefault((run.space, run.dataset, run.hp), []).append(run)
    return [group[at : at + size] for group in alike.values() for at in range(0, len(group), size)]


def train_together(task: Task, folder: Path) -> Generator[Epoch | Failure, None, None]:
    """Train runs side by side, epoch by epoch from where each was, then write their files; one that fails leaves.

    What fails for all of them at once, such as memory, is the failure of each.
    """
    runs, data, settings, epochs, keep_weights = task
    members: list[_Member] = []
    together: tuple[list[_Member], Together] | None = None
    for run in runs:
        try:
            members.append(_begin(run, folder, data, settings, epochs))
        except Exception as error:  # whatever befalls one run, the others go on: its reason is kept
            yield Failure(run, reason_of(error), settings)
    images = {"train": len(data.train)} | {split: len(of) for split, of in data.evals.items()}
    # A kill may have come between two members' checkpoints: those that are behind go first.
    while members and (epoch := min(member.training.epoch for member in members)) < epochs:
        now = [member for member in members if member.training.epoch == epoch]
        failures: list[Failure] = []
        began = time.perf_counter()
        try:
            if together is None or together[0] != now:
                if settings["step"] == "compile":
                    # What was compiled is of no use to other networks, and PyTorch limits how much of it there may be.
                    torch.compiler.reset()
                trainings = [member.training for member in now]
                together = now, Together(trainings, settings["precision"], settings["step"])
            with arithmetic():
                measured = together[1].train_epoch(data, [member.run.seed for member in now], epochs)
        except Exception as error:
            failures = [Failure(member.run, reason_of(error), settings) for member in now]
            measured = []
        for member, figures in zip(now, measured, strict=False):
            try:
                _keep(member, figures, len(now))
            except Exception as error:
                failures.append(Failure(member.run, reason_of(error), settings))
        seconds = (time.perf_counter() - began) / len(now)
        gone = {failure.run for failure in failures}
        members = [member for member in members if member.run not in gone]
        yield from failures
        for member, figures in zip(now, measured, strict=False):
            if member.run not in gone:
                yield Epoch(member.run, epoch, figures, sum(images.values()), seconds)
    for member in members:
        try:
            _finish(member, folder, images, data.described, settings, keep_weights)
        except Exception as error:
            yield Failure(member.run, reason_of(error), settings)


def _begin(run: TrainingRun, folder: Path, data: TrainingData, settings: dict[str, Any], epochs: int) -> _Member:
    """A run from its checkpoint, or from its initial weights."""
    recipe = Recipe(**settings.get("recipe", {}))
    training = start(run.space, run.arch, run.seed, data, settings["precision"], recipe)
    member = _Member(run, checkpoint_path(run, folder, settings, epochs), training)
    if member.checkpoint.exists():
        _resume(member)
    return member


def _keep(member: _Member, measured: dict[str, Measured], stack: int) -> None:
    """Note what was measured in an epoch, and save the run as it is after it.

    Raises:
        Diverged: a loss is not finite.
    """
    for split, values in measured.items():
        if not math.isfinite(values.loss):
            raise Diverged(f"diverged: the {split} loss of epoch {member.training.epoch - 1} is {values.loss}")
        member.curves.setdefault(split, []).append(list(values))
    member.stack = max(member.stack, stack)
    _save(member)


def _finish(
    member: _Member,
    folder: Path,
    images: dict[str, int],
    described: dict[str, Any] | None,
    settings: dict[str, Any],
    keep_weights: bool,
) -> None:
    """Write a run's file: from here on it is finished."""
    run, training = member.run, member.training
    if keep_weights:
        weights = {name: value.cpu().numpy() for name, value in training.net.state_dict().items()}
        write_with(run.path(folder, ".npz"), lambda file: np.savez(file, **weights))
    done = {
        **key_of(run),
        **({"data_set": described} if described else {}),
        "epochs": training.epoch,
        "flops": training.flops,
        "params": training.params,
        "images": images,
        "measured": {
            split: dict(zip(Measured._fields, map(list, zip(*rows, strict=True)), strict=True))
            for split, rows in member.curves.items()
        },
        "provenance": {**settings, "stack": member.stack},
    }
    write(run.path(folder, ".json"), json.dumps(done, indent=1).encode())
    remove_traces(run, folder)


def settings_of(
    data: TrainingData, precision: str, step: str, images: int | None, recipe: Recipe = OFFICIAL
) -> dict[str, Any]:
    """All that decides a run's numbers besides its key and epochs, on the data's device: what its provenance says."""
    device = data.train.labels.device
    name = (
        torch.cuda.get_device_name(device)
        if device.type == "cuda"
        else f"{device.type} ({platform.machine()}, {torch.backends.cpu.get_cpu_capability()}, "
        f"{torch.get_num_threads()} threads)"
    )
    return {
        "natsdb": natsdb.__version__,
        "training": code_digest(Path(__file__).parent),
        "torch": torch.__version__,
        "device": name,
        "precision": precision,
        "step": step,
        "data": data.fingerprint,
        "images": images,
        **({"recipe": recipe.said} if recipe.said else {}),
    }


def code_digest(package: Path) -> str:
    """First digits of the SHA-256 of a package's source: two runs of equal digests were trained by equal code."""
    digest = hashlib.sha256()
    for path in sorted(package.glob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def device_of(name: str | None) -> torch.device:
    """The device of a name; a GPU if there is one, else the CPU, if None.

    Raises:
        NatsdbError: there is none.
    """
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.zeros(1, device=device)
    except (RuntimeError, AssertionError) as error:
        raise NatsdbError(f"there is no device {name!r} ({said_by(error)})", remedy="leave --device out") from error
    return device


def _check_step(step: str, device: torch.device) -> None:
    if step in ("graph", "fused") and device.type != "cuda":
        raise NatsdbError(
            f"the device {device} has no CUDA graphs", remedy=f"leave --{step} out, or name a CUDA device"
        )
    if step == "fused" and importlib.util.find_spec("triton") is None:
        raise NatsdbError("Triton is not installed", remedy="leave --fused out: --graph needs nothing else")
    if step == "compile":
        try:
            torch.compile(lambda x: (x + 1).sum(), fullgraph=True)(torch.zeros(8, device=device))
        except Exception as error:  # no C++ compiler, no Triton, no Python headers: many kinds
            raise NatsdbError(
                f"PyTorch cannot compile here ({said_by(error)})", remedy="leave --compile out"
            ) from error


def _lost(device: torch.device) -> str:
    """Why the device cannot be used any more; empty if it can. After some CUDA errors a process never can again."""
    if device.type != "cuda":
        return ""
    try:
        torch.cuda.empty_cache()
        torch.zeros(1, device=device).add_(1).item()
    except RuntimeError as error:
        return said_by(error)
    return ""


def reason_of(error: Exception) -> str:
    """Why a run failed, in one line."""
    first = str(error).split("\n")[0].strip()
    if isinstance(error, Diverged | NatsdbError):
        return first
    if isinstance(error, MemoryError | torch.OutOfMemoryError) or "can't allocate memory" in first:
        return f"out of memory: {first}"
    return f"{type(error).__name__}: {first}"


def _save(member: _Member) -> None:
    optimizer = member.training.optimizer.state_dict()
    for group in optimizer["param_groups"]:
        group["lr"] = float(group["lr"])  # a tensor on a CUDA device
    state = {
        "epoch": member.training.epoch,
        "stack": member.stack,
        "curves": member.curves,
        "network": member.training.net.state_dict(),
        "optimizer": optimizer,
    }
    write_with(member.checkpoint, lambda file: torch.save(state, file))


def _resume(member: _Member) -> None:
    try:
        state = torch.load(member.checkpoint, map_location="cpu", weights_only=True)
        member.training.net.load_state_dict(state["network"])
        member.training.optimizer.load_state_dict(state["optimizer"])
        member.training.epoch, member.stack, member.curves = state["epoch"], state["stack"], dict(state["curves"])
    except Exception as error:  # torch raises many kinds on a damaged file
        where = str(member.checkpoint)
        raise NatsdbError("the checkpoint is damaged", where=where, remedy="remove it to start over") from error
