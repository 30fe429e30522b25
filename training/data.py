"""A data set as trained on: uint8 pixels on the device, official splits, flips and crops on whole batches.

An epoch's draws (order, flips, shifts) come from the run's seed and the epoch's number alone and are made on the CPU:
the same on every device, for every architecture, and after an interruption, with no generator to save.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from natsdb.schema import datasets
from natsdb.training.images import Pixels, fingerprint, read_images
from natsdb.training.own_data import Own, own_data
from natsdb.training.splits import halves_by_rule, halves_of_test, some


@dataclass(frozen=True)
class Images:
    """Pixels (uint8, N×3×H×H) and labels (int64, N), on the device."""

    pixels: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)

    def to(self, device: torch.device | str) -> Images:
        """The same on a device."""
        return Images(self.pixels.to(device), self.labels.to(device))


@dataclass(frozen=True)
class TrainingData:
    """A data set: images to train on, images to evaluate on by split in the order of evaluation, and how to normalize.

    `classes`: number of them; `mean` and `std`: 3×1×1 in units of 1; `padding`: black pixels around an image before it
    is cropped; `fingerprint`: what was read, and the first digits of the SHA-256 of all its pixels and labels; `flip`:
    how likely an image is mirrored; `described`: a data set that natsdb does not know by itself, as JSON has it.
    """

    name: str
    classes: int
    train: Images
    evals: dict[str, Images]
    mean: Tensor
    std: Tensor
    padding: int
    fingerprint: str
    flip: float = 0.5
    described: dict[str, Any] | None = None

    def to(self, device: torch.device | str) -> TrainingData:
        """The same on a device."""
        evals = {split: images.to(device) for split, images in self.evals.items()}
        mean, std = self.mean.to(device), self.std.to(device)
        return replace(self, train=self.train.to(device), evals=evals, mean=mean, std=std)


def load(
    dataset: str,
    folder: Path,
    device: torch.device | str = "cpu",
    *,
    images: int | None = None,
    download: bool = False,
    flip: float = 0.5,
    crop: float = 0.125,
    own: Own | None = None,
) -> TrainingData:
    """A data set with its official splits, from a folder (see `natsdb.training.images.read_images`).

    Args:
        folder: of a data set of one's own, what `natsdb.training.own_data.own_data` takes.
        images: at most so many images in each split, drawn by a fixed seed; all if None.
        flip: how likely an image is mirrored in training.
        crop: black pixels around an image before it is cropped in training, as a share of its height, rounded down.
        own: images of a data set of one's own that were read already; then nothing is read from the folder.

    Raises:
        NatsdbError: the data set is missing, damaged, or another one.
    """
    if own is None and dataset in datasets.DATASETS and datasets.DATASETS[dataset].digested:
        own = own_data(dataset, folder)
    train, test, kind = own[1:] if own is not None else read_images(dataset, folder, download=download)
    of = datasets.DATASETS[dataset]
    ids: dict[str, tuple[Pixels, Sequence[int]]]
    ids = {"train": (train, range(len(train.labels))), "ori-test": (test, range(len(test.labels)))}
    if of.halved:
        valid, rest = halves_of_test(dataset, len(test.labels))
        ids |= {"x-valid": (test, valid), "x-test": (test, rest)}
    elif "x-valid" in of.splits:
        half, valid = halves_by_rule(len(train.labels))
        ids |= {"train": (train, half), "x-valid": (train, valid)}
    splits = {split: _chosen(part, some(at, images), device) for split, (part, at) in ids.items()}
    mean, std = (
        torch.tensor([value / 255 for value in values]).view(3, 1, 1).to(device) for values in (of.mean, of.std)
    )
    said = f"{kind} {fingerprint(train, test)}"
    height = train.pixels.shape[-1]
    described = datasets.to_plain(of) if of in datasets.added() else None
    return TrainingData(
        dataset, of.classes, splits.pop("train"), splits, mean, std, int(height * crop), said, flip, described
    )


def _chosen(part: Pixels, ids: Sequence[int], device: torch.device | str) -> Images:
    at = list(ids)
    return Images(torch.from_numpy(part.pixels[at]).to(device), torch.from_numpy(part.labels[at]).to(device))


@dataclass(frozen=True)
class Draws:
    """What chance decides in an epoch: `order` (N), `flip` (N, bool) and `shift` (N×2: down, right; 0 to 2·padding)."""

    order: Tensor
    flip: Tensor
    shift: Tensor


def draws(seed: int, epoch: int, images: int, padding: int, flip: float = 0.5) -> Draws:
    """The draws of an epoch, a function of these numbers alone; on the CPU."""
    generator = torch.Generator().manual_seed(seed * 65_536 + epoch)
    return Draws(
        torch.randperm(images, generator=generator),
        torch.rand(images, generator=generator) < flip,
        torch.randint(2 * padding + 1, (images, 2), generator=generator),
    )


def augmented(pixels: Tensor, flip: Tensor, shift: Tensor, padding: int) -> Tensor:
    """Images mirrored where `flip`, then padded with black and cropped to their size at `shift`.

    One gather for the whole batch: a mirrored image is read from right to left.

    Args:
        pixels: B×3×H×H of any type; flip: B bools; shift: B×2.
    """
    height = pixels.shape[-1]
    padded = torch.nn.functional.pad(pixels, [padding] * 4)
    span = torch.arange(height, device=pixels.device)
    rows, columns = shift[:, :1] + span, shift[:, 1:] + span
    columns = torch.where(flip[:, None], height + 2 * padding - 1 - columns, columns)
    image = torch.arange(len(pixels), device=pixels.device)[:, None, None, None]
    channel = torch.arange(3, device=pixels.device)[None, :, None, None]
    return padded[image, channel, rows[:, None, :, None], columns[:, None, None, :]]


def normalized(pixels: Tensor, data: TrainingData) -> Tensor:
    """Pixels as float32 of mean 0 and standard deviation 1 over the official training set, in torchvision's steps.

    255 is a tensor: by a number a CUDA device does not divide, it multiplies, and is off in the last bit.
    """
    full = torch.full((), 255.0, device=pixels.device)
    return pixels.float().div(full).sub(data.mean).div(data.std)


def train_batches(data: TrainingData, seed: int, epoch: int, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """An epoch's batches, augmented and normalized, on the data's device: B×3×H×H floats and B labels."""
    device = data.train.labels.device
    drawn = draws(seed, epoch, len(data.train), data.padding, data.flip)
    order, flip, shift = (drawn.order.to(device), drawn.flip.to(device), drawn.shift.to(device))
    for start in range(0, len(order), size):
        at = slice(start, start + size)
        pixels = augmented(data.train.pixels[order[at]], flip[at], shift[at], data.padding)
        yield normalized(pixels, data), data.train.labels[order[at]]


def eval_batches(data: TrainingData, split: str, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """A split's batches in order, normalized only: B×3×H×H floats and B labels."""
    images = data.evals[split]
    for start in range(0, len(images), size):
        at = slice(start, start + size)
        yield normalized(images.pixels[at], data), images.labels[at]
