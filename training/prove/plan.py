"""What there is to prove, in order, each with its time limit: on a GPU as people train, on a CPU a tiny version."""

from __future__ import annotations

from typing import Any

from natsdb.training.prove.tasks import Found, Task

# Shares of a call's time by step; what a step leaves goes to the next ones.
SHARES = {1: 0.16, 2: 0.40, 3: 0.30, 4: 0.14}
PICTURES = "it needs real pictures: name them with --data"

# Goals on one H100 or H200: seconds of 12 epochs of 50,000 images of a mean topology, alone and side by side, and the
# rank correlation with published accuracies over so many topologies.
ALONE, STACKED, SPEARMAN, ARCHITECTURES = 4.0, 1.6, 0.95, 50


def plan(machine: Found) -> list[Task]:
    """The tasks for such a machine."""
    return _full() if str(machine["device"]).startswith("cuda") else _tiny()


def _task(name: str, of_step: int, function: str, limit: float, /, **options: Any) -> Task:
    return Task(name, of_step, f"natsdb.training.prove.{function}", options, limit, function == "agreement:agreement")


def _full() -> list[Task]:
    rows: list[tuple[str, float, dict[str, Any]]] = [
        ("plain PyTorch", 60, {"plain": True}),
        ("channels last", 60, {}),
        ("bf16", 60, {"precision": "bf16"}),
        ("graph", 60, {"step": "graph"}),
        ("bf16, graph", 60, {"precision": "bf16", "step": "graph"}),
        *(
            (f"bf16, graph, {runs} side by side", 75, {"precision": "bf16", "step": "graph", "runs": runs})
            for runs in (2, 4, 8, 16, 32, 64)
        ),
        ("bf16, compiled", 180, {"precision": "bf16", "step": "compile"}),
        # What natsdb does not do yet, but might: of use only if they pay.
        ("bf16, graph, cuDNN's choice", 75, {"precision": "bf16", "step": "graph", "free": True}),
        (
            "bf16, graph, 16 side by side, cuDNN's choice",
            120,
            {"precision": "bf16", "step": "graph", "runs": 16, "free": True},
        ),
        (
            "bf16, graph, 16 of one topology",
            75,
            {"precision": "bf16", "step": "graph", "runs": 16, "one_topology": True},
        ),
        ("graph, 16 side by side", 90, {"step": "graph", "runs": 16}),
        ("bf16, compiled, 8 side by side", 240, {"precision": "bf16", "step": "compile", "runs": 8}),
    ]
    return [
        _task("reference", 1, "equality:reference", 150, images=1_300),
        *(
            _task(f"same numbers: {name}", 1, "equality:same_numbers", 90, images=1_300, step=step, stacked=stacked)
            for name, step, stacked in (
                ("as written", "eager", False),
                ("graph", "graph", False),
                ("side by side", "eager", True),
                ("side by side, graph", "graph", True),
            )
        ),
        # A network is compiled for a minute or so for each precision and size of batch.
        _task(
            "same numbers: compiled",
            1,
            "equality:same_numbers",
            150,
            images=1_300,
            step="compile",
            stacked=False,
            members=1,
            precisions=["float32"],
        ),
        _task("memory bandwidth", 2, "speed:bandwidth", 60, gib=4.0),
        *(_task(name, 2, "speed:row", limit, seconds=3.0, **options) for name, limit, options in rows[:11]),
        _task("12 epochs alone", 2, "speed:whole_run", 120, precision="bf16", step="graph", epochs=12),
        *(_task(name, 2, "speed:row", limit, seconds=3.0, **options) for name, limit, options in rows[11:]),
        _task("published accuracies", 3, "agreement:agreement", 3600, epochs=12, most=256, least=ARCHITECTURES),
        _task("GDAS", 4, "searching:gdas", 900, epochs=5),
    ]


def _tiny() -> list[Task]:
    """The same functions in a few seconds: it shows that they work, and nothing else."""
    few: dict[str, Any] = {"seconds": 0.0, "batch": 4}
    return [
        _task("reference", 1, "equality:reference", 120, images=4, members=2),
        _task(
            "same numbers: as written",
            1,
            "equality:same_numbers",
            120,
            images=4,
            members=1,
            step="eager",
            stacked=False,
            precisions=["bf16"],
        ),
        _task(
            "same numbers: side by side",
            1,
            "equality:same_numbers",
            120,
            images=4,
            step="eager",
            stacked=True,
            precisions=["float64"],
        ),
        _task("memory bandwidth", 2, "speed:bandwidth", 60, gib=1 / 64),
        _task("plain PyTorch", 2, "speed:row", 120, plain=True, **few),
        _task("channels last", 2, "speed:row", 120, **few),
        _task("2 side by side", 2, "speed:row", 120, runs=2, **few),
        _task("12 epochs alone", 2, "speed:whole_run", 120, precision="float32", step="eager", epochs=1, images=4),
        _task("published accuracies", 3, "agreement:agreement", 600, epochs=1, most=4, least=4, images=4),
        _task("GDAS", 4, "searching:gdas", 120, epochs=2, images=4, batch=4, valid_batch=4),
    ]
