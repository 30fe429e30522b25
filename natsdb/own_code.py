"""A user's own function, named as FILE.py:FUNCTION."""

from __future__ import annotations

import hashlib
import importlib.util
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

from natsdb.schema.errors import NatsdbError

_REMEDY = "name one as FILE.py:FUNCTION"


def is_own(name: str) -> bool:
    """Whether a name is FILE.py:FUNCTION."""
    return name.rpartition(":")[0].endswith(".py")


def load_own(name: str, *kinds: type) -> Any:
    """The function that FILE.py:FUNCTION names, or a value of one of these kinds.

    Raises:
        NatsdbError: there is no such file, it cannot be run, or it has no such function.
    """
    file, _, function = name.rpartition(":")
    found = getattr(_module(Path(file)), function, None)
    if not callable(found) and not isinstance(found, kinds):
        raise NatsdbError(f"it has no function {function!r}", where=file, remedy=_REMEDY)
    return found


def _module(path: Path) -> ModuleType:
    name = f"natsdb_user_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    specification = importlib.util.spec_from_file_location(name, path)
    if specification is None or specification.loader is None or not path.exists():
        raise NatsdbError("there is no such file", where=str(path), remedy=_REMEDY)
    module = importlib.util.module_from_spec(specification)
    # Dataclasses of the file look their module up by its name.
    sys.modules[name] = module
    try:
        specification.loader.exec_module(module)
    except (Exception, SystemExit) as error:  # whatever a user's file raises, the end of a script without a guard too
        sys.modules.pop(name, None)
        raise NatsdbError(
            f"it cannot be run ({type(error).__name__}: {error})", where=str(path), remedy="run it with python first"
        ) from error
    return module
