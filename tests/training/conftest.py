"""What tests of training share: one thread, and a few pictures."""

from __future__ import annotations

from pathlib import Path

import pytest


@pytest.fixture(scope="module", autouse=True)
def _one_thread() -> None:
    torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'natsdb[training]'")
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of 60 pictures to train on and 20 to evaluate on. Read only."""
    from pictures import write_parquet  # where torchvision is not installed, neither is what it needs

    return write_parquet(tmp_path_factory.mktemp("pictures"), 60, 20)
