"""Runs a script as it is, with the packages `nats_bench` and `nas_201_api` answered by natsdb."""

from __future__ import annotations

import os
import runpy
import sys
from pathlib import Path

from natsdb.schema.errors import NatsdbError

NAMES = ("nats_bench", "nas_201_api")
_SHIMS = str(Path(__file__).parent / "shims")


def run(target: str, arguments: list[str], *, module: bool = False) -> None:
    """Run a script, or a module, as `__main__` with these arguments, as `python` would.

    Processes that it starts get the same packages, by `$PYTHONPATH`. What the script raises is raised.

    Raises:
        NatsdbError: there is no such script.
    """
    if not module and not os.path.exists(target):
        raise NatsdbError("there is no such script", where=target, remedy="name a file, or a module with -m")
    for name in [name for name in sys.modules if name.partition(".")[0] in NAMES]:
        del sys.modules[name]
    sys.path[:0] = [_SHIMS, os.getcwd() if module else os.path.dirname(os.path.abspath(target))]
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [_SHIMS, os.environ.get("PYTHONPATH")]))
    sys.argv = [target, *arguments]
    if module:
        runpy.run_module(target, run_name="__main__", alter_sys=True)
    else:
        runpy.run_path(target, run_name="__main__")
