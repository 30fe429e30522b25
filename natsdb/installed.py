"""natsdb's views and macros in a session, each made when a statement first names it: all of them take 0.3 s.

DuckDB binds a view when it is made, and opens a file of each table that the view reads for that.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from typing import Any

from natsdb.sql.tables import Late, made_by, names_in

_COMMENT = re.compile(r"--[^\n]*")
_WORD = re.compile(r"\w+")
# Who asks with these for what there is, or names a table in a way of its own, needs all.
_ASKING = re.compile(
    r"\b(information_schema|duckdb_\w+|pg_\w+|sqlite_\w+|show|describe|summarize|query|query_table|pragma_\w+)\b", re.I
)


class Installed:
    """What a session's connections share: which views and macros there are, and which have been made."""

    def __init__(self, statements: Sequence[str | Late]) -> None:
        """`statements`: SQL that makes one each, in an order in which each finds what it is made of."""
        self._alone = threading.Lock()
        # Of one name there may be two: a database's table `measured` beside the macro.
        self._left = [(made_by(one).lower(), one) for one in statements]
        self._names = {name for name, _ in self._left}
        self._named: dict[str, set[str]] = {}
        for name, one in self._left:
            inner = _words(_COMMENT.sub("", names_in(one))) & self._names - {name}
            self._named[name] = self._named.get(name, set()) | inner

    def for_statement(self, connection: Any, kind: str, text: str) -> None:
        """Make what a statement of a kind (DuckDB's) needs.

        Raises:
            duckdb.Error: a file cannot be read.
        """
        if self._left:
            if kind == "SELECT" and not _ASKING.search(text):
                self._make(connection, self._needed(text))
            else:
                self.all(connection)

    def for_names(self, connection: Any, text: str) -> None:
        """Make what is named in a piece of SQL, as in a relation's filter; raises as `for_statement`."""
        if self._left:
            self._make(connection, self._needed(text))

    def all(self, connection: Any) -> None:
        """Make all that is left; raises as `for_statement`."""
        self._make(connection, set(self._names))

    def _needed(self, text: str) -> set[str]:
        needed: set[str] = set()
        asked = _words(text) & self._names
        while asked:
            needed |= asked
            asked = set().union(*(self._named[name] for name in asked)) & self._names - needed
        return needed

    def _make(self, connection: Any, names: set[str]) -> None:
        with self._alone:
            made = [str(one) for name, one in self._left if name in names]
            if made:
                # A connection of its own: on that of the statement an answer may still be coming.
                with connection.cursor() as other:
                    other.execute(";\n".join(made))
                self._left = [(name, one) for name, one in self._left if name not in names]
                self._names -= names


def _words(text: str) -> set[str]:
    return {word.lower() for word in _WORD.findall(text)}
