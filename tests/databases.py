"""Databases as files, for tests that compare them."""

from __future__ import annotations

import hashlib
import io
import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from natsdb.ingest.searches import keep_search
from natsdb.schema.tables import arrow_schema
from natsdb.store.damage import footer_digest
from natsdb.store.snapshot import read_manifest
from natsdb.store.weights import weights_file

# What tells one publication from another of equal contents.
_PUBLICATION = ("version", "when", "command", "digest")


def contents(home: Path) -> dict[str, bytes]:
    """All files that a database's newest version lists by their path, and its manifest, to compare byte for byte."""
    manifest = json.loads((home / "natsdb.json").read_text())
    said = json.dumps({name: value for name, value in manifest.items() if name not in _PUBLICATION})
    listed = read_manifest(home).listed()
    return {"natsdb.json": said.encode(), **{path: (home / path).read_bytes() for path in sorted(listed)}}


def strays(home: Path) -> list[str]:
    """Files in a database's folder that neither hold data of its newest version nor keep older ones."""
    listed = read_manifest(home).listed()
    names = (path.relative_to(home).as_posix() for path in home.rglob("*") if path.is_file())
    return sorted(name for name in names if name not in {*listed, "natsdb.json", ".lock"} and ".versions/" not in name)


def weights_path(home: Path, source: str, space: str, arch: int) -> Path:
    """The file of an architecture's trained weights."""
    found = weights_file(read_manifest(home), source, space, arch)
    assert found is not None, "there is none"
    return home / found.path


def flip_in_page(path: Path, column: str) -> None:
    """Flip a bit of a column's first values in a Parquet file."""
    found = pq.read_metadata(path).row_group(0)
    (chunk,) = (one for n in range(found.num_columns) if (one := found.column(n)).path_in_schema == column)
    data = bytearray(path.read_bytes())
    data[chunk.data_page_offset + chunk.total_compressed_size // 2] ^= 1
    path.write_bytes(data)


def relist(home: Path) -> None:
    """Let the newest manifest say of each Parquet file what is there now, to test what lies inside."""
    manifest = read_manifest(home)
    parts = []
    for part in manifest.parts:
        data = (home / part.path).read_bytes()
        footer = footer_digest(io.BytesIO(data), len(data))
        said = {"bytes": len(data), "sha256": hashlib.sha256(data).hexdigest(), "footer": footer}
        parts.append(replace(part, **said))
    (home / "natsdb.json").write_text(replace(manifest, parts=tuple(parts)).to_json())


def keep_made_up_search(
    home: Path,
    search: str,
    algorithm: str,
    steps: dict[int, list[tuple[float, int]]],
    *,
    dataset: str = "cifar100",
    budget: float | None = 40_000.0,
    seed: int = 0,
    hp: str | None = "12",
    provenance: str = "{}",
) -> None:
    """Add a search of tss to a database whose runs, by number, hold an architecture (the second) from a time on; one
    without a schedule is of shared weights."""
    one = {"search": search, "algorithm": algorithm, "space": "tss", "dataset": dataset, "budget": budget, "seed": seed}
    one |= {"hp": hp, "options": "{}", "provenance": provenance}
    runs = [
        one | {"run": run, "steps": len(held), "seconds": held[-1][0], "arch": held[-1][1]}
        for run, held in steps.items()
    ]
    rows = [
        {"search": search, "run": run, "step": step, "epoch": 11, "arch": arch, "accuracy": 50.0}
        | {"seconds": seconds, "best": arch}
        for run, held in steps.items()
        for step, (seconds, arch) in enumerate(held)
    ]
    tables = (
        pa.Table.from_pylist(of, schema=arrow_schema(name))
        for of, name in ((runs, "search_run"), (rows, "search_step"))
    )
    keep_search(home, search, *tables)
