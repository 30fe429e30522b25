"""The file of `natsdb duckdb`: what any DuckDB client finds in it."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import duckdb
import pytest

import natsdb
from natsdb.schema.errors import NatsdbError
from natsdb.sql import MACROS, VIEWS

# One question for each view and macro.
QUESTIONS = {
    **{view: f"from {view}" for view in VIEWS},
    "ranked_searches": "from ranked_searches('search_regret')",
    "simulated": "from simulated('tss', 'cifar10-valid', '12', 11)",
    "curve": "from curve('tss', 40, 'cifar10-valid', '12')",
    "best": "from best('cifar10-valid', 'x-valid', '12', max_flops := 100)",
    "attached_name": "select attached_name('flops'), attached_name('latency')",
    "valued": "from valued(['accuracy', 'flops'], 'cifar10-valid', 'x-valid', '12', 'tss')",
    "nondominated": "from nondominated([{'id': n, 'a': n % 3, 'b': n % 5, 'c': n % 7} for n in range(3, 90)])",
    "objective_name": "select objective_name('accuracy:min')",
    "objective_sign": "select objective_sign('accuracy:min')",
    "front": "from front(['accuracy', 'params', 'latency:max'], 'cifar10-valid', 'x-valid', '12')",
    "pareto": "from pareto('cifar10-valid', 'x-valid', '12', 'flops')",
    "mean_rank": "select mean_rank(accuracy, dataset) from mean_final where hp = '12' and split = 'ori-test'",
    "rank_agreement": "from rank_agreement([{'a': 1.0, 'b': 2.0}, {'a': 3.0, 'b': 1.0}])",
    "share_of": "select share_of(0.1)",
    "correlation": "from correlation('flops', 'cifar10-valid', 'x-valid', '12')",
    "correlations": "from correlations('cifar10-valid', 'x-valid', '12', top := 0.5)",
    "rank_correlation": "from rank_correlation('cifar10-valid', '12', '200')",
    "neighbours": "from neighbours('tss', 40)",
    "more_info": "from more_info('tss', 40, 'cifar10-valid', '12')",
    "paired": "from paired('synthetic', 'synthetic', hp_b := '200')",
    "agreement": "from agreement('synthetic', 'synthetic')",
    "arch_of": "select arch_of('tss', '(4, 0, 3, 1, 4, 3)')",
}
# Run by a client of any version: answers as text, sorted, numbers to ten digits (sums depend on the order of rows).
ASK = """
import json, sys, duckdb
def text(value):
    return f"{value:.10g}" if isinstance(value, float) else str(value)
with duckdb.connect(sys.argv[1], read_only=True) as connection:
    connection.execute("set enable_progress_bar = false")  # it would be printed among the answers
    for name, question in json.load(sys.stdin).items():
        rows = connection.execute(question).fetchall()
        print(json.dumps([name, sorted([text(value) for value in row] for row in rows)]))
"""
# DuckDB 1.4.0 and 1.4.1 forget the names in a macro's `with` when they read it from a file of the format of 1.0.
forgets = pytest.mark.skipif(
    tuple(map(int, duckdb.__version__.split(".")[:3])) in {(1, 4, 0), (1, 4, 1)},
    reason="a fault of DuckDB 1.4.0, 1.4.1",
)


def _answers(python: str | Path, file: Path) -> dict[str, Any]:
    asked = subprocess.run(
        [str(python), "-I", "-c", ASK, str(file)],
        input=json.dumps(QUESTIONS),
        capture_output=True,
        text=True,
        cwd=file.parent,
    )
    assert asked.returncode == 0, asked.stderr
    return dict(map(json.loads, asked.stdout.splitlines()))


@forgets
def test_every_view_and_macro_is_answered_from_the_file(made_up_db: Path, tmp_path: Path) -> None:
    assert set(QUESTIONS) == {*VIEWS, *MACROS}
    file = natsdb.write_duckdb(tmp_path / "nats.duckdb", made_up_db)
    found = _answers(sys.executable, file)
    with natsdb.connect(made_up_db) as connection:
        for name, question in QUESTIONS.items():
            assert len(found[name]) == len(connection.sql(question).fetchall()), name


def test_it_has_the_format_that_old_clients_open_and_says_what_it_is(real_db: Path, tmp_path: Path) -> None:
    file = natsdb.write_duckdb(tmp_path / "nats.duckdb", real_db)
    with duckdb.connect(str(file), read_only=True) as connection:
        tags = connection.sql("select tags from duckdb_databases() where database_name = 'nats'").fetchall()[0][0]
        assert tags["storage_version"].startswith("v1.0.0")
        version, database, again, number = connection.sql("from natsdb").fetchall()[0]
    assert (version, database, number) == (natsdb.__version__, str(real_db), 1)
    assert again.endswith(f"write it anew: natsdb duckdb nats.duckdb --db {real_db}")


@pytest.mark.parametrize("name", ["a*b", "w?", "a[1]", "it's"])
def test_a_folder_with_glob_characters_is_read_and_its_siblings_are_not(
    name: str, real_db: Path, tmp_path: Path
) -> None:
    for folder in (name, "aXb", "wX", "a1"):
        if not (tmp_path / folder).exists():
            shutil.copytree(real_db, tmp_path / folder)
    file = natsdb.write_duckdb(tmp_path / "nats.duckdb", tmp_path / name)
    with duckdb.connect(str(file), read_only=True) as connection:
        assert connection.sql("select count(*), count(distinct arch) from seed").fetchall() == [(74, 2)]
        assert connection.sql("select count(*) from arch").fetchall() == [(48_393,)]


@pytest.mark.parametrize("name", ["space=foo", "hp=7", "source=x", "block=1"])
def test_a_folder_named_like_one_of_ours_is_refused(name: str, real_db: Path, tmp_path: Path) -> None:
    shutil.copytree(real_db, tmp_path / name / "db")
    with pytest.raises(NatsdbError, match=f"DuckDB takes the folder '{name}' above the database for its column"):
        natsdb.write_duckdb(tmp_path / "nats.duckdb", tmp_path / name / "db")
    assert not (tmp_path / "nats.duckdb").exists()


@pytest.mark.slow
@pytest.mark.parametrize("version", ["1.1.*", "1.4.*", "1.5.*"])
@forgets
def test_older_clients_give_the_same_answers(version: str, made_up_db: Path, tmp_path: Path) -> None:
    subprocess.run([sys.executable, "-m", "venv", str(tmp_path / "client")], check=True)
    python = tmp_path / "client" / "bin" / "python"
    subprocess.run([str(python), "-I", "-m", "pip", "install", "--quiet", f"duckdb=={version}"], check=True)
    file = natsdb.write_duckdb(tmp_path / "nats.duckdb", made_up_db)
    old, new = _answers(python, file), _answers(sys.executable, file)
    for name in QUESTIONS:
        assert old[name] == new[name], name
