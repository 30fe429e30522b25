"""What there is to prove, in order, each with its time limit: on a GPU as people train, on a CPU a tiny version."""

from __future__ import annotations

from typing import Any

from natsdb.training.prove.tasks import Found, Task

# Shares of a call's time by step; what a step leaves goes to the next ones.
SHARES = {1: 0.20, 2: 0.15, 3: 0.61, 4: 0.04}
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
    fused: dict[str, Any] = {"precision": "bf16", "step": "fused"}
    graph: dict[str, Any] = {"precision": "bf16", "step": "graph"}
    rows: list[tuple[str, float, dict[str, Any]]] = [
        ("plain PyTorch", 60, {"plain": True}),
        ("bf16, graph", 60, graph),
        ("fused", 90, fused),
        *((f"fused, {runs} side by side", 90, fused | {"runs": runs}) for runs in (8, 16)),
    ]
    # With time to spare.
    more: list[tuple[str, float, dict[str, Any]]] = [
        ("channels last", 60, {}),
        ("bf16", 60, {"precision": "bf16"}),
        ("graph", 60, {"step": "graph"}),
        *((f"fused, {runs} side by side", 90, fused | {"runs": runs}) for runs in (2, 4, 32)),
        ("fused, 8 of one topology", 90, fused | {"runs": 8, "one_topology": True}),
        *((f"bf16, graph, {runs} side by side", 90, graph | {"runs": runs}) for runs in (8, 16)),
        ("graph, 8 side by side", 90, {"step": "graph", "runs": 8}),
        ("bf16, compiled", 180, {"precision": "bf16", "step": "compile"}),
        # What natsdb does not do yet, but might: of use only if it pays.
        ("bf16, graph, cuDNN's choice", 75, graph | {"free": True}),
    ]
    ways: list[tuple[str, dict[str, Any]]] = [
        ("as written", {"step": "eager", "stacked": False}),
        ("graph", {"step": "graph", "stacked": False}),
        ("side by side, graph", {"step": "graph", "stacked": True}),
        ("fused", {"step": "fused", "stacked": False, "precisions": ["bf16"]}),
        ("side by side, fused", {"step": "fused", "stacked": True, "precisions": ["bf16"]}),
        # A network is compiled for a minute or so for each precision and size of batch.
        ("compiled", {"step": "compile", "stacked": False, "members": 1, "precisions": ["float32"]}),
    ]
    return [
        _task("reference", 1, "equality:reference", 150, images=1_040),
        *(
            _task(f"same numbers: {name}", 1, "equality:same_numbers", 150, images=1_040, **options)
            for name, options in ways[:-1]
        ),
        _task("memory bandwidth", 2, "speed:bandwidth", 60, gib=4.0),
        *(_task(name, 2, "speed:row", limit, seconds=1.5, **options) for name, limit, options in rows),
        _task("12 epochs alone", 2, "speed:whole_run", 120, **fused, epochs=12),
        *(_task(name, 2, "speed:row", limit, seconds=1.5, **options) for name, limit, options in more),
        *(
            _task(f"same numbers: {name}", 2, "equality:same_numbers", 150, images=1_040, **options)
            for name, options in ways[-1:]
        ),
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
