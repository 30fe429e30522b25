"""What README and docs show: their questions, asked, have the answers that stand below them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

import natsdb
from natsdb.cli.answers import first_rows
from natsdb.ingest import collect
from natsdb.store.locations import BUILTIN, EMBEDDED

ROOT = Path(__file__).parents[2]
REAL = ("README.md", "docs/ask.md")
_SQL = re.compile(r"^```sql\n(.*?)^```\n", flags=re.DOTALL | re.MULTILINE)
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


def test_answers_of_the_embedded_runs(tmp_path: Path) -> None:
    collect(EMBEDDED / "runs", tmp_path / "db")
    with natsdb.connect(tmp_path / "db") as connection:
        for statement, answer in _questions(EMBEDDED / "README.md"):
            assert first_rows(connection.sql(statement)) == answer
