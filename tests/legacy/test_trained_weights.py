"""Trained weights: from a database that kept them, and from a full archive, without running a pickle."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import archives
from natsdb import api
from natsdb.ingest import ingest
from natsdb.store.snapshot import open_snapshot
from natsdb.store.weights import kept_runs


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A made-up full archive of sizes, and a database that kept its weights."""
    home = tmp_path_factory.mktemp("full")
    folder = archives.write_full_folder(home / "NATS-sss-v1_0-50262-full", "sss", [0, 7])
    ingest([folder], home / "db", weights=True)
    return folder, home / "db"


def _array(tensor: Any) -> np.ndarray:
    return tensor if isinstance(tensor, np.ndarray) else tensor.numpy()


def _equal(found: Any, arch: int, hp: str, dataset: str, seed: int) -> None:
    expected = archives.weights_of(arch, hp, dataset, seed)
    assert list(found) == list(expected)
    for name, values in expected.items():
        assert _array(found[name]).dtype == values.dtype
        assert np.array_equal(_array(found[name]), values)


def test_weights_of_a_database(full: tuple[Path, Path]) -> None:
    handle = api.create(str(full[1]), "sss", verbose=False)
    for hp, dataset, seed in (("12", "cifar10", 888), ("90", "cifar100", 777)):
        _equal(handle.get_net_param(7, dataset, seed, hp), 7, hp, dataset, seed)
    every = handle.get_net_param(0, "cifar10", None, "12")
    assert list(every) == [777, 888, 999]
    for seed, weights in every.items():
        _equal(weights, 0, "12", "cifar10", seed)
    with pytest.raises(ValueError, match="key=\\('cifar10', 5\\) not in"):
        handle.get_net_param(0, "cifar10", 5)


def test_the_longest_schedule_is_offered_first(full: tuple[Path, Path]) -> None:
    """It is the one that whoever names no run is given."""
    kept = kept_runs(open_snapshot(full[1]), "sss", 7)
    assert list(dict.fromkeys(run.hp for run in kept)) == ["90", "12", "01"]
    assert [str(run) for run in kept[:5]] == [
        "ImageNet16-120, hp 90, seed 777 (official)",
        "cifar10, hp 90, seed 777 (official)",
        "cifar10-valid, hp 90, seed 777 (official)",
        "cifar100, hp 90, seed 777 (official)",
        "ImageNet16-120, hp 12, seed 777 (official)",
    ]
    assert kept_runs(open_snapshot(full[1]), "sss", 8) == []


def test_weights_of_a_full_archive(full: tuple[Path, Path]) -> None:
    folder, database = full
    handle = api.create(str(database), "sss", verbose=False)
    handle.clear_params(7)
    assert handle.get_net_param(7, "cifar10", 777) is None
    assert handle.arch2infos_dict[7]["12"].clear_net_done is True
    handle.reload(str(folder), 7)
    _equal(handle.get_net_param(7, "cifar10", 777), 7, "12", "cifar10", 777)
    handle.clear_params(7, "12")
    assert handle.get_net_param(7, "cifar10", 777) is None
    _equal(handle.get_net_param(7, "cifar10", 777, "90"), 7, "90", "cifar10", 777)
    run = handle.query_by_index(7, "cifar10", "90")[777]
    assert run.state_dict()["net_state_dict"] is run.get_net_param()
    assert run.get_net_param(clone=True) is not run.get_net_param()


def test_reload_takes_the_full_archive_of_torch_home(
    full: tuple[Path, Path], real_db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    handle = api.create(str(real_db), "sss", fast_mode=True, verbose=False)
    monkeypatch.setenv("TORCH_HOME", str(full[0].parent))
    handle.reload(index=0)
    _equal(handle.get_net_param(0, "cifar10", 777), 0, "12", "cifar10", 777)
    monkeypatch.setenv("TORCH_HOME", str(real_db))
    with pytest.warns(UserWarning, match="does not exist, try to use self.archive_dir"):
        handle.reload(index=0)
    assert handle.get_net_param(0, "cifar10", 777) is None


def test_a_database_without_weights_has_none(real_db: Path) -> None:
    assert api.create(str(real_db), "sss", verbose=False).get_net_param(0, "cifar10", 777) is None
