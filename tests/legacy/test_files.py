"""The small functions: file systems, default folders, names of splits, versions, and the quick look of `api_test`."""

from __future__ import annotations

import re
from pathlib import Path
from types import ModuleType

import nats_bench
import nats_bench.api_utils
import pytest

from natsdb import NatsdbError, api
from natsdb.api import api_test, api_utils
from natsdb.schema.datasets import OF_NATS_BENCH
from natsdb.schema.spaces import SPACES
from outcomes import outcome

BOTH = (nats_bench.api_utils, api_utils)


@pytest.mark.parametrize("lib", ["default", "google", "other"])
def test_file_systems(lib: str, tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    def used(package: ModuleType) -> list[object]:
        package.reset_file_system(lib)
        try:
            return [
                package.get_file_system(),
                *(
                    outcome(call)[:2]
                    for call in (
                        lambda: package.nats_is_dir(str(tmp_path)),
                        lambda: package.nats_is_dir(str(tmp_path / "file")),
                        lambda: package.nats_is_file(str(tmp_path / "file")),
                        lambda: package.nats_is_file(str(tmp_path / "nothing")),
                        lambda: package.pickle_save([1], str(tmp_path / "saved")),
                        lambda: package.pickle_load(str(tmp_path / "saved")),
                        lambda: package.pickle_load(str(tmp_path / "nothing")),
                    )
                ),
            ]
        finally:
            package.reset_file_system()

    assert used(api_utils) == used(nats_bench.api_utils)
    assert api.get_file_system() == "default"


def test_a_pickle_that_is_cut_says_what_is_wrong_with_it(tmp_path: Path) -> None:
    api.pickle_save(list(range(1000)), tmp_path / "numbers")
    path = tmp_path / "numbers.pbz2"
    path.write_bytes(path.read_bytes()[:-20])
    said = r"numbers\.pbz2: the pickle cannot be read \(Compressed file ended before .*\); get a benchmark file again"
    with pytest.raises(NatsdbError, match=said):
        api.pickle_load(tmp_path / "numbers")


def test_where_archives_lie_by_default(monkeypatch: pytest.MonkeyPatch) -> None:
    for home, torch_home in (("/a", None), ("/a", "/b"), (None, "/b"), (None, None)):
        for name, value in (("HOME", home), ("TORCH_HOME", torch_home)):
            monkeypatch.delenv(name, raising=False) if value is None else monkeypatch.setenv(name, value)
        theirs, mine = (outcome(package.get_torch_home) for package in BOTH)
        assert mine == theirs


def test_names_of_splits() -> None:
    for dataset in ("cifar10-valid", "cifar10", "cifar100", "ImageNet16-120", "mnist"):
        for split in ("train", "valid", "test", "x-valid", "x-test", "ori-test", "other"):
            for verbose in (False, True):
                theirs, mine = (
                    outcome(lambda p=p, a=(dataset, split, verbose): p.remap_dataset_set_names(*a))  # type: ignore[misc]
                    for p in BOTH
                )
                assert mine == theirs


def test_version_and_spaces() -> None:
    tags = ("nats-bench", "nas-bench-201", "other")
    for call in (
        lambda p: p.version(),
        *(
            lambda p, m=main, a=aux: p.search_space_info(m, a)  # type: ignore[misc]
            for main in tags
            for aux in ("tss", "topology", "sss", "size", None, "other")
        ),
    ):
        theirs, mine = (outcome(lambda p=p, call=call: call(p)) for p in (nats_bench, api))  # type: ignore[misc]
        assert mine == theirs
    assert re.fullmatch(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\]", api_utils.time_string())
    assert api_utils.mean([1, 2.5]) == nats_bench.api_utils.mean([1, 2.5])


def test_the_quick_look(real_db: Path, official: dict[str, Path], capsys: pytest.CaptureFixture[str]) -> None:
    api_test.test_nats_bench_tss(str(real_db))
    out = capsys.readouterr().out
    assert "--- 11: |nor_conv_3x3~0|" in out
    assert "NATStopology(2/15625 architectures" in out
    asked = re.findall(r"^(\S+) +hp (\d+): train \d+\.\d\d%, \d+\.\d\d MFLOPs$", out, re.M)
    assert asked == 2 * [(dataset, hp) for hp in SPACES["tss"].hps for dataset in OF_NATS_BENCH]
    api_test.test_nats_bench_sss(str(real_db))
    out = capsys.readouterr().out
    assert "NATSsize(2/32768 architectures" in out
    assert {hp for hp in SPACES["sss"].hps if f"cifar100       hp {hp}: train" in out} == {"01", "12", "90"}
    with pytest.raises(AssertionError, match="invalid data path"):
        api_test.test_nats_bench_sss(str(official["sss"]))  # architecture 1 is not in it
