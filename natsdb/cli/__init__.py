"""The command line: each command is a few lines over a public function of the same name."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from importlib import import_module
from typing import Annotated, Any

import typer

from natsdb.schema.errors import NatsdbError

# Each command's module in this folder.
_COMMANDS = {
    "pull": "pull",
    "ingest": "archives",
    "verify": "archives",
    "export": "archives",
    "attach": "attaching",
    "detach": "attaching",
    "check": "checking",
    "repair": "checking",
    "publish": "publish",
    "train": "training",
    "collect": "training",
    "compare": "training",
    "model": "models",
    "evaluate": "models",
    "measure": "scoring",
    "score": "scoring",
    "search": "search",
    "compare-searches": "comparing",
    "sql": "questions",
    "show": "showing",
    "info": "questions",
    "duckdb": "questions",
    "log": "versions",
    "rollback": "versions",
    "drop": "versions",
    "vacuum": "versions",
    "site": "site",
    "serve": "site",
    "demo": "demo",
    "run": "run",
}
# What follows the name of a script is the script's.
# (`-h` is left out of `run`'s own options, so that `-mhelper` is a module.)
_SETTINGS = {
    "run": {"ignore_unknown_options": True, "allow_interspersed_args": False, "help_option_names": ["--help"]},
}


def _print_version(asked: bool) -> None:
    if asked:
        from natsdb import __version__

        print(f"natsdb {__version__}")
        raise typer.Exit


def _with_exit_codes(command: Callable[..., Any]) -> Callable[..., Any]:
    """An error is one sentence on standard error and exit code 1; ^C is 130."""

    @wraps(command)
    def run(*arguments: Any, **options: Any) -> Any:
        try:
            return command(*arguments, **options)
        except NatsdbError as error:
            print(f"natsdb: {error}", file=sys.stderr)
            raise typer.Exit(1) from None
        except KeyboardInterrupt:
            print("natsdb: interrupted; the database is as it was, the same command goes on from here", file=sys.stderr)
            raise typer.Exit(130) from None
        except BrokenPipeError:
            # The reader of our output is gone: nothing more to say, and nothing to say it to.
            sys.stderr.close()
            raise typer.Exit(1) from None

    return run


def command_line(asked: str | None = None) -> typer.Typer:
    """The command line; of all its commands only the one that is asked for, where there is one of this name: to load
    the others takes longer than many answers."""
    made = typer.Typer(
        name="natsdb",
        help="NATS-Bench as a columnar analytical database with a SQL layer.",
        no_args_is_help=True,
        rich_markup_mode="rich",
        context_settings={"help_option_names": ["-h", "--help"]},
    )

    @made.callback()
    def _options(
        version: Annotated[
            bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
        ] = False,
    ) -> None:
        pass

    known = asked in _COMMANDS or asked == "plot"
    for name, module in _COMMANDS.items():
        if not known or name == asked:
            command: Callable[..., Any] = getattr(import_module(f"natsdb.cli.{module}"), name.replace("-", "_"))
            made.command(name, context_settings=_SETTINGS.get(name))(_with_exit_codes(command))
    if not known or asked == "plot":
        from natsdb.cli.plots import PICTURES

        pictures = typer.Typer(help="Draw pictures of the benchmark.", no_args_is_help=True)
        for name, picture in PICTURES.items():
            pictures.command(name)(_with_exit_codes(picture))
        made.add_typer(pictures, name="plot")
    return made


def __getattr__(name: str) -> Any:
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    # The whole command line, made when it is first asked for.
    globals()["app"] = whole = command_line()
    return whole
