"""What people hold: the package, its functions and the command line."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
import typer
from typer.testing import CliRunner

import natsdb
from natsdb import api
from natsdb.cli import app, command_line
from natsdb.ingest import collect
from natsdb.schema.errors import NatsdbError
from natsdb.schema.tables import TABLES
from natsdb.sql import MACROS, VIEWS
from natsdb.store.locations import EMBEDDED, default_database


def _run(*arguments: object, stdin: str | None = None) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments], input=stdin)
    return result.exit_code, result.stdout, result.stderr


def test_import_loads_nothing_heavy() -> None:
    heavy = {"numpy", "duckdb", "polars", "pyarrow", "torch", "rich", "typer", "altair"}
    loaded = subprocess.run(
        [sys.executable, "-c", "import sys, natsdb; print(*sys.modules)"], capture_output=True, text=True, check=True
    ).stdout.split()
    assert not heavy & set(loaded)


def test_scan_agrees_with_sql_and_prunes_folders(made_up_db: Path) -> None:
    lazy = natsdb.scan("metric", made_up_db).filter(
        (pl.col("space") == "sss") & (pl.col("hp") == "01") & (pl.col("arch") == 40)
    )
    mine = lazy.collect().sort("dataset", "seed", "split", "epoch")
    theirs = natsdb.query(
        "select * from metric where space = 'sss' and hp = '01' and arch = 40 order by dataset, seed, split, epoch",
        made_up_db,
    )
    assert mine.equals(theirs)
    assert mine.columns == [column.name for column in TABLES["metric"].columns]
    assert "hp=90" not in lazy.explain(optimized=True)


def test_scan_names_the_tables_that_exist(real_db: Path) -> None:
    with pytest.raises(NatsdbError, match="there is no table 'metrics'; did you mean metric\\? there are metric, "):
        natsdb.scan("metrics", real_db)


def test_files_are_those_that_the_manifest_lists(real_db: Path) -> None:
    listed = natsdb.files("metric", real_db)
    assert sorted(listed) == sorted(str(path) for path in (real_db / "metric").rglob("*.parquet"))
    with pytest.raises(NatsdbError, match="there is no table 'metrics'; did you mean metric\\? there are metric, "):
        natsdb.files("metrics", real_db)


def test_info_counts_what_is_inside(real_db: Path) -> None:
    found = natsdb.info(real_db)
    assert ("official", "tss", "200", 2, 24, 9630) in found.contents
    assert found.tables["arch"][0] == 48_393
    assert not found.synthetic
    code, out, _ = _run("info", "--db", real_db)
    assert code == 0
    assert "9,630 rows of metric" in out


@pytest.mark.parametrize(
    "name", [*TABLES, *VIEWS, *MACROS, "train_seconds", "accuracy", "train-all-time", "T-train@epoch"]
)
def test_info_explains_tables_columns_and_official_keys(name: str) -> None:
    code, out, _ = _run("info", name)
    assert code == 0
    assert len(out) > 40
    assert "seconds" in out or not name.endswith(("seconds", "time"))


def test_info_suggests_the_nearest_name() -> None:
    code, _, err = _run("info", "acuracy")
    assert code == 1
    assert "did you mean accuracy" in err


def test_sql_writes_every_format(real_db: Path, tmp_path: Path) -> None:
    query = "select arch, accuracy from mean_final where split = 'x-valid' and dataset = 'cifar100' order by all"
    expected = natsdb.query(query, real_db)
    assert _run("sql", query, "--db", real_db)[1].splitlines()[0].split() == ["arch", "accuracy"]
    assert _run("sql", "--db", real_db, "--format", "csv", stdin=query)[1] == expected.write_csv()
    assert json.loads(_run("sql", "-", "--db", real_db, "--format", "json", stdin=query)[1]) == expected.to_dicts()
    for name in ("a.csv", "a.json", "a.parquet"):
        assert _run("sql", query, "--db", real_db, "-o", tmp_path / name)[0] == 0
    assert pl.read_csv(tmp_path / "a.csv").equals(expected.cast({"arch": pl.Int64}))
    assert pl.read_parquet(tmp_path / "a.parquet").equals(expected)
    assert len(list(tmp_path.iterdir())) == 3


def test_sql_writes_lists_too(real_db: Path) -> None:
    code, out, _ = _run("sql", "select ops, channels from arch where arch = 0", "--db", real_db, "--format", "csv")
    assert code == 0
    assert "8 8 8 8 8" in out


def test_sql_errors_are_one_sentence(real_db: Path, tmp_path: Path) -> None:
    code, _, err = _run("sql", "select * from metrc", "--db", real_db)
    assert (code, err.count("\n")) == (1, 1)
    code, _, err = _run("sql", "select 1", "--db", tmp_path)
    assert (code, err.count("\n")) == (1, 1)
    assert "there is no natsdb database here" in err
    code, _, err = _run("sql", "select 1", "--db", real_db, "--format", "parquet")
    assert (code, err.count("\n")) == (1, 1)


def test_duckdb_file_opens_in_plain_duckdb(real_db: Path, tmp_path: Path) -> None:
    code, out, _ = _run("duckdb", tmp_path / "nats.duckdb", "--db", real_db)
    assert code == 0
    assert out.strip() == str(tmp_path / "nats.duckdb")
    with duckdb.connect(str(tmp_path / "nats.duckdb"), read_only=True) as connection:
        assert connection.sql("select count(*) from metric").fetchall()[0] == (10_014 + 3_302,)
        assert len(connection.sql("from curve('tss', 11, 'cifar10', '200')").fetchall()) == 600


def test_synthetic_rows_are_said_to_be_so(made_up_db: Path, real_db: Path) -> None:
    assert "not measurements" in _run("sql", "select 1", "--db", made_up_db)[2]
    assert "not measured" in _run("info", "--db", made_up_db)[1]
    assert _run("sql", "select 1", "--db", real_db)[2] == ""


def test_the_database_is_where_the_environment_says(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("NATSDB_HOME", str(tmp_path))
    assert default_database() == tmp_path
    monkeypatch.delenv("NATSDB_HOME")
    assert default_database().name == "natsdb"


def test_verify_and_export_from_the_command_line(official: dict[str, Path], real_db: Path, tmp_path: Path) -> None:
    assert _run("verify", official["tss"], "--db", real_db)[1] == "2 records, 36,234 numbers: all equal, bit for bit\n"
    assert _run("export", "--space", "tss", "--db", real_db, tmp_path / "out")[0] == 0
    code, _, err = _run("export", "--space", "tss", "--db", real_db, tmp_path / "out")
    assert (code, err.count("\n")) == (1, 1)
    code, out, err = _run("verify", official["sss"], "--db", real_db, "--source", "mine")
    assert (code, out) == (1, "")
    assert "there are no rows of source 'mine', space 'sss'; there is official" in err
    one = shutil.copytree(official["sss"], tmp_path / official["sss"].name)
    next(one.glob("0*.pbz2")).unlink()
    assert _run("ingest", one, "--db", tmp_path / "db")[0] == 0
    code, out, _ = _run("verify", official["sss"], "--db", tmp_path / "db")
    assert code == 1
    assert "no row of this" in out
    assert "1 differences in 2 records" in out


def test_a_newer_or_damaged_manifest_is_one_sentence(tmp_path: Path) -> None:
    for text, message in (('{"natsdb": 99, "parts": [], "ingests": []}', "format 99"), ("{", "cannot be read")):
        (tmp_path / "natsdb.json").write_text(text)
        with pytest.raises(NatsdbError, match=message):
            natsdb.connect(tmp_path)


def test_demo_without_an_archive(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "nothing"))
    code, out, _ = _run("demo", "--out", tmp_path / "demo")
    assert code == 0
    assert out.count("──") >= 5
    assert out.startswith("no official archive here, so natsdb's own database answers: published final accuracies")
    assert "9930   73.5133" in out
    picture = Path(re.search(r"picture: (.*)", out)[1])  # type: ignore[index]
    assert picture.read_bytes()[:4] == b"\x89PNG"


def test_demo_on_the_real_files(tmp_path: Path, official: dict[str, Path]) -> None:
    options = [part for folder in official.values() for part in ("--archive", folder)]
    code, out, _ = _run("demo", "--out", tmp_path / "demo", *options)
    assert code == 0
    assert "regenerated" not in out


def test_the_embedded_runs_are_small_and_of_both_spaces(tmp_path: Path) -> None:
    files = list(EMBEDDED.rglob("*.*"))
    assert sum(file.stat().st_size for file in files) < 5_000_000
    collect(EMBEDDED / "runs", tmp_path / "db")
    found = natsdb.info(tmp_path / "db")
    assert sum(archs for *_, archs, _, _ in found.contents) >= 64
    assert [content[:3] for content in found.contents] == [("regenerated", "sss", "12"), ("regenerated", "tss", "12")]
    for space in ("tss", "sss"):
        handle = api.create(str(tmp_path / "db"), space, verbose=False)
        best, accuracy = handle.find_best("cifar10", "valid", hp="12")
        assert handle.get_more_info(best, "cifar10-valid", hp="12")["valid-accuracy"] == accuracy


def _commands(command: Any, path: tuple[str, ...] = ()) -> list[tuple[str, ...]]:
    inner = getattr(command, "commands", None)
    return [path] if inner is None else [each for name, one in inner.items() for each in _commands(one, (*path, name))]


@pytest.mark.parametrize("command", _commands(typer.main.get_command(app)), ids=" ".join)
def test_every_command_has_an_example(command: tuple[str, ...]) -> None:
    code, out, _ = _run(*command, "--help")
    assert code == 0
    assert f"Example: natsdb {' '.join(command)} " in out


def test_what_is_asked_for_is_loaded_alone_and_any_other_word_loads_all() -> None:
    every = _commands(typer.main.get_command(app))
    for name in {command[0] for command in every}:
        alone = _commands(typer.main.get_command(command_line(name)))
        assert alone == [command for command in every if command[0] == name]
    for word in (None, "--help", "--version", "nonsense", "scatter"):
        assert _commands(typer.main.get_command(command_line(word))) == every
    code = "import sys; from natsdb.cli import command_line; command_line('sql'); print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
    assert "natsdb.cli.questions" in loaded
    assert "natsdb.cli.training" not in loaded


def test_completion_is_installed_for_a_shell(tmp_path: Path) -> None:
    natsdb_ = Path(sys.executable).with_name("natsdb")
    if not natsdb_.exists():
        pytest.skip("natsdb's command is not beside this Python")
    home = {"HOME": str(tmp_path), "SHELL": "/bin/bash", "PATH": os.environ["PATH"]}
    # Below a shell, as typer looks for one among its parents, whatever started the tests.
    command = ["bash", "-c", f"'{natsdb_}' --install-completion bash; exit $?"]
    done = subprocess.run(command, env=home, capture_output=True, text=True, check=True)
    assert "completion installed" in done.stdout
    assert any("_NATSDB_COMPLETE" in path.read_text() for path in tmp_path.rglob("natsdb*"))
    asked = home | {"_NATSDB_COMPLETE": "complete_bash", "COMP_WORDS": "natsdb plot sc", "COMP_CWORD": "2"}
    assert subprocess.run([str(natsdb_)], env=asked, capture_output=True, text=True).stdout.split() == ["scatter"]
