"""The command that runs other people's scripts."""

from __future__ import annotations

import sys
import traceback
from typing import Annotated

import typer

from natsdb.schema.errors import NatsdbError


def run(
    arguments: Annotated[list[str], typer.Argument(metavar="[-m MODULE | SCRIPT] [ARGS]…", help="As for python.")],
) -> None:
    """Run a script written for nats_bench or nas_201_api, unchanged, on natsdb's databases.

    Both packages are answered by natsdb, whether or not they are installed, also in processes that the script starts.

    Example: natsdb run search.py --dataset cifar100
    """
    from natsdb.run import run as start

    module = arguments[0] == "-m"
    if module and len(arguments) < 2:
        raise NatsdbError("-m needs the name of a module", remedy="natsdb run -m MODULE ARGS…")
    target, *rest = arguments[1:] if module else arguments
    try:
        start(target, rest, module=module)
    except NatsdbError:
        raise
    except Exception as error:
        # The script's own frames, as python shows them: ours and runpy's are above.
        frames = error.__traceback__
        while frames is not None and "runpy" not in frames.tb_frame.f_code.co_filename:
            frames = frames.tb_next
        while frames is not None and "runpy" in frames.tb_frame.f_code.co_filename:
            frames = frames.tb_next
        sys.stdout.flush()
        traceback.print_exception(type(error), error, frames or error.__traceback__)
        raise typer.Exit(1) from None
