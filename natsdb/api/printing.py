"""An architecture's results as text, to the letter as `nats_bench` prints them."""

from __future__ import annotations

from typing import Any

from natsdb.api.results import ArchResults
from natsdb.schema.datasets import DATASETS

_LABELS = {"x-valid": "valid", "x-test": "test", "ori-test": "test"}


def information_lines(
    information: ArchResults, extra_info: Any, show: bool, splits: dict[str, tuple[str, ...]]
) -> list[str]:
    """Two lines a data set, costs and measurements; `splits`: shown after train, if not x-valid and x-test."""
    names = information.get_dataset_names()
    lines = [information.arch_str, f"datasets : {names}, extra-info : {extra_info}"]
    for dataset in names:
        cost = information.get_compute_costs(dataset)
        latency = cost["latency"]
        shown = f"{latency * 1000:.2f}" if latency is not None and latency > 0 else None
        lines.append(f"{dataset:14s} FLOP={cost['flops']:6.2f} M, Params={cost['params']:.3f} MB, latency={shown} ms.")
        parts = [f"train : [{_measured(information, dataset, 'train')}]"]
        if dataset in DATASETS and "x-valid" not in DATASETS[dataset].splits:
            # With a space more, so that it stands below `valid`.
            parts.append(f"test  : [{_measured(information, dataset, 'ori-test')}]")
        else:
            for split in splits.get(dataset, ("x-valid", "x-test")):
                parts.append(f"{_LABELS[split]} : [{_measured(information, dataset, split)}]")
        lines.append(f"{dataset:14s} {', '.join(parts)}")
    if show:
        print("\n".join(lines))
    return lines


def _measured(information: ArchResults, dataset: str, split: str) -> str:
    info = information.get_metrics(dataset, split)
    return f"loss = {info['loss']:.3f} & top1 = {info['accuracy']:.2f}%"
