"""Croissant metadata (MLCommons, version 1.1) of a published database: `croissant.json`, which loaders of ML read."""

from __future__ import annotations

import json
from pathlib import PurePosixPath
from typing import Any

from natsdb.ingest.hub.card import AUTHORS, CITATION, SYNTHETIC, TITLE, held_tables, pattern
from natsdb.schema.tables import Table, croissant_types
from natsdb.store.manifest import Manifest, Part

# The context that the specification gives: terms of Croissant are in `cr`, the others are schema.org's.
_CR = (
    "arrayShape citeAs column containedIn equivalentProperty extract field fileProperty fileObject fileSet "
    "format includes isArray isLiveDataset jsonPath key md5 parentField path recordSet references "
    "regex repeated replace samplingRate separator source subField transform"
)
_CONTEXT: dict[str, Any] = {
    "@language": "en",
    "@vocab": "https://schema.org/",
    "cr": "http://mlcommons.org/croissant/",
    "rai": "http://mlcommons.org/croissant/RAI/",
    "dct": "http://purl.org/dc/terms/",
    "sc": "https://schema.org/",
    "conformsTo": "dct:conformsTo",
    "description": {"@container": "@language"},
    "name": {"@container": "@language"},
    "data": {"@id": "cr:data", "@type": "@json"},
    "dataType": {"@id": "cr:dataType", "@type": "@vocab"},
    "examples": {"@id": "cr:examples", "@type": "@json"},
    **{name: f"cr:{name}" for name in _CR.split()},
}
_PARQUET = "application/x-parquet"


def croissant(manifest: Manifest, day: str, *, repo: str | None, license: str) -> str:
    """Text of `croissant.json` of a published folder, made on `day` (ISO 8601)."""
    every = manifest.tables()
    tables = [every[name] for name in held_tables(manifest)]
    synthetic = any(part.source == "synthetic" for part in manifest.parts)
    return (
        json.dumps(
            {
                "@context": _CONTEXT,
                "@type": "sc:Dataset",
                "conformsTo": "http://mlcommons.org/croissant/1.1",
                "name": "NATS-Bench as tables",
                "description": "Training runs of the 15,625 cell topologies and 32,768 channel sizes of NATS-Bench, "
                "every epoch, as Parquet tables." + (f" {SYNTHETIC}" if synthetic else ""),
                "license": f"https://choosealicense.com/licenses/{license}/",
                "url": f"https://huggingface.co/datasets/{repo}" if repo else "https://github.com/D-X-Y/NATS-Bench",
                "creator": [{"@type": "sc:Person", "name": name} for name in AUTHORS],
                "datePublished": day,
                "version": f"{manifest.version}.0.0",
                "citeAs": CITATION,
                "keywords": ["neural architecture search", "NATS-Bench", TITLE],
                "isLiveDataset": False,
                "distribution": [*map(_file, manifest.parts), *(_files(table, manifest) for table in tables)],
                "recordSet": [_records(table) for table in tables],
            },
            indent=1,
        )
        + "\n"
    )


def _file(file: Part) -> dict[str, Any]:
    return {
        "@type": "cr:FileObject",
        "@id": file.path,
        "name": PurePosixPath(file.path).name,
        "contentUrl": file.path,
        "contentSize": f"{file.bytes} B",
        "encodingFormat": _PARQUET,
        "sha256": file.sha256,
    }


def _files(table: Table, manifest: Manifest) -> dict[str, Any]:
    return {
        "@type": "cr:FileSet",
        "@id": f"{table.name}-files",
        "name": f"{table.name}-files",
        "description": f"the files of the table {table.name}",
        "encodingFormat": _PARQUET,
        "includes": pattern(table.name, manifest),
    }


def _records(table: Table) -> dict[str, Any]:
    types = croissant_types(table)
    return {
        "@type": "cr:RecordSet",
        "@id": table.name,
        "name": table.name,
        "description": f"A row is {table.row}.",
        "key": [{"@id": f"{table.name}/{name}"} for name in table.key],
        "field": [
            {
                "@type": "cr:Field",
                "@id": f"{table.name}/{column.name}",
                "name": column.name,
                "description": column.meaning,
                **types[column.name],
                "source": {"fileSet": {"@id": f"{table.name}-files"}, "extract": {"column": column.name}},
            }
            for column in table.columns
        ],
    }
