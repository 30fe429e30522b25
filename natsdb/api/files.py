"""Files as the official package handles them; pickles are read restrictedly."""

from __future__ import annotations

import bz2
import importlib
import os
import pickle
import time
from typing import Any

from natsdb.schema.errors import NatsdbError, said_by

_FILE_SYSTEM = "default"
PICKLE_EXT = "pickle.pbz2"


def time_string() -> str:
    """Now, in UTC, in brackets: what the official messages begin with."""
    return time.strftime("[%Y-%m-%d %X]", time.gmtime())


def reset_file_system(lib: str = "default") -> None:
    """Choose how files are reached: `default`, or `google` (tensorflow's `tf.io.gfile`)."""
    global _FILE_SYSTEM
    _FILE_SYSTEM = lib


def get_file_system() -> str:
    """How files are reached."""
    return _FILE_SYSTEM


def get_torch_home() -> str:
    """Folder of archives: `$TORCH_HOME`, else `~/.torch`.

    Raises:
        ValueError: neither `$TORCH_HOME` nor `$HOME` is set.
    """
    if "TORCH_HOME" in os.environ:
        return os.environ["TORCH_HOME"]
    if "HOME" in os.environ:
        return os.path.join(os.environ["HOME"], ".torch")
    raise ValueError(
        "Did not find HOME in os.environ. Please at least setup the path of HOME or TORCH_HOME in the environment."
    )


def _gfile() -> Any:
    return importlib.import_module("tensorflow").io.gfile


def _of_file_system(default: Any, google: Any) -> Any:
    if _FILE_SYSTEM == "default":
        return default()
    if _FILE_SYSTEM == "google":
        return google()
    raise ValueError(f"Unknown file system lib: {_FILE_SYSTEM}")


def nats_is_dir(file_path: str) -> bool:
    """Whether there is a folder.

    Raises:
        ValueError: the file system is unknown.
    """
    return _of_file_system(lambda: os.path.isdir(file_path), lambda: _gfile().isdir(file_path))


def nats_is_file(file_path: str) -> bool:
    """Whether there is a file.

    Raises:
        ValueError: the file system is unknown.
    """
    return _of_file_system(
        lambda: os.path.isfile(file_path),
        lambda: _gfile().exists(file_path) and not _gfile().isdir(file_path),
    )


def pickle_save(obj: Any, file_path: Any, ext: str = ".pbz2", protocol: int = 4) -> None:
    """Write an object as a bz2 pickle at `file_path` + `ext`.

    Raises:
        ValueError: the file system is not the default one.
    """
    if _FILE_SYSTEM != "default":
        raise ValueError(f"Unknown file system lib: {_FILE_SYSTEM}")
    with bz2.BZ2File(f"{file_path}{ext}", "wb") as file:
        pickle.dump(obj, file, protocol=protocol)


def pickle_load(file_path: Any, ext: str = ".pbz2") -> Any:
    """What a bz2 pickle holds, as far as benchmark files go: plain containers, numbers, and tensors.

    The path is tried with `ext` where there is no such file without.

    Raises:
        NatsdbError: the file is damaged, or asks for a name that no benchmark file needs.
    """
    path = str(file_path) if nats_is_file(str(file_path)) else f"{file_path}{ext}"
    from natsdb.ingest.archive.unpickle import DAMAGE, restricted

    def opened() -> Any:
        return bz2.BZ2File(path, "rb")

    try:
        with _of_file_system(opened, lambda: bz2.BZ2File(_gfile().GFile(path, mode="rb"))) as file:
            return restricted(file)
    except DAMAGE as error:
        raise NatsdbError(
            f"the pickle cannot be read ({said_by(error)})",
            where=path,
            remedy="get a benchmark file again; load a pickle of your own with the pickle module",
        ) from error
