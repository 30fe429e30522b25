"""What a task is: a function of this package, run in a process of its own until it returns, fails, or time is up."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

# What a task found: values that JSON can hold.
Found = dict[str, Any]


class TimeUp(Exception):
    """A task ends by itself, before it is stopped: there is more to do, and the same call goes on."""


@dataclass(frozen=True)
class Task:
    """A task.

    Args:
        name: by which results know it.
        step: 1 to 4, whose time it takes.
        function: `module:name`; called with a `Given` and with `options`, it returns what it found.
        options: by name.
        limit: seconds after which it is stopped, and counted as failed.
        needs_pictures: made-up pictures will not do.
    """

    name: str
    step: int
    function: str
    options: dict[str, Any] = field(default_factory=dict)
    limit: float = 120.0
    needs_pictures: bool = False


@dataclass(frozen=True)
class Given:
    """What a task is given besides its options.

    Args:
        device: as PyTorch names it.
        out: the folder of results.
        data: the folder of pictures.
        scratch: a folder that goes with the call.
        seconds: after so many it is stopped; one that can end sooner with less does.
        before: what other tasks found, by name.
        tell: what was found so far; it is kept, should the task fail or be stopped later.
    """

    device: str
    out: Path
    data: Path
    scratch: Path
    seconds: float
    before: dict[str, Found]
    tell: Callable[[Found], None]
