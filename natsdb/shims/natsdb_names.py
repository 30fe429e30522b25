"""Who answers `nats_bench` and `nas_201_api` under `natsdb run`, also in the processes that a script starts.

These find this folder by `$PYTHONPATH`, and `sitecustomize` in it; so nothing here needs natsdb itself, which another
interpreter may lack.

One rule: natsdb answers both names, whether they are installed or not. A copy of one of them that comes with the
script, beside it or anywhere on `sys.path`, is passed over, which is said once; with `--vendored` it answers instead.
"""

from __future__ import annotations

import os
import sys
from importlib.machinery import ModuleSpec, PathFinder
from importlib.util import spec_from_file_location

NAMES = ("nats_bench", "nas_201_api")
FOLDER = os.path.dirname(os.path.abspath(__file__))
# Set for the script and the processes that it starts: whether copies that come with it answer, and the version of
# `nas_201_api` that it is for.
CHOICE = "NATSDB_RUN_VENDORED"
NAS_201_API = "NATSDB_NAS_201_API"
_VERSIONS = ("1", "1.0", "1.1", "1.2", "1.3", "2", "2.0", "2.1")
_PACKAGES = {"site-packages", "dist-packages"}


class Names:
    """A finder for `sys.meta_path`. `say`: whether a copy that is passed over is worth a line on standard error."""

    def __init__(self, say: bool) -> None:
        self._say = say
        self._said: set[str] = set()

    def find_spec(self, name: str, path: object = None, target: object = None) -> ModuleSpec | None:
        """The package that answers a name; None for any other name."""
        if name not in NAMES:
            return None
        copy, where = _vendored(name)
        if copy is not None and os.environ.get(CHOICE) == "1":
            return copy
        if copy is not None and self._say and name not in self._said:
            self._said.add(name)
            print(
                f"natsdb: {where} is passed over, natsdb answers {name}; `natsdb run --vendored` takes the copy",
                file=sys.stderr,
            )
        return spec_from_file_location(name, os.path.join(FOLDER, name, "__init__.py"))


def _vendored(name: str) -> tuple[ModuleSpec | None, str]:
    """A copy of a package that no installer put where it lies."""
    # Scripts put other things than text there too, which the import system passes over.
    path = [each for each in sys.path if isinstance(each, str) and os.path.abspath(each) != FOLDER]
    spec = PathFinder.find_spec(name, [each for each in path if not _PACKAGES.intersection(each.split(os.sep))])
    if spec is None:
        return None, ""
    folders = spec.submodule_search_locations
    if spec.origin:
        return spec, os.path.dirname(spec.origin) if folders else spec.origin
    # No `__init__.py`: a folder without modules is no copy, as the default database may be named like that.
    with_modules = [folder for folder in folders or () if os.path.isdir(folder) and _has_modules(folder)]
    return (spec, with_modules[0]) if with_modules else (None, "")


def _has_modules(folder: str) -> bool:
    return any(name.endswith(".py") for name in os.listdir(folder))


def major_version(version: str, given: str) -> int:
    """1 or 2, of a version of `nas_201_api`, also with a v before it.

    Raises:
        NatsdbError: there is no such version; `given` is what it was given by.
    """
    if version.removeprefix("v") not in _VERSIONS:
        from natsdb.schema.errors import NatsdbError  # who asks has it

        raise NatsdbError(
            f"{given} {version}".rstrip() + ": there is no such version of nas_201_api", remedy="1.0 to 1.3, 2.0 or 2.1"
        )
    return int(version.removeprefix("v")[0])


def install(say: bool = False) -> None:
    """Let these names be answered by this rule in this process, from the next import on."""
    for name in [name for name in sys.modules if name.partition(".")[0] in NAMES]:
        del sys.modules[name]
    sys.meta_path.insert(0, Names(say))
