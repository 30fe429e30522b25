"""Tables of a database as polars LazyFrames."""

from __future__ import annotations

import os
from typing import Any

import polars as pl

from natsdb.schema.tables import Table, polars_types
from natsdb.store.manifest import Part
from natsdb.store.remote import address
from natsdb.store.snapshot import Snapshot

# A LazyFrame keeps nothing of ours alive and nobody knows when the last that was derived of it goes, so every version
# that was scanned is held here, once.
_HELD: list[Snapshot] = []


def scan_table(table: Table, snapshot: Snapshot) -> pl.LazyFrame:
    """A table at one version of a database."""
    types = polars_types(table)
    parts = snapshot.manifest.of(table.name)
    if not parts:
        return pl.LazyFrame(schema=types)
    if snapshot not in _HELD:
        _HELD.append(snapshot)
    # polars takes every folder above a file that has a `=` in its name for a column, the first of a name first. Under
    # such a folder the columns are said for each source, space and hp, which polars does not skip then.
    hive = table.partitioned and not any("=" in str(snapshot.root(part.path)) for part in parts)
    groups: dict[tuple[Any, ...], list[Part]] = {}
    for part in parts:
        place = () if hive or not table.partitioned else (part.source, part.space, part.hp)
        groups.setdefault((part.columns, place), []).append(part)
    frames = [_scan_group(table, types, snapshot, group, hive) for group in groups.values()]
    return frames[0] if len(frames) == 1 else pl.concat(frames)


def _scan_group(table: Table, types: dict[str, Any], snapshot: Snapshot, parts: list[Part], hive: bool) -> pl.LazyFrame:
    """Files of the same columns; those of the table that they lack are null."""
    names = {column.name: types[column.name] for column in table.columns if column.partition}
    frame = pl.scan_parquet(
        [_address(snapshot.path(part.path)) for part in parts],
        glob=False,
        hive_partitioning=hive,
        hive_schema={**names, "block": pl.Int32} if hive else None,
    )
    place = {} if hive else {name: getattr(parts[0], name) for name in names}
    absent = [name for name in types if name not in (*parts[0].columns, *names)]
    said = [pl.lit(value, dtype=types[name]).alias(name) for name, value in place.items()]
    said += [pl.lit(None, dtype=types[name]).alias(name) for name in absent]
    return (frame.with_columns(said) if said else frame).select(list(types))


def _address(path: str) -> str:
    """polars knows the Hub itself, with its token, and no other Hub than that one."""
    return address(path) if "HF_ENDPOINT" in os.environ else path
