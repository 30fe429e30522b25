"""`natsdb score`: a table of scores; kills, own proxies, failures, what is added and what is refused."""

from __future__ import annotations

import signal
import subprocess
import sys
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'natsdb[training]'")

from typer.testing import CliRunner  # noqa: E402

import natsdb  # noqa: E402
import natsdb.scoring  # noqa: E402
from natsdb.cli import app  # noqa: E402
from natsdb.schema.errors import NatsdbError  # noqa: E402
from natsdb.training.untrained import files  # noqa: E402

COMMAND = [sys.executable, "-c", "from natsdb.cli import app; app()"]
OWN = '''
def convolutions(network, batch):
    """How many convolutions it has, times images."""
    import torch

    found = sum(isinstance(module, torch.nn.Conv2d) for module in network.modules())
    return found * len(batch.images)
'''
KILLS = """
import os, signal
from pathlib import Path

def killing(network, batch):
    counted = Path(__file__).with_name("counted")
    calls = len(counted.read_text()) if counted.exists() else 0
    counted.write_text("." * (calls + 1))
    if calls == 3:
        os.kill(os.getpid(), signal.SIGKILL)
    return network.stem[0].weight.sum()
"""


def _score(home: Path, pictures: Path, *more: str) -> list[str]:
    return ["score", "--data", str(pictures), "--db", str(home), "--batch", "4", "--jobs", "1", *more]


def _run(*arguments: str) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, arguments)
    assert result.exception is None or isinstance(result.exception, SystemExit), result.exception
    return result.exit_code, result.stdout, result.stderr


def _rows(home: Path, columns: str = "*", table: str = "scored") -> list[tuple]:
    return natsdb.query(f"select {columns} from {table} order by space, arch, dataset", home).rows()


def test_scores_of_both_spaces_are_one_table_that_joins_with_accuracies(pictures: Path, tmp_path: Path) -> None:
    home = tmp_path / "db"
    code, out, _ = _run(*_score(home, pictures, "--proxy", "synflow,nwot", "--space", "tss", "--archs", "0,4,5001"))
    assert code == 0
    assert "3 architectures, 0 of them done before" in out
    code, _, _ = _run(*_score(home, pictures, "--proxy", "synflow", "--archs", "sss/0,7"))
    assert code == 0
    rows = natsdb.query("from scored order by space, arch", home)
    assert rows["arch"].to_list() == [0, 7, 0, 4, 5001]
    assert rows["nwot"].is_null().to_list() == [True, True, False, False, False]
    assert rows["synflow"][1] > rows["synflow"][0]  # 64 channels in the last layer, against 8
    assert (rows["synflow_seconds"] > 0).all()
    assert set(rows["settings"]) == {rows["settings"][0]}
    assert rows["settings"][0].startswith("seed 777, batch 4, images parquet ")
    listed = natsdb.query("from correlations('cifar10', 'ori-test', '200', of := 'scored')", home)
    assert {"scored.nwot", "scored.synflow"} <= set(listed["measure"])
    joined = natsdb.query("select * from pareto('cifar10', 'ori-test', '200', 'scored.synflow')", home)
    assert set(joined["arch"]) <= {0, 4, 5001}
    assert len(joined)
    said = next(one for one in natsdb.info(home).attached if one.name == "scored")
    assert "Tanaka et al. 2020" in {one.name: one for one in said.measures}["synflow"].meaning
    assert torch.__version__ in said.origin


def test_proxies_and_architectures_are_added_and_nothing_is_done_twice(pictures: Path, tmp_path: Path) -> None:
    home = tmp_path / "db"
    at = ("--space", "sss")
    _run(*_score(home, pictures, *at, "--proxy", "synflow", "--archs", "0,1"))
    first = _rows(home, "arch, synflow, synflow_seconds")
    _, out, _ = _run(*_score(home, pictures, *at, "--proxy", "synflow,zen", "--archs", "1-2"))
    assert "2 architectures, 0 of them done before" in out
    rows = _rows(home, "arch, synflow, synflow_seconds, zen is null")
    assert [row[:3] for row in rows[:2]] == first  # seconds too: they were not scored again
    assert [(row[0], row[3]) for row in rows] == [(0, True), (1, False), (2, False)]
    _, out, _ = _run(*_score(home, pictures, *at, "--proxy", "zen", "--archs", "1"))
    assert "1 of them done before" in out
    assert "(no change)" in out
    # On two processes the same numbers.
    arguments = _score(tmp_path / "two", pictures, *at, "--proxy", "zen", "--archs", "1,2,40")
    assert _run(*arguments, "--jobs", "2")[0] == 0
    two = _rows(tmp_path / "two", "arch, zen")
    assert two[:2] == _rows(home, "arch, zen")[1:]
    assert two[2][0] == 40


def test_scores_of_other_settings_are_not_mixed(pictures: Path, tmp_path: Path) -> None:
    home = tmp_path / "db"
    arguments = _score(home, pictures, "--space", "sss", "--archs", "0", "--proxy", "zen")
    _run(*arguments)
    other = [*arguments, "--seed", "1"]
    code, _, err = _run(*other)
    assert code == 1
    assert "is of seed 777, batch 4" in err
    assert "these rows are of seed 1, batch 4" in err
    assert "--as" in err
    assert _run(*other, "--as", "again")[0] == 0
    assert _rows(home, "zen") != _rows(home, "zen", "again")
    assert _run(*other, "--replace")[0] == 0
    assert _rows(home, "zen") == _rows(home, "zen", "again")
    # Both are kept beside each other: to go back costs nothing.
    assert "1 of them done before" in _run(*arguments, "--replace")[1]


def test_killed_it_goes_on(pictures: Path, tmp_path: Path) -> None:
    own = tmp_path / "own.py"
    own.write_text(KILLS)
    home = tmp_path / "db"
    # Blocks are of 32: the first has two of these, the second four, and is not written when the kill comes.
    arguments = _score(home, pictures, "--space", "sss", "--archs", "30-35", "--proxy", f"{own}:killing")
    killed = subprocess.run([*COMMAND, *arguments], capture_output=True, text=True)
    assert killed.returncode == -signal.SIGKILL
    kept = sorted((tmp_path / "db-scores").glob("sss/cifar10/*.parquet"))
    assert [path.name for path in kept] == ["000000.parquet"]
    seconds = {one.arch: one.value for one in files.read(kept[0]).values() if one.name == "killing_seconds"}
    code, out, _ = _run(*arguments)
    assert code == 0
    assert "6 architectures, 2 of them done before" in out
    assert (tmp_path / "counted").read_text() == "." * (4 + 4)
    rows = {arch: (value, spent) for arch, value, spent in _rows(home, "arch, killing, killing_seconds")}
    assert {arch: rows[arch][1] for arch in seconds} == seconds
    undisturbed = _score(tmp_path / "other", pictures, "--space", "sss", "--archs", "30-35")
    _run(*undisturbed, "--proxy", f"{own}:killing")
    assert {row[0]: row[1] for row in _rows(tmp_path / "other", "arch, killing")} == {
        arch: value for arch, (value, _) in rows.items()
    }
    left = [path for path in (tmp_path / "db-scores").rglob("*") if path.suffix == ".tmp"]
    assert not left


def test_interrupted_it_keeps_what_it_has(pictures: Path, tmp_path: Path) -> None:
    calls = tmp_path / "calls"

    def mine(network: torch.nn.Module, batch: files.Any) -> float:
        with calls.open("a") as file:
            file.write(".")
        if calls.stat().st_size == 3:
            raise KeyboardInterrupt
        return 1.0

    with pytest.raises(KeyboardInterrupt):
        natsdb.scoring.score(mine, "sss", "0-4", data=pictures, db=tmp_path / "db", batch=4)
    report = natsdb.scoring.score(mine, "sss", "0-4", data=pictures, db=tmp_path / "db", batch=4)
    assert (report.archs, report.before) == (5, 2)
    assert calls.stat().st_size == 3 + 3


def test_a_proxy_of_ones_own_is_a_function_of_network_and_batch(pictures: Path, tmp_path: Path) -> None:
    own = tmp_path / "my.py"
    own.write_text(OWN)
    home = tmp_path / "db"
    arguments = _score(home, pictures, "--space", "tss", "--archs", "1462", "--proxy", f"{own}:convolutions")
    assert _run(*arguments)[0] == 0
    convolutions = sum(isinstance(one, torch.nn.Conv2d) for one in natsdb_network("tss", 1462).modules())
    assert _rows(home, "convolutions") == [(4.0 * convolutions,)]
    meaning = next(one for one in natsdb.info(home).attached if one.name == "scored").measures[0].meaning
    assert meaning == "How many convolutions it has, times images"
    own.write_text(OWN.replace("return found", "return -found"))
    assert "0 of them done before" in _run(*arguments)[1]  # other code, other scores
    assert _rows(home, "convolutions") == [(-4.0 * convolutions,)]


def natsdb_network(space: str, arch: int) -> torch.nn.Module:
    from natsdb.training.networks import network

    return network(space, arch, 10)


def test_what_fails_is_null_said_and_tried_again(pictures: Path, tmp_path: Path) -> None:
    flag = tmp_path / "flag"

    def wide(network: torch.nn.Module, batch: files.Any) -> float:
        width = network.stem[0].out_channels
        if width == 8:
            return float("nan")
        if not flag.exists():
            raise ValueError("no flag\nof mine")
        return width

    home = tmp_path / "db"
    archs = [0, 4096, 32767]  # 8, 16 and 64 channels at the stem
    report = natsdb.scoring.score(["zen", wide], "sss", archs, data=pictures, db=home, batch=4)
    assert ("wide", "ValueError: no flag") in report.empty
    assert "wide" not in natsdb.query("from scored", home).columns
    flag.touch()
    report = natsdb.scoring.score(["zen", wide], "sss", archs, data=pictures, db=home, batch=4)
    assert report.before == 1  # NaN is what it is; what raised is tried again
    assert report.failures == [("wide of 1 architectures, such as sss 0", "it is nan")]
    assert [row[0] for row in _rows(home, "wide")] == [None, 16.0, 64.0]


def test_a_degenerate_cell_has_no_score(pictures: Path, tmp_path: Path) -> None:
    from natsdb.schema.spaces import arch_index

    none = arch_index("tss", "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|")
    arguments = _score(tmp_path / "db", pictures, "--space", "tss", "--archs", f"0,{none}", "--proxy", "synflow,snip")
    code, _, err = _run(*arguments)
    assert code == 0
    assert "1 kinds of figures have no value" in err
    assert "it is -inf" in err
    assert [(row[0] is None, row[1] == 0) for row in _rows(tmp_path / "db", "synflow, snip")] == [
        (arch == none, arch == none) for arch in sorted((0, none))
    ]


@pytest.mark.parametrize(
    ("more", "said"),
    [
        (["--proxy", "nwott", "--space", "tss"], "there is no proxy 'nwott'; did you mean nwot?"),
        (["--proxy", "", "--space", "tss"], "there is no proxy ''"),
        (["--proxy", "mine.py:f", "--space", "tss"], "mine.py: there is no such file"),
        (["--proxy", "zen", "--space", "tsss"], "there is no space 'tsss'"),
        (["--proxy", "zen", "--space", "tss", "--archs", "x"], "'x' is no index or range"),
        (["--proxy", "zen", "--space", "tss", "--archs", "15625"], "15625"),
        (["--proxy", "zen"], "'all' names no space; write tss/all or sss/all"),
        (["--proxy", "zen", "--space", "tss", "--dataset", "cifar"], "there is no data set 'cifar'"),
        (["--proxy", "zen", "--space", "tss", "--archs", "0", "--batch", "61"], "has 60 training images here"),
        (["--proxy", "zen", "--space", "tss", "--archs", "0", "--seed", "-1"], "the seed -1 is outside"),
        (["--proxy", "zen", "--space", "tss", "--archs", "0", "--as", "arch"], "is a name of natsdb's own"),
        (["--proxy", "zen", "--space", "tss", "--archs", "0", "--as", "leaderboard"], "is a name of natsdb's own"),
        (["--proxy", "zen", "--space", "tss", "--archs", "0", "--as", "measure"], "is a name of natsdb's own"),
    ],
)
def test_bad_options_are_one_sentence(pictures: Path, tmp_path: Path, more: list[str], said: str) -> None:
    code, out, err = _run(*_score(tmp_path / "db", pictures), *more)
    assert (code, out) == (1, "")
    assert said in err
    assert err.count("\n") == 1


def test_without_pytorch_the_extra_is_named(tmp_path: Path) -> None:
    script = "import sys; sys.modules['torch'] = None\nfrom natsdb.cli import app; app()"
    for arguments in (["score", "--proxy", "zen", "--space", "tss"], ["measure", "0", "--space", "tss"]):
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments, "--db", str(tmp_path / "db")], capture_output=True, text=True
        )
        assert done.returncode == 1
        assert "needs PyTorch" in done.stderr
        assert "pip install 'natsdb[training]'" in done.stderr
        assert done.stderr.count("\n") == 1


def test_a_table_that_somebody_attached_is_left_alone(pictures: Path, tmp_path: Path) -> None:
    home = tmp_path / "db"
    natsdb.attach({"arch": [0, 1], "x": [1.0, 2.0]}, "scored", home, space="sss", key="arch", partial=True)
    with pytest.raises(NatsdbError, match="a table 'scored' is attached already"):
        natsdb.scoring.score("zen", "sss", "0", data=pictures, db=home, batch=4)
