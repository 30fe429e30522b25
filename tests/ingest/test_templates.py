"""Records read by position against the same records read the long way."""

from __future__ import annotations

import bz2
import pickle
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import archives
from natsdb.ingest import ingest, verify
from natsdb.ingest.archive.records import read_record
from natsdb.ingest.archive.templates import Template, Templates, learn, read_file
from natsdb.ingest.archive.unpickle import unpickle
from natsdb.schema.errors import NatsdbError
from natsdb.schema.spaces import arch_str


def _small(index: int) -> Any:
    record = archives.record("sss", index)
    del record["90"]
    return record


def _learnt(record: Any, index: int) -> Any:
    data, text = pickle.dumps(record, protocol=4), arch_str("sss", index)
    return learn(data, index, text, read_record(unpickle(data, "made up"), index, text, "made up"))


def _numbers(hps: list[Any]) -> list[tuple[str, bytes]]:
    return [(hp.layout.hp, hp.values.tobytes()) for hp in hps]


@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(
    st.sampled_from([0, 1, 2, 8, 64]),
    st.dictionaries(st.integers(0, 11), st.integers(0, 2**64 - 1), min_size=1),
    st.floats(),
)
def test_any_bits_are_read_by_position_as_by_the_unpickler(index: int, bits: dict[int, int], latency: float) -> None:
    templates = Templates()
    templates.add(_learnt(_small(0), 0))
    record = _small(index)
    run = record["12"]["all_results"]["cifar100", 888]
    for epoch, value in bits.items():
        run["train_losses"][epoch] = struct.unpack("<d", struct.pack("<Q", value))[0]
    run["latency"] = [np.float64(latency)]
    data = pickle.dumps(record, protocol=4)
    text = arch_str("sss", index)
    known = templates.read(data, index, text)
    assert (known is not None) == (len(text) == len(arch_str("sss", 0)))
    the_long_way = read_record(unpickle(data, "made up"), index, text, "made up")
    assert _numbers(read_file(data, index, text, "made up", templates)) == _numbers(the_long_way)


def test_a_record_of_another_index_does_not_fit() -> None:
    templates = Templates()
    templates.add(_learnt(_small(0), 0))
    templates.add(_learnt(_small(1), 1))
    data = pickle.dumps(_small(2), protocol=4)
    assert templates.read(data, 2, arch_str("sss", 2)) is not None
    assert templates.read(data, 3, arch_str("sss", 3)) is None
    assert templates.read(data, 2, arch_str("sss", 3)) is None
    assert templates.read(data, 3, arch_str("sss", 2)) is None
    assert templates.read(data[:-1], 2, arch_str("sss", 2)) is None


def test_no_more_templates_are_kept_than_there_is_room_for() -> None:
    templates = Templates(limit=2)
    for index in (0, 1):
        assert not templates.full
        templates.add(_learnt(_small(index), index))
    assert templates.full
    templates.add(_learnt(_small(9), 9))
    texts = {index: arch_str("sss", index) for index in (0, 1, 9)}
    assert len({len(text) for text in texts.values()}) == 3
    kept = [templates.read(pickle.dumps(_small(n), protocol=4), n, text) is not None for n, text in texts.items()]
    assert kept == [True, True, False]


def test_the_last_template_that_fitted_is_tried_first(monkeypatch: pytest.MonkeyPatch) -> None:
    templates, every = Templates(), []
    for runs in (4, 3, 2):
        record = _small(0)
        for result in record.values():
            for key in list(result["all_results"])[runs:]:
                del result["all_results"][key]
                result["dataset_seed"][key[0]].remove(key[1])
        every.append(record)
        templates.add(_learnt(record, 0))
    numbers, tried = Template.numbers, []
    monkeypatch.setattr(Template, "numbers", lambda *given: [tried.append(given[0]), numbers(*given)][1])
    counts = []
    for place in (2, 2, 0, 0, 1, 1):
        tried.clear()
        assert templates.read(pickle.dumps(every[place], protocol=4), 0, arch_str("sss", 0)) is not None
        counts.append(len(tried))
    assert counts == [1, 1, 3, 1, 3, 1]


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_a_changed_key_does_not_fit(place: float) -> None:
    templates = Templates()
    data = pickle.dumps(_small(0), protocol=4)
    template = _learnt(_small(0), 0)
    assert template is not None
    templates.add(template)
    fixed = np.flatnonzero(template.mask)
    at = int(fixed[int(len(fixed) * place)])
    changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    assert templates.read(changed, 0, arch_str("sss", 0)) is None


def test_a_whole_number_among_the_floats_is_no_shape() -> None:
    record = _small(0)
    record["12"]["all_results"]["cifar100", 888]["train_losses"][3] = 2
    assert _learnt(record, 0) is None


def _whole_number_like_a_mark(run: Any) -> None:
    run["params"] = 2**52 + 3


def _whole_number_and_float_like_a_mark(run: Any) -> None:
    # The record's first float says the same as the whole number: in this record, but not in the last.
    run["params"] = 2**52
    run["train_acc1es"][0] = 2.0**52


def _seed_as_a_float(run: Any) -> None:
    pass


@pytest.mark.parametrize("value", [2**53 + 1, 2**64 + 1, -(2**53) - 1, 10**30])
def test_whole_numbers_that_no_float_holds_are_refused(few: Path, tmp_path: Path, value: int) -> None:
    file = few / "000020.pickle.pbz2"
    record = pickle.loads(bz2.decompress(file.read_bytes()))
    run = record["90"]["all_results"]["cifar100", 777]
    run["train_losses"][3] = value
    file.write_bytes(bz2.compress(pickle.dumps(record, protocol=4)))
    with pytest.raises(NatsdbError, match="train_losses: a whole number is too large for float64"):
        ingest([few], tmp_path / "db")


def test_train_among_the_evaluated_names_is_refused(few: Path, tmp_path: Path) -> None:
    """It would have the key of the training rows."""
    file = few / "000020.pickle.pbz2"
    record = pickle.loads(bz2.decompress(file.read_bytes()))
    run = record["90"]["all_results"]["cifar100", 777]
    run["eval_names"] = ["train", *run["eval_names"]]
    for name in ("eval_acc1es", "eval_losses", "eval_times"):
        run[name] |= {f"train@{epoch}": 1.5 for epoch in range(90)}
    file.write_bytes(bz2.compress(pickle.dumps(record, protocol=4)))
    with pytest.raises(NatsdbError, match="train"):
        ingest([few], tmp_path / "db")


@pytest.mark.parametrize("single", [False, True])
@pytest.mark.parametrize("change", [_whole_number_like_a_mark, _whole_number_and_float_like_a_mark, _seed_as_a_float])
def test_crafted_numbers_are_read_as_the_unpickler_reads_them(
    tmp_path: Path, change: Callable[[Any], None], single: bool
) -> None:
    records = {}
    for index in range(4):
        record = _small(index)
        (dataset, seed), run = next(iter(record["01"]["all_results"].items()))
        change(run)
        if change is _seed_as_a_float:
            record["01"]["dataset_seed"][dataset] = [float(seed)]
        if index == 3:
            run["train_acc1es"][0] = 1.5
        records[index] = record
    if single:
        source = archives.write_single(tmp_path / "single", "sss", records, name_md5=False)
    else:
        source = tmp_path / "folder"
        source.mkdir()
        for index, record in records.items():
            (source / f"{index:06d}.pickle.pbz2").write_bytes(bz2.compress(pickle.dumps(record, protocol=4)))
    ingest([source], tmp_path / "db", jobs=1)
    assert verify(source, tmp_path / "db").count == 0
