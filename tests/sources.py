"""Several sources side by side, for tests of which rows count: runs and published tables of chosen numbers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import polars as pl

from natsdb.ingest import collect, ingest
from natsdb.schema.datasets import DATASETS
from natsdb.schema.schedules import HPS
from natsdb.schema.spaces import arch_str


def add_run(
    home: Path,
    arch: int = 11,
    dataset: str = "cifar100",
    *,
    space: str = "tss",
    hp: str = "12",
    seed: int = 999,
    accuracy: float = 25.0,
    epochs: int | None = None,
    images: int | None = None,
    source: str = "regenerated",
    recipe: dict[str, Any] | None = None,
) -> Path:
    """Add a run to a database, as `natsdb train` keeps it: of one accuracy (percent) at all epochs and splits, but
    for one percent less at every epoch before its last. It is a reduced one if it has fewer epochs, or images.
    Returns the folder of runs."""
    count = epochs or HPS[hp]
    values = {"accuracy": [accuracy - 1.0] * (count - 1) + [accuracy], "top5": [50.0] * count, "loss": [1.5] * count}
    splits = list(DATASETS[dataset].splits)
    run: dict[str, Any] = {"natsdb_run": 1, "space": space, "arch": arch, "arch_str": arch_str(space, arch)}
    run |= {"hp": hp, "dataset": dataset, "seed": seed, "epochs": count, "params": 0.5, "flops": 50.0}
    run["measured"] = {split: values | {"seconds": [2.0] * count} for split in ["train", *set(splits) - {"train"}]}
    run["images"] = dict.fromkeys(run["measured"], 512)
    run["provenance"] = {"device": "cpu", "images": images, **({"recipe": recipe} if recipe else {})}
    folder = home.parent / "runs" / f"{source}-{space}-{hp}-{arch}-{dataset}-{seed}-{accuracy}"
    path = folder / space / f"{arch}" / "run.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(run))
    collect(folder, home, source=source)
    return folder


def add_table(home: Path, *, source: str = "published", **columns: Any) -> None:
    """Add a published table of a row, or of as many as a column has: by default tss 11 on cifar100, ori-test, hp 12,
    99 percent."""
    row = {"space": "tss", "hp": "12", "arch": 11, "dataset": "cifar100", "split": "ori-test", "accuracy": 99.0}
    rows = max(len(value) if isinstance(value, list) else 1 for value in columns.values()) if columns else 1
    table = pl.DataFrame(
        {name: value if isinstance(value, list) else [value] * rows for name, value in (row | columns).items()}
    )
    path = home.parent / "tables" / f"{abs(hash(str(columns)))}.parquet"
    path.parent.mkdir(exist_ok=True)
    table.write_parquet(path)
    ingest([path], home, source=source)
