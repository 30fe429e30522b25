"""Kept weights on real images, beside what the database says of them."""

from __future__ import annotations

import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from natsdb.schema.encodings import architecture
from natsdb.schema.errors import NatsdbError

if TYPE_CHECKING:
    import polars as pl


@dataclass(frozen=True)
class Evaluated:
    """What kept weights score. `of`: whose they are, in words; `rows`: split, images, loss (nats), accuracy (percent),
    stored_loss, stored_accuracy (null where the database has none), same (whether both are equal to the last bit);
    `note`: how these images or this arithmetic differ from those of the run, if they do."""

    of: str
    rows: pl.DataFrame
    note: str


def evaluate(
    arch: str,
    data: str | os.PathLike[str],
    db: str | os.PathLike[str] | None = None,
    *,
    dataset: str = "cifar10",
    hp: str | None = None,
    seed: int | None = None,
    source: str | None = None,
    device: str = "cpu",
    images: int | None = None,
) -> Evaluated:
    """Put a run's kept weights on the official splits, with the official transform, as training evaluates.

    On the kind of device that trained it, with as many threads, the figures are the stored ones, bit for bit.

    Args:
        arch: as `tss/9930`.
        data: folder of the data set's images, as for `natsdb train`.
        db: database that keeps the weights.
        dataset, hp, seed, source: which run; see `natsdb.training.models.find_model`.
        device: cpu, cuda, cuda:1, …
        images: at most so many a split; by default as many as the run saw.

    Raises:
        Missing: no weights of such a run are kept.
        NatsdbError: there is no such device, or the images are missing, damaged, or of another data set.
    """
    import polars as pl
    import torch

    from natsdb.training.data import load
    from natsdb.training.models import find_model
    from natsdb.training.recipe import evaluate as passed
    from natsdb.training.run import device_of

    where = device_of(device)
    space, index = architecture(arch)
    made = find_model(space, index, dataset, db=db, hp=hp, seed=seed, source=source)
    assert made.kept is not None
    key = [space, index, made.kept.hp, dataset, made.kept.seed, made.kept.source]
    said, stored = _stored(db, key)
    precision = said.get("precision", "float32")
    loaded = load(dataset, Path(data), where, images=said.get("images") if images is None else images)
    notes = []
    if said and said.get("data") != loaded.fingerprint:
        notes.append(f"it was trained on other images ({said.get('data')}, these are {loaded.fingerprint})")
    if images is not None and images != said.get("images"):
        notes.append(f"at most {images:,} images a split")
    dtype = torch.float64 if precision == "float64" else torch.float32
    net = made.net.to(where, dtype, memory_format=torch.channels_last)
    rows = []
    for split, of in loaded.evals.items():
        found = passed(net, loaded, split, precision)
        loss, accuracy = stored.get(split, (None, None))
        rows.append(
            (
                split,
                len(of),
                found.loss,
                found.accuracy,
                loss,
                accuracy,
                (found.loss, found.accuracy) == (loss, accuracy),
            )
        )
    names = ["split", "images", "loss", "accuracy", "stored_loss", "stored_accuracy", "same"]
    return Evaluated(str(made), pl.DataFrame(rows, names, orient="row"), "; ".join(notes))


def _stored(
    db: str | os.PathLike[str] | None, key: list[Any]
) -> tuple[dict[str, Any], dict[str, tuple[float | None, float]]]:
    """What a run's row says of how it was trained (nothing if it is no run of natsdb), and loss and accuracy after its
    last epoch by split."""
    from natsdb import query

    where = "where space = ? and arch = ? and hp = ? and dataset = ? and seed = ? and source = ?"
    codes = query(f"select code from seed {where}", key, db=db)["code"].to_list()
    if not codes:
        raise NatsdbError("the database has weights of a run, and no row of it", remedy="run `natsdb check`")
    final = query(f"select split, loss, accuracy from final {where}", key, db=db)
    said = json.loads(codes[0]) if codes[0] else {}
    return said, {split: (loss, accuracy) for split, loss, accuracy in final.rows()}
