"""Which runs answer a legacy call where several sources have the same architecture: the same as in SQL."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest

import natsdb
from natsdb import api
from natsdb.ingest import ingest
from natsdb.schema.errors import NatsdbError
from sources import add_run, add_table


def _handle(home: Path, **options: Any) -> Any:
    return api.create(str(home), "tss", fast_mode=True, verbose=False, **options)


def _asked(handle: Any, **options: Any) -> float:
    given = {"hp": "12", "is_random": False} | options
    return handle.get_more_info(11, "cifar100", **given)["valtest-accuracy"]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "db"


def test_a_reduced_run_of_a_new_seed_changes_no_official_answer(official: dict[str, Path], home: Path) -> None:
    ingest([official["tss"]], home)
    before = _handle(home)
    calls = [
        lambda handle: handle.get_more_info(11, "cifar100", hp="12", is_random=False),
        lambda handle: handle.query_by_index(11, "cifar100", hp="12").keys(),
        lambda handle: handle.get_many([11], "cifar100", hp="12", is_random=False).rows(),
        lambda handle: handle.find_best("cifar100", "x-test", hp="12"),
        lambda handle: handle.simulate_train_eval(11, "cifar100", hp="12"),
        lambda handle: handle.statistics("cifar100", "12"),
    ]
    expected = [str(call(before)) for call in calls]
    add_run(home, images=512)
    add_run(home, accuracy=99.0, seed=1)
    assert [str(call(_handle(home))) for call in calls] == expected
    with pytest.raises(ValueError, match=r"random seed \(999\) from \[111\]"):
        _handle(home).get_more_info(11, "cifar100", hp="12", is_random=999)


def test_any_source_can_be_asked_for(official: dict[str, Path], home: Path) -> None:
    ingest([official["tss"]], home)
    add_run(home)
    handle = _handle(home, source="regenerated")
    assert _asked(handle) == 25.0
    assert _asked(pickle.loads(pickle.dumps(handle))) == 25.0
    assert handle.evaluated_indexes == {11}
    assert handle.sql("select accuracy from best('cifar100', 'ori-test', '12')").item() == 25.0
    with pytest.raises(NatsdbError, match="there are no rows of source 'regenerate'; did you mean regenerated"):
        _handle(home, source="regenerate")
    with pytest.raises(NatsdbError, match="only a database has rows of a source 'regenerated'"):
        _handle(official["tss"], source="regenerated")


def test_within_a_source_reduced_runs_count_only_alone(home: Path) -> None:
    add_run(home, seed=1, accuracy=10.0, epochs=3)
    assert _asked(_handle(home)) == 10.0
    add_run(home, seed=2, accuracy=60.0)
    assert _asked(_handle(home)) == 60.0
    assert _handle(home).get_many([11], "cifar100", hp="12", is_random=False)["valtest-accuracy"].item() == 60.0


def test_a_reduced_run_of_any_name_counts_before_a_generated_one(home: Path) -> None:
    add_run(home, accuracy=1.0, source="synthetic")
    add_run(home, accuracy=2.0, source="zoe", epochs=3)
    assert _asked(_handle(home)) == 2.0
    assert natsdb.query("select accuracy from best('cifar100', 'ori-test', '12')", home).item() == 2.0


def test_a_published_result_on_another_data_set_takes_no_result_away(home: Path) -> None:
    for arch in (11, 12):
        add_run(home, arch, images=512)
    add_table(home, dataset="cifar10")
    handle = _handle(home)
    for arch in (11, 12):
        assert handle.get_more_info(arch, "cifar100", hp="12", is_random=False)["valtest-accuracy"] == 25.0


def test_records_count_before_a_published_table(home: Path) -> None:
    add_run(home)
    add_table(home)
    assert _asked(_handle(home)) == 25.0
    assert natsdb.query("select accuracy from best('cifar100', 'ori-test', '12')", home).item() == 25.0


def test_where_a_published_result_counts_the_records_have_the_inner_epochs_only(home: Path) -> None:
    add_run(home, images=512)
    add_run(home, 7, images=512)
    add_table(home)
    handle = _handle(home)
    assert _asked(handle, iepoch=5) == 24.0
    assert handle.get_many([11], "cifar100", iepoch=5, hp="12")["valtest-accuracy"].item() == 24.0
    asked = [
        lambda: _asked(handle),
        lambda: _asked(handle, iepoch=11),
        lambda: handle.get_many([11], "cifar100", hp="12"),
        lambda: handle.find_best("cifar100", "x-test", hp="12"),
        lambda: handle.simulate_train_eval(11, "cifar100", hp="12"),
        lambda: handle.query_by_index(11, "cifar100", hp="12")[999].get_eval("ori-test"),
        lambda: handle.arch2infos_dict[11]["12"].get_metrics("cifar100", "train"),
    ]
    for ask in asked:
        with pytest.raises(NatsdbError) as caught:
            ask()
        assert str(caught.value) == (
            "the result of tss 11 on cifar100 at hp 12 comes from the published table 'published', of which no record "
            "can be made; ask for it in SQL, or for the records by their source, as in create(…, source='regenerated')"
        )
    assert handle.get_more_info(7, "cifar100", hp="12", is_random=False)["valtest-accuracy"] == 25.0
    assert _asked(_handle(home, source="regenerated")) == 25.0
    with pytest.raises(NatsdbError, match="of a published table: no official record can be made of them"):
        _handle(home, source="published")
