"""The computed catalogue against the official files and the published figures."""

from __future__ import annotations

import bz2
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from natsdb.schema.catalogue import catalogue_tables, own_schedules
from natsdb.schema.costs import costs
from natsdb.schema.errors import NatsdbError
from natsdb.schema.schedules import learning_rate
from natsdb.schema.spaces import SPACES, arch_index, arch_str, strings
from natsdb.schema.tables import TABLES, arrow_schema
from natsdb.schema.topology import canonical_tss


def test_schedules_of_ones_own_are_those_that_no_space_has() -> None:
    used = [
        ("tss", "200"),
        ("tss", "600"),
        ("tss", "90"),
        ("sss", "200"),
        ("sss", "sixty"),
        ("sss", "012"),
        ("toy", "7"),
    ]
    assert own_schedules(used) == {("tss", "600"), ("tss", "90"), ("sss", "200")}


@pytest.mark.parametrize("space", ["tss", "sss"])
def test_every_string_is_the_official_one_at_its_index(space: str, official: dict[str, Path]) -> None:
    meta = pickle.loads(bz2.decompress((official[space] / "meta.pickle.pbz2").read_bytes()))
    assert list(strings(space)) == meta["meta_archs"]
    assert SPACES[space].size == meta["total_archs"]


def test_topologies_fall_into_6466_classes_named_after_their_lowest_index() -> None:
    canonical = canonical_tss()
    assert len(set(canonical)) == 6466
    assert all(low <= arch and canonical[low] == low for arch, low in enumerate(canonical))


@pytest.mark.parametrize("dataset", ["cifar10-valid", "cifar100", "ImageNet16-120"])
def test_parameters_equal_the_published_ones_save_150_known_topologies(dataset: str, test_data: Path) -> None:
    published = pl.read_parquet(test_data / "published" / "tss_hp200_final_per_seed.parquet").filter(
        pl.col("dataset") == dataset
    )
    assert len(published) == 39_419
    arch = published["arch"].to_numpy()
    # The published table holds those of CIFAR-10's classifier or the data set's own, by data set.
    expected = costs("tss", dataset)[1][arch]
    differ = np.abs(published["params_mb"].to_numpy() - expected) > 1e-9
    lines = (Path(__file__).parent / "known_param_exceptions.txt").read_text().splitlines()
    known = {int(number) for line in lines if not line.startswith("#") for number in line.split()}
    assert set(arch[differ].tolist()) == known
    assert len(known) == 150
    assert differ.sum() == 445


def test_costs_equal_those_of_the_real_records(real_records: dict[tuple[str, int], Any]) -> None:
    seen = 0
    for (space, arch), record in real_records.items():
        for result in record.values():
            for (dataset, _), run in result["all_results"].items():
                flops, params = costs(space, dataset)
                assert run["flop"] == pytest.approx(flops[arch], abs=1e-6)
                assert run["params"] == pytest.approx(params[arch], abs=1e-7)
                seen += 1
    assert seen == 2 * 17 + 2 * 20


@given(st.sampled_from(["tss", "sss"]), st.data())
def test_index_and_string_are_inverse(space: str, data: st.DataObject) -> None:
    arch = data.draw(st.integers(0, SPACES[space].size - 1))
    assert arch_index(space, arch_str(space, arch)) == arch


def test_a_string_that_is_nearly_right_is_answered_with_the_right_one() -> None:
    with pytest.raises(NatsdbError, match="did you mean '8:8:8:16:32'"):
        arch_index("sss", "8:8:8:16:33")
    with pytest.raises(NatsdbError, match="strings look like '8:8:8:8:8'"):
        arch_index("sss", "resnet")
    with pytest.raises(NatsdbError, match="outside the space tss"):
        arch_str("tss", 15_625)


def test_learning_rates_are_those_of_the_recipe() -> None:
    assert learning_rate("01", 0) == 0.1
    assert learning_rate("12", 11) == pytest.approx(0.0017037, abs=1e-7)
    assert learning_rate("90", 89) == pytest.approx(3.046e-5, abs=1e-8)
    assert learning_rate("200", 199) == pytest.approx(6.168e-6, abs=1e-9)


def test_catalogue_tables_are_whole_sorted_and_of_their_schema() -> None:
    tables = catalogue_tables()
    assert {name: len(table) for name, table in tables.items()} == {
        "arch": 48_393,
        "arch_cost": 4 * 48_393,
        "dataset": 13,
        "epoch": 12 + 200 + 1 + 12 + 90,
    }
    for name, table in tables.items():
        assert table.schema.equals(arrow_schema(name))
        frame = pl.DataFrame(pl.from_arrow(table))
        assert frame.select(TABLES[name].key).equals(frame.select(TABLES[name].key).unique().sort(TABLES[name].key))
        assert frame.select(TABLES[name].key).null_count().sum_horizontal().item() == 0
