"""The data sets: each an entry, with what its splits are and how searches on it are judged.

The list is open: a database's manifest keeps those that natsdb does not know by itself, and who opens it knows them.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from natsdb.schema.errors import NatsdbError
from natsdb.schema.names import did_you_mean

Channels = tuple[float, float, float]


class Split(NamedTuple):
    """A split: its number of images, None where it is not known, which these are, and first digits of the SHA-256 of
    their pixels and labels where the data set is a folder of somebody's own."""

    images: int | None
    meaning: str
    digest: str = ""

    @property
    def said(self) -> str:
        """Meaning and digest, as the table `dataset` has them."""
        return f"{self.meaning}; SHA-256 {self.digest}" if self.digest else self.meaning


@dataclass(frozen=True, eq=False)
class DataSet:
    """A data set as trained on.

    `name`: in tables and records; `short`: in names of columns, as in `imagenet_test`; `image_size`: height and width
    in pixels, None where it is not known or images are no squares; `splits`: what was measured on, by name: x-valid and
    x-test are the halves of the official test or validation set, ori-test is the whole; `mean`, `std`: of red, green
    and blue in units of 1/255, as the official recipe has them; `budget`: simulated seconds of the published searches
    on it; `twin`: the data set that a search on this one trains on, where validation images are a half of the training
    images.
    """

    name: str
    short: str
    classes: int
    image_size: int | None
    splits: dict[str, Split]
    mean: Channels
    std: Channels
    budget: float = 20_000.0
    twin: str = ""

    @property
    def height(self) -> int:
        """Height and width of its images in pixels.

        Raises:
            NatsdbError: they are not known.
        """
        if self.image_size is None:
            raise NatsdbError(
                f"the size of the images of {self.name} is not known",
                remedy="name another data set, or register it with its image_size before its records are read",
            )
        return self.image_size

    @property
    def digested(self) -> bool:
        """Whether its images are known by their digests."""
        return any(split.digest for split in self.splits.values())

    @property
    def halved(self) -> bool:
        """Whether its test images are cut in two halves, x-valid and x-test."""
        return "x-test" in self.splits

    @property
    def validated(self) -> str:
        """The data set as trained on that has x-valid accuracies: its twin, or itself."""
        return self.twin or self.name

    @property
    def roles(self) -> dict[str, tuple[str, str]]:
        """What searches on it are judged by: (data set as trained on, split) by role."""
        roles = {
            "valid": (self.validated, "x-valid"),
            "test": (self.name, "x-test" if self.halved else "ori-test"),
        }
        return roles | ({"both": (self.name, "ori-test")} if self.halved else {})


DATASETS: dict[str, DataSet] = {}


def register(dataset: DataSet) -> DataSet:
    """Let natsdb know a data set, in this process: catalogue, ingest, SQL, facade and searches take it like the others.

    Raises:
        NatsdbError: there is another one of its name, or of its name in columns that is no twin; or that name, the
            budget or the twin cannot be one.
    """
    if not dataset.short.isidentifier():
        raise NatsdbError(f"{dataset.short!r} cannot be in names of columns", remedy="give it letters, digits and _")
    if dataset.twin and (dataset.twin not in DATASETS or "x-valid" not in DATASETS[dataset.twin].splits):
        raise NatsdbError(
            f"there is no data set {dataset.twin!r} with a split x-valid to be the twin of {dataset.name}",
            remedy="register the twin first",
        )
    budget = seconds_of(dataset.budget, dataset.name)
    if DATASETS.get(dataset.name, dataset) is not dataset:
        raise NatsdbError(f"there is a data set {dataset.name!r} already", remedy="give it another name")
    for other in DATASETS.values():
        if other.short == dataset.short and dataset.name not in (other.name, other.twin) and dataset.twin != other.name:
            raise NatsdbError(f"columns of {other.name} are named {other.short}", remedy="give it another short name")
    object.__setattr__(dataset, "budget", budget)
    DATASETS[dataset.name] = dataset
    searched.cache_clear()
    return dataset


def admit(dataset: DataSet) -> None:
    """Register a data set that a database or an archive brings, unless it is known already.

    Raises:
        NatsdbError: another one of its name is known, or its name cannot be one.
    """
    known = DATASETS.get(dataset.name)
    if known is None:
        register(dataset)
    elif to_plain(known) != to_plain(dataset):
        raise NatsdbError(
            f"its data set {dataset.name!r} is another one than that which is registered in this process",
            remedy="open them in two processes, or give one of them another name",
        )


def to_plain(dataset: DataSet) -> dict[str, Any]:
    """A data set as JSON has it."""
    return {name: getattr(dataset, name) for name in DataSet.__dataclass_fields__} | {
        "splits": {
            name: [*split[:2], *([split.digest] if split.digest else [])] for name, split in dataset.splits.items()
        },
        "mean": list(dataset.mean),
        "std": list(dataset.std),
    }


def of_plain(plain: dict[str, Any]) -> DataSet:
    """The data set that JSON holds; raises KeyError, TypeError or ValueError where it is none."""
    lists = {name: tuple(map(float, plain[name])) for name in ("mean", "std")}
    splits = {str(name): Split(*split) for name, split in plain["splits"].items()}
    return DataSet(**{**plain, **lists, "splits": splits})


def added() -> list[DataSet]:
    """The registered data sets that natsdb does not know by itself."""
    return [dataset for name, dataset in DATASETS.items() if name not in OF_NATS_BENCH]


def learnt(record: Any) -> tuple[DataSet, ...]:
    """The data sets of an official record that has none that are known; classes and splits are those that it names.

    A record with known ones beside others is more likely wrong: then there is nothing to learn.
    """
    try:
        runs = {key[0]: run for result in record.values() for key, run in result["all_results"].items()}
        if not DATASETS.keys().isdisjoint(runs) or not all(re.fullmatch(r"[A-Za-z][\w.-]*", name) for name in runs):
            return ()
        return tuple(
            DataSet(
                name,
                re.sub(r"\W", "_", name),
                int(run["arch_config"]["class_num"]),
                None,
                {split: Split(None, f"as the records of {name} have it") for split in ("train", *run["eval_names"])},
                (0.0, 0.0, 0.0),
                (1.0, 1.0, 1.0),
            )
            for name, run in runs.items()
        )
    except (AttributeError, IndexError, KeyError, TypeError, ValueError):
        return ()


def seconds_of(budget: Any, dataset: str) -> float:
    """A budget as a plain float, as SQL takes it.

    Raises:
        NatsdbError: it is no finite number above 0.
    """
    try:
        seconds = float(budget)
    except (TypeError, ValueError):
        seconds = math.nan
    if not 0 < seconds < math.inf:
        raise NatsdbError(f"the budget {budget!r} of {dataset} is no number of seconds above 0", remedy="leave it out")
    return seconds


@cache
def searched() -> tuple[str, ...]:
    """Names of the data sets that searches run on: those that are nobody's twin, and have validation images."""
    twins = {dataset.twin for dataset in DATASETS.values()}
    return tuple(
        name for name, of in DATASETS.items() if name not in twins and "x-valid" in DATASETS[of.validated].splits
    )


def check_searched(name: str) -> None:
    """Refuse what is no data set to search on.

    Raises:
        NatsdbError: it is none; the message names those that there are.
    """
    if name not in searched():
        raise NatsdbError(f"there is no data set {name!r} to search on", remedy=did_you_mean(name, searched()))


_CIFAR10: tuple[Channels, Channels] = ((125.3, 123.0, 113.9), (63.0, 62.1, 66.7))

for _one in (
    DataSet(
        "cifar10-valid",
        "cifar10",
        10,
        32,
        {
            "train": Split(25_000, "one half of CIFAR-10's training images (official split, seed 1021)"),
            "x-valid": Split(25_000, "the other half of CIFAR-10's training images"),
            "ori-test": Split(10_000, "CIFAR-10's test images"),
        },
        *_CIFAR10,
    ),
    DataSet(
        "cifar10",
        "cifar10",
        10,
        32,
        {
            "train": Split(50_000, "all of CIFAR-10's training images"),
            "ori-test": Split(10_000, "CIFAR-10's test images"),
        },
        *_CIFAR10,
        twin="cifar10-valid",
    ),
    DataSet(
        "cifar100",
        "cifar100",
        100,
        32,
        {
            "train": Split(50_000, "all of CIFAR-100's training images"),
            "x-valid": Split(5_000, "one half of CIFAR-100's test images"),
            "x-test": Split(5_000, "the other half of CIFAR-100's test images"),
            "ori-test": Split(10_000, "all of CIFAR-100's test images"),
        },
        (129.3, 124.1, 112.4),
        (68.2, 65.4, 70.4),
        budget=40_000.0,
    ),
    DataSet(
        "ImageNet16-120",
        "imagenet",
        120,
        16,
        {
            "train": Split(151_700, "training images of ImageNet's first 120 classes, 16×16 pixels"),
            "x-valid": Split(3_000, "one half of the validation images of these classes"),
            "x-test": Split(3_000, "the other half of the validation images of these classes"),
            "ori-test": Split(6_000, "all validation images of these classes"),
        },
        (122.68, 116.66, 104.01),
        (63.22, 61.26, 65.09),
        budget=120_000.0,
    ),
):
    register(_one)

# Those of the benchmark, in its order.
OF_NATS_BENCH = tuple(DATASETS)
