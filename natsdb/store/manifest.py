"""A database is a folder; its manifest `natsdb.json` is the commit point: what it does not list does not exist.

Every version of a database is a manifest. It says how large each file is and what its SHA-256 is, which columns the
files of a table have, and ends in a digest of itself, so that damage anywhere is found.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from natsdb.schema.datasets import DataSet, admit, of_plain, to_plain
from natsdb.schema.errors import Damaged, NatsdbError
from natsdb.schema.tables import FORMAT_VERSION, TABLES, Column, Table

NAME = "natsdb.json"
# Kinds of sources of which no record can be made: tables of final accuracies, and Syne Tune's curves.
PUBLISHED, SYNE_TUNE = "published", "syne-tune"
# The folder of attached tables' files.
ATTACHED = "attached"
# Folders that hold the files which manifests list.
FOLDERS = (*TABLES, ATTACHED, "weights")
# What of an entry goes into the text of a manifest only where it says something.
_OPTIONAL = {"sha256": "", "footer": "", "reduced": 0, "doubled": None, "origin": "", "licence": "", "citation": ""}


@dataclass(frozen=True, order=True)
class Part:
    """A Parquet file of a table. `path` is relative to the database; `block` is the architecture index // BLOCK.

    `bytes`, `sha256` and `footer` (CRC-32 of the Parquet footer) tell damage; the digests are empty in a file that
    format 1 wrote. `reduced`: in `seed`, how many of the runs are reduced ones. `doubled`: in `seed` of a published
    table, how many accuracies are means (seed 0) of a split that has single runs too; None where nobody counted.
    `columns`: what the file has, in order, without those that are names of folders. The tables of the catalogue, and
    attached ones, have one file each, with source, space and hp empty and block 0.
    """

    table: str
    source: str
    space: str
    hp: str
    block: int
    path: str
    rows: int
    bytes: int
    sha256: str = ""
    footer: str = ""
    reduced: int = 0
    doubled: int | None = None
    columns: tuple[str, ...] = ()


@dataclass(frozen=True, order=True)
class WeightsFile:
    """A safetensors file of an architecture's trained weights, all its runs of a source."""

    source: str
    space: str
    arch: int
    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class Ingested:
    """A source that was ingested: its name as given, what it was, the fingerprint of its listing; where it comes from,
    under what licence, and what to cite, where that was said."""

    source: str
    space: str
    kind: str
    name: str
    fingerprint: str
    archs: int
    origin: str = ""
    licence: str = ""
    citation: str = ""

    @property
    def which(self) -> tuple[str, ...]:
        """What tells it from others: files of one name may come from several places."""
        return self.source, self.space, self.kind, self.name, self.origin


@dataclass(frozen=True)
class Measure:
    """A column of an attached table that is no key: its type in DuckDB's words, meaning and unit as far as known."""

    name: str
    type: str
    meaning: str = ""
    unit: str = ""


@dataclass(frozen=True)
class Attached:
    """A table that was attached: a row is an architecture, or one on a data set, or that and further key columns.

    `key`: space, arch, dataset if there is one, then others; `others`: the types of these, in DuckDB's words;
    `datasets`: those that it has rows of (none where `dataset` is no key); `archs`: how many architectures; `file`: the
    name that it was read from; `encoding`: how its architectures were written there.
    """

    name: str
    key: tuple[str, ...]
    measures: tuple[Measure, ...]
    archs: int
    others: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    file: str = ""
    encoding: str = ""
    about: str = ""
    origin: str = ""
    licence: str = ""
    citation: str = ""

    @property
    def table(self) -> Table:
        """Its columns, as those of natsdb's own tables are described."""
        own = TABLES["arch_cost"]
        known = {column.name: column for column in own.columns if column.name in own.key and column.name in self.key}
        others = dict(zip(self.key[len(known) :], self.others, strict=True))
        keys = [known.get(name) or Column(name, others[name], "a key of its own") for name in self.key]
        measured = [
            Column(one.name, one.type, f"{one.meaning or one.name}{f' ({one.unit})' if one.unit else ''}")
            for one in self.measures
        ]
        return Table(self.name, self.about or f"of {self.file or self.name}", self.key, (*keys, *measured))


def provenance(one: Attached | Ingested) -> list[str]:
    """Where a table comes from, under what licence, what to cite: a line each, of what was said."""
    return [f"{what}: {text}" for what in ("origin", "licence", "citation") if (text := getattr(one, what))]


@dataclass(frozen=True)
class Manifest:
    """What a database holds at one version.

    `datasets`: those that natsdb does not know by itself; reading the manifest makes them known to this process.
    `version` counts publications from 1 (0: nothing was published); `when` is that of this one (ISO 8601, UTC) and
    `command` what made it, in words; `format`: of the text, which newer ones of natsdb may not be able to read.
    """

    parts: tuple[Part, ...] = ()
    ingests: tuple[Ingested, ...] = ()
    weights: tuple[WeightsFile, ...] = ()
    attached: tuple[Attached, ...] = ()
    datasets: tuple[DataSet, ...] = ()
    version: int = 0
    when: str = ""
    command: str = ""
    format: int = field(default=FORMAT_VERSION)

    def tables(self) -> dict[str, Table]:
        """All tables by name: natsdb's own, then those that were attached."""
        return {**TABLES, **{one.name: one.table for one in self.attached}}

    def of(self, table: str) -> list[Part]:
        """A table's parts, in order of source, space, hp and block."""
        return [part for part in sorted(self.parts) if part.table == table]

    def files(self, table: str) -> list[str]:
        """Paths of a table's Parquet files, relative to the database, in order of source, space, hp and block."""
        return [part.path for part in self.of(table)]

    def listed(self) -> dict[str, int]:
        """Bytes of every file, by path."""
        every: list[Part | WeightsFile] = [*self.parts, *self.weights]
        return {one.path: one.bytes for one in every}

    def published_sources(self) -> set[str]:
        """Sources whose rows are of published tables, of which no record can be made."""
        return {ingest.source for ingest in self.ingests if ingest.kind in (PUBLISHED, SYNE_TUNE)}

    def sources_without_curves(self) -> set[str]:
        """Those of them that are final accuracies only, and may be means over seeds."""
        return {ingest.source for ingest in self.ingests if ingest.kind == PUBLISHED}

    def contents(self) -> str:
        """Which spaces it holds from which sources, in words."""
        found = sorted({f"{part.space} from {part.source}" for part in self.parts if part.space})
        return ", ".join(found) or "the catalogue only"

    def same_contents(self, other: Manifest) -> bool:
        """Whether both list the same files and sources, whichever version they are."""
        mine, others = (
            (set(one.parts), one.ingests, set(one.weights), one.attached, list(map(to_plain, one.datasets)))
            for one in (self, other)
        )
        return mine == others

    def to_json(self) -> str:
        """Text of `natsdb.json`: equal contents give equal text."""
        schemas: dict[str, list[list[str]]] = {}
        for part in sorted(self.parts):
            if list(part.columns) not in (have := schemas.setdefault(part.table, [])):
                have.append(list(part.columns))
        data: dict[str, Any] = {
            "natsdb": FORMAT_VERSION,
            "version": self.version,
            "when": self.when,
            "command": self.command,
            "columns": schemas,
            "ingests": [_said(asdict(ingest)) for ingest in self.ingests],
            "attached": [asdict(table) for table in self.attached],
            **({"datasets": list(map(to_plain, self.datasets))} if self.datasets else {}),
            "parts": [_plain_part(part, schemas[part.table]) for part in sorted(self.parts)],
            "weights": _plain_weights(self.weights),
        }
        return json.dumps({**data, "digest": digest(data)}, indent=1) + "\n"


def _plain_part(part: Part, schemas: list[list[str]]) -> dict[str, Any]:
    # Not `asdict`, which copies deeply and takes ten times as long.
    plain = {name: getattr(part, name) for name in Part.__dataclass_fields__ if name != "columns"}
    plain = _said(plain)
    at = schemas.index(list(part.columns))
    return {**plain, "columns": at} if at else plain


def _said(plain: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in plain.items() if name not in _OPTIONAL or value != _OPTIONAL[name]}


def _plain_weights(weights: Iterable[WeightsFile]) -> list[list[Any]]:
    return [[one.source, one.space, one.arch, one.path, one.bytes, one.sha256] for one in sorted(weights)]


def digest(data: dict[str, Any]) -> str:
    """SHA-256 of what a manifest says, without the digest itself."""
    return hashlib.sha256(json.dumps(data, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def parse_manifest(text: str, where: str) -> Manifest:
    """Manifest from the text of `natsdb.json`.

    Raises:
        Damaged: it is not as it was written.
        NatsdbError: a newer natsdb wrote it, or it lists another data set of a name that is known.
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
        ingests = tuple(Ingested(**ingest) for ingest in data["ingests"])
        if version == 1:
            # Without digests, columns and versions; all files have the columns of that day.
            return Manifest(
                parts=tuple(Part(**part, columns=_columns_of_format_1(part["table"])) for part in data["parts"]),
                ingests=ingests,
                format=1,
            )
        if data.pop("digest") != digest(data):
            raise ValueError("its digest is another")
        datasets = tuple(map(of_plain, data.get("datasets", ())))
        for dataset in datasets:
            admit(dataset)
        schemas = {table: [tuple(columns) for columns in every] for table, every in data["columns"].items()}
        return Manifest(
            parts=tuple(
                Part(**{**part, "columns": schemas[part["table"]][part.get("columns", 0)]}) for part in data["parts"]
            ),
            ingests=ingests,
            weights=tuple(WeightsFile(*one) for one in data["weights"]),
            attached=tuple(map(_attached, data.get("attached", ()))),
            datasets=datasets,
            version=data["version"],
            when=data["when"],
            command=data["command"],
        )
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        raise Damaged(
            f"the manifest cannot be read ({type(error).__name__}: {error})",
            where=where,
            remedy="`natsdb repair` restores it from its copy, if that is whole; else ingest into a new folder",
        ) from error


def _attached(data: dict[str, Any]) -> Attached:
    lists = {name: tuple(data[name]) for name in ("key", "others", "datasets")}
    return Attached(**{**data, **lists, "measures": tuple(Measure(**one) for one in data["measures"])})


def _columns_of_format_1(table: str) -> tuple[str, ...]:
    return tuple(column.name for column in TABLES[table].columns if not column.partition and column.since == 1)


def with_parts(manifest: Manifest, parts: Iterable[Part]) -> Manifest:
    """The manifest with these files in place of those of the same tables and blocks."""

    def place(part: Part) -> tuple[str, str, str, str, int]:
        return part.table, part.source, part.space, part.hp, part.block

    new = tuple(parts)
    replaced = {place(part) for part in new}
    kept = [part for part in manifest.parts if place(part) not in replaced]
    return replace(manifest, parts=tuple(sorted([*kept, *new])))


def with_attached(manifest: Manifest, table: Attached, part: Part) -> Manifest:
    """The manifest with an attached table, in place of one of its name, and its file."""
    others = without_attached(manifest, table.name)
    return replace(with_parts(others, [part]), attached=tuple(sorted([*others.attached, table], key=lambda t: t.name)))


def without_attached(manifest: Manifest, name: str) -> Manifest:
    """The manifest without an attached table and its file."""
    return replace(
        manifest,
        parts=tuple(part for part in manifest.parts if part.table != name),
        attached=tuple(table for table in manifest.attached if table.name != name),
    )


def with_weights(manifest: Manifest, weights: Iterable[WeightsFile]) -> Manifest:
    """The manifest with these files of weights in place of those of the same source and architecture."""
    new = {(one.source, one.space, one.arch): one for one in manifest.weights}
    new |= {(one.source, one.space, one.arch): one for one in weights}
    return replace(manifest, weights=tuple(sorted(new.values())))


def with_ingested(manifest: Manifest, ingested: Ingested) -> Manifest:
    """The manifest with a source noted as ingested."""
    others = [one for one in manifest.ingests if one.which != ingested.which]
    return replace(manifest, ingests=(*others, ingested))
