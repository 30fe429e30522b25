"""The command that runs other people's scripts."""

from __future__ import annotations

from typing import Annotated

import typer


def run(
    arguments: Annotated[
        list[str],
        typer.Argument(
            metavar="[--vendored] [--nas-201-api VERSION] [PYTHON'S OPTIONS] SCRIPT | -m MODULE | -c CODE | - [ARGS]…",
            help="As for python.",
        ),
    ],
) -> None:
    """Run a script written for nats_bench or nas_201_api, unchanged, on natsdb's databases.

    Both packages are answered by natsdb, whether or not they are installed, also in processes that the script starts;
    a copy that comes with the script is passed over, which is said, unless --vendored. Scripts for nas_201_api 1.x,
    where 200 epochs are the default, say so with --nas-201-api 1.3.

    Example: natsdb run search.py --dataset cifar100
    """
    from natsdb.run import main

    code = main(arguments)
    if code:
        raise typer.Exit(code)
