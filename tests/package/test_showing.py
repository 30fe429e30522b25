"""All that a database says of one architecture, and its picture."""

from __future__ import annotations

import re
from pathlib import Path
from xml.etree import ElementTree

import pytest
from typer.testing import CliRunner

import natsdb
from natsdb.cli import app
from natsdb.plot import cell, save
from natsdb.plot.cell import cell_text
from natsdb.schema.encodings import architecture, architectures
from natsdb.schema.errors import NatsdbError
from natsdb.store.locations import BUILTIN


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("tss/9930", ("tss", 9930)),
        ("sss/64:64:64:64:64", ("sss", 32_767)),
        (
            "tss/|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
            ("tss", 0),
        ),
        ("|avg_pool_3x3~0|+|nor_conv_1x1~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|", ("tss", 0)),
        ("8:8:8:8:8", ("sss", 0)),
    ],
)
def test_how_an_architecture_is_named(text: str, expected: tuple[str, int]) -> None:
    assert architecture(text) == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("9930", "'9930' names no space; write tss/9930 or sss/9930"),
        ("tss/15625", "'15625' is no architecture of tss"),
        ("dss/1", "names no space"),
    ],
)
def test_what_names_none(text: str, said: str) -> None:
    with pytest.raises(NatsdbError, match=re.escape(said)):
        architecture(text)


def test_how_several_are_named() -> None:
    assert architectures("0-3,1462,2", "tss") == ("tss", [0, 1, 2, 3, 1462])
    assert architectures("tss/0-2, 9930") == ("tss", [0, 1, 2, 9930])
    assert architectures("tss/3,tss/2", "tss") == ("tss", [3, 2])
    assert architectures("sss/64:64:64:64:64") == architectures("64:64:64:64:64") == ("sss", [32_767])
    assert len(architectures("all", "sss")[1]) == len(architectures("sss/all")[1]) == 32_768
    for text, space, said in (
        ("all", "xxx", "there is no space 'xxx'; choose tss or sss"),
        ("0-99", None, "'0-99' names no space; write tss/0-99 or sss/0-99"),
        ("tss/3", "sss", "'tss/3' is of tss, and the space is to be sss"),
        ("tss/1,sss/2", None, "'sss/2' is no index or range; write architectures as in 0-99,1462"),
        ("tss/0-15625", None, "index 15625 is outside the space tss"),
        ("tss/20000", None, "index 20000 is outside the space tss"),  # not digits without their leading zeros
        *((text, "tss", f"{part!r} is no index or range") for text, part in (("", ""), ("a", "a"), ("3-", "3-"))),
        ("1,,2", "tss", "'' is no index or range"),
        ("5-3", "tss", "'5-3' is no index or range"),
        ("64:64:64:64:64", "tss", "'64:64:64:64:64' is no architecture of tss"),
    ):
        with pytest.raises(NatsdbError, match=re.escape(said)):
            architectures(text, space)


def test_all_of_it_is_shown() -> None:
    shown = natsdb.show("tss/9930", BUILTIN, dataset="cifar100")
    places = {(hp, dataset, split): place for hp, dataset, split, place, *_ in shown.accuracies.rows()}
    assert places["200", "cifar100", "x-test"] == 1
    assert places["200", "cifar10-valid", "x-valid"] == 2
    expected = natsdb.query("select count(*) from measure where space = 'tss' and arch = 9930", BUILTIN).item()
    assert sum(shown.measures.drop("name").count().row(0)) == expected
    assert shown.alike == (9930,)
    assert len(shown.neighbours) == 24
    own = shown.accuracies.filter(hp="200", dataset="cifar100", split="x-valid")["accuracy"].item()
    assert shown.around == "cifar100, x-valid, hp 200"
    near = shown.neighbours
    assert near["better"].to_list() == [accuracy > own for accuracy in near["accuracy"]]
    assert near["accuracy"].is_sorted(descending=True)
    text = str(shown)
    assert "15,625 of 15,625" in text
    assert "0 of 24 neighbours whose accuracy is known are better (cifar100, x-valid, hp 200)" in text


def test_equals_are_those_of_its_class() -> None:
    shown = natsdb.show("tss/0", BUILTIN)
    expected = natsdb.query(
        "select other.arch from arch as other join arch as own using (space, canonical) "
        "where space = 'tss' and own.arch = 0",
        BUILTIN,
    )["arch"].to_list()
    assert sorted(shown.alike) == sorted(expected)
    assert len(expected) > 1
    others = [arch for arch in expected if arch != 0]
    assert f"computes the same function as {others[0]}" in str(shown)


def test_a_space_without_accuracies_is_shown_too() -> None:
    text = str(natsdb.show("sss/5", BUILTIN))
    assert "the database knows no accuracy of it" in text
    assert "flops" in text
    assert "neighbours" not in text


def test_the_cell_in_characters() -> None:
    # Architecture 1: every longer edge on a line of its own, under where it starts.
    lines = cell_text("tss", 1).splitlines()
    assert [re.sub("[╰─▶ ]|[123]$", "", line) for line in lines[1:]] == ["nor_conv_3x3", "skip_connect", "nor_conv_3x3"]
    assert [line.rstrip()[-1] for line in lines] == ["3", "2", "3", "3"]
    assert lines[0].index("1") == lines[3].index("╰")
    nothing = natsdb.query(
        "select arch from arch where arch_str = '|none~0|+|none~0|none~1|+|none~0|none~1|none~2|'", BUILTIN
    )
    assert "─ none" not in cell_text("tss", nothing.item())
    assert "┄ none" in cell_text("tss", nothing.item())
    assert cell_text("sss", 0).splitlines()[0] == "layer_0  █████ 8"


@pytest.mark.parametrize(("space", "arch", "labels"), [("tss", 1, 6), ("sss", 7, 5)])
def test_the_picture_has_every_part(space: str, arch: int, labels: int, tmp_path: Path) -> None:
    tree = ElementTree.fromstring(save(cell(space, arch), tmp_path / "cell.svg").read_text())
    texts = [one.text for one in tree.iter("{http://www.w3.org/2000/svg}text")]
    parts = natsdb.query(
        "select coalesce(ops, channels::varchar[]) as parts from arch where space = ? and arch = ?",
        [space, arch],
        db=BUILTIN,
    )
    for part in parts["parts"].item().to_list():
        assert part in texts
    assert sum(text in parts["parts"].item().to_list() for text in texts) == labels


def test_the_commands(tmp_path: Path) -> None:
    shown = CliRunner().invoke(app, ["show", "tss/9930", "--db", str(BUILTIN)])
    assert (shown.exit_code, "nor_conv_3x3" in shown.stdout) == (0, True)
    drawn = CliRunner().invoke(app, ["plot", "cell", "tss/9930", "-o", str(tmp_path / "cell.png")])
    assert drawn.exit_code == 0
    assert (tmp_path / "cell.png").read_bytes().startswith(b"\x89PNG")
    missed = CliRunner().invoke(app, ["show", "tss/99999", "--db", str(BUILTIN)])
    assert (missed.exit_code, missed.stdout) == (1, "")
    assert "'99999' is no architecture of tss" in missed.stderr
