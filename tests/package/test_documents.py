"""What README and docs show: their questions, asked, have the answers that stand below them."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
from typer.testing import CliRunner

import natsdb
from natsdb import encodings
from natsdb.cli import app
from natsdb.cli.answers import first_rows
from natsdb.ingest import collect
from natsdb.schema.encodings import encodings_of
from natsdb.schema.spaces import SPACES
from natsdb.store.locations import BUILTIN, EMBEDDED

ROOT = Path(__file__).parents[2]
REAL = ("README.md", "docs/ask.md", "docs/measures.md")
_SQL = re.compile(r"^```sql\n(.*?)^```\n", flags=re.DOTALL | re.MULTILINE)
_PYTHON = re.compile(r"^```python\n(.*?)^```\n", flags=re.DOTALL | re.MULTILINE)
_SHOWN = re.compile(_SQL.pattern + r"\n?^```text\n(.*?)^```\n", flags=re.DOTALL | re.MULTILINE)


def _questions(document: Path) -> list[tuple[str, str]]:
    """A document's SQL, each with the answer that it shows: all of them show one."""
    text = document.read_text(encoding="utf-8")
    shown = _SHOWN.findall(text)
    assert [statement for statement, _ in shown] == _SQL.findall(text)
    return shown


def test_a_newcomer_reads_the_readme_to_the_end() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 160
    assert len(_questions(ROOT / "README.md")) == 5


@pytest.mark.parametrize("document", REAL)
def test_answers_are_those_of_the_built_in_database(document: str) -> None:
    with natsdb.connect(BUILTIN) as connection:
        for statement, answer in _questions(ROOT / document):
            assert first_rows(connection.sql(statement)) == answer


def test_a_table_of_ones_own_joins_as_its_page_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("NATSDB_HOME", str(tmp_path / "db"))
    page = (ROOT / "docs/join.md").read_text(encoding="utf-8")
    making, drawing = _PYTHON.findall(page)
    exec(making, {})
    assert "".join(f"    {line}\n" for line in Path("scores.csv").read_text().splitlines()[:3]) in page
    command = re.search(r"^    natsdb (attach .*)$", page, flags=re.MULTILINE)
    assert command is not None
    done = CliRunner().invoke(app, shlex.split(command[1]))
    assert f"```text\n{done.stdout}```\n" in page
    with natsdb.connect() as connection:
        for statement, answer in _SHOWN.findall(page):
            assert first_rows(connection.sql(statement)) == answer
    exec(drawing, {})
    assert Path("score.png").stat().st_size > 50_000


def test_encodings_are_those_of_their_page() -> None:
    page = (ROOT / "docs/encodings.md").read_text(encoding="utf-8")
    for space in SPACES.values():
        arch = {"tss": 2631, "sss": 1}[space.name]
        for name in encodings_of(space):
            assert f"`{encodings.text_of(space.name, arch, name)}`".replace("|", "\\|") in page, name
    for asked, answer in re.findall(r"^>>> (.*)\n(.+)$", page, flags=re.MULTILINE):
        assert repr(eval(asked, {"encodings": encodings})) == answer
    with natsdb.connect(BUILTIN) as connection:
        for statement, answer in _questions(ROOT / "docs/encodings.md"):
            assert first_rows(connection.sql(statement)) == answer


def test_answers_of_the_embedded_runs(tmp_path: Path) -> None:
    collect(EMBEDDED / "runs", tmp_path / "db")
    with natsdb.connect(tmp_path / "db") as connection:
        for statement, answer in _questions(EMBEDDED / "README.md"):
            assert first_rows(connection.sql(statement)) == answer
