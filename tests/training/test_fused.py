"""Kernels of our own: `fused_cases.py`, in a process of its own, since Triton is interpreted from its import on."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'natsdb[training]'")
pytest.importorskip("triton", reason="Triton is not installed; it comes with PyTorch for CUDA")

CASES = Path(__file__).with_name("fused_cases.py")


@pytest.mark.parametrize(
    "which", ["16-32 or pooling or mean", pytest.param("", marks=pytest.mark.slow)], ids=["some", "all"]
)
def test_fused_cells_are_what_pytorchs_layers_are(which: str) -> None:
    interpreted = {} if torch.cuda.is_available() else {"TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "pytest", "-q", "-n", "0", "-p", "no:cacheprovider", str(CASES), "-k", which]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **interpreted})
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr
    assert " passed" in done.stdout or "[100%]" in done.stdout
