"""The data sets of the benchmark, figure by figure, and what is learnt of a record that has others."""

from __future__ import annotations

import pytest

from natsdb.schema.datasets import DATASETS, OF_NATS_BENCH, learnt

# Classes, pixels, seconds of a search, and what the official recipe normalizes with.
OFFICIAL = {
    "cifar10-valid": (10, 32, 20_000, (125.3, 123.0, 113.9), (63.0, 62.1, 66.7)),
    "cifar10": (10, 32, 20_000, (125.3, 123.0, 113.9), (63.0, 62.1, 66.7)),
    "cifar100": (100, 32, 40_000, (129.3, 124.1, 112.4), (68.2, 65.4, 70.4)),
    "ImageNet16-120": (120, 16, 120_000, (122.68, 116.66, 104.01), (63.22, 61.26, 65.09)),
}
# Splits in the order of the tables, with their images.
IMAGES = {
    "cifar10-valid": [("train", 25_000), ("x-valid", 25_000), ("ori-test", 10_000)],
    "cifar10": [("train", 50_000), ("ori-test", 10_000)],
    "cifar100": [("train", 50_000), ("x-valid", 5_000), ("x-test", 5_000), ("ori-test", 10_000)],
    "ImageNet16-120": [("train", 151_700), ("x-valid", 3_000), ("x-test", 3_000), ("ori-test", 6_000)],
}


def test_there_are_the_four_official_ones() -> None:
    assert tuple(OFFICIAL) == OF_NATS_BENCH


@pytest.mark.parametrize("name", OFFICIAL)
def test_each_has_its_official_figures(name: str) -> None:
    of = DATASETS[name]
    assert (of.classes, of.image_size, of.budget, of.mean, of.std) == OFFICIAL[name]
    assert [(split, one.images) for split, one in of.splits.items()] == IMAGES[name]


def test_images_of_a_data_set_that_is_learnt_are_taken_as_they_are() -> None:
    run = {"eval_names": ["x-valid", "ori-test"], "arch_config": {"class_num": 18}}
    (of,) = learnt({"12": {"all_results": {("ninapro", 777): run}}})
    assert (of.mean, of.std) == ((0.0, 0.0, 0.0), (1.0, 1.0, 1.0))
    assert (of.classes, of.image_size, of.budget) == (18, None, 20_000)
    assert {split: one.images for split, one in of.splits.items()} == dict.fromkeys(["train", "x-valid", "ori-test"])
