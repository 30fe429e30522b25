"""HPOBench's extraction of NAS-Bench-201: a JSON file a data set, with every epoch of the runs at hp 200.

{"777": {"|nor_conv_3x3~0|+…": run, …}, "888": {…}, "999": {…}}, where a run has the fields of an official one, but for
the weights, and epochs are texts. In place of a run that NAS-Bench-201 has not stands another seed's: a run that equals
one of a lower seed, or names another seed as its own, is left out.

The layout is the one that HPOBench's own code reads (`benchmarks/nas/nasbench_201.py`, `util/data_manager.py`); no file
of it was at hand.
"""

from __future__ import annotations

import json
import mmap
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from natsdb.ingest.archive.gathered import record_of_json
from natsdb.schema.datasets import DATASETS
from natsdb.schema.errors import Damaged
from natsdb.schema.spaces import arch_str
from natsdb.schema.topology import TSS

HP = "200"
_HEAD = re.compile(rb'\s*\{\s*"\d+"\s*:\s*\{\s*"\|')
_TOKEN = re.compile(rb'"((?:[^"\\]|\\.)*)"|[{}]')
_REMEDY = "get HPOBench's data again: NAS-Bench-201-v1_1-096897_DATASET.json"


def is_extracted(head: bytes) -> bool:
    """Whether a file that begins so is one of HPOBench's."""
    return _HEAD.match(head) is not None


def extracted_records(path: Path) -> Iterator[tuple[int, Any]]:
    """The records of a file by architecture, ascending, of hp 200 and the file's data set, or what is wrong with a
    run of it, as a `Damaged`; one at a time in memory.

    Raises:
        Damaged: it cannot be read, or is not as HPOBench's are.
    """
    where = str(path)
    with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
        places: dict[int, list[tuple[int, int, int]]] = {}
        for seed, text, start, end in _places(data, where):
            if text not in TSS.index:
                raise Damaged(f"{text!r:.80} is no architecture of tss", where=where, remedy=_REMEDY)
            places.setdefault(TSS.index[text], []).append((seed, start, end))
        for arch in sorted(places):
            try:
                record = _record(data, arch, sorted(places[arch]), path)
            except Damaged as error:
                record = error
            yield arch, record


def _places(data: mmap.mmap, where: str) -> Iterator[tuple[int, str, int, int]]:
    """Seed and string of each run, and where it lies. Gigabytes are not parsed to find that out: braces are counted."""
    depth = start = 0
    seed = text = b""
    for token in _TOKEN.finditer(data):
        if token[1] is not None:
            seed, text = (token[1], text) if depth == 1 else (seed, token[1] if depth == 2 else text)
            continue
        depth += 1 if token[0] == b"{" else -1
        if token[0] == b"{" and depth == 3:
            start = token.start()
        elif token[0] == b"}" and depth == 2:
            if not seed.isdigit():
                raise Damaged(f"{seed!r:.40} is no seed", where=where, remedy=_REMEDY)
            yield int(seed), text.decode(errors="replace"), start, token.end()
    if depth != 0:
        raise Damaged("the JSON ends before its end", where=where, remedy=_REMEDY)


def _record(data: mmap.mmap, arch: int, places: list[tuple[int, int, int]], path: Path) -> Any:
    kept: dict[int, Any] = {}
    for seed, start, end in places:
        try:
            run = json.loads(data[start:end])
        except (ValueError, RecursionError) as error:
            what = f"architecture {arch}, seed {seed}: the JSON cannot be read ({error})"
            raise Damaged(what, where=str(path), remedy=_REMEDY) from error
        own = run.pop("seed", seed)
        if str(own).isdecimal() and int(own) == seed and run not in kept.values():
            kept[seed] = run
    runs = {f"{run.get('name')}-{seed}": {**run, "seed": seed} for seed, run in kept.items()}
    names = {str(run.get("name")) for run in kept.values()}
    if len(names) != 1 or not names <= set(DATASETS):
        what = f"architecture {arch} has runs of {', '.join(sorted(names)) or 'no data set'}"
        raise Damaged(what, where=str(path), remedy=_REMEDY)
    return record_of_json({HP: {"arch_index": arch, "arch_str": arch_str("tss", arch), "all_results": runs}})
