"""The commands about versions: log, rollback, drop, vacuum."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

import natsdb
from natsdb.cli import app
from natsdb.cli.versions import seconds
from natsdb.ingest import ingest
from natsdb.schema.errors import NatsdbError


def _run(*arguments: Any) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, list(map(str, arguments)))
    return done.exit_code, done.stdout, done.stderr


@pytest.fixture
def home(official: dict[str, Path], tmp_path: Path) -> Path:
    ingest([official["sss"] / "000000.pickle.pbz2", official["tss"] / "000011.pickle.pbz2"], tmp_path / "db")
    return tmp_path / "db"


def _rows(home: Path) -> list[tuple[str, int]]:
    return natsdb.query("select space, count(*) from metric group by all order by all", db=home).rows()


def test_drop_log_rollback_vacuum(home: Path) -> None:
    before = _rows(home)
    code, out, _ = _run("drop", "--source", "official", "--space", "sss", "--db", home)
    assert (code, out.startswith("version 2: ")) == (0, True)
    assert _rows(home) == [row for row in before if row[0] == "tss"]
    code, out, _ = _run("rollback", 1, "--db", home)
    assert (code, out.startswith("version 3: as version 1, ")) == (0, True)
    assert _rows(home) == before
    code, out, _ = _run("log", "--db", home)
    lines = [line.split() for line in out.splitlines()]
    assert (code, [line[0] for line in lines]) == (0, ["version", "3", "2", "1"])
    assert lines[1][-1] == "newest"
    assert "drop --source official --space sss" in out
    _run("drop", "--source", "official", "--space", "tss", "--hp", "200", "--db", home)
    code, out, _ = _run("vacuum", "--db", home)
    assert (code, out) == (0, "removed 0 versions and 0 files (0.0 MB)\n")
    code, out, _ = _run("vacuum", "--keep", "0", "--db", home)
    assert code == 0
    assert out.startswith("removed 3 versions and ")
    assert len(_run("log", "--db", home)[1].splitlines()) == 2
    code, _, err = _run("rollback", 1, "--db", home)
    assert (code, err.count("\n")) == (1, 1)


def test_vacuum_says_what_is_read(home: Path) -> None:
    with natsdb.connect(home) as connection:
        _run("drop", "--source", "official", "--db", home)
        assert "somebody reads version 1, which stays" in _run("vacuum", "--keep", "0", "--db", home)[1]
        assert connection.sql("select count(*) from metric").fetchall()[0][0] > 0


def test_a_source_that_is_not_there_is_one_sentence(home: Path) -> None:
    code, _, err = _run("drop", "--source", "offical", "--db", home)
    assert (code, err.count("\n")) == (1, 1)
    assert "did you mean official" in err or "there is official" in err


@pytest.mark.parametrize(
    ("text", "expected"),
    [("0", 0), ("1d", 86_400), ("12h", 43_200), ("30m", 1_800), ("1.5h", 5_400), ("2w", 1_209_600)],
)
def test_times_in_words(text: str, expected: float) -> None:
    assert seconds(text) == expected


@pytest.mark.parametrize("text", ["", "12", "1y", "-1d", "h"])
def test_what_is_no_time(text: str) -> None:
    with pytest.raises(NatsdbError, match="is no time; write it as in 1d, 12h"):
        seconds(text)
