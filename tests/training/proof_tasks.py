"""Tasks for `test_prove.py`, and how they are carried out; apart, so that a worker need not import torch."""

from __future__ import annotations

import json
import os
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from natsdb.training.prove.running import Results, Workers, carry_out
from natsdb.training.prove.tasks import Found, Given, Task, TimeUp

MACHINE = {
    "device": "cuda",
    "card": "a card",
    "natsdb": "0",
    "commit": "abc",
    "code": "def",
    "pictures": "none",
    "same": ["a card", "def"],
}


def _counted(given: Given, name: str) -> int:
    """How often a task was begun."""
    path = given.out / f"{name}.begun"
    path.write_text(path.read_text() + "." if path.exists() else ".")
    return len(path.read_text())


def quick(given: Given) -> Found:
    return {"begun": _counted(given, "quick"), "before": sorted(given.before)}


def raises_at_first(given: Given) -> Found:
    begun = _counted(given, "raises")
    given.tell({"so far": 1})
    if begun == 1:
        raise ValueError("the first time\nthis fails")
    return {"begun": begun}


def is_killed(given: Given) -> Found:
    os.kill(os.getpid(), signal.SIGKILL)
    return {}


def hangs_at_first(given: Given) -> Found:
    begun = _counted(given, "hangs")
    given.tell({"so far": begun})
    (given.out / "pid").write_text(str(os.getpid()))
    if begun == 1:
        time.sleep(600)
    return {"begun": begun}


def ends_by_itself(given: Given) -> Found:
    given.tell({"so far": 7})
    raise TimeUp("half of it")


def tasks_of(*functions: Callable[[Given], Found], limit: float = 60.0) -> list[Task]:
    return [Task(f.__name__, step, f"{f.__module__}:{f.__name__}", {}, limit) for step, f in enumerate(functions, 1)]


def do_all(tasks: list[Task], out: Path, seconds: float = 60.0) -> tuple[int, dict[str, Any], list[str]]:
    said: list[str] = []
    given = {"device": "cpu", "out": out, "data": out, "scratch": out}
    results = Results(out)
    results.begin(MACHINE, True)
    with Workers() as workers:
        code = carry_out(tasks, results, workers, given, time.monotonic() + seconds, {}, said.append)
    return code, json.loads((out / "proof.json").read_text())["tasks"], said
