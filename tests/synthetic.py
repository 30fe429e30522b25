"""Made-up archives in the official format: as many as asked, the same bytes each time, entropy as in real ones.

For tests, and for benchmarks at full scale. Rows of it are marked with `source = 'synthetic'`; no number of it is a
measurement, save FLOPs and parameters, which the formulas give.

Keys, order, types and sharing of objects are those of the real records (see `tests/test_archives.py`). Accuracies are
averages over batches of 256 of a float32 percentage, as the official meter forms them; a loss is a sum of float32 batch
losses over the number of images, so it has some 34 significant bits and a full float64 mantissa.
"""

from __future__ import annotations

import bz2
import multiprocessing
import os
import pickle
from collections import OrderedDict
from collections.abc import Iterable
from functools import cache, lru_cache, partial
from pathlib import Path
from typing import Any

import numpy as np

from natsdb.schema.costs import costs
from natsdb.schema.datasets import DATASETS as OF_NAME
from natsdb.schema.schedules import HPS
from natsdb.schema.size import SSS_CELL
from natsdb.schema.spaces import SPACES, strings
from natsdb.schema.topology import tss_ops

DATASETS = ("cifar10-valid", "cifar10", "cifar100", "ImageNet16-120")
# Order of the splits as the real records evaluate them.
EVALS = {
    "cifar10-valid": ("x-valid", "ori-test"),
    "cifar10": ("ori-test",),
    "cifar100": ("x-valid", "x-test", "ori-test"),
    "ImageNet16-120": ("x-valid", "x-test", "ori-test"),
}
# tss at hp 200 has these splits at every epoch, the others at the last only.
EVERY_EPOCH = {"cifar10-valid": "x-valid", "cifar10": "ori-test", "cifar100": "ori-test", "ImageNet16-120": "ori-test"}


def record(space: str, index: int, seed: int = 0) -> OrderedDict[str, dict[str, Any]]:
    """Record of an architecture, as its official file holds it."""
    draw = np.random.default_rng([seed, {"tss": 0, "sss": 1}[space], index])
    quality = _quality(space, index, draw)
    runs = runs_of(space, index)
    speed = (2.0 + 20.0 * quality) * (0.9 + 0.2 * draw.random())
    found: OrderedDict[str, dict[str, Any]] = OrderedDict()
    for hp, keys in runs.items():
        results = {}
        for dataset, number in keys:
            results[(dataset, number)] = _run(space, index, hp, dataset, number, quality, speed, draw)
        seeds: dict[str, list[int]] = {}
        for dataset, number in keys:
            seeds.setdefault(dataset, []).append(number)
        found[hp] = {
            "arch_index": index,
            "arch_str": strings(space)[index],
            "all_results": results,
            "dataset_seed": {dataset: sorted(numbers) for dataset, numbers in seeds.items()},
            "clear_net_done": True,
        }
    return found


def runs_of(space: str, index: int) -> dict[str, list[tuple[str, int]]]:
    """Data set and seed of an architecture's runs, by hp, in the order of its record."""
    if space == "sss":
        return {
            "01": [(dataset, 777) for dataset in DATASETS],
            "12": [(dataset, number) for number in (777, 888, 999) for dataset in DATASETS],
            "90": [(dataset, 777) for dataset in DATASETS],
        }
    # 8,169 of the 15,625 topologies have three seeds.
    three = index < 12 or np.random.default_rng([7, index]).random() < 8169 / 15625
    seeds = (999, 777, 888) if three else (777, 888)
    return {
        "12": [("cifar10-valid", 777), ("cifar10-valid", 111), *((dataset, 111) for dataset in DATASETS[1:])],
        "200": [(dataset, number) for number in seeds for dataset in DATASETS],
    }


def renamed(found: dict[str, dict[str, Any]], space: str, index: int) -> OrderedDict[str, dict[str, Any]]:
    """A record with its numbers, as that of another architecture."""
    return OrderedDict(
        (
            hp,
            {
                **result,
                "arch_index": index,
                "arch_str": strings(space)[index],
                "all_results": {
                    key: {**run, "arch_config": _config(space, index, key[0])}
                    for key, run in result["all_results"].items()
                },
            },
        )
        for hp, result in found.items()
    )


@cache
def _costs(space: str, dataset: str) -> tuple[list[float], list[float]]:
    flops, params = costs(space, dataset)
    return flops.tolist(), params.tolist()


def _quality(space: str, index: int, draw: np.random.Generator) -> float:
    """How well an architecture learns, 0 to 1: convolutions and wide layers learn better, some cells not at all."""
    if space == "sss":
        return 0.55 + 0.4 * sum(SPACES["sss"].every[index]) / 320 + 0.02 * float(draw.standard_normal())
    ops = tss_ops()[index]
    if ops[3] == "none" and (ops[4] == "none" or ops[0] == "none") and ops[5] == "none":
        return 0.0
    good = sum({"nor_conv_3x3": 1.0, "nor_conv_1x1": 0.7, "skip_connect": 0.5}.get(op, 0.1) for op in ops)
    return min(1.0, 0.4 + 0.1 * good + 0.02 * float(draw.standard_normal()))


def _run(
    space: str,
    index: int,
    hp: str,
    dataset: str,
    number: int,
    quality: float,
    speed: float,
    draw: np.random.Generator,
) -> dict[str, Any]:
    epochs = HPS[hp]
    long = space == "tss" and hp == "200"
    train = _curve("train", dataset, epochs, quality, draw)
    evals = {split: _curve(split, dataset, epochs, quality, draw) for split in EVALS[dataset]}
    if long:
        evals = dict(sorted(evals.items(), key=lambda item: item[0] != EVERY_EPOCH[dataset]))
    kept = {
        split: range(epochs - 1, epochs) if long and split != EVERY_EPOCH[dataset] else range(epochs) for split in evals
    }
    at = [(split, epoch) for split in kept for epoch in kept[split]]
    names = [f"{split}@{epoch}" for split, epoch in at]
    # The older records (hp 200) form each dictionary's keys anew, the others share them.
    other_names = [f"{split}@{epoch}" for split, epoch in at] if long else names
    timed = [(split, epoch) for split in EVALS[dataset] for epoch in range(epochs)]
    time_names = [f"{split}@{epoch}" for split, epoch in timed] if long else names
    share = OF_NAME[dataset].splits["train"].images / 25_000
    seconds = {split: speed * 0.35 * OF_NAME[dataset].splits[split].images / 25_000 for split in evals}
    flops, params = (values[index] for values in _costs(space, dataset))
    if space == "tss" and index % 76 == 8 and number == 777 and long:  # some 204 real records disagree so
        flops, params = flops * 1.25, params * 1.25
    return {
        "name": dataset,
        "train_acc1es": dict(enumerate(train["accuracy"])),
        "train_acc5es": None if long else dict(enumerate(train["top5"])),
        "train_losses": dict(enumerate(train["loss"])),
        "train_times": OrderedDict((epoch, speed * share) for epoch in range(epochs)),
        "arch_config": _config(space, index, dataset),
        "params": np.float64(params),
        "flop": flops,
        "seed": f"{number:04d}",
        "epochs": epochs,
        "latency": [np.float64(0.01 + 0.01 * speed / 22)],
        "eval_names": list(evals),
        "eval_acc1es": {name: evals[split]["accuracy"][epoch] for name, (split, epoch) in zip(names, at, strict=True)},
        "eval_times": {name: seconds[split] for name, (split, _) in zip(time_names, timed, strict=True)},
        "eval_losses": {
            name: evals[split]["loss"][epoch] for name, (split, epoch) in zip(other_names, at, strict=True)
        },
        "net_state_dict": None,
    }


def _config(space: str, index: int, dataset: str) -> dict[str, Any]:
    text, classes = _anew(strings(space)[index]), OF_NAME[dataset].classes
    if space == "tss":
        return {"channel": 16, "num_cells": 5, "arch_str": text, "class_num": classes}
    return {
        "name": "infer.shape.tiny",
        "channels": text,
        "arch_str": text,
        "genotype": SSS_CELL,
        "class_num": classes,
    }


def _anew(text: str) -> str:
    return "".join(list(text))


def _curve(split: str, dataset: str, epochs: int, quality: float, draw: np.random.Generator) -> dict[str, list[float]]:
    """Accuracy, top-5 accuracy and loss at every epoch."""
    images, classes = OF_NAME[dataset].splits[split].images, OF_NAME[dataset].classes
    chance = 100 / classes
    top = {10: 95.0, 100: 74.0, 120: 48.0}[classes] * (1.05 if split == "train" else 1.0) * quality
    progress = 1 - np.exp(-3.5 * (np.arange(epochs) + 1) / epochs * (1 - 0.6 ** np.log1p(epochs)) * 2)
    noise = 0.4 + 3.0 * np.linspace(1, 0.1, epochs)
    accuracy = np.clip(chance + (top - chance) * progress + noise * draw.standard_normal(epochs), chance / 2, 99.9)
    top5 = np.clip(100 - (100 - accuracy) * (0.08 if classes == 10 else 0.45), 5 * chance, 99.99)
    loss = np.log(classes) * np.clip(1 - accuracy / 102, 0.002, 1) ** 0.9 * (1 + 0.03 * draw.standard_normal(epochs))
    return {
        "accuracy": _averaged(accuracy, images, draw),
        "top5": _averaged(top5, images, draw) if split == "train" else [],
        "loss": (np.rint(loss * images * 2.0**19) / 2.0**19 / images).tolist(),
    }


def _averaged(percent: np.ndarray, images: int, draw: np.random.Generator) -> list[float]:
    """Percentages as the official meter averages them: batches of 256 exactly, the last one rounded to float32."""
    last = images % 256
    in_last = np.clip(np.rint(percent * last / 100 + draw.standard_normal(len(percent)) * 2), 0, last)
    in_full = np.rint(percent * (images - last) / 100)
    of_last = (in_last.astype(np.float32) * np.float32(100 / last)).astype(np.float64)
    return ((in_full * 100 + of_last * last) / images).tolist()


def write_record(folder: Path, space: str, plain_names: bool, index: int, level: int = 1) -> None:
    """Write one architecture's file, whole or not at all; one that is there is left alone."""
    path = folder / (f"{index}.pickle.pbz2" if plain_names else f"{index:06d}.pickle.pbz2")
    if not path.exists():
        _write(path, _record_file(space, index, level))


@lru_cache(256)
def _record_file(space: str, index: int, level: int) -> bytes:
    return bz2.compress(pickle.dumps(record(space, index), protocol=4), level)


@cache
def _meta_file(space: str, level: int) -> bytes:
    meta = {
        "meta_archs": list(strings(space)),
        "total_archs": SPACES[space].size,
        "arch2infos": None,
        "evaluated_indexes": set(),
    }
    return bz2.compress(pickle.dumps(meta, protocol=4), level)


def _write(path: Path, data: bytes) -> None:
    temporary = path.with_suffix(".tmp")
    temporary.write_bytes(data)
    os.replace(temporary, path)


def write_folder(
    folder: Path, space: str, indexes: Iterable[int], *, jobs: int = 1, plain_names: bool = False, level: int = 1
) -> Path:
    """Write an archive folder with its meta file; returns the folder.

    Args:
        level: of bz2; official files have 9, which takes twice as long to write and to read.
    """
    folder.mkdir(parents=True, exist_ok=True)
    work = partial(write_record, folder, space, plain_names, level=level)
    if jobs > 1:
        with multiprocessing.get_context("spawn").Pool(jobs) as pool:
            for _ in pool.imap_unordered(work, indexes, chunksize=64):
                pass
    else:
        for index in indexes:
            work(index)
    _write(folder / "meta.pickle.pbz2", _meta_file(space, level))
    return folder
