"""The command that runs other people's scripts."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Annotated

import typer

from natsdb.schema.errors import NatsdbError

_OURS = ("natsdb", "runpy", "<frozen runpy>")


def run(
    arguments: Annotated[
        list[str], typer.Argument(metavar="[-m MODULE | -c CODE | SCRIPT] [ARGS]…", help="As for python.")
    ],
) -> None:
    """Run a script written for nats_bench or nas_201_api, unchanged, on natsdb's databases.

    Both packages are answered by natsdb, whether or not they are installed, also in processes that the script starts.

    Example: natsdb run search.py --dataset cifar100
    """
    from natsdb.run import run as start

    # The command line's own way to show exceptions is not the script's.
    sys.excepthook = sys.__excepthook__
    try:
        start(arguments)
    except (Exception, KeyboardInterrupt) as error:
        frames = _script_frames(error.__traceback__)
        if frames is None and isinstance(error, NatsdbError):
            raise  # there was nothing to run
        sys.stdout.flush()
        sys.excepthook(type(error), error.with_traceback(frames), frames)
        raise typer.Exit(130 if isinstance(error, KeyboardInterrupt) else 1) from None


def _script_frames(frames: TracebackType | None) -> TracebackType | None:
    """The script's own frames: natsdb's and runpy's are above. None where it did not come to run."""
    while frames is not None and frames.tb_frame.f_globals.get("__name__", "").partition(".")[0] in _OURS:
        frames = frames.tb_next
    return frames
