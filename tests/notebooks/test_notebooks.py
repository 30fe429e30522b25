"""Every notebook runs from top to bottom: on the runs that natsdb brings along, on the real files where they are."""

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

# One that trains takes a minute by itself, and the tests of training do all that it does.
fast = pytest.mark.parametrize(
    "notebook",
    [pytest.param(path, marks=pytest.mark.slow) if path.stem == "05-train" else path for path in NOTEBOOKS],
    ids=lambda path: path.stem,
)


def _run(notebook: Path) -> list[str]:
    """Run it; return what its cells printed."""
    if notebook.stem == "05-train" and importlib.util.find_spec("torch") is None:
        pytest.skip("PyTorch is not installed: pip install 'natsdb[training]'")
    result = NotebookRun(notebook, PATIENCE).execute()
    assert result.error is None, result.error.trace
    return ["".join(output["text"]) for output in _outputs(result.nb) if output["output_type"] == "stream"]


def _outputs(notebook: Any) -> list[Any]:
    return [output for cell in notebook["cells"] if cell["cell_type"] == "code" for output in cell["outputs"]]


@fast
def test_it_runs_on_what_natsdb_brings_along(notebook: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("NATSDB_TEST_DATA", raising=False)
    printed = _run(notebook)
    if notebook.stem == "03-figures":
        assert any("not in this database" in text for text in printed)
    if notebook.stem == "05-train":
        assert "generated pictures: accuracies mean nothing\n" in printed


@pytest.mark.slow
@every
def test_it_runs_on_the_real_files(notebook: Path, test_data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATSDB_TEST_DATA", str(test_data.resolve()))
    assert "generated pictures" not in "".join(_run(notebook))


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
