"""Kernels of our own: `fused_cases.py`, in a process of its own, since Triton is interpreted from its import on."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

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


WIDTHS = [(16, 32, 128), (32, 16, 128), (64, 8, 64)]


def _kernels() -> Iterator[tuple[str, str, dict[str, Any], int]]:
    """Each kernel as `fused.py` calls it: name, types of its arguments, constants, warps."""
    for width, height, block in WIDTHS:
        for size in (1, 3):
            same = {"HEIGHT": height, "IN": width, "OUT": width, "SIZE": size, "RELU": True, "BLOCK": block}
            warps = 8 if width == 64 else 4
            for back in (False, True):
                yield "convolve", f"b f b b {'b' if back else 'f'} i i i i i", same | {"BACK": back}, warps
            wide = 4 * width if size == 3 else width
            yield "by_weight", "b b f i", same | {"WIDE": wide}, 8 if wide * width > 8192 else 4
            parts = {"IN": width, "OUT": width, "SIZE": size, "WIDE": wide, "BLOCK": 64}
            yield "add_parts", "f f i i i i i", parts, 4
        rows = {"OUT": width, "ROWS": 16_384 // width}
        yield "statistics", "f i f f f f f i s s", rows, 16
        yield "by_norm_end", "f i f f f f f f i", rows, 16
        for count in (1, 3):
            norm = {"NORMAL": count, "OUT": width}
            yield "add_up", "b b b f f f b b b b i", norm | {"PLAIN": 3 - count, "BLOCK": 1024}, 4
            yield "by_norm", "b b b b f f f f i", norm | {"BLOCK": 128}, 4
            yield "by_values", "b b b b b b b f i", norm | {"BLOCK": 1024}, 4
        for back in (False, True):
            yield "pool", "b b i", {"HEIGHT": height, "CHANNELS": width, "BACK": back, "BLOCK": 1024}, 4
        yield "sums", "b f i", {"OUT": width, "BLOCK": 128}, 4


@pytest.mark.slow
def test_kernels_compile_for_a_card_that_is_not_here() -> None:
    # The interpreter takes more than the compiler does.
    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource, compile

    from natsdb.training import kernels

    types = {"b": "*bf16", "f": "*fp32", "i": "i32", "s": "fp32"}
    for name, given, constants, warps in _kernels():
        kernel, of = getattr(kernels, name), iter(given.split())
        signature = {one: "constexpr" if one in constants else types[next(of)] for one in kernel.arg_names}
        aligned = {(at,): [["tt.divisibility", 16]] for at, one in enumerate(signature.values()) if one[0] == "*"}
        source = ASTSource(kernel, signature, constants, aligned)
        made = compile(source, target=GPUTarget("cuda", 90, 32), options={"num_warps": warps})
        # What a multiprocessor of an H100 has for a program.
        assert made.metadata.shared <= 227 * 1024, (name, constants)
        assert made.asm["cubin"], name
