"""The errors that natsdb raises on purpose: what went wrong, where, and what to do about it."""

from __future__ import annotations


class NatsdbError(Exception):
    """A problem that the user can act on. `str()` is one sentence: what, where (file and key) and the remedy.

    Args:
        what: what is wrong.
        where: the file, and the key inside it, if any.
        remedy: what the user can do.
    """

    def __init__(self, what: str, *, where: str = "", remedy: str = "") -> None:
        self.what, self.where, self.remedy = what, where, remedy
        super().__init__(f"{where + ': ' if where else ''}{self.said}")

    @property
    def said(self) -> str:
        """What is wrong and the remedy, for those who say where in a way of their own."""
        return f"{self.what}{'; ' + self.remedy if self.remedy else ''}"

    def __reduce__(self) -> tuple[object, ...]:
        return _rebuild, (type(self), self.what, self.where, self.remedy)


class Missing(NatsdbError):
    """What was asked for is not there: a database, a file, a table, an architecture."""


class Damaged(NatsdbError):
    """A file is not what it was when it was written: cut short, changed, or of another format."""


class Contradiction(NatsdbError):
    """Two sources say different things of the same run."""


class NotWritable(NatsdbError):
    """A file or folder cannot be written: the disk is full, it is read-only, or another process is writing."""


class Stopped(Exception):
    """The command was interrupted: what is under way ends, and nobody reads what came of it."""


def said_by(error: BaseException) -> str:
    """What an error of others says, its first line, and the next where that only announces it; its kind where it says
    nothing."""
    lines = [line.strip() for line in str(error).strip().splitlines()]
    return " ".join(lines[: 2 if lines[0].endswith(":") else 1]) if lines else type(error).__name__


def _rebuild(kind: type[NatsdbError], what: str, where: str, remedy: str) -> NatsdbError:
    # Errors cross process borders; keyword-only arguments need a helper to survive pickling.
    return kind(what, where=where, remedy=remedy)
