"""Step 4: the first epochs of GDAS, as `natsdb search gdas` runs them."""

from __future__ import annotations

import json
from statistics import median
from typing import Any

from natsdb.training.prove.tasks import Found, Given
from natsdb.training.weight_sharing import Progress, search

DATASET = "cifar10"


def gdas(given: Given, epochs: int, images: int | None = None, **options: Any) -> Found:
    """Seconds an epoch, without reading images; a search that was stopped goes on after its last whole epoch."""
    rates: list[float] = []

    def told(progress: Progress) -> None:
        rates.append(progress.rate)
        given.tell({"epochs": progress.done.epoch + 1, "pairs_of_steps_a_second": round(median(rates), 2)})

    path = search(
        "gdas",
        DATASET,
        given.data,
        given.out / "searches",
        images=images,
        device=given.device,
        progress=told,
        epochs=epochs,
        **options,
    )
    rows = json.loads(path.read_text(encoding="utf-8"))["epochs"]
    ends = [row["seconds"] for row in rows]
    seconds = [b - a for a, b in zip([0.0, *ends], ends, strict=False)]
    found = {
        "epochs": len(rows),
        "seconds_an_epoch": round(median(seconds), 3),
        "seconds": [round(one, 3) for one in seconds],
        "validation_accuracy": rows[-1]["valid_accuracy"],
        "found": rows[-1]["arch_str"],
    }
    return found | ({"pairs_of_steps_a_second": round(median(rates), 2)} if rates else {})
