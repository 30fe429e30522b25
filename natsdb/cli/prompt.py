"""A prompt for SQL on a terminal: history, statements of several lines, completion, and how long an answer took."""

from __future__ import annotations

import re
import shutil
import time
from collections.abc import Iterable, Iterator
from functools import cached_property, partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import platformdirs
from prompt_toolkit import PromptSession
from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document
from prompt_toolkit.filters import completion_is_selected
from prompt_toolkit.history import FileHistory, History, InMemoryHistory
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.lexers import PygmentsLexer
from pygments.lexers.sql import SqlLexer

from natsdb.cli.answers import first_rows, stoppable
from natsdb.relation import names_in
from natsdb.schema.errors import NatsdbError
from natsdb.schema.names import did_you_mean
from natsdb.schema.tables import TABLES
from natsdb.sql import MACROS, VIEWS, comment, explanation

if TYPE_CHECKING:
    from natsdb.connection import Connection

_WORDS = sorted(
    names_in(
        """
        and as asc between by case count desc describe distinct else end exists explain from group having in inner is
        join left like limit not null offset on or order over partition select summarize then union using when where
        with
        """
    )
)
HELP = """\
A statement ends with ; and may have several lines. Tab completes tables, views, macros and columns.

  select * from best('cifar100', 'x-test', '200');       the ten most accurate architectures
  from curve('tss', 11, 'cifar10', '200') limit 5;       an architecture's runs, epoch by epoch
  select dataset, split, avg(accuracy) from mean_final where hp = '200' group by all order by all;
  describe leaderboard;                                  columns of a table or view
  create table mine as from best('cifar10', 'ori-test', '200');  a table in memory, until you leave

  .tables        tables, views and macros         .info NAME     what one of them, or a column, means
  .help          this text                        .quit          leave (or ^D); ^C stops an answer"""
_COMMANDS = (".help", ".info", ".quit", ".tables")


class Names(Completer):
    """Completes tables, views, macros and columns: after `from` and `join` what has rows, after `name.` its columns."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    @cached_property
    def columns(self) -> dict[str, list[str]]:
        """Columns of natsdb's tables and views."""
        found: dict[str, list[str]] = {}
        ask = "select table_name, column_name from information_schema.columns order by ordinal_position"
        for table, column in self._connection.cursor().execute(ask).fetchall():
            found.setdefault(table, []).append(column)
        return {name: columns for name, columns in found.items() if not name.startswith(("all_", "chosen_"))}

    def _tables(self) -> Iterator[tuple[str, str]]:
        for name in self.columns:
            yield name, "table" if name in TABLES else "view" if name in VIEWS else "your own"
        for name in MACROS:
            yield f"{name}(", "macro"

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterable[Completion]:
        """Names that begin with the word before the cursor."""
        before = document.text_before_cursor
        if before.lstrip().startswith("."):
            for name in _COMMANDS:
                if name.startswith(before.strip()):
                    yield Completion(name, -len(before.strip()))
            return
        word = re.search(r"\w*$", before)
        assert word is not None
        start = before[: word.start()]
        if qualified := re.search(r"(\w+)\.$", start):
            every = [(column, "column") for column in self.columns.get(qualified[1], [])]
        elif re.search(r"\b(from|join|describe|summarize|table)\s+$", start, re.IGNORECASE):
            every = list(self._tables())
        else:
            columns = sorted({column for table in self.columns.values() for column in table})
            every = [*((column, "column") for column in columns), *self._tables(), *((one, "") for one in _WORDS)]
        if not word[0] and not qualified and len(every) > 200:
            return
        for name, kind in every:
            if name.lower().startswith(word[0].lower()):
                yield Completion(name, -len(word[0]), display_meta=kind)


def prompt(connection: Connection, *, input: Any = None, output: Any = None, history: History | None = None) -> None:
    """Ask for statements and answer them, until `.quit` or the end of input.

    Args:
        connection: a locked connection.
        input, output: of prompt_toolkit; the terminal by default.
        history: what was asked before; by default it is in the user's state folder.
    """
    session: PromptSession[str] = PromptSession(
        "natsdb> ",
        prompt_continuation="   ...> ",
        multiline=True,
        key_bindings=_keys(),
        lexer=PygmentsLexer(SqlLexer),
        completer=Names(connection),
        complete_while_typing=False,
        history=history if history is not None else _history(),
        input=input,
        output=output,
    )
    held = connection.snapshot
    print(f"{held.home}, version {held.manifest.version}: {held.manifest.contents()}\n.help shows examples")
    while True:
        try:
            text = session.prompt().strip()
        except KeyboardInterrupt:
            continue
        except EOFError:
            return
        if text in (".quit", ".exit"):
            return
        try:
            if text.startswith("."):
                print(_command(text))
            elif text.strip("; \n"):
                print(stoppable(connection, partial(_answer, connection, text)))
        except NatsdbError as error:
            print(f"natsdb: {error}")
        except KeyboardInterrupt:
            print("stopped")


def _keys() -> KeyBindings:
    """Enter asks when the statement ends with a semicolon, is a command, or is empty; else it begins a new line."""
    keys = KeyBindings()

    @keys.add("enter", filter=~completion_is_selected)
    def _(event: KeyPressEvent) -> None:
        buffer = event.current_buffer
        text = buffer.text.strip()
        if not text or text.startswith(".") or text.endswith(";"):
            buffer.validate_and_handle()
        else:
            buffer.insert_text("\n")

    @keys.add("enter", filter=completion_is_selected)
    def _(event: KeyPressEvent) -> None:
        # Enter takes the completion that is chosen.
        event.current_buffer.complete_state = None

    return keys


def _history() -> History:
    path = Path(platformdirs.user_state_dir("natsdb")) / "history"
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError:
        return InMemoryHistory()
    return FileHistory(str(path))


def _answer(connection: Connection, text: str) -> str:
    started = time.perf_counter()
    relation = connection.sql(text)
    shown = "done\n" if relation is None else first_rows(relation, shutil.get_terminal_size().columns)
    spent = time.perf_counter() - started
    return f"{shown}({spent * 1000:,.0f} ms)" if spent < 10 else f"{shown}({spent:,.1f} s)"


def _command(text: str) -> str:
    name, _, rest = text.rstrip(";").partition(" ")
    if name == ".help":
        return HELP
    if name == ".tables":
        return _listed()
    if name == ".info":
        return explanation(rest.strip()) if rest.strip() else _listed()
    raise NatsdbError(f"there is no command {name}", remedy=did_you_mean(name, _COMMANDS))


def _listed() -> str:
    first = {name: comment(name).splitlines()[0].partition(": ")[2] for name in (*VIEWS, *MACROS)}
    lines = ["tables", *(f"  {name:<17} a row is {table.row}" for name, table in TABLES.items())]
    lines += ["views", *(f"  {name:<17} {first[name]}" for name in VIEWS)]
    lines += ["macros", *(f"  {name:<17} {first[name]}" for name in MACROS)]
    width = shutil.get_terminal_size().columns
    return "\n".join(line if len(line) <= width else f"{line[: width - 1]}…" for line in lines)
