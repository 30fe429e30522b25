"""A database is a folder; its manifest `natsdb.json` is the commit point: what it does not list does not exist."""

from __future__ import annotations

import json
import os
import re
from dataclasses import asdict, dataclass, field
from pathlib import Path

import platformdirs

from natsdb.schema.errors import NatsdbError
from natsdb.schema.tables import FORMAT_VERSION

NAME = "natsdb.json"


@dataclass(frozen=True, order=True)
class Part:
    """A Parquet file of a table. `path` is relative to the database; `block` is the architecture index // BLOCK.

    The tables of the catalogue have one file each, with source, space and hp empty and block 0.
    """

    table: str
    source: str
    space: str
    hp: str
    block: int
    path: str
    rows: int
    bytes: int


@dataclass(frozen=True)
class Ingested:
    """A source that was ingested: its name as given, what it was, and the fingerprint of its listing."""

    source: str
    space: str
    kind: str
    name: str
    fingerprint: str
    archs: int


@dataclass(frozen=True)
class Manifest:
    """What a database holds."""

    parts: tuple[Part, ...] = ()
    ingests: tuple[Ingested, ...] = ()
    version: int = field(default=FORMAT_VERSION)

    def files(self, table: str) -> list[str]:
        """Paths of a table's Parquet files, relative to the database, in order of source, space, hp and block."""
        return [part.path for part in sorted(self.parts) if part.table == table]

    def tabled(self) -> set[str]:
        """Sources whose rows are of published tables: final accuracies, of which no record can be made."""
        return {ingest.source for ingest in self.ingests if ingest.kind == "published"}

    def contents(self) -> str:
        """Which spaces it holds from which sources, in words."""
        found = sorted({f"{part.space} from {part.source}" for part in self.parts if part.space})
        return ", ".join(found) or "the catalogue only"

    def to_json(self) -> str:
        """Text of `natsdb.json`: equal contents give equal text."""
        return (
            json.dumps(
                {
                    "natsdb": self.version,
                    "ingests": [asdict(ingest) for ingest in self.ingests],
                    "parts": [asdict(part) for part in sorted(self.parts)],
                },
                indent=1,
            )
            + "\n"
        )


def preference(source: str) -> str:
    """Sort key of sources where several have a run: official first, then by name, generated rows last."""
    return {"official": "", "synthetic": "~"}.get(source, source)


def default_database() -> Path:
    """Folder of the database when none is named: `$NATSDB_HOME`, else natsdb's folder in the user's data directory."""
    home = os.environ.get("NATSDB_HOME")
    return Path(home) if home else Path(platformdirs.user_data_dir("natsdb"))


def located(db: str | os.PathLike[str] | None) -> Path | str:
    """Where a database is: its folder, or its URL (s3://…, https://…) without a slash at the end."""
    if db is None:
        return (
            default_database() if "://" not in os.environ.get("NATSDB_HOME", "") else located(os.environ["NATSDB_HOME"])
        )
    # What went through pathlib has one slash after the scheme.
    scheme = re.match(r"(s3|https?):/+", os.fspath(db))
    return f"{scheme[1]}://{os.fspath(db)[scheme.end() :].rstrip('/')}" if scheme else Path(db)


def local(db: str | os.PathLike[str] | None) -> Path:
    """A database's folder, for what works on files.

    Raises:
        NatsdbError: it is a URL.
    """
    home = located(db)
    if isinstance(home, str):
        raise NatsdbError("this needs a database on disk", where=home, remedy="copy it first, and name the folder")
    return home


def read_manifest(database: Path) -> Manifest:
    """Manifest of a database on disk.

    Raises:
        NatsdbError: no manifest there, it is damaged, or a newer natsdb wrote it.
    """
    path = database / NAME
    try:
        text = path.read_text(encoding="utf-8")
    except (FileNotFoundError, NotADirectoryError):
        raise NatsdbError(
            "there is no natsdb database here",
            where=str(database),
            remedy="make one with `natsdb ingest SOURCE --db DIR`, or name another with --db or $NATSDB_HOME",
        ) from None
    return parse_manifest(text, str(path))


def parse_manifest(text: str, where: str) -> Manifest:
    """Manifest from the text of `natsdb.json`.

    Raises:
        NatsdbError: it is damaged, or a newer natsdb wrote it.
    """
    try:
        data = json.loads(text)
        version = data["natsdb"]
        if version > FORMAT_VERSION:
            raise NatsdbError(
                f"the database has format {version}, this natsdb reads up to {FORMAT_VERSION}",
                where=where,
                remedy="upgrade with `pip install -U natsdb`",
            )
        return Manifest(
            parts=tuple(Part(**part) for part in data["parts"]),
            ingests=tuple(Ingested(**ingest) for ingest in data["ingests"]),
            version=version,
        )
    except (ValueError, KeyError, TypeError) as error:
        raise NatsdbError(
            f"the manifest cannot be read ({type(error).__name__}: {error})",
            where=where,
            remedy="restore the file, or ingest the sources again into a new folder",
        ) from error
