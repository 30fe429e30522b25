"""A search's images: batches of training images paired with batches for the architecture, and validation batches.

cifar10 trains weights on the official half of its training images and the architecture on the other half; cifar100 and
ImageNet16-120 train weights on all training images and the architecture on x-valid, a half of the test images.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import torch

from natsdb.schema.datasets import DATASETS, check_searched
from natsdb.training.data import Images, TrainingData, augmented, load, normalized, train_batches
from natsdb.training.weight_sharing.method import Batch, Epoch


def load_for_search(
    dataset: str, folder: Path, device: torch.device | str, *, images: int | None = None, download: bool = False
) -> TrainingData:
    """A data set as searched on: `train`, and `x-valid` for the architecture. `images`: at most so many in each.

    Raises:
        NatsdbError: the data set is none of these, missing or damaged.
    """
    check_searched(dataset)
    return load(DATASETS[dataset].validated, folder, device, images=images, download=download)


def pairs(data: TrainingData, epoch: Epoch, size: int) -> Iterator[tuple[Batch, Batch]]:
    """An epoch's batches for weights, each training image once, and with each a batch as large for the architecture.

    Both are augmented. Images of the latter are drawn with replacement, as the authors draw them.
    """
    draw, height = epoch.generator("architecture images"), 2 * data.padding + 1
    images, count = data.evals["x-valid"], len(data.train)
    device = images.labels.device
    order = torch.randint(len(images), (count,), generator=draw).to(device)
    flip = (torch.rand(count, generator=draw) < 0.5).to(device)
    shift = torch.randint(height, (count, 2), generator=draw).to(device)
    for number, batch in enumerate(train_batches(data, epoch.seed, epoch.number, size)):
        at = slice(number * size, (number + 1) * size)
        pixels = augmented(images.pixels[order[at]], flip[at], shift[at], data.padding)
        yield batch, (normalized(pixels, data), images.labels[order[at]])


def validation(data: TrainingData, draw: torch.Generator, size: int) -> Iterator[Batch]:
    """The architecture's images once, in an order drawn anew, normalized only.

    In a drawn order, since normalization by the batch makes an image's logits depend on those beside it.
    """
    images: Images = data.evals["x-valid"]
    for at in torch.randperm(len(images), generator=draw).to(images.labels.device).split(size):
        yield normalized(images.pixels[at], data), images.labels[at]


def validation_without_end(data: TrainingData, draw: torch.Generator, size: int) -> Iterator[Batch]:
    """Pass after pass over the architecture's images."""
    while True:
        yield from validation(data, draw, size)
