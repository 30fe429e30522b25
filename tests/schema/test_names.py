"""Errors name what there is instead, the nearest first."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

import natsdb
from natsdb.cli import app
from natsdb.schema.errors import NatsdbError
from natsdb.schema.names import did_you_mean, nearest


def test_the_nearest_name_comes_first_and_is_asked_for_where_it_is_like() -> None:
    names = ["cifar10-valid", "cifar10", "cifar100", "ImageNet16-120"]
    assert nearest("imagenet", names)[0] == "ImageNet16-120"
    assert (
        did_you_mean("cifar-100", names)
        == "did you mean cifar100? there are cifar100, cifar10, cifar10-valid, ImageNet16-120"
    )
    assert did_you_mean("mnist", names).startswith("there are ")
    assert did_you_mean("a", ["b"]) == "there is b"
    assert did_you_mean("cifar1O", ["cifar10"]) == "there is cifar10"
    assert did_you_mean("sss1", ["tss", "sss"]) == "did you mean sss? there are sss, tss"
    assert did_you_mean("a", []) == "there are none"


def test_forty_names_are_shown_and_the_rest_are_counted() -> None:
    names = [f"n{number:02d}" for number in range(41)]
    assert did_you_mean("?", names[:40]) == f"there are {', '.join(names[:40])}"
    assert did_you_mean("?", names) == f"there are {', '.join(names[:40])}, and 1 more"


@pytest.mark.parametrize(
    ("arguments", "meant"),
    [
        (("sql", "from metrc"), "metric"),
        (("sql", "from bset('cifar100', 'x-test', '200')"), "best"),
        (("sql", "select acuracy from metric"), "accuracy"),
        (("info", "lederboard"), "leaderboard"),
        (("search", "bhob", "--space", "tss"), "bohb"),
        (("search", "gdass", "--space", "tss"), "gdas"),
        (("search", "random", "--space", "tss", "--dataset", "cifar-100"), "cifar100"),
        (("search", "random", "--space", "tss", "--hp", "2o0"), "200"),
        (("search", "bohb", "--space", "tss", "--dataset", "cifar10", "--option", "min_budgt=3"), "--min_budget"),
        (("train", "--space", "tss", "--archs", "0", "--hp", "2o0", "--dataset", "cifar10"), "200"),
        (("train", "--space", "tss", "--archs", "0", "--hp", "200", "--dataset", "cifar1O"), "cifar10"),
        (("plot", "scatter", "--space", "tss", "--dataset", "cifar", "-o", "x.png"), "cifar10"),
        (("plot", "scatter", "--space", "tss", "--dataset", "cifar10", "--cost", "flop", "-o", "x.png"), "flops"),
        (("plot", "curves", "--space", "ts", "--arch", "0", "--dataset", "cifar10", "-o", "x.png"), "tss"),
    ],
    ids=lambda part: part if isinstance(part, str) else part[0],
)
def test_the_command_line_asks_whether_the_nearest_was_meant(
    arguments: tuple[str, ...], meant: str, made_up_db: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if arguments[0] == "train":
        pytest.importorskip("torch")
    monkeypatch.setenv("NATSDB_HOME", str(made_up_db))
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == 1
    assert f"did you mean {meant}" in done.stderr
    assert done.stderr.count("\n") == 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [(("searc",), "'search'"), (("sql", "--formt", "csv"), "--format"), (("plot", "rnk"), "'rank'")],
)
def test_commands_and_options_are_guessed_too(arguments: tuple[str, ...], said: str) -> None:
    done = CliRunner().invoke(app, list(arguments))
    assert done.exit_code == 2
    assert said in done.stderr


def test_python_asks_too(made_up_db: Path) -> None:
    with pytest.raises(NatsdbError, match="did you mean epoch"):
        natsdb.scan("epochs", made_up_db)
