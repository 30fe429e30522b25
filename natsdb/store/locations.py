"""Where a database lies: a folder or a URL, named by the caller, by `$NATSDB_HOME`, or the user's own."""

from __future__ import annotations

import os
import re
from pathlib import Path

from natsdb.schema.errors import NatsdbError

_URL = re.compile(r"(s3|https?|hf):/+")
# natsdb's own database, which comes with the package: see `natsdb/builtin/README.md`.
BUILTIN = Path(__file__).resolve().parents[1] / "builtin"
# Runs that natsdb trained itself, reduced ones: see the `README.md` there.
EMBEDDED = BUILTIN.with_name("embedded")


def default_database() -> Path:
    """Folder of the database when none is named: `$NATSDB_HOME`, else natsdb's folder in the user's data directory."""
    home = os.environ.get("NATSDB_HOME")
    if home:
        return Path(home)
    import platformdirs

    return Path(platformdirs.user_data_dir("natsdb"))


def located(db: str | os.PathLike[str] | None) -> Path | str:
    """Where a database is: its folder, or its URL (s3://…, https://…, hf://…) without a slash at the end."""
    given = os.fspath(db) if db is not None else os.environ.get("NATSDB_HOME", "")
    # What went through pathlib has one slash after the scheme.
    scheme = _URL.match(given)
    if scheme:
        return f"{scheme[1]}://{given[scheme.end() :].rstrip('/')}"
    return Path(db) if db is not None else default_database()


def local(db: str | os.PathLike[str] | None) -> Path:
    """A database's folder, for what works on files.

    Raises:
        NatsdbError: it is a URL.
    """
    home = located(db)
    if isinstance(home, str):
        raise NatsdbError("this needs a database on disk", where=home, remedy="copy it first, and name the folder")
    return home
