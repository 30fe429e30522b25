"""The command line: each command is a few lines over a public function of the same name."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import wraps
from typing import Annotated, Any

import typer

from natsdb.cli import (
    archives,
    attaching,
    checking,
    comparing,
    demo,
    models,
    plots,
    publish,
    pull,
    questions,
    scoring,
    search,
    showing,
    site,
    training,
    versions,
)
from natsdb.cli import run as scripts
from natsdb.schema.errors import NatsdbError

app = typer.Typer(
    name="natsdb",
    help="NATS-Bench as a columnar analytical database with a SQL layer.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        from natsdb import __version__

        print(f"natsdb {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_print_version, is_eager=True, help="Print the version and stop.")
    ] = False,
) -> None:
    pass


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


for _command in (
    pull.pull,
    archives.ingest,
    archives.verify,
    archives.export,
    attaching.attach,
    attaching.detach,
    checking.check,
    checking.repair,
    publish.publish,
    training.train,
    training.collect,
    training.compare,
    models.model,
    models.evaluate,
    scoring.measure,
    scoring.score,
    search.search,
    comparing.compare_searches,
    questions.sql,
    showing.show,
    questions.info,
    questions.duckdb,
    versions.log,
    versions.rollback,
    versions.drop,
    versions.vacuum,
    site.site,
    site.serve,
    demo.demo,
):
    app.command()(_with_exit_codes(_command))
pictures = typer.Typer(help="Draw pictures of the benchmark.", no_args_is_help=True)
for _picture in (plots.scatter, plots.pareto, plots.curves, plots.rank, plots.correlation, plots.compare):
    pictures.command()(_with_exit_codes(_picture))
pictures.command("cell")(_with_exit_codes(showing.plot_cell))
pictures.command("search")(_with_exit_codes(search.plot_search))
pictures.command("front")(_with_exit_codes(search.plot_front))
pictures.command("ranks")(_with_exit_codes(comparing.plot_ranks))
app.add_typer(pictures, name="plot")
# What follows the script's name is the script's.
# (`-h` is left out of its own options, so that `-mhelper` is a module.)
app.command(
    context_settings={
        "ignore_unknown_options": True,
        "allow_interspersed_args": False,
        "help_option_names": ["--help"],
    }
)(_with_exit_codes(scripts.run))
