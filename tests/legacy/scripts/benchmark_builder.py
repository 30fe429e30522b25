"""Style: toolkits that rebuild the benchmark as their own table: every run's curves, written as JSON and pickle."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from typing import Any

import nats_bench
from nats_bench import ResultsCount

ARCHS = [int(text) for text in os.environ["ARCHS"].split(",")]
SPLITS = {
    "cifar10-valid": ["train", "x-valid", "ori-test"],
    "cifar10": ["train", "ori-test"],
    "cifar100": ["train", "x-valid", "x-test", "ori-test"],
    "ImageNet16-120": ["train", "x-valid", "x-test", "ori-test"],
}


def epoch_of(run: ResultsCount, split: str, epoch: int | None) -> dict[str, Any] | None:
    try:
        return run.get_train(epoch) if split == "train" else run.get_eval(split, epoch)
    except (KeyError, ValueError):
        return None


def row_of(run: ResultsCount, dataset: str) -> dict[str, Any]:
    row: dict[str, Any] = {"name": run.name, "seed": run.seed, "epochs": run.get_total_epoch()}
    row |= {"params": run.params, "flop": run.flop, "latency": run.get_latency(), "sets": run.get_eval_set()}
    row |= {"config": run.get_config(None), "times": run.get_times(), "weights": run.get_net_param()}
    for split in SPLITS[dataset]:
        curve = [epoch_of(run, split, epoch) for epoch in range(run.epochs)]
        row[split] = {
            "last": epoch_of(run, split, None),
            "first": curve[0],
            "measured": sum(point is not None for point in curve),
            "curve": hashlib.sha256(json.dumps(curve).encode()).hexdigest(),
        }
    return row


def build(space: str, hps: tuple[str, ...]) -> dict[str, Any]:
    api = nats_bench.create(os.environ[space.upper()], space, True, False)
    table: dict[str, Any] = {}
    for index in ARCHS[:16]:
        for hp in hps:
            for dataset in SPLITS:
                runs = api.query_by_index(index, dataset, hp=hp)
                print(space, index, hp, dataset, type(runs).__name__, len(runs), list(runs))
                for seed, run in runs.items():
                    assert isinstance(run, ResultsCount)
                    row = row_of(run, dataset)
                    table[f"{index}/{hp}/{dataset}/{seed}"] = row
                    print("  ", run, json.dumps(row))
    return table


tables = {"tss": build("tss", ("12", "200")), "sss": build("sss", ("01", "12", "90"))}
with tempfile.TemporaryDirectory() as folder:
    path = os.path.join(folder, "table.pickle")
    nats_bench.pickle_save(tables, path)
    print("pickle is the same", nats_bench.pickle_load(path) == tables)
print(hashlib.sha256(json.dumps(tables).encode()).hexdigest(), [len(table) for table in tables.values()])
