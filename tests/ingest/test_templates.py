"""Records read by position against the same records read the long way."""

from __future__ import annotations

import pickle
import struct
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import archives
from natsdb.ingest.archive.records import read_record
from natsdb.ingest.archive.templates import Templates, learn, read_file
from natsdb.ingest.archive.unpickle import unpickle
from natsdb.schema.spaces import arch_str


def _small(index: int) -> Any:
    record = archives.record("sss", index)
    del record["90"]
    return record


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
    templates.add(learn(pickle.dumps(_small(0), protocol=4), 0, arch_str("sss", 0)))
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
    templates.add(learn(pickle.dumps(_small(0), protocol=4), 0, arch_str("sss", 0)))
    templates.add(learn(pickle.dumps(_small(1), protocol=4), 1, arch_str("sss", 1)))
    data = pickle.dumps(_small(2), protocol=4)
    assert templates.read(data, 2, arch_str("sss", 2)) is not None
    assert templates.read(data, 3, arch_str("sss", 3)) is None
    assert templates.read(data, 2, arch_str("sss", 3)) is None
    assert templates.read(data, 3, arch_str("sss", 2)) is None
    assert templates.read(data[:-1], 2, arch_str("sss", 2)) is None


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
def test_a_changed_key_does_not_fit(place: float) -> None:
    templates = Templates()
    data = pickle.dumps(_small(0), protocol=4)
    template = learn(data, 0, arch_str("sss", 0))
    assert template is not None
    templates.add(template)
    fixed = np.flatnonzero(template.mask)
    at = int(fixed[int(len(fixed) * place)])
    changed = data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :]
    assert templates.read(changed, 0, arch_str("sss", 0)) is None


def test_a_whole_number_among_the_floats_is_no_shape() -> None:
    record = _small(0)
    record["12"]["all_results"]["cifar100", 888]["train_losses"][3] = 2
    assert learn(pickle.dumps(record, protocol=4), 0, arch_str("sss", 0)) is None
