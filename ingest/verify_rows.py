"""Verify what holds no whole records, row by row, by the readers of `ingest`: see `natsdb.ingest.forms`."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from natsdb.ingest.forms import RowForm
from natsdb.ingest.merge import Tables, differing, plain, rounding_of, row_numbers, run_keys
from natsdb.ingest.report import Difference, Verified
from natsdb.ingest.write import HeldRows
from natsdb.schema.tables import BLOCK, BLOCK_TABLES
from natsdb.store.choice import check_source
from natsdb.store.snapshot import Snapshot

_KEY = ("arch", "dataset", "seed", "split", "epoch")
# What a run's rows say beside numbers, and where they are from.
_NOT_COMPARED = (*_KEY, "position", "form", "file", "file_md5", "code", "device", "weights", "reduced")


def verify_rows(
    path: Path,
    form: RowForm,
    snapshot: Snapshot,
    source: str | None,
    *,
    keep_going: bool = False,
    progress: Callable[[str, int, int, int], None] | None = None,
) -> Verified:
    """Compare each row of a table or a blackbox with the database's.

    Several published tables may have measured one run; what another of them said, within its rounding, or of its
    parameters, was kept when they were ingested: a note says of how many numbers.

    Args:
        source: which rows to compare: the value of the column `source`; by default what `ingest` gives them.
        keep_going: list what cannot be read, and go on.
        progress: called now and then with (source name, architectures done, architectures in all, numbers compared).

    Raises:
        NatsdbError: the source cannot be read, or the database has no rows of this source.
    """
    source = source or form.source
    check_source(snapshot.manifest, source, str(snapshot.home))
    old: dict[tuple[str, int], dict[tuple[str, str], Path]] = {}
    for part in snapshot.manifest.parts:
        if part.source == source:
            old.setdefault((part.space, part.block), {})[part.table, part.hp] = snapshot.file(part.path)
    ingested = {one.fingerprint for one in snapshot.manifest.ingests if one.source == source}
    compared = _Rows(path.name, ingested if form.together else None)
    opened: tuple[tuple[str, str, int], HeldRows | None] | None = None
    done = 0
    failures: list[tuple[str, str]] = []
    for one in form.pieces(path):
        if one.failures and not keep_going:
            raise one.failures[0]
        failures += [(error.where, error.said) for error in one.failures]
        if one.rows is None:
            continue
        key = one.space, one.hp, one.group * one.size // BLOCK
        if opened is None or opened[0] != key:
            files = old.get((one.space, key[2]), {})
            opened = key, HeldRows(files, one.hp, one.size) if ("seed", one.hp) in files else None
        held = opened[1].group(one.group) if opened[1] is not None else None
        compared.add(f"{one.space}, hp {one.hp}", one.rows, held)
        done += len(pc.unique(one.rows["seed"]["arch"]))
        if progress is not None:
            progress(path.name, done, 0, compared.numbers)
    notes = [
        f"{count:,} numbers of {column} are those of another table of these runs"
        for column, count in compared.kept.items()
    ]
    return Verified(compared.runs, compared.numbers, compared.differences, compared.count, notes, failures, "runs")


class _Rows:
    """What was compared so far; `ingested`: digests of the tables that were, where several may have said something of
    the same runs; None where none may."""

    def __init__(self, file: str, ingested: set[str] | None) -> None:
        self._file, self._ingested = file, ingested
        self.runs = self.numbers = self.count = 0
        self.kept: Counter[str] = Counter()
        self.differences: list[Difference] = []

    def add(self, where: str, made: Tables, held: Tables | None) -> None:
        made = {name: plain(table, name) for name, table in made.items()}
        held = {name: plain(held[name] if held else made[name].slice(0, 0), name) for name in BLOCK_TABLES}
        self.runs += len(made["seed"])
        datasets = sorted({name for side in (made, held) for name in pc.unique(side["seed"]["dataset"]).to_pylist()})
        runs = np.union1d(*(run_keys(side["seed"], datasets) for side in (made, held)))
        mine, theirs = (
            {name: row_numbers(side[name], datasets, runs) for name in BLOCK_TABLES} for side in (made, held)
        )
        others = np.zeros(len(runs), bool)
        if self._ingested is not None:
            both, at_new, at_old = np.intersect1d(mine["seed"], theirs["seed"], return_indices=True)
            others[both] = ~_same_file(made["seed"].take(at_new), held["seed"].take(at_old), self._ingested)
        absent = np.ones(len(runs), bool)
        absent[theirs["seed"]] = False
        for name in BLOCK_TABLES:
            lone = ~np.isin(mine[name], theirs[name])
            if name != "seed":  # of a run that is not there it is said once
                lone &= ~absent[mine[name] if name == "cost" else mine[name] >> 17]
            for row in np.flatnonzero(lone):
                self._differ(where, made[name], int(row), "", "a run" if name == "seed" else "a row", "none")
            _, at_new, at_old = np.intersect1d(mine[name], theirs[name], assume_unique=True, return_indices=True)
            run = mine[name][at_new] >> 17 if name in ("metric", "final") else mine[name][at_new]
            for column in made[name].column_names:
                if column not in _NOT_COMPARED:
                    self._compare(where, name, column, made[name].take(at_new), held[name].take(at_old), others[run])

    def _compare(self, where: str, name: str, column: str, made: pa.Table, held: pa.Table, others: np.ndarray) -> None:
        mine, theirs = made[column], held[column]
        said = mine.is_valid().to_numpy()
        if pa.types.is_integer(mine.type):
            mine, theirs = mine.cast(pa.float64()), theirs.cast(pa.float64())
        differ = said & differing(mine, theirs)
        rounded = differ & others & theirs.is_valid().to_numpy()
        if column != "params":
            rounded &= ~differing(mine, theirs, rounding_of(column))
        if name != "final":  # the same numbers as in `metric`
            self.numbers += int(said.sum())
            if rounded.any():
                self.kept[column] += int(rounded.sum())
        for row in np.flatnonzero(differ & ~rounded):
            self._differ(where, made, int(row), column, made[column][row], held[column][row])

    def _differ(self, where: str, table: pa.Table, row: int, column: str, mine: object, theirs: object) -> None:
        self.count += 1
        if len(self.differences) < 1000:
            key = {name: table[name][row].as_py() for name in _KEY if name in table.column_names}
            arch, dataset, seed, *more = key.values()
            words = [where, f"architecture {arch}", str(dataset), f"seed {seed}"]
            words += [f"{name} {value}" for name, value in zip(_KEY[3:], more, strict=False)]
            words += [column] if column else []
            self.differences.append(Difference(self._file, ", ".join(words), f"{mine!s:.80}", f"{theirs!s:.80}"))


def _same_file(made: pa.Table, held: pa.Table, ingested: set[str]) -> np.ndarray:
    """Which runs the database has from the file that they are read from: by its digest, as it may have been renamed; by
    its name, where it was not ingested as it is, so that it was changed since."""
    name, digest = (
        pc.fill_null(pc.equal(made[column], held[column]), False).to_numpy() for column in ("file", "file_md5")
    )
    changed = ~pc.is_in(made["file_md5"], pa.array(sorted(ingested), pa.string())).to_numpy()
    return np.asarray(digest | (name & changed))
