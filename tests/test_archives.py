"""The generator of archives against the real files."""

from __future__ import annotations

import bz2
import collections
import pickle
import pickletools
from pathlib import Path
from typing import Any

import nats_bench
import pytest

import archives


def _structure(value: Any) -> Any:
    """Keys, order and types, without the numbers that are measured."""
    if isinstance(value, dict):
        return type(value).__name__, [(key, _structure(item)) for key, item in value.items()]
    if isinstance(value, (list, tuple)):
        return type(value).__name__, [_structure(item) for item in value]
    return type(value).__name__ if isinstance(value, float) else value


@pytest.mark.parametrize(("space", "arch"), [("tss", 0), ("tss", 11), ("sss", 0), ("sss", 11)])
def test_a_made_up_record_is_built_like_the_real_one(
    space: str, arch: int, real_records: dict[tuple[str, int], Any]
) -> None:
    assert _structure(archives.record(space, arch)) == _structure(real_records[space, arch])


@pytest.mark.parametrize("space", ["tss", "sss"])
def test_a_made_up_pickle_has_the_real_ones_opcodes_and_entropy(space: str, official: dict[str, Path]) -> None:
    raw = (official[space] / "000011.pickle.pbz2").read_bytes()
    real, made = bz2.decompress(raw), pickle.dumps(archives.record(space, 11), protocol=4)
    count = [collections.Counter(op.name for op, _, _ in pickletools.genops(data)) for data in (real, made)]
    assert count[0]["BINFLOAT"] == count[1]["BINFLOAT"]
    for name in ("MEMOIZE", "SHORT_BINUNICODE", "LONG_BINGET", "BINGET"):
        assert count[1][name] == pytest.approx(count[0][name], abs=40)
    assert len(made) == pytest.approx(len(real), rel=0.01)
    assert len(bz2.compress(made)) == pytest.approx(len(raw), rel=0.03)


def test_the_generator_gives_the_same_bytes_each_time() -> None:
    assert pickle.dumps(archives.record("sss", 77)) == pickle.dumps(archives.record("sss", 77))
    assert pickle.dumps(archives.record("sss", 77)) != pickle.dumps(archives.record("sss", 77, seed=1))


@pytest.mark.parametrize("space", ["tss", "sss"])
def test_the_official_package_opens_a_made_up_archive(space: str, made_up: dict[str, Path]) -> None:
    api = nats_bench.create(str(made_up[space]), space, fast_mode=True, verbose=False)
    assert 0 < api.get_more_info(20, "cifar10", hp="12", is_random=False)["test-accuracy"] < 100
