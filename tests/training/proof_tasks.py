"""Tasks for `test_prove.py`, apart: a worker that is to do them need not import torch."""

from __future__ import annotations

import os
import signal
import time

from natsdb.training.prove.tasks import Found, Given, TimeUp


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
