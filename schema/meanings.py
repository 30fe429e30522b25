"""What the keys of the official dictionaries mean, with units: users never learnt what `train-all-time` is in."""

from __future__ import annotations

_SPLITS = {
    "train": "the training images (running mean over the epoch, with augmentation)",
    "valid": "x-valid",
    "test": "x-test; on CIFAR-10, ori-test",
    "valtest": "ori-test, of which x-valid and x-test are the halves",
}
_KINDS = {
    "loss": "mean cross entropy in nats on {}",
    "accuracy": "top-1 accuracy in percent on {}",
    "per-time": "seconds of one epoch's pass over {}",
    "all-time": "seconds of the passes of all epochs so far over {}",
}

# Keys of get_more_info (a column each in the macro more_info), of get_cost_info, and of simulate_train_eval's tuple.
KEYS = {
    f"{split}-{kind}": meaning.format(images) for split, images in _SPLITS.items() for kind, meaning in _KINDS.items()
} | {
    "T-train@epoch": "seconds of training one epoch, mean over runs (get_cost_info)",
    "T-train@total": "seconds of training all epochs, mean over runs (get_cost_info)",
    "T-ori-test@epoch": "seconds of one pass over ori-test (get_cost_info)",
    "T-ori-test@total": "seconds of a pass over ori-test after each epoch, summed (get_cost_info)",
    "latency": "seconds for a batch of 256 images, as recorded; it includes loading them where the authors' time did",
    "flops": "multiply-adds of one image's forward pass, in millions",
    "params": "trainable parameters, in millions (10^6), though the official text prints them as MB",
}
