"""The data sets as trained on, and what each split of them is."""

from __future__ import annotations

# (dataset, split): images and what they are. x-valid and x-test are the halves of the official test or validation set.
SPLIT_IMAGES = {
    ("cifar10-valid", "train"): (25_000, "one half of CIFAR-10's training images (official split, seed 1021)"),
    ("cifar10-valid", "x-valid"): (25_000, "the other half of CIFAR-10's training images"),
    ("cifar10-valid", "ori-test"): (10_000, "CIFAR-10's test images"),
    ("cifar10", "train"): (50_000, "all of CIFAR-10's training images"),
    ("cifar10", "ori-test"): (10_000, "CIFAR-10's test images"),
    ("cifar100", "train"): (50_000, "all of CIFAR-100's training images"),
    ("cifar100", "x-valid"): (5_000, "one half of CIFAR-100's test images"),
    ("cifar100", "x-test"): (5_000, "the other half of CIFAR-100's test images"),
    ("cifar100", "ori-test"): (10_000, "all of CIFAR-100's test images"),
    ("ImageNet16-120", "train"): (151_700, "training images of ImageNet's first 120 classes, 16×16 pixels"),
    ("ImageNet16-120", "x-valid"): (3_000, "one half of the validation images of these classes"),
    ("ImageNet16-120", "x-test"): (3_000, "the other half of the validation images of these classes"),
    ("ImageNet16-120", "ori-test"): (6_000, "all validation images of these classes"),
}
