"""Which `nas_201_api` a script was written for: 1.x and 2.x mean other schedules where none is named.

Up to 1.3 a schedule is `use_12epochs_result`, False where it is left out, so 200 epochs; since 2.0 it is `hp`, "12"
where it is left out.
"""

from __future__ import annotations

import os
import sys
from typing import Any

import numpy as np

from natsdb.schema.errors import NatsdbError
from natsdb.shims.natsdb_names import NAS_201_API, major_version

_OTHER = {1: 2, 2: 1}
_MEANS = {1: "1.x, where it is 200 epochs", 2: "2.1, where it is 12 epochs"}


class _Omitted(str):
    """A default that is told from the same text given by a caller."""

    __slots__ = ()


OMITTED: Any = _Omitted("12")


class Version:
    """What is known of the script so far: the major version, whether it was chosen, whether answers rest on a guess.

    Raises:
        NatsdbError: the environment names a version that there is not.
    """

    def __init__(self) -> None:
        chosen = os.environ.get(NAS_201_API, "")
        self._chosen = bool(chosen)
        self._major: int | None = major_version(chosen, f"${NAS_201_API}") if chosen else None
        self._guessed = ""

    @property
    def first(self) -> bool:
        """Whether it is 1.x, as far as is known."""
        return self._major == 1

    def saw(self, major: int, call: str) -> None:
        """A call told the version.

        Raises:
            NatsdbError: answers were given as if it were the other one.
        """
        if self._chosen or self._major == major:
            return
        if self._guessed:
            raise NatsdbError(
                f"{call} is of nas_201_api {major}.x, but {self._guessed} was answered as in {_MEANS[_OTHER[major]]}",
                remedy="run the script with `natsdb run --nas-201-api 1.3`, or name a schedule in each call",
            )
        if self._major is None:
            self._major = major

    def hp(self, call: str, given: Any, use_12epochs_result: Any = None) -> Any:
        """The hp that a call asks for; the first that leaves it open, before any has told the version, is warned of.

        Args:
            call: its name.
            given: what stands where 2.x has `hp` and 1.x `use_12epochs_result`, OMITTED for nothing.
            use_12epochs_result: what was given by this name.
        """
        if isinstance(given, (bool, np.bool_)):
            use_12epochs_result = given
        if use_12epochs_result is not None:
            self.saw(1, f"{call}(use_12epochs_result={use_12epochs_result})")
            return "12" if use_12epochs_result else "200"
        if given is not OMITTED:
            self.saw(2, f"{call}(hp={given!r})")
            return given
        if self._major is None:
            self._major, self._guessed = 2, call
            print(
                f"natsdb: {call} names no schedule, and nothing says which nas_201_api the script is for: assumed 2.1, "
                f"so 12 epochs (1.x: 200); `natsdb run --nas-201-api 1.3` chooses",
                file=sys.stderr,
            )
        return "200" if self._major == 1 else "12"


VERSION = Version()
