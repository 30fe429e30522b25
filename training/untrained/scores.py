"""Scores of architectures by zero-cost proxies: the batch, and a file's worth of work."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from natsdb.schema.errors import NatsdbError
from natsdb.training.data import draws, load, normalized
from natsdb.training.networks import network
from natsdb.training.recipe import threads
from natsdb.training.run import reason_of
from natsdb.training.untrained import files
from natsdb.training.untrained.files import Figure, Figures
from natsdb.training.untrained.proxies import Batch, Function

SECONDS = "_seconds"


class Drawn(NamedTuple):
    """A batch as it goes to other processes: normalized images (B×3×H×H float32) and labels (B int64).

    `classes`: of the data set; `fingerprint`: of all that was read.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: int
    fingerprint: str


class ScoreTask(NamedTuple):
    """A file's architectures to score.

    `keys`: of the scores and their seconds, by name; `seed`: of weights and what proxies draw.
    """

    path: Path
    space: str
    archs: Sequence[int]
    keys: Mapping[str, str]
    drawn: Drawn
    seed: int


def batch_of(dataset: str, folder: Path, seed: int, size: int, *, download: bool = False) -> Drawn:
    """Training images, normalized only: the first ones of the seed's order, as runs draw it. Of the others nothing is
    kept in memory.

    Raises:
        NatsdbError: the data set is missing, damaged, or another one, or has not so many images.
    """
    data = load(dataset, folder, download=download)
    if size > len(data.train):
        have = f"{data.name} has {len(data.train):,} training images here"
        raise NatsdbError(f"{have}, and the batch shall have {size:,}", remedy="name a smaller one with --batch")
    chosen = draws(seed, 0, len(data.train), 0).order[:size]
    images, labels = normalized(data.train.pixels[chosen], data), data.train.labels[chosen]
    return Drawn(images.numpy(), labels.numpy(), data.classes, data.fingerprint)


def score_file(task: ScoreTask, proxies: Mapping[str, Function], done: Callable[[int], None]) -> Figures:
    """Work out what a file lacks, on one thread, by the proxies of these names; see
    `natsdb.training.untrained.files.fill`."""
    # Channels last in memory, as in training: on a CPU twice as fast.
    images = torch.from_numpy(task.drawn.images).contiguous(memory_format=torch.channels_last)
    batch = Batch(images, torch.from_numpy(task.drawn.labels))

    def compute(arch: int, names: Sequence[str]) -> Iterator[Figure]:
        for name, proxy in proxies.items():
            if name in names or name + SECONDS in names:
                yield from _score(task, arch, name, proxy, batch)

    with threads(1):
        return files.fill(task.path, task.archs, task.keys, compute, done)


def _score(task: ScoreTask, arch: int, name: str, proxy: Function, batch: Batch) -> Iterator[Figure]:
    """A score and the seconds of a core that it took, the network's making included."""
    began = time.process_time()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(task.seed)
        net = network(task.space, arch, task.drawn.classes).to(memory_format=torch.channels_last)
        try:
            # (A tensor of one number is taken too; PyTorch warns where it has a gradient.)
            score = files.finite(arch, name, task.keys[name], float(torch.as_tensor(proxy(net, batch)).detach()))
        except Exception as error:  # whatever befalls one architecture, the others go on: its reason is kept
            score = Figure(arch, name, "", None, reason_of(error))
    yield score
    seconds = name + SECONDS
    yield Figure(arch, seconds, task.keys[seconds], time.process_time() - began)
