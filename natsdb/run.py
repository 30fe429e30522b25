"""Runs a script as it is, with the packages `nats_bench` and `nas_201_api` answered by natsdb."""

from __future__ import annotations

import builtins
import os
import runpy
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType, TracebackType
from typing import NamedTuple, NoReturn
from zipfile import is_zipfile

from natsdb.schema.errors import NatsdbError
from natsdb.shims import natsdb_names

_OURS = ("natsdb", "runpy", "<frozen runpy>")
# Options of python without and with a value, beside `-c` and `-m`.
_FLAGS, _VALUED = "bBdEiIOPqRsSuvVx", "WX"


class Command(NamedTuple):
    """What is to be run: `options` of python's own, `kind` (`-m`, `-c` or empty), a module, code or path, arguments."""

    options: list[str]
    kind: str
    target: str
    arguments: list[str]


def main(arguments: Sequence[str]) -> int:
    """Run a script as the command `natsdb run` does; what it raises is printed as python prints it.

    Returns:
        The exit code, where the script did not end the process itself.
    """
    # A command line's own way to show exceptions is not the script's.
    sys.excepthook = sys.__excepthook__
    try:
        run(arguments)
    except (Exception, KeyboardInterrupt) as error:
        frames = _script_frames(error.__traceback__)
        if frames is None and isinstance(error, NatsdbError):
            print(f"natsdb: {error}", file=sys.stderr)  # there was nothing to run
            return 1
        sys.stdout.flush()
        sys.excepthook(type(error), error.with_traceback(frames), frames)
        return 130 if isinstance(error, KeyboardInterrupt) else 1
    return 0


def run(arguments: Sequence[str]) -> None:
    """Run a script as `python` would with these arguments.

    They are `--vendored` and `--nas-201-api VERSION`, if any, options of python's own, and then `SCRIPT`, `-m MODULE`,
    `-c CODE` or `-` (standard input) with arguments; a folder or zip file with a `__main__.py` is a script too.
    `__main__`, `sys.argv` and `sys.path` are the script's, from here to the end of the process. Processes that it
    starts get the same packages, by `$PYTHONPATH`. What the script raises is raised.

    Raises:
        NatsdbError: there is no such script, nothing to run, or an option is wrong.
    """
    chosen, rest = _own_options(arguments)
    command = _command(rest)
    os.environ.update(chosen)
    if command.options:
        # They are for a start of python: a new one takes the place of this process.
        what = [command.kind, command.target] if command.kind else [command.target]
        start = str(Path(__file__).with_name("__main__.py"))
        _become([sys.executable, *command.options, start, "run", *what, *command.arguments])
    kind, target = command.kind, command.target
    package = not kind and (os.path.isdir(target) or (os.path.isfile(target) and is_zipfile(target)))
    if not kind and target != "-" and not package and not os.path.isfile(target):
        raise NatsdbError("there is no such script", where=target, remedy="name a file, or a module with -m")
    if not sys.flags.safe_path:
        # In place of the folder of the command `natsdb`.
        sys.path[0] = _first_on_path(kind, target, package)
    elif package:
        sys.path.insert(0, target)
    _answer_both()
    sys.argv = [kind or target, *command.arguments]
    # For good: threads and exit handlers outlive the script's last line.
    main = sys.modules["__main__"] = ModuleType("__main__")
    main.__dict__["__builtins__"] = builtins
    if kind == "-m" or package:
        # What the interpreter itself calls; there is no public name that leaves `__main__` in place.
        runpy._run_module_as_main("__main__" if package else target, alter_argv=not package)  # type: ignore[attr-defined]
        return
    if kind or target == "-":
        code, name = (target, "<string>") if kind else (sys.stdin.buffer.read(), "<stdin>")
    else:
        main.__file__ = name = os.path.abspath(target)
        code = Path(target).read_bytes()
    # Else the script would run under this module's own `from __future__ import annotations`.
    exec(compile(code, name, "exec", dont_inherit=True), main.__dict__)


def _own_options(arguments: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """natsdb's own options, as variables of the environment, and what follows them."""
    chosen: dict[str, str] = {}
    rest = list(arguments)
    while rest and rest[0].startswith("--"):
        name, equals, value = rest[0].partition("=")
        if name == "--vendored" and not equals:
            chosen[natsdb_names.CHOICE] = "1"
            rest.pop(0)
        elif name == "--nas-201-api":
            if not equals:
                value = rest.pop(1) if len(rest) > 1 else ""
            natsdb_names.major_version(value, name)
            chosen[natsdb_names.NAS_201_API] = value
            rest.pop(0)
        else:
            raise NatsdbError(f"there is no option {rest[0]}", remedy="see `natsdb run --help`")
    return chosen, rest


def _command(words: Sequence[str]) -> Command:
    """Words as python reads them: its options may stand together, and their values right behind them."""
    options: list[str] = []
    rest = list(words)
    while rest and rest[0].startswith("-") and rest[0] != "-":
        word = rest.pop(0)
        for at, letter in enumerate(word[1:], start=1):
            if letter in _FLAGS:
                options.append(f"-{letter}")
                continue
            if letter not in "cm" + _VALUED:
                raise NatsdbError(f"there is no option {word} that a script can be run with", remedy="see `python -h`")
            value = word[at + 1 :] or (rest.pop(0) if rest else "")
            if not value:
                raise NatsdbError(f"-{letter} needs a value", remedy="natsdb run -m MODULE ARGS…, or -c CODE ARGS…")
            if letter in "cm":
                return Command(options, f"-{letter}", value, rest)
            options += [f"-{letter}", value]
            break
    if not rest:
        raise NatsdbError("there is nothing to run", remedy="natsdb run SCRIPT ARGS…, -m MODULE ARGS… or -c CODE ARGS…")
    return Command(options, "", rest[0], rest[1:])


def _become(command: list[str]) -> NoReturn:
    sys.stdout.flush()
    if os.name == "nt":  # where the caller would not wait for it
        sys.exit(subprocess.run(command, check=False).returncode)
    os.execv(command[0], command)


def _first_on_path(kind: str, target: str, package: bool) -> str:
    if package:
        return os.path.abspath(target)
    if kind == "-m":
        return os.getcwd()
    return "" if kind or target == "-" else os.path.dirname(os.path.realpath(target))


def _answer_both() -> None:
    natsdb_names.install(say=True)
    # Processes that the script starts find `sitecustomize` here, or else the two packages.
    sys.path.insert(1, natsdb_names.FOLDER)
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [natsdb_names.FOLDER, os.environ.get("PYTHONPATH")]))


def _script_frames(frames: TracebackType | None) -> TracebackType | None:
    """The script's own frames: natsdb's and runpy's are above. None where it did not come to run."""
    while frames is not None and frames.tb_frame.f_globals.get("__name__", "").partition(".")[0] in _OURS:
        frames = frames.tb_next
    return frames
