"""Step 3: topologies over the published range, 12 epochs on all images, against their published accuracies.

As many as the time allows, in the fastest way that step 2 found; the order spreads any number of them over the range.
Trained as `natsdb train --stack` trains them, so a call that was cut goes on after the last whole epoch.
"""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

from natsdb.training.prove.machine import pictures
from natsdb.training.prove.published import DATASET, SPLIT, published, spearman, spread
from natsdb.training.prove.speed import EPOCHS, SEED
from natsdb.training.prove.tasks import Found, Given, TimeUp
from natsdb.training.run import Failure, Task, settings_of, train_together
from natsdb.training.run_files import TrainingRun

# Evaluation and checkpoints over training steps alone, until the first runs say what it is.
MORE = 2.0


def agreement(given: Given, epochs: int, most: int, least: int, images: int | None = None) -> Found:
    """Train topologies until there are `most` or time is up, and compare.

    Raises:
        TimeUp: fewer than `least` came to an end; what is there is told before.
        RuntimeError: so, since some failed, or the device is lost.
    """
    began = time.perf_counter()
    data = pictures(given, given.device, images=images)
    how = _fastest(given.before)
    folder = given.out / "runs"
    runs = [TrainingRun("tss", arch, str(EPOCHS), DATASET, SEED) for arch in spread(most)]
    failed: dict[int, str] = {}
    spent, trained = 0.0, 0
    while todo := [run for run in runs if run.arch not in failed and not run.path(folder, ".json").exists()]:
        left = given.seconds - (time.perf_counter() - began)
        if not trained:
            # A stack takes as long as all its members: no more of them than a third of the time allows.
            guess = MORE * how["seconds_a_run"] * epochs / EPOCHS
            how["runs"] = max(1, min(how["runs"], int(left / 3 / guess)))
        elif 1.1 * how["runs"] * spent / trained > left:
            break
        now = todo[: how["runs"]]
        settings = settings_of(data, how["precision"], how["step"], images)
        started = time.perf_counter()
        reasons = {
            done.run.arch: done.reason
            for done in train_together(Task(tuple(now), data, settings, epochs, False), folder)
            if isinstance(done, Failure)
        }
        seconds = time.perf_counter() - started
        if any("CUDA error" in reason or "CUBLAS" in reason for reason in reasons.values()):
            raise RuntimeError(f"the device is lost: {next(iter(reasons.values()))}")
        if len(reasons) == len(now) and (slower := _slower(how)):
            # Together they fail at once, of memory or of the way that a step runs: the same runs in another way.
            how = slower | {"because": next(iter(reasons.values()))}
            continue
        failed |= reasons
        spent, trained = spent + seconds, trained + len(now) - len(reasons)
        given.tell(_compared(runs, folder, how, spent, trained, failed, images))
    found = _compared(runs, folder, how, spent, trained, failed, images)
    given.tell(found)
    if found["architectures"] < least:
        said = f"{found['architectures']} topologies came to an end, not {least}"
        raise RuntimeError(f"{said}; {len(failed)} failed") if failed else TimeUp(said)
    return found


def _fastest(before: dict[str, Found]) -> Found:
    """How to train: the way of the row of step 2 that trains different topologies at most images a second."""
    rows = [of for of in before.values() if "images_a_second" in of and of["channels_last"] and of["step"] != "compile"]
    rows = [of for of in rows if of["topologies"] == of["runs"] and of["deterministic"]]
    if not rows:
        return {"runs": 1, "precision": "float32", "step": "eager", "seconds_a_run": 20.0}
    best = max(rows, key=lambda of: of["images_a_second"])
    return {name: best[name] for name in ("runs", "precision", "step", "seconds_a_run")}


def _slower(how: Found) -> Found | None:
    """What to try when a whole stack fails: half as many, in the end as it is written."""
    if how["runs"] > 1:
        return how | {"runs": how["runs"] // 2}
    return how | {"step": "eager"} if how["step"] != "eager" else None


def _compared(
    runs: list[TrainingRun],
    folder: Path,
    how: Found,
    spent: float,
    trained: int,
    failed: dict[int, str],
    images: int | None,
) -> Found:
    """Finished runs against the published accuracies. Seconds are those of this call's runs, evaluation included."""
    of, rows = published(), []
    for run in runs:
        path = run.path(folder, ".json")
        if path.exists():
            done: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
            rows.append([run.arch, round(of[run.arch], 3), round(done["measured"][SPLIT]["accuracy"][-1], 3)])
    theirs, ours = [row[1] for row in rows], [row[2] for row in rows]
    correlation = spearman(theirs, ours)
    return {
        **how,
        "architectures": len(rows),
        "images": images or "all",
        "spearman": round(correlation, 4) if correlation == correlation else None,
        "mean_difference": round(sum(ours) / len(rows) - sum(theirs) / len(rows), 2) if rows else None,
        "published_from_to": [min(theirs), max(theirs)] if rows else None,
        "whole_seconds_a_run": round(spent / trained, 3) if trained else None,
        "failed": {str(arch): reason for arch, reason in failed.items()},
        "rows": rows,
    }
