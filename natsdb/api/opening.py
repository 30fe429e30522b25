"""What a path stands for: a natsdb database, an official archive in any form, or a loaded dictionary."""

from __future__ import annotations

import copy
import os
import sys
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from natsdb.api.files import PICKLE_EXT, get_torch_home, nats_is_dir, nats_is_file, pickle_load, time_string
from natsdb.schema.errors import NatsdbError
from natsdb.schema.spaces import strings
from natsdb.store.locations import BUILTIN, default_database
from natsdb.store.manifest import NAME
from natsdb.store.snapshot import falls_back, read_manifest, say_builtin

# Whether the hint that an archive is slow was given in this process.
_hinted = False

if TYPE_CHECKING:
    from natsdb.api.backends import Backend
    from natsdb.api.results import ArchResults
    from natsdb.ingest.archive.sources import Source


class Space(Protocol):
    """What the names of files and messages are made of."""

    _all_base_names: list[str]
    _search_space_name: str
    _space: str

    @property
    def _results_kind(self) -> type[ArchResults]:
        """Class of the results."""


@dataclass
class Opened:
    """What a handle starts with: names, architectures, and either a backend or results that are held by the handle."""

    filename: str | None
    archive_dir: Any
    meta_archs: list[str]
    backend: Backend | None = None
    infos: Any = None
    evaluated: Any = None
    hps: Any = None


def open_benchmark(api: Space, given: Any, fast_mode: bool, verbose: bool, source: str | None = None) -> Opened:
    """What a handle is made on.

    Raises:
        ValueError: there is nothing at the path, or the form does not go with the mode, as in the official package.
        NatsdbError: an archive is damaged, or a database has nothing of the space.
    """
    archive_dir = None
    by_default = given is None and fast_mode  # then the official handle has no file name, and says less
    name = f"NATS-Bench ({api._search_space_name})"
    if given is None:
        database = database_by_default(api)
        if database is not None:
            given = database
        elif fast_mode:
            archive_dir = os.path.join(get_torch_home(), f"{api._all_base_names[-1]}-simple")
        else:
            given = os.path.join(get_torch_home(), f"{api._all_base_names[-1]}.{PICKLE_EXT}")
        # The official sentence names no path in fast mode.
        print(
            f"{time_string()} Try to use the default {name} path from fast_mode={fast_mode} and "
            f"path={None if fast_mode else given}."
        )
    elif isinstance(given, os.PathLike):
        given = os.fspath(given)
    if source is not None and not (isinstance(given, str) and os.path.isfile(os.path.join(given, NAME))):
        what = "a dictionary" if isinstance(given, dict) else str(given)
        raise NatsdbError(f"only a database has rows of a source {source!r}", where=what, remedy="leave `source` out")
    filename = None
    if isinstance(given, str):
        if verbose and not by_default:
            print(f"{time_string()} Try to create the {name} api from {given} with fast_mode={fast_mode}")
        is_file = nats_is_file(given)
        if not is_file and not nats_is_dir(given):
            raise ValueError(f"{given} is neither a file or a dir.")
        filename = None if by_default else os.path.basename(given)
        from natsdb.api.backends import ArchiveBackend, DatabaseBackend, SingleFileBackend, is_database

        archs = list(strings(api._space))
        if is_database(given):
            backend = DatabaseBackend(given, api._space, source=source, kind=api._results_kind)
            return Opened(filename, given if fast_mode else None, archs, backend)
        if not fast_mode and not is_file:
            raise ValueError(f"fast_mode={fast_mode} must feed the path for file : {given}")
        if is_file:
            archive = _source(given, fast_mode)
            _check_space(archive, api._space, given)
            if not archive.entries:
                _hint(given, " (it is one stream, so all of it is read first)")
                return Opened(filename, None, archs, SingleFileBackend(given, api._space, api._results_kind))
            _hint(given)
            return Opened(filename, None, archs, ArchiveBackend(archive, api._results_kind))
        archive_dir = given
    if isinstance(given, dict):
        return _of_dictionary(given, filename, api._results_kind)
    if archive_dir is None:
        raise ValueError(f"file_path_or_dict [{type(given)}] must be a dict or archive_dir must be set")
    meta = pickle_load(f"{archive_dir}/meta.{PICKLE_EXT}")
    _hint(archive_dir)
    return Opened(filename, archive_dir, list(meta["meta_archs"]), None, OrderedDict(), set(), set())


def database_by_default(api: Space) -> str | None:
    """A database with rows of the space: the user's; natsdb's own where there is none of these, or none with any runs,
    and no archive."""
    from natsdb.api.backends import is_database

    found = database_of_the_user(api)
    if found is None and archive_by_default(api) is None and (BUILTIN / NAME).exists():
        if falls_back(None):
            say_builtin()
            return str(BUILTIN)
        mine = default_database()
        if is_database(str(mine)) and not any(part.space for part in read_manifest(mine).parts):
            return str(BUILTIN)  # of searches or attached tables only: to SQL natsdb's own is beside it
    return found


def database_of_the_user(api: Space) -> str | None:
    """A database with rows of the space: `$NATSDB_HOME`, one where archives lie, or that in the user's folder."""
    from natsdb.api.backends import is_database

    try:
        home = get_torch_home()
        beside = [home, os.path.join(home, "natsdb"), os.path.join(home, f"{api._all_base_names[-1]}-simple")]
    except ValueError:
        beside = []
    first = [os.environ["NATSDB_HOME"]] if os.environ.get("NATSDB_HOME") else []
    for path in [*first, *beside, str(default_database())]:
        if is_database(path) and any(part.space == api._space for part in read_manifest(Path(path)).parts):
            return path
    return None


def archive_by_default(api: Space) -> str | None:
    """The official archive of the space where it lies by default, None where there is none."""
    try:
        home = get_torch_home()
    except ValueError:
        return None
    name = os.path.join(home, api._all_base_names[-1])
    return next((path for path in (f"{name}-simple", f"{name}.{PICKLE_EXT}") if os.path.exists(path)), None)


def _source(path: str, fast_mode: bool) -> Source:
    """A file as a source of records. In fast mode the official package takes folders only; here tars too."""
    from natsdb.ingest.archive.sources import open_source

    refused = ValueError(f"fast_mode={fast_mode} must feed the path for directory : {path}")
    try:
        source = open_source(Path(path).absolute())
    except NatsdbError:
        if fast_mode:
            raise refused from None
        raise
    if fast_mode and not source.entries:
        raise refused
    return source


def _check_space(source: Source, space: str, path: str) -> None:
    if source.space != space:
        raise NatsdbError(
            f"it is an archive of the space {source.space}",
            where=path,
            remedy=f"create the handle with search_space={source.space!r}, or name an archive of {space}",
        )


def _hint(path: str, why: str = "") -> None:
    global _hinted
    if _hinted:
        return
    _hinted = True  # a script may make many handles
    print(f"natsdb: reading {path} as it is{why}; `natsdb ingest {path}` once makes this fast", file=sys.stderr)


def _of_dictionary(given: dict[str, Any], filename: str | None, kind: type[ArchResults]) -> Opened:
    from natsdb.api.backends import results_of

    for key in ("meta_archs", "arch2infos", "evaluated_indexes"):
        if key not in given:
            raise ValueError(f"Can not find key[{key}] in the dict")
    given = copy.deepcopy(given)
    infos = OrderedDict((arch, results_of(given["arch2infos"][arch], kind)) for arch in sorted(given["arch2infos"]))
    hps = {hp for results in infos.values() for hp in results}
    return Opened(filename, None, given["meta_archs"], None, infos, set(given["evaluated_indexes"]), hps)
