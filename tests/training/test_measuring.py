"""`natsdb measure`: latency, memory and energy as a table, in SQL and in searches under a limit."""

from __future__ import annotations

import re
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'natsdb[training]'")

from typer.testing import CliRunner  # noqa: E402

import natsdb  # noqa: E402
import natsdb.scoring  # noqa: E402
from natsdb.cli import app  # noqa: E402
from natsdb.training.networks import network  # noqa: E402
from natsdb.training.untrained import files, latency  # noqa: E402
from natsdb.training.untrained.energy import Meter  # noqa: E402


@pytest.fixture(autouse=True)
def _few_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(latency, "_SECONDS", 0.0)
    monkeypatch.setattr(latency, "_METERED_SECONDS", 0.0)
    monkeypatch.setattr(latency, "_PASSES", 3)
    monkeypatch.setattr(latency, "_WARM_UP", 1)


def _run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def _measure(home: Path, archs: str, *more: str) -> list[str]:
    return ["measure", archs, "--space", "tss", "--db", str(home), "--threads", "1", *more]


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("measured") / "db"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(latency, "_SECONDS", 0.0)
        patch.setattr(latency, "_PASSES", 3)
        natsdb.scoring.measure("0,4,1462", "tss", db=home, batches=(1, 2), threads=1)
        natsdb.scoring.measure([7], "sss", db=home, threads=1)
    return home


def test_a_row_is_an_architecture_with_a_column_a_batch(measured: Path) -> None:
    rows = natsdb.query("from measured order by space, arch", measured)
    assert rows["arch"].to_list() == [7, 0, 4, 1462]
    assert {"latency_ms", "latency_spread_ms", "memory_mb", "latency_ms_b2", "memory_mb_b2"} <= set(rows.columns)
    assert rows["latency_ms_b2"].is_null().to_list() == [True, False, False, False]
    assert (rows["latency_ms"] > 0).all()
    assert (rows["latency_spread_ms"] >= 0).all()
    assert (rows["memory_mb_b2"][1:] > rows["memory_mb"][1:]).all()
    settings = rows["settings"].unique().to_list()
    assert len(settings) == 1
    assert re.search(rf" on .+, torch {re.escape(torch.__version__)}, float32, 1 thread$", settings[0])


def test_the_table_is_beside_the_macro_of_its_name(measured: Path) -> None:
    # The macro's name is a table's too; each is made whichever is asked first.
    con = natsdb.connect(measured)
    ms = con.sql("select latency_ms from measured where arch = 4").fetchall()
    assert (
        con.sql("select value from measured('measured.latency_ms') where arch = 4 and dataset = 'cifar10'").fetchall()
        == ms
    )
    con = natsdb.connect(measured)
    wanted = "select m.latency_ms, t.value from measured('hw_nas_bench.raspi4_latency') as t "
    wanted += "inner join measured as m using (space, arch, dataset) where arch = 4"
    assert con.sql(wanted).fetchall()[0][0] == ms[0][0]
    assert len(con.sql("show tables").fetchall()) > 10
    file = natsdb.write_duckdb(measured.parent / "whole.duckdb", measured)
    import duckdb

    with duckdb.connect(str(file), read_only=True) as plain:
        assert plain.sql("select latency_ms from measured where arch = 4").fetchall() == ms
        assert len(plain.sql("from measured('measured.latency_ms')").fetchall()) == 2 * 4  # cifar10-valid too


def test_fronts_limits_and_searches_take_it_as_any_measure(measured: Path) -> None:
    slowest, *rest = [
        row[0]
        for row in natsdb.query(
            "select arch from measured where space = 'tss' order by latency_ms desc", measured
        ).rows()
    ]
    limit = natsdb.query("select max(latency_ms) from measured where space = 'tss'", measured).item() - 1e-9
    best = "select arch from best('cifar10', 'ori-test', '200', measure := 'measured.latency_ms', at_most := {})"
    found = set(natsdb.query(best.format(limit), measured)["arch"])
    assert found == set(rest)
    assert slowest not in found
    front = natsdb.query("select arch from pareto('cifar10', 'ori-test', '200', 'measured.latency_ms')", measured)
    assert set(front["arch"]) <= {0, 4, 1462}
    listed = natsdb.query("from correlations('cifar10', 'ori-test', '200', of := 'measured')", measured)
    assert "measured.latency_ms" in set(listed["measure"])
    where = ("--space", "tss", "--dataset", "cifar10", "--db", str(measured), "--runs", "2", "--jobs", "1")
    under = ("--cost", "measured.latency_ms", "--at_most", repr(limit))
    code, out, _ = _run("search", "random", *where, "--budget", "20000", *under)
    assert code == 0, out
    steps = natsdb.query("select distinct arch from search_step", measured)["arch"].to_list()
    assert steps
    assert set(steps) <= set(rest)


def test_it_goes_on_where_it_was_interrupted(tmp_path: Path) -> None:
    home = tmp_path / "db"

    def stop(name: str, done: int, total: int, figures: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        natsdb.scoring.measure("0,4,5", "tss", db=home, threads=1, progress=stop)
    kept = files.read(tmp_path / "db-measured" / "tss" / "cifar10" / "000000.parquet")
    assert {one.arch for one in kept.values()} == {0, 4}
    report = natsdb.scoring.measure("0,4,5", "tss", db=home, threads=1)
    assert (report.archs, report.before) == (3, 2)
    values = {one.arch: one.value for one in kept.values() if one.name == "latency_ms"}
    rows = dict(natsdb.query("select arch, latency_ms from measured", home).rows())
    assert values.items() <= rows.items()


def test_of_a_killed_command_whole_blocks_are_kept(tmp_path: Path) -> None:
    home = tmp_path / "db"
    command = [sys.executable, "-c", "from natsdb.cli import app; app()", *_measure(home, "0,40-71")]
    first = tmp_path / "db-measured" / "tss" / "cifar10" / "000000.parquet"
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        while not first.exists() and process.poll() is None:
            time.sleep(0.02)
        process.kill()
    code, out, _ = _run(*_measure(home, "0"))
    assert code == 0
    assert "1 architectures, 1 of them done before" in out


def test_other_settings_are_another_table(measured: Path) -> None:
    code, _, err = _run(*_measure(measured, "0", "--threads", "2"))
    assert code == 1
    assert "the table 'measured' is of" in err
    assert "2 threads; choose another name with --as" in err
    assert _run(*_measure(measured, "0", "--threads", "2", "--as", "two_threads"))[0] == 0
    assert len(natsdb.query("from two_threads", measured)) == 1


def test_an_architecture_is_named_as_show_names_it(tmp_path: Path) -> None:
    home = ("--db", str(tmp_path / "db"), "--threads", "1")
    assert _run("measure", "sss/8:8:8:8:8", *home)[0] == 0
    assert _run("measure", "tss/4,0", *home)[0] == 0
    assert natsdb.query("select space, arch from measured order by all", tmp_path / "db").rows() == [
        ("sss", 0),
        ("tss", 0),
        ("tss", 4),
    ]


def test_threads_of_the_process_stay_as_they_were(tmp_path: Path) -> None:
    natsdb.scoring.measure("4", "tss", db=tmp_path / "db", threads=2)
    assert torch.get_num_threads() == 1


def test_onnx_runtime_runs_the_same_network(tmp_path: Path) -> None:
    pytest.importorskip("onnx")
    onnxruntime = pytest.importorskip("onnxruntime")
    code, _, err = _run(*_measure(tmp_path / "db", "4", "--backend", "onnx", "--batch", "2"))
    assert code == 0
    assert "no memory_mb_b2: ONNX Runtime does not say" in err
    row = natsdb.query("from measured", tmp_path / "db").row(0, named=True)
    assert row["latency_ms_b2"] > 0
    assert f"onnxruntime {onnxruntime.__version__}" in row["settings"]
    with torch.inference_mode():
        net, images = network("tss", 4, 10).eval(), torch.randn(2, 3, 32, 32)
        ours = latency._onnx(net, images, latency.Setting(backend="onnx"))()[0]
        wanted = net(images)[1]
        assert abs(torch.from_numpy(ours) - wanted).max() < 1e-5 * abs(wanted).max()
        assert not net.training


def test_memory_is_the_peak_of_what_is_alive() -> None:
    class Steps(torch.nn.Module):
        def forward(self, x: Any) -> Any:
            y = x + 1  # 1 of 4 MB beside the input
            z = y.view(-1) * 2  # 2; a view is none of its own
            del y  # 1
            return z + 1  # 2

    with torch.inference_mode():
        x = torch.zeros(1_000_000)
        assert latency._memory(Steps(), lambda: Steps()(x)) == 8_000_000
        conv = torch.nn.Conv2d(3, 4, 1)
        image = torch.zeros(1, 3, 10, 10)
        assert latency._memory(conv, lambda: conv(image)) == 4 * (4 * 100 + 3 * 4 + 4)


def test_the_median_and_the_spread_are_those_of_the_passes(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = iter(float(n * n) for n in range(10_000))
    monkeypatch.setattr(latency.time, "perf_counter", lambda: next(ticks))
    seconds, why = latency._timed(lambda: None, lambda: None, Meter(why="none here"))
    assert why == "none here"
    assert len(seconds) == latency._PASSES
    assert seconds == sorted(seconds)


def _zone(folder: Path, name: str, micro: int, wraps: int = 1_000_000_000) -> Path:
    (folder / name).mkdir(parents=True)
    (folder / name / "energy_uj").write_text(str(micro))
    (folder / name / "max_energy_range_uj").write_text(str(wraps))
    return folder / name / "energy_uj"


def test_energy_is_that_of_all_packages_over_a_pass(tmp_path: Path) -> None:
    one, two = _zone(tmp_path, "intel-rapl:0", 5_000_000), _zone(tmp_path, "intel-rapl:1", 999_500_000)
    part = _zone(tmp_path, "intel-rapl:0:0", 0)  # of the first package: counted there already
    meter = Meter.of("cpu", tmp_path)

    def run() -> None:
        one.write_text(str(int(one.read_text()) + 100_000))
        two.write_text(str((int(two.read_text()) + 200_000) % 1_000_000_000))  # goes over its range
        part.write_text(str(int(part.read_text()) + 50_000))

    passes = latency._PASSES
    _, joules = latency._timed(run, lambda: None, meter)
    assert joules == pytest.approx(0.3)
    assert int(two.read_text()) == 999_500_000 + 200_000 * (latency._WARM_UP + passes) - 1_000_000_000


def test_energy_reaches_the_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    counter = iter(range(0, 10_000, 5))
    monkeypatch.setattr(latency.Meter, "of", lambda device: Meter(lambda: (float(next(counter)),)))
    natsdb.scoring.measure("4", "tss", db=tmp_path / "db", threads=1)
    assert natsdb.query("select energy_mj from measured", tmp_path / "db").item() == pytest.approx(
        5e3 / latency._PASSES
    )


def test_a_machine_without_counters_says_so(tmp_path: Path) -> None:
    assert Meter.of("cpu", tmp_path).why == "the machine has no counter of energy (RAPL)"
    assert Meter.of("cpu", tmp_path).joules() is None
    _zone(tmp_path, "intel-rapl:0", 1).write_text("nothing")
    assert "cannot be read" in Meter.of("cpu", tmp_path).why
    assert "NVML" in Meter.of("cuda").why or torch.cuda.is_available()


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["0", "--space", "tsss"], "there is no space 'tsss'"),
        (["20000", "--space", "tss"], "20000"),
        (["0"], "'0' names no space; write tss/0 or sss/0"),
        (["0", "--space", "tss", "--batch", "1,x"], "'1,x' are no numbers of images"),
        (["0", "--space", "tss", "--batch", "0"], "a batch needs an image at least"),
        (["0", "--space", "tss", "--device", "abacus"], "there is no device 'abacus'"),
        (["0", "--space", "tss", "--backend", "tvm"], "there is no backend 'tvm'; choose torch or onnx"),
        (["0", "--space", "tss", "--dataset", "cifar"], "there is no data set 'cifar'"),
        (["0", "--space", "tss", "--as", "latency"], "is a name of natsdb's own"),
        (["0", "--space", "tss", "--as", "Best"], "is a name of natsdb's own"),
        (["0", "--space", "tss", "--as", "Measured"], "is a name of natsdb's own"),
    ],
)
def test_bad_options_are_one_sentence(tmp_path: Path, more: list[str], said: str) -> None:
    code, out, err = _run("measure", *more, "--db", str(tmp_path / "db"))
    assert (code, out) == (1, "")
    assert said in err
    assert err.count("\n") == 1
