"""Every notebook runs from top to bottom, on what natsdb brings along; the one that trains on real pictures too.

What a cell's metadata say under `nbmake` is done after it: pictures are described and not drawn here, since tests
of `natsdb.plot` draw them, and 03 and 04 take fewer data sets and runs.
"""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from nbmake.nb_run import NotebookRun

NOTEBOOKS = sorted((Path(__file__).parents[2] / "notebooks").glob("*.ipynb"))
# Seconds of a cell; a whole notebook takes less than two minutes on two cores that do nothing else.
PATIENCE = 300
every = pytest.mark.parametrize("notebook", NOTEBOOKS, ids=lambda path: path.stem)

# It takes a minute by itself, and the tests of training do all that it does.
TRAINING = next(path for path in NOTEBOOKS if path.stem == "05-train")


def _run(notebook: Path) -> list[str]:
    """Run it; return what its cells printed."""
    if notebook == TRAINING and importlib.util.find_spec("torch") is None:
        pytest.skip("PyTorch is not installed: pip install 'natsdb[training]'")
    result = NotebookRun(notebook, PATIENCE).execute()
    assert result.error is None, result.error.trace
    return ["".join(output["text"]) for output in _outputs(result.nb) if output["output_type"] == "stream"]


def _outputs(notebook: Any) -> list[Any]:
    return [output for cell in notebook["cells"] if cell["cell_type"] == "code" for output in cell["outputs"]]


@pytest.mark.parametrize("notebook", [path for path in NOTEBOOKS if path != TRAINING], ids=lambda path: path.stem)
def test_it_runs(notebook: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NATSDB_TEST_DATA", raising=False)
    _run(notebook)


@pytest.mark.slow
def test_training_runs_on_generated_pictures(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NATSDB_TEST_DATA", raising=False)
    assert "generated pictures: accuracies mean nothing\n" in _run(TRAINING)


@pytest.mark.slow
def test_training_runs_on_real_pictures(test_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATSDB_TEST_DATA", str(test_data.resolve()))
    assert "real pictures of CIFAR-10\n" in _run(TRAINING)


@every
def test_its_committed_outputs_are_small_whole_and_name_no_machine(notebook: Path) -> None:
    text = notebook.read_text(encoding="utf-8")
    assert len(text) < 400_000
    found = json.loads(text)
    assert all(cell["execution_count"] for cell in found["cells"] if cell["cell_type"] == "code")
    assert _outputs(found)
    assert not any(output["output_type"] == "error" for output in _outputs(found))
    said = json.dumps(_outputs(found))
    assert not any(folder in said for folder in ("/tmp/", "/home/", "/root/", "/Users/", "\\\\Users"))


def test_each_says_first_what_it_shows_and_which_data_its_outputs_are_of() -> None:
    assert [notebook.stem[:2] for notebook in NOTEBOOKS] == ["01", "02", "03", "04", "05", "06"]
    for notebook in NOTEBOOKS:
        first = json.loads(notebook.read_text(encoding="utf-8"))["cells"][0]
        assert first["cell_type"] == "markdown"
        assert "outputs below are of" in "".join(first["source"])
