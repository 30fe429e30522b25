"""Questions to a full-scale database."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import duckdb
import pytest

import natsdb
from full_scale import Results
from natsdb.schema.spaces import SPACES
from natsdb.store.check import check
from natsdb.store.snapshot import read_manifest
from server import Server

pytestmark = pytest.mark.slow


@pytest.fixture(scope="session")
def connection(database: Path) -> Any:
    return natsdb.connect(database, unlocked=True)


def _median(benchmark: Any) -> float:
    return float(benchmark.stats.stats.median) * 1000


def test_average_of_all_rows(benchmark: Any, connection: Any, database: Path, results: Results) -> None:
    """Beside DuckDB's own reading of the same files."""
    files = [str(database / part.path) for part in read_manifest(database).of("metric")]
    spent = []
    with duckdb.connect() as bare:
        for _ in range(5):
            started = time.perf_counter()
            expected = bare.execute("select avg(accuracy), avg(loss) from read_parquet($1)", [files]).fetchall()
            spent.append(time.perf_counter() - started)
    found = benchmark.pedantic(
        lambda: connection.execute("select avg(accuracy), avg(loss) from metric").fetchall(), rounds=5, warmup_rounds=1
    )
    assert found[0] == pytest.approx(expected[0], rel=1e-9)
    plain = sorted(spent)[2] * 1000
    figure = f"{_median(benchmark) / plain:.2f} × ({_median(benchmark):.0f} ms; DuckDB's own reading: {plain:.0f} ms)"
    results.add("`avg(accuracy), avg(loss)` over all rows", figure, "≤ 1.15 ×")


def test_count_of_all_rows(benchmark: Any, connection: Any, results: Results) -> None:
    benchmark.pedantic(lambda: connection.execute("select count(*) from metric").fetchall(), rounds=15, warmup_rounds=2)
    results.add("`select count(*) from metric`", f"{_median(benchmark):.0f} ms", "≤ 40 ms")


def test_search_table(benchmark: Any, connection: Any, results: Results) -> None:
    benchmark.pedantic(lambda: connection.execute("from search_table").fetchall(), rounds=5, warmup_rounds=1)
    results.add("`search_table`", f"{_median(benchmark) / 1000:.2f} s", "≤ 0.3 s")


def test_quick_check(benchmark: Any, database: Path, results: Results) -> None:
    assert not benchmark.pedantic(lambda: check(database, quick=True), rounds=5, warmup_rounds=1).findings
    results.add("`natsdb check --quick`", f"{_median(benchmark) / 1000:.2f} s", "≤ 0.1 s")


@pytest.mark.parametrize(("space", "hp"), [("tss", "200"), ("sss", "90")])
def test_a_curve_over_http(benchmark: Any, database: Path, results: Results, space: str, hp: str) -> None:
    """Bytes of one curve after connecting: of the first that is asked for in a file, and of the next."""
    server, sent = Server(database), []
    with natsdb.connect(server.url) as remote:

        def curve(arch: int) -> int:
            server.sent.clear()
            remote.execute(f"from curve('{space}', {arch}, 'cifar100', '{hp}')").fetchall()
            return sum(size for _, _, size in server.sent)

        for number in range(2, 12):
            sent.append((curve(number * 1024 + 500), curve(number * 1024 + 501 + number * 40)))
        benchmark.pedantic(lambda: curve(13 * 1024), rounds=1)
    server.close()
    first, later = (sorted(column)[5] / 1000 for column in zip(*sent, strict=True))
    figure = f"{first:.0f} kB; the next of the same file {later:.0f} kB"
    results.add(f"one curve over HTTP, {space}", figure, "≤ 150 kB")


@pytest.mark.parametrize(("space", "hp"), [("tss", "200"), ("sss", "90")])
def test_leaderboard(benchmark: Any, connection: Any, results: Results, space: str, hp: str) -> None:
    query = f"""select * from leaderboard where space = '{space}' and hp = '{hp}' and dataset = 'cifar100'
        and split = 'x-test' order by rank limit 10"""
    found = benchmark.pedantic(lambda: connection.execute(query).fetchall(), rounds=15, warmup_rounds=2)
    assert len(found) == 10
    results.add(f"leaderboard of one data set, {space}", f"{_median(benchmark):.0f} ms", "≤ 25 ms")


@pytest.mark.parametrize(("space", "hp"), [("tss", "200"), ("sss", "90")])
def test_curve(benchmark: Any, connection: Any, results: Results, space: str, hp: str) -> None:
    known = connection.execute(f"select max(arch) from seed where space = '{space}'").fetchall()[0][0]
    draw = random.Random(1)

    def curve() -> Any:
        arch = draw.randint(0, known)
        return connection.execute(f"from curve('{space}', {arch}, 'cifar100', '{hp}')").fetchall()

    assert len(benchmark.pedantic(curve, rounds=100, warmup_rounds=5)) >= int(hp)
    assert known < SPACES[space].size
    results.add(f"one curve, random architecture, {space}", f"{_median(benchmark):.1f} ms", "≤ 3 ms")


def test_cold_process(benchmark: Any, database: Path, results: Results) -> None:
    code = f"""import time; started = time.perf_counter()
import natsdb
natsdb.connect({str(database)!r}).execute("from curve('tss', 77, 'cifar100', '200')").fetchall()
spent = time.perf_counter() - started
peak = next(line for line in open('/proc/self/status') if line.startswith('VmHWM')).split()[1]
print(spent, int(peak) / 1000)"""

    def cold() -> tuple[float, float]:
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout.split()
        return float(out[0]), float(out[1])

    measured = [cold() for _ in range(5)]
    benchmark.pedantic(cold, rounds=3)
    seconds, memory = sorted(measured)[2]
    results.add(
        "`natsdb.connect` + first query, cold process", f"{seconds:.2f} s, {memory:.0f} MB", "≤ 0.4 s, ≤ 200 MB"
    )


def test_import(benchmark: Any, results: Results) -> None:
    code = "import time; t = time.perf_counter(); import natsdb; print(time.perf_counter() - t)"

    def cold() -> float:
        return float(subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout)

    spent = sorted(cold() for _ in range(9))[4]
    benchmark.pedantic(cold, rounds=3)
    results.add("`import natsdb`", f"{spent * 1000:.0f} ms", "≤ 100 ms")
