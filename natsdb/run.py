"""Runs a script as it is, with the packages `nats_bench` and `nas_201_api` answered by natsdb."""

from __future__ import annotations

import builtins
import importlib
import os
import runpy
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

from natsdb.schema.errors import NatsdbError

NAMES = ("nats_bench", "nas_201_api")
_SHIMS = str(Path(__file__).parent / "shims")


def run(arguments: Sequence[str]) -> None:
    """Run a script as `python` would with these arguments: `SCRIPT ARGS…`, `-m MODULE ARGS…` or `-c CODE ARGS…`.

    `__main__`, `sys.argv` and `sys.path` are the script's, from here to the end of the process. Processes that it
    starts get the same packages, by `$PYTHONPATH` and `sys.path`. What the script raises is raised.

    Raises:
        NatsdbError: there is no such script, or nothing to run.
    """
    first, *rest = arguments
    option = first[:2] if first[:2] in ("-m", "-c") else ""
    target = first[2:] or (rest.pop(0) if rest else "") if option else first
    if not target:
        raise NatsdbError(f"{option} needs a value", remedy="natsdb run -m MODULE ARGS…, or -c CODE ARGS…")
    if not option and not os.path.isfile(target):
        raise NatsdbError("there is no such script", where=target, remedy="name a file, or a module with -m")
    # In place of the folder of the command `natsdb`.
    sys.path[0] = "" if option == "-c" else os.getcwd() if option else os.path.dirname(os.path.realpath(target))
    _answer_both()
    sys.argv = [option or target, *rest]
    # For good: threads and exit handlers outlive the script's last line.
    main = sys.modules["__main__"] = ModuleType("__main__")
    main.__dict__["__builtins__"] = builtins
    if option == "-m":
        # What the interpreter itself calls for `python -m`; there is no public name that leaves `__main__` in place.
        runpy._run_module_as_main(target)  # type: ignore[attr-defined]
        return
    if option == "-c":
        exec(compile(target, "<string>", "exec", dont_inherit=True), main.__dict__)
        return
    main.__file__ = os.path.abspath(target)
    # Else the script would run under this module's own `from __future__ import annotations`.
    exec(compile(Path(target).read_bytes(), main.__file__, "exec", dont_inherit=True), main.__dict__)


def _answer_both() -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] in NAMES]:
        del sys.modules[name]
    # After the script's folder, before the packages that are installed; spawned processes get this path too.
    sys.path.insert(1, _SHIMS)
    for name in NAMES:
        importlib.import_module(name)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [_SHIMS, os.environ.get("PYTHONPATH")]))
