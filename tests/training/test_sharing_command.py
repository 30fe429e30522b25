"""Searches with shared weights from the command line: files of searches become rows, judged as all searches are."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'natsdb[training]'")

import natsdb  # noqa: E402
from databases import contents  # noqa: E402
from natsdb.cli import app  # noqa: E402
from natsdb.ingest.searches import collect_searches  # noqa: E402
from natsdb.schema.errors import NatsdbError  # noqa: E402
from natsdb.search import SHARING  # noqa: E402
from natsdb.training.weight_sharing import ALGORITHMS  # noqa: E402
from pictures import write_parquet  # noqa: E402


def _run(*arguments: object) -> tuple[int, str, str]:
    result = CliRunner().invoke(app, [str(argument) for argument in arguments])
    return result.exit_code, result.stdout, result.stderr


@pytest.fixture(scope="module")
def searched(made_up_db: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with pictures, a database, and what a short TAS search with two seeds leaves. Read only."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("sharing")
    write_parquet(folder / "images", 32, 10)
    shutil.copytree(made_up_db, folder / "db")
    command = ("search", "tas", "--space", "sss", "--db", folder / "db", "--data", folder / "images", "--images", 16)
    code, out, said = _run(*command, "--epochs", 2, "--rand_seed", "777,888", "--option", "batch=8", "--device", "cpu")
    assert code == 0, said
    assert "tas, sss, cifar10: 2 runs → search " in out
    assert said.count("tas: epoch 2 of 2: ") == 2
    return folder


def test_the_command_knows_every_algorithm() -> None:
    assert {(space, name) for space, names in SHARING.items() for name in names} == {
        (algorithm.space, name) for name, algorithm in ALGORITHMS.items()
    }


def test_every_epoch_of_every_seed_stands_in_the_tables(searched: Path) -> None:
    files = [json.loads(path.read_text()) for path in sorted((searched / "db-searches").glob("*/*.json"))]
    assert [file["seed"] for file in files] == [777, 888]
    runs = natsdb.query("from search_run order by run", searched / "db").to_dicts()
    steps = natsdb.query("from search_step order by run, step", searched / "db")
    for number, (run, file) in enumerate(zip(runs, files, strict=True)):
        assert (run["run"], run["seed"], run["arch"], run["steps"]) == (number, file["seed"], file["arch"], 2)
        assert (run["algorithm"], run["space"], run["dataset"], run["hp"], run["budget"]) == (
            "tas",
            "sss",
            "cifar10",
            None,
            None,
        )
        assert json.loads(run["options"]) == {"batch": 8, "epochs": 2, "images": 16}
        assert json.loads(run["provenance"])["torch"] == torch.__version__
        own = steps.filter(steps["run"] == number)
        assert own["accuracy"].to_list() == [epoch["valid_accuracy"] for epoch in file["epochs"]]
        assert own["best"].to_list() == own["arch"].to_list() == [epoch["arch"] for epoch in file["epochs"]]
        assert own["seconds"].to_list() == [epoch["seconds"] for epoch in file["epochs"]]


def test_the_same_command_again_changes_nothing(searched: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(searched, tmp_path / "all"))
    before = contents(home / "db")
    command = ("search", "tas", "--space", "sss", "--db", home / "db", "--data", home / "images", "--images", 16)
    code, out, _ = _run(*command, "--epochs", 2, "--rand_seed", 888, "--option", "batch=8", "--device", "cpu")
    assert code == 0
    assert "tas, sss, cifar10: 2 runs" in out
    assert "(no change)" in out
    assert contents(home / "db") == before


def test_runs_of_another_folder_join_those_that_are_there(searched: Path, made_up_db: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(made_up_db, tmp_path / "db"))
    for name in ("777", "888"):
        (tmp_path / name / "tas").mkdir(parents=True)
        (file,) = (searched / "db-searches" / "tas").glob(f"*-{name}-*.json")
        shutil.copy(file, tmp_path / name / "tas")
    # In the other order: runs are numbered by seed all the same.
    assert [done[3:] for done in collect_searches(tmp_path / "888", home)] == [(1, True)]
    assert [done[3:] for done in collect_searches(tmp_path / "777", home)] == [(2, True)]
    assert contents(home) == contents(searched / "db")


def test_what_was_found_is_judged_at_full_training(searched: Path, tmp_path: Path) -> None:
    home = Path(shutil.copytree(searched / "db", tmp_path / "db"))
    # A found architecture of the 70 that are here.
    folder = Path(shutil.copytree(searched / "db-searches", tmp_path / "searches"))
    for number, path in enumerate(sorted(folder.glob("*/*.json"))):
        run = json.loads(path.read_text())
        run["arch"], run["arch_str"] = (
            20 * number,
            natsdb.query(f"select arch_str from arch where space = 'sss' and arch = {20 * number}", home).item(),
        )
        for epoch in run["epochs"]:
            epoch["arch"] = run["arch"]
        path.write_text(json.dumps(run))
    collect_searches(folder, home)
    result = natsdb.query("from search_result where role = 'test' and algorithm = 'tas'", home).to_dicts()
    full = natsdb.query(
        "select accuracy from full_accuracy where space = 'sss' and dataset = 'cifar10' and role = 'test' "
        "and arch in (0, 20) order by arch",
        home,
    )["accuracy"].to_list()
    assert result[0]["accuracy"] == pytest.approx(sum(full) / 2)
    assert result[0]["accuracy_std"] == pytest.approx(abs(full[0] - full[1]) / 2)
    moments = natsdb.query("select moment from trajectory where role = 'test' and algorithm = 'tas' order by 1", home)
    assert moments["moment"].to_list() == [0, 1]
    assert "tas batch: 8, epochs: 2, images: 16" in natsdb.query("from search_table", home)["label"].to_list()
    code, _, _ = _run("plot", "search", "--space", "sss", "-o", tmp_path / "picture.svg", "--db", home)
    assert code == 0
    assert "epochs of the search" in (tmp_path / "picture.svg").read_text()


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["gdas", "--space", "sss"], "gdas searches tss, not sss; on sss choose tas, mask_gumbel, mask_rl"),
        (["gdas", "--space", "nas"], "there is no space 'nas'; choose tss or sss"),
        (["gdas", "--space", "tss"], "gdas trains on images; name the folder of the data set with --data DIR"),
        (["gdas", "--space", "tss", "--data", "nowhere"], "CIFAR10 is not here or damaged"),
        (["gdas", "--space", "tss", "--data", ".", "--warmup_ratio", "0.3"], "gdas has no option warmup_ratio; it has"),
        (
            ["gdas", "--space", "tss", "--data", ".", "--dataset", "mnist"],
            "there is no data set 'mnist' to search on; ",
        ),
        (["gdas", "--space", "tss", "--data", ".", "--dataset", "cifar10,mnist"], "there is no data set 'mnist' to "),
        (["gdas", "--space", "tss", "--data", ".", "--option", "seed=3"], "gdas has no option seed; it has epochs, "),
        (["gdas", "--space", "tss", "--data", ".", "--option", "images=3"], "gdas has no option images; it has "),
        (["gdas", "--space", "tss", "--data", ".", "--rand_seed", "x"], "'x' are no seeds; write them as in 777,888"),
        (["gdas", "--space", "tss", "--data", ".", "--runs", "3"], "gdas has no option --runs; leave it out"),
        (["random", "--space", "tss", "--rand_seed", "1,2"], "a search on the database has one seed for all its runs"),
    ],
)
def test_what_cannot_be_searched_is_said_in_one_sentence(made_up_db: Path, arguments: list[str], said: str) -> None:
    code, out, error = _run(
        "search", *arguments, "--db", made_up_db, *(() if arguments[0] == "random" else ("--device", "cpu"))
    )
    assert (code, out) == (1, "")
    assert error.count("\n") == 1
    assert said in error


def test_a_damaged_search_is_named(searched: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(searched / "db-searches", tmp_path / "searches"))
    path = sorted(folder.glob("*/*.json"))[0]
    run = json.loads(path.read_text())
    path.write_text(json.dumps({**run, "arch": run["arch"] + 1}))
    with pytest.raises(NatsdbError, match=r"\.json: this is no finished search \(ValueError: it contradicts itself\)"):
        collect_searches(folder, tmp_path / "db")
    path.write_text("{")
    with pytest.raises(NatsdbError, match="this is no finished search"):
        collect_searches(folder, tmp_path / "db")
    shutil.copy(sorted(folder.glob("*/*.json"))[1], path)
    with pytest.raises(NatsdbError, match="there are two searches of tas with seed 888"):
        collect_searches(folder, tmp_path / "db")
    assert not (tmp_path / "db").exists()
