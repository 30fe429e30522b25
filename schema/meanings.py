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
    "iepoch": "the epoch, counted from 0 (get_train, get_eval)",
    "cur_time": "seconds of one epoch's pass over the images: of training (get_train) or evaluation (get_eval)",
    "all_time": "seconds of the passes of all epochs up to iepoch, summed (get_train, get_eval)",
    "T-train@epoch": "seconds of training one epoch, mean over runs (get_cost_info)",
    "T-train@total": "seconds of training all epochs, mean over runs (get_cost_info)",
    "T-ori-test@epoch": "seconds of one pass over ori-test (get_cost_info)",
    "T-ori-test@total": "seconds of a pass over ori-test after each epoch, summed (get_cost_info)",
    "train_acc1es": "top-1 accuracy in percent on the training images, by epoch (a record's; metric.accuracy)",
    "train_losses": "mean cross entropy in nats on the training images, by epoch (a record's; metric.loss)",
    "train_times": "seconds of training each epoch (a record's; cost.train_seconds where all are equal)",
    "eval_acc1es": "top-1 accuracy in percent by SPLIT@EPOCH (a record's; metric.accuracy)",
    "eval_losses": "mean cross entropy in nats by SPLIT@EPOCH (a record's; metric.loss)",
    "eval_times": "seconds of a pass over a split by SPLIT@EPOCH (a record's; in the table cost)",
    "flop": "a record's name of flops: multiply-adds of one image's forward pass, in millions",
    "latency": "seconds for a batch of 256 images, as recorded; it includes loading them where the authors' time did",
    "flops": "multiply-adds of one image's forward pass, in millions",
    "params": "trainable parameters, in millions (10^6), though the official text prints them as MB",
}
