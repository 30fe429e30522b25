"""The way back: rows of the tables become records as official files hold them, order and types included."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from natsdb.schema.errors import NatsdbError
from natsdb.schema.manifest import Manifest
from natsdb.schema.spaces import arch_str
from natsdb.schema.tables import GROUPS

_KINDS = {"dict": dict, "OrderedDict": OrderedDict}
_TYPES = {"f": float, "d": np.float64, "s": np.float32, "i": int}


def blocks_of(manifest: Manifest, source: str, space: str) -> dict[int, dict[tuple[str, str], str]]:
    """Files of each block of a space by (table, hp)."""
    blocks: dict[int, dict[tuple[str, str], str]] = {}
    for part in manifest.parts:
        if (part.source, part.space) == (source, space):
            blocks.setdefault(part.block, {})[part.table, part.hp] = part.path
    return blocks


class OfficialBlock:
    """A block's records, built from its files: a row group of each hp in memory."""

    def __init__(self, database: Path, space: str, files: dict[tuple[str, str], str]) -> None:
        self._space = space
        self._hps = sorted({hp for _, hp in files}, key=int)
        self._metric = {hp: pq.ParquetFile(database / files["metric", hp]) for hp in self._hps}
        self._small = {
            hp: {
                name: _ByArch(pq.read_table(database / files[name, hp], partitioning=None)) for name in ("seed", "cost")
            }
            for hp in self._hps
        }
        self._group: dict[str, tuple[int, _ByArch]] = {}

    def archs(self) -> list[int]:
        """Architectures that have a run in this block."""
        return sorted({arch for tables in self._small.values() for arch in tables["seed"].archs})

    def record(self, arch: int, hps: frozenset[str] | None = None) -> dict[str, Any] | None:
        """Record of an architecture, with the types and order of keys that its source had; None if there is none."""
        by_hp: dict[str, Any] = {}
        form: Any = None
        for hp in self._hps:
            if hps is not None and hp not in hps:
                continue
            seed = self._small[hp]["seed"].rows(arch)
            if seed is None:
                continue
            cost, metric = self._small[hp]["cost"].rows(arch), self._metric_rows(hp, arch)
            assert cost is not None
            assert metric is not None
            by_hp[hp], form = _result(self._space, arch, seed, cost, metric)
        if not by_hp:
            return None
        kind, order = form["hps"]
        known = [hp for hp in order if hp in by_hp]
        return _KINDS[kind]((hp, by_hp[hp]) for hp in [*known, *(hp for hp in by_hp if hp not in known)])

    def _metric_rows(self, hp: str, arch: int) -> dict[str, Any] | None:
        group = arch // GROUPS[hp]
        if self._group.get(hp, (-1,))[0] != group:
            file = self._metric[hp]
            column = file.schema_arrow.get_field_index("arch")
            groups = [
                n
                for n in range(file.metadata.num_row_groups)
                if file.metadata.row_group(n).column(column).statistics.min // GROUPS[hp] == group
            ]
            self._group[hp] = group, _ByArch(file.read_row_groups(groups))
        return self._group[hp][1].rows(arch)


class _ByArch:
    """A table sorted by architecture, cut into each one's rows."""

    def __init__(self, table: pa.Table) -> None:
        self._table = table
        column = table["arch"].to_numpy()
        self.archs = np.unique(column).tolist()
        starts = np.searchsorted(column, self.archs, "left")
        stops = np.searchsorted(column, self.archs, "right")
        self._range = {arch: (int(a), int(b)) for arch, a, b in zip(self.archs, starts, stops, strict=True)}

    def rows(self, arch: int) -> dict[str, Any] | None:
        if arch not in self._range:
            return None
        start, stop = self._range[arch]
        part = self._table.slice(start, stop - start)
        return {name: part[name].to_numpy(zero_copy_only=False) for name in part.column_names}


def _result(
    space: str, arch: int, seed: dict[str, Any], cost: dict[str, Any], metric: dict[str, Any]
) -> tuple[dict[str, Any], Any]:
    form: Any = None
    runs: list[tuple[tuple[str, int], dict[str, Any]]] = []
    for number in np.argsort(seed["position"], kind="stable"):
        form = json.loads(seed["form"][number])
        key = (str(seed["dataset"][number]), int(seed["seed"][number]))
        mine = (metric["dataset"] == key[0]) & (metric["seed"] == key[1])
        curves = {name: metric[name][mine] for name in ("split", "epoch", "accuracy", "top5", "loss")}
        run = {name: values[number] for name, values in cost.items()}
        runs.append((key, _run(space, arch, key, int(seed["epochs"][number]), form["run"], run, curves)))
    kind, listed = form["dataset_seed"]
    fields = {
        "arch_index": arch,
        "arch_str": arch_str(space, arch),
        "all_results": _KINDS[form["all_results"]](runs),
        "dataset_seed": _KINDS[kind]((dataset, list(seeds)) for dataset, seeds in listed),
        "clear_net_done": form["clear_net_done"],
    }
    # Runs that came from other sources than the form are listed too.
    for dataset, number in fields["all_results"]:
        seeds = fields["dataset_seed"].setdefault(dataset, [])
        if number not in seeds:
            seeds.append(number)
            seeds.sort()
    return {name: fields[name] for name in form["record"]}, form


def _run(
    space: str,
    arch: int,
    key: tuple[str, int],
    epochs: int,
    form: list[list[Any]],
    cost: dict[str, Any],
    curves: dict[str, np.ndarray],
) -> dict[str, Any]:
    run: dict[str, Any] = {}
    varying = cost["seconds"]
    spent = 0
    for field, *how in form:
        if field == "name":
            run[field] = key[0]
        elif field == "epochs":
            run[field] = epochs
        elif field == "net_state_dict":
            run[field] = None
        elif field == "seed":
            run[field] = how[0]
        elif field in ("params", "flop"):
            run[field] = _TYPES[how[0]](cost["params" if field == "params" else "flops"])
        elif field == "latency":
            run[field] = [_TYPES[tag](cost["latency"]) for tag in how[0]]
        elif field == "eval_names":
            run[field] = list(how[0])
        elif field == "arch_config":
            kind, items = how[0]
            run[field] = _KINDS[kind](
                (name, arch_str(space, arch) if value is None else value) for name, value in items
            )
        elif how[0] is None:
            run[field] = None
        else:
            kind, stretches, tags = how
            if field.endswith("times"):
                count = sum(end - first for _, first, end in stretches)
                if varying is not None:
                    values = list(varying[spent : spent + count])
                    spent += count
                else:
                    values = [
                        cost[f"{split.replace('-', '_')}_seconds"]
                        for split, first, end in stretches
                        for _ in range(first, end)
                    ]
            else:
                column = {"acc1es": "accuracy", "acc5es": "top5", "losses": "loss"}[field.split("_")[1]]
                values = list(_along(curves, column, stretches))
            names = [
                epoch if field.startswith("train") else f"{split}@{epoch}"
                for split, first, end in stretches
                for epoch in range(first, end)
            ]
            kinds = tags * len(values) if len(tags) == 1 else tags
            run[field] = _KINDS[kind](
                (name, _TYPES[tag](value)) for name, tag, value in zip(names, kinds, values, strict=True)
            )
    return run


def _along(curves: dict[str, np.ndarray], column: str, stretches: list[list[Any]]) -> Iterator[float]:
    for split, first, end in stretches:
        mine = curves["split"] == split
        inside = mine & (curves["epoch"] >= first) & (curves["epoch"] < end)
        values = curves[column][inside]
        if len(values) != end - first:
            raise NatsdbError(
                f"{split} has {len(values)} of the epochs {first} to {end - 1}",
                where="table metric",
                remedy="the database is damaged: ingest its sources again",
            )
        yield from values[np.argsort(curves["epoch"][inside])]
