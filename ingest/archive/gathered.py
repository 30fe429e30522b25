"""Records that somebody gathered in one file: a pickle of {index: record}, in bz2 or not, or JSON of the same.

JSON has no tuples and no whole numbers as keys, so that people write a run's key as `('cifar10', 777)` or
`cifar10-777`, and epochs as texts. Fields that only the package needs may be left out.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

from natsdb.ingest.archive.records import with_hps
from natsdb.ingest.archive.unpickle import LARGEST_RECORD, decompress, first_value, unpickle
from natsdb.schema.errors import Damaged

_KEY = re.compile(r"\W*(.+?)\W+(\d+)\W*")
_MISSING: dict[str, Any] = {"train_acc5es": None, "train_times": None, "net_state_dict": None, "eval_times": {}}
_REMEDY = "write a dictionary of official records by index, as in {0: api.arch2infos_dict[0], …} with state_dict()"


def may_be_gathered(head: bytes) -> bool:
    """Whether a file that begins so may hold gathered records."""
    return head.lstrip()[:1] == b"{" or isinstance(first_value(head), int)


def gathered(path: Path) -> dict[int, Any]:
    """The records in a file by architecture, as official files hold them; hps have NATS-Bench's names.

    Raises:
        Damaged: it cannot be read, or holds something else.
    """
    where = str(path)
    if path.stat().st_size > LARGEST_RECORD:
        raise Damaged("it is larger than 1 GiB", where=where, remedy="write a file an architecture")
    data = path.read_bytes()
    if data.lstrip()[:1] == b"{":
        try:
            found = _of_json(json.loads(data))
        except (ValueError, RecursionError) as error:
            raise Damaged(f"the JSON cannot be read ({error})", where=where, remedy="write it again") from error
    else:
        found = unpickle(decompress(data, where) if data.startswith(b"BZh") else data, where)
    return as_records(found, where)


def are_records(value: Any) -> bool:
    """Whether this is a dictionary of records by index."""
    return (
        isinstance(value, dict)
        and bool(value)
        and all(type(key) is int and isinstance(record, dict) for key, record in value.items())
    )


def as_records(value: Any, where: str) -> dict[int, Any]:
    """A dictionary of records, in ascending order.

    Raises:
        Damaged: it is none.
    """
    if not are_records(value):
        raise Damaged("it holds no records by the indexes of architectures", where=where, remedy=_REMEDY)
    return {arch: with_hps(value[arch]) for arch in sorted(value)}


def _of_json(value: Any) -> Any:
    """What the JSON was before it was written; where it is no record it stays as it is, and is refused later."""
    if not isinstance(value, dict):
        return value
    if not all(key.isdecimal() for key in value) or any(
        isinstance(of, dict) and "all_results" in of for of in value.values()
    ):
        # One record: its architecture says which.
        index = next((of["arch_index"] for of in value.values() if isinstance(of, dict) and "arch_index" in of), None)
        return {index: record_of_json(value)}
    return {int(key): record_of_json(record) for key, record in value.items()}


def record_of_json(record: Any) -> Any:
    """A record as it was before it was written as JSON; fields that only the package needs may be missing."""
    if not isinstance(record, dict):
        return record
    return {hp: _result(result) for hp, result in record.items()}


def _result(result: Any) -> Any:
    if not isinstance(result, dict) or not isinstance(result.get("all_results"), dict):
        return result
    runs: dict[Any, Any] = {}
    for key, run in result["all_results"].items():
        found = _KEY.fullmatch(key)
        runs[(found[1], int(found[2])) if found else key] = _run(run)
    seeds: dict[str, list[int]] = {}
    for key in runs:
        if isinstance(key, tuple):
            seeds.setdefault(key[0], []).append(key[1])
    return {"clear_net_done": True, "dataset_seed": seeds, **result, "all_results": runs}


def _run(run: Any) -> Any:
    if not isinstance(run, dict):
        return run
    return {
        name: {int(epoch) if epoch.isdecimal() else epoch: value for epoch, value in of.items()}
        if name.startswith("train_") and isinstance(of, dict)
        else of
        for name, of in {**_MISSING, **run}.items()
    }
