"""Runs: a folder of them, finished and under way.

RUNS/tss/12/001462-cifar10-valid-777.json                  a finished run; its appearance is the commit point
RUNS/tss/12/001462-cifar10-valid-777.npz                   its trained weights, if they are kept
RUNS/tss/12/001462-cifar10-valid-777.<digest>.checkpoint   a run under way, after its last whole epoch
RUNS/tss/12/001462-cifar10-valid-777.failed.json           a run that failed, and why
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from natsdb.schema.datasets import DATASETS
from natsdb.schema.errors import NatsdbError
from natsdb.schema.names import did_you_mean
from natsdb.schema.schedules import epochs_of
from natsdb.schema.spaces import arch_str
from natsdb.store.writing import whole_file, writing

FORMAT = 1


@dataclass(frozen=True, order=True)
class TrainingRun:
    """A training run: its key in the database's tables."""

    space: str
    arch: int
    hp: str
    dataset: str
    seed: int

    def __str__(self) -> str:
        return f"{self.space} {self.arch}, hp {self.hp}, {self.dataset}, seed {self.seed}"

    def path(self, folder: Path, suffix: str) -> Path:
        """One of the run's files."""
        return folder / self.space / self.hp / f"{self.arch:06d}-{self.dataset}-{self.seed}{suffix}"


def runs_of(
    space: str, archs: Iterable[int], hp: str, datasets: Sequence[str], seeds: Sequence[int]
) -> list[TrainingRun]:
    """All runs of these architectures, data sets and seeds, data set by data set.

    Raises:
        NatsdbError: there is no such space, architecture, schedule or data set.
    """
    archs = list(archs)
    for arch in archs:
        arch_str(space, arch)
    epochs_of(hp)
    for dataset in datasets:
        if dataset not in DATASETS:
            raise NatsdbError(f"there is no data set {dataset!r}", remedy=did_you_mean(dataset, DATASETS))
    if any(not 0 <= seed < 1 << 31 for seed in seeds):
        raise NatsdbError("a seed is a whole number from 0 to 2147483647", remedy="the official ones are 777, 888, 999")
    runs = (TrainingRun(space, arch, hp, dataset, seed) for dataset in datasets for arch in archs for seed in seeds)
    return list(dict.fromkeys(runs))


def key_of(run: TrainingRun) -> dict[str, Any]:
    """What the file of a run says first, finished or failed."""
    return {
        "natsdb_run": FORMAT,
        "space": run.space,
        "arch": run.arch,
        "arch_str": arch_str(run.space, run.arch),
        "hp": run.hp,
        "dataset": run.dataset,
        "seed": run.seed,
    }


def checkpoint_path(run: TrainingRun, folder: Path, settings: dict[str, Any], epochs: int) -> Path:
    """Where a run's checkpoint lies. Its name holds a digest of all that decides its numbers but the runs beside it."""
    digest = hashlib.sha256(json.dumps([settings, epochs]).encode()).hexdigest()[:8]
    return run.path(folder, f".{digest}.checkpoint")


def checkpoints(run: TrainingRun, folder: Path) -> list[Path]:
    """A run's checkpoints, whatever their settings."""
    done = run.path(folder, "")
    return sorted(done.parent.glob(f"{done.name}.*.checkpoint"))


def finished(run: TrainingRun, folder: Path, settings: dict[str, Any], epochs: int) -> bool:
    """Whether a run is finished.

    Raises:
        NatsdbError: it is, with other settings, or its file is damaged.
    """
    path = run.path(folder, ".json")
    if not path.exists():
        return False
    try:
        done = json.loads(path.read_text(encoding="utf-8"))
        have = {**done["provenance"], "epochs": done["epochs"]}
    except (ValueError, KeyError, TypeError) as error:
        raise NatsdbError("this is no finished run", where=str(path), remedy="remove the file") from error
    for name, asked in (*((n, settings[n]) for n in ("precision", "data", "images")), ("epochs", epochs)):
        if have[name] != asked:
            raise NatsdbError(
                f"this run was trained with {name} {have[name]}, not {asked}",
                where=str(path),
                remedy="name another folder with --runs, or ask for the same",
            )
    return True


def check_recipe(folder: Path, recipe: dict[str, Any] | None) -> None:
    """Refuse to put runs beside those of another recipe: a folder's runs become rows of one source.

    Args:
        recipe: as provenance says it; None for the official one.

    Raises:
        NatsdbError: the folder has finished runs by another recipe.
    """
    for path in folder.glob("*/*/*.json"):
        if path.name.endswith(".failed.json"):
            continue
        try:
            held = json.loads(path.read_text(encoding="utf-8"))["provenance"].get("recipe")
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # whoever needs it says that it is damaged
        if held != recipe:
            raise NatsdbError(
                "its runs were trained by another recipe", where=str(path), remedy="name another folder with --runs"
            )
        return  # as it was checked before it, they are all alike


def remove_traces(run: TrainingRun, folder: Path) -> None:
    """Remove what a finished run needs no more: its checkpoints, what kills left half written, an earlier failure."""
    run.path(folder, ".failed.json").unlink(missing_ok=True)
    done = run.path(folder, "")
    for left in (*checkpoints(run, folder), *done.parent.glob(f".{done.name}.*.tmp")):
        left.unlink(missing_ok=True)


def write(path: Path, data: bytes) -> None:
    """Write bytes as a file; see `write_with`."""
    write_with(path, lambda file: file.write(data))


def write_with(path: Path, write: Callable[[Any], object]) -> None:
    """Write a file so that it is there whole or not at all.

    Raises:
        NotWritable: the disk is full, or it cannot be written.
    """
    with writing(path, "free space there, or name another folder with --runs, and run the same command again"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary, temporary.open("wb") as file:
            write(file)
