"""The same source again, more architectures, and sources that contradict the database."""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import pytest

import natsdb
from databases import contents
from natsdb.ingest import ingest, verify
from natsdb.schema.errors import NatsdbError
from natsdb.store.snapshot import read_manifest
from natsdb.store.staging import Receipt, Staging, write_receipt


def test_the_same_source_again_changes_nothing_and_says_so(few: Path, tmp_path: Path) -> None:
    assert ingest([few], tmp_path / "db").changed
    before = contents(tmp_path / "db")
    assert not ingest([few], tmp_path / "db").changed
    (few / "000000.pickle.pbz2").touch()  # another time of change: it is read again, and found equal
    assert not ingest([few], tmp_path / "db").changed
    after = contents(tmp_path / "db")
    before.pop("natsdb.json")
    after.pop("natsdb.json")
    assert after == before


def test_adding_in_two_steps_equals_adding_at_once(few: Path, tmp_path: Path) -> None:
    part = tmp_path / "few2" / "few"
    part.mkdir(parents=True)
    shutil.copy(few / "000020.pickle.pbz2", part)
    ingest([part], tmp_path / "steps")
    ingest([few], tmp_path / "steps")
    ingest([few], tmp_path / "once")
    steps, once = contents(tmp_path / "steps"), contents(tmp_path / "once")
    steps.pop("natsdb.json")
    once.pop("natsdb.json")
    assert steps == once


def _one_accuracy_more(record: Any) -> None:
    record["90"]["all_results"]["cifar10", 777]["eval_acc1es"]["ori-test@89"] += 0.5


def test_a_contradiction_is_named_and_refused(few: Path, tmp_path: Path, rewritten: Any) -> None:
    ingest([few], tmp_path / "db")
    before = contents(tmp_path / "db")
    rewritten(few / "000040.pickle.pbz2", _one_accuracy_more)
    with pytest.raises(NatsdbError) as caught:
        ingest([few], tmp_path / "db")
    assert "architecture 40, cifar10, seed 777: accuracy, split ori-test, epoch 89 is" in str(caught.value)
    assert "hp 90" in str(caught.value)
    assert "--replace" in str(caught.value)
    after = contents(tmp_path / "db")
    assert {path: data for path, data in after.items() if not path.startswith(".ingest")} == before


def _cost(name: str, value: Any) -> Any:
    def change(record: Any) -> None:
        record["90"]["all_results"]["cifar10", 777][name] = value

    return change


@pytest.mark.parametrize(
    ("before", "after", "said"),
    [
        (_cost("flop", 10.0), _cost("flop", 10.5), "flops is 10.5, the database holds 10.0"),
        (_cost("params", 0.25), _cost("params", 0.25000000000000006), "params is 0.2500000000000"),
        (_cost("latency", []), _cost("latency", [0.0]), "latency is 0.0, the database holds None"),
        (_cost("latency", [0.0]), _cost("latency", []), "latency is None, the database holds 0.0"),
        (_cost("latency", [0.0]), _cost("latency", [-0.0]), "latency is -0.0, the database holds 0.0"),
    ],
)
def test_a_contradiction_in_a_cost_is_refused(
    few: Path, tmp_path: Path, rewritten: Any, before: Any, after: Any, said: str
) -> None:
    for path in sorted(few.iterdir())[1:]:
        path.unlink()
    file = next(few.iterdir())
    rewritten(file, before)
    ingest([few], tmp_path / "db")
    rewritten(file, after)
    with pytest.raises(NatsdbError, match=f"architecture 0, cifar10, seed 777: {re.escape(said)}"):
        ingest([few], tmp_path / "db")


def test_a_receipt_whose_files_are_gone_counts_for_nothing(few: Path, tmp_path: Path) -> None:
    """What an interrupted ingest staged may be swept away by the system before it goes on."""
    ingest([few], tmp_path / "db")
    manifest = read_manifest(tmp_path / "db")
    staging = Staging(tmp_path / "db", "again")
    receipt = Receipt([], [manifest.parts[-1]], [], [0], 1, [])
    write_receipt(staging.folder, "block", receipt)
    assert staging.receipt("block", []) == receipt
    assert staging.receipt("block", ["another"]) is None
    (tmp_path / "db" / manifest.parts[-1].path).unlink()
    assert staging.receipt("block", []) is None


def test_replace_takes_the_new_rows(few: Path, tmp_path: Path, rewritten: Any) -> None:
    ingest([few], tmp_path / "db")
    rewritten(few / "000040.pickle.pbz2", _one_accuracy_more)
    assert ingest([few], tmp_path / "db", replace=True).changed
    assert verify(few, tmp_path / "db").count == 0
    ingest([few], tmp_path / "fresh")
    # Nothing old is left behind; runs that were equal keep their provenance in seed.
    replaced, fresh = (
        sorted(path.split("/block")[0] if path.startswith("seed/") else path for path in contents(tmp_path / name))
        for name in ("db", "fresh")
    )
    assert replaced == fresh


def test_another_source_lies_beside_and_official_is_preferred(few: Path, tmp_path: Path, rewritten: Any) -> None:
    ingest([few], tmp_path / "db")
    rewritten(few / "000040.pickle.pbz2", _one_accuracy_more)
    ingest([few], tmp_path / "db", source="mine")
    both = natsdb.query("select source, count(*) as n from metric group by source order by source", tmp_path / "db")
    assert both["source"].to_list() == ["mine", "official"]
    assert both["n"][0] == both["n"][1]
    ask = (
        "select source, seeds from mean_final where arch = 40 and hp = '90' and dataset = 'cifar10' and split = 'train'"
    )
    assert natsdb.query(ask, tmp_path / "db").rows() == [("official", 1)]
    assert len(natsdb.query("from curve('sss', 40, 'cifar10', '90')", tmp_path / "db")) == 90


def test_a_folder_with_other_things_is_not_taken_for_a_database(few: Path, tmp_path: Path) -> None:
    (tmp_path / "home").mkdir()
    (tmp_path / "home" / "thesis.tex").write_text("years of work")
    with pytest.raises(NatsdbError, match=r"not a natsdb database and not empty .*thesis\.tex"):
        ingest([few], tmp_path / "home")
    assert [path.name for path in (tmp_path / "home").iterdir() if path.name != ".lock"] == ["thesis.tex"]
