"""`natsdb train --compile` and `--graph`: the same numbers as written, or one sentence."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'natsdb[training]'")

from natsdb.schema.errors import NatsdbError  # noqa: E402
from natsdb.training import recipe  # noqa: E402
from natsdb.training.run import train  # noqa: E402
from natsdb.training.run_files import TrainingRun, runs_of  # noqa: E402
from pictures import write_parquet  # noqa: E402

RUNS = runs_of("sss", [0], "12", ["cifar10"], [777, 888])


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    return write_parquet(tmp_path_factory.mktemp("pictures"), 80, 20)


def _rows(run: TrainingRun, folder: Path) -> list[float]:
    measured = json.loads(run.path(folder, ".json").read_text())["measured"]
    return [value for split in measured.values() for name in ("loss", "accuracy", "top5") for value in split[name]]


def _equal_to_eager(
    step: str, device: str, batch: int, pictures: Path, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(recipe, "schedule", lambda epoch, epochs: 1e-4 / (1 + epoch))
    monkeypatch.setattr("natsdb.training.recipe.BATCH", batch)
    how: dict[str, Any] = {"device": device, "precision": "float64", "epochs": 2, "recipe": recipe.Recipe(batch=batch)}
    train(RUNS, folder / "eager", pictures, **how)
    for stack in (1,) if step == "compile" else (1, 2):
        runs = RUNS[:stack]
        report = train(runs, folder / f"{stack}", pictures, step=step, stack=stack, **how)
        assert (report.finished, report.failed) == (stack, [])
        for run in runs:
            assert _rows(run, folder / f"{stack}") == pytest.approx(_rows(run, folder / "eager"), rel=1e-9, abs=1e-9)
            assert json.loads(run.path(folder / f"{stack}", ".json").read_text())["provenance"]["step"] == step


@pytest.mark.slow
@pytest.mark.skipif(not (shutil.which("g++") or shutil.which("clang++")), reason="needs a C++ compiler")
def test_compiled_it_gives_the_same_rows(pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled: list[tuple[int, bool]] = []

    def noted(forward: recipe.Forward) -> recipe.Forward:
        def run(net: Any, pixels: Any, labels: Any, precision: str) -> Any:
            compiled.append((len(pixels), net.training))
            return compile_it(forward)(net, pixels, labels, precision)

        return run

    compile_it = recipe._compiled
    monkeypatch.setattr(recipe, "_compiled", noted)
    _equal_to_eager("compile", "cpu", 32, pictures, tmp_path, monkeypatch)
    # Of 80 images two batches in training; a smaller last one would be compiled anew, for most of a minute.
    assert Counter(compiled) == {(32, True): 2 * 2, (20, False): 2}


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("step", ["compile", "graph"])
def test_on_a_gpu_each_step_gives_the_same_rows(
    step: str, pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _equal_to_eager(step, "cuda", 12, pictures, tmp_path, monkeypatch)


def test_a_step_that_cannot_be_is_one_sentence(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(NatsdbError, match="the device cpu has no CUDA graphs; leave --graph out"):
        train(RUNS, tmp_path, pictures, device="cpu", step="graph")
    with pytest.raises(NatsdbError, match="the device cpu has no CUDA graphs; leave --fused out"):
        train(RUNS, tmp_path, pictures, device="cpu", step="fused")
    with pytest.raises(NatsdbError, match="compiled runs are trained one after the other; leave --stack or --compile"):
        train(RUNS, tmp_path, pictures, device="cpu", step="compile", stack=2)
    with pytest.raises(NatsdbError, match="there is no step 'fast'; choose eager, compile, graph, fused"):
        train(RUNS, tmp_path, pictures, device="cpu", step="fast")


def _command(pictures: Path, folder: Path, *more: str, **environment: str) -> tuple[int, str]:
    what = ["--space", "sss", "--archs", "0", "--hp", "12", "--dataset", "cifar10", "--device", "cpu"]
    where = ["--data", str(pictures), "--db", str(folder / "db")]
    command = [sys.executable, "-c", "from natsdb.cli import app; app()", "train", *what, *where, *more]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment})
    return done.returncode, done.stderr


def test_without_a_compiler_it_says_so(pictures: Path, tmp_path: Path) -> None:
    code, err = _command(pictures, tmp_path, "--compile", CXX="none", TORCHINDUCTOR_CACHE_DIR=str(tmp_path / "cache"))
    assert code == 1
    assert "PyTorch cannot compile here (" in err
    assert "; leave --compile out" in err
    assert not (tmp_path / "db-runs").exists()


def test_a_step_is_of_one_kind(pictures: Path, tmp_path: Path) -> None:
    code, err = _command(pictures, tmp_path, "--compile", "--graph")
    assert (code, err.count("\n")) == (1, 1)
    assert "a step is compiled, captured or fused; leave out --compile or --graph" in err
