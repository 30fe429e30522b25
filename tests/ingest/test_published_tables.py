"""Published tables of results as a source of a database."""

from __future__ import annotations

import re
from pathlib import Path

import polars as pl
import pytest

import natsdb
from databases import contents
from natsdb import api
from natsdb.compare import compare
from natsdb.ingest import export, ingest
from natsdb.schema.errors import Contradiction, NatsdbError


@pytest.fixture(scope="module")
def tables(test_data: Path) -> list[Path]:
    """The real published tables: final accuracies of all topologies, by seed at 200 epochs, means at 12."""
    return [test_data / "published" / f"{name}.parquet" for name in ("tss_hp200_final_per_seed", "tss_hp12_means")]


@pytest.fixture(scope="module")
def published_db(tables: list[Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    home = tmp_path_factory.mktemp("published") / "db"
    ingest(tables, home)
    return home


def _small(**columns: object) -> pl.DataFrame:
    key = {"space": "tss", "hp": "200", "arch": [0, 11], "dataset": "cifar100", "split": "ori-test"}
    return pl.DataFrame(key | {"accuracy": [1.5, 2.5]} | columns)


def test_every_published_accuracy_and_time_is_in_the_database(published_db: Path, tables: list[Path]) -> None:
    rows = natsdb.query(
        "select arch, dataset, seed, split, accuracy, train_seconds * 200 as seconds, params from final "
        "join cost using (source, space, hp, arch, dataset, seed) where hp = '200' order by all",
        published_db,
    )
    table = pl.read_parquet(tables[0])
    expected = table.select("arch", "dataset", "seed", "split", "accuracy", "train_all_time", "params_mb")
    expected = expected.sort(expected.columns[:4])
    assert rows.select("arch", "dataset", "seed", "split", "accuracy").rows() == expected[:, :5].rows()
    assert (rows["params"] == expected["params_mb"]).all()
    assert ((rows["seconds"] - expected["train_all_time"]).abs() < 1e-9).all()
    means = pl.read_parquet(tables[1])
    for column, dataset, split in (
        ("cifar10_val", "cifar10-valid", "x-valid"),
        ("imagenet_test", "ImageNet16-120", "x-test"),
    ):
        mine = natsdb.query(
            f"select accuracy from best('{dataset}', '{split}', '12', k := 20000) order by arch", published_db
        )
        assert mine["accuracy"].to_list() == means.sort("arch")[column].to_list()
    assert natsdb.query("select distinct epoch from metric order by 1", published_db)["epoch"].to_list() == [11, 199]


def test_official_records_and_the_published_table_agree(published_db: Path, real_db: Path) -> None:
    ask = (
        "select arch, dataset, seed, split, accuracy from final where space = 'tss' and hp = '200' and arch in (0, 11) "
        "and split = if(dataset = 'cifar10-valid', 'x-valid', 'ori-test') and dataset != 'cifar10' order by all"
    )
    mine, official = (natsdb.query(ask, home) for home in (published_db, real_db))
    assert mine[:, :4].equals(official[:, :4])
    assert ((mine["accuracy"] - official["accuracy"]).abs() < 1e-12).all()


def test_the_known_best_accuracies_come_out(published_db: Path) -> None:
    # Optimal on CIFAR-10's validation images: 91.61 (Dong et al. 2021, Table 4).
    best = natsdb.query(
        "select max(accuracy) from full_accuracy where dataset = 'cifar10' and role = 'valid'", published_db
    )
    assert round(best.item(), 2) == 91.61


def test_all_roles_of_a_data_set_are_judged_at_one_schedule(published_db: Path) -> None:
    # At 12 epochs there are test accuracies too, but none at 200.
    rows = natsdb.query("select distinct dataset, role, hp from full_accuracy order by all", published_db).rows()
    assert rows == [("ImageNet16-120", "both", "200"), ("cifar10", "valid", "200"), ("cifar100", "both", "200")]


def test_the_same_table_again_changes_nothing(published_db: Path, tables: list[Path]) -> None:
    before = contents(published_db)
    assert not ingest(tables, published_db).changed
    assert contents(published_db) == before


def test_a_table_beside_official_rows(official: dict[str, Path], tables: list[Path], tmp_path: Path) -> None:
    ingest([official["tss"]], tmp_path / "db")
    ingest([tables[1]], tmp_path / "db")
    sources = natsdb.query("select distinct source from seed order by 1", tmp_path / "db")["source"].to_list()
    assert sources == ["official", "published"]
    # Means beside records are no runs of their own.
    seeds = natsdb.query(
        "select seeds from mean_final where arch = 0 and hp = '12' and dataset = 'cifar100'", tmp_path / "db"
    )
    assert seeds["seeds"].unique().to_list() == [1]
    alone = natsdb.query(
        "select seeds from mean_final where arch = 1 and hp = '12' and dataset = 'cifar100'", tmp_path / "db"
    )
    # Of how many seeds a mean is, nobody says.
    assert alone["seeds"].unique().to_list() == [None]
    # The facade and export know the records only.
    handle = api.create(str(tmp_path / "db"), "tss", fast_mode=True, verbose=False)
    assert handle.get_more_info(0, "cifar10-valid", hp="12", is_random=False)["valid-accuracy"] > 0
    with pytest.raises(NatsdbError, match="rows of source 'published' are of a published table: no official record"):
        export(tmp_path / "out", "tss", tmp_path / "db", source="published")


def test_a_database_of_tables_only_has_nothing_for_the_legacy_api(published_db: Path) -> None:
    with pytest.raises(NatsdbError, match="it holds nothing of the space tss"):
        api.create(str(published_db), "tss", fast_mode=True, verbose=False)


def test_other_numbers_are_refused_or_replaced(tmp_path: Path) -> None:
    _small().write_parquet(tmp_path / "a.parquet")
    _small(accuracy=[1.5, 3.5]).write_parquet(tmp_path / "b.parquet")
    ingest([tmp_path / "a.parquet"], tmp_path / "db")
    before = contents(tmp_path / "db")
    with pytest.raises(
        NatsdbError, match=r"architecture 11, cifar100, seed 0: accuracy.* is 3.5, the database holds 2.5"
    ):
        ingest([tmp_path / "b.parquet"], tmp_path / "db")
    assert contents(tmp_path / "db") == before
    assert ingest([tmp_path / "b.parquet"], tmp_path / "db", replace=True).changed
    assert natsdb.query("select accuracy from final order by arch", tmp_path / "db")["accuracy"].to_list() == [1.5, 3.5]


def _costs(home: Path) -> list[tuple[object, ...]]:
    return natsdb.query("select arch, train_seconds, params, latency from cost order by all", home).rows()


@pytest.mark.parametrize("together", [True, False])
def test_tables_of_other_splits_make_one_run_with_both(tmp_path: Path, together: bool) -> None:
    seeded = {"seed": 777, "train_all_time": [200.0, None]}
    _small(**seeded, latency=[None, 0.013]).write_parquet(tmp_path / "a.parquet")
    other = _small(seed=777, split="x-valid", accuracy=[3.5, 4.5], params_mb=[0.5, None], train_all_time=[200.001, 9.0])
    pl.concat([other, other.with_columns(seed=888, accuracy=6.5)], how="diagonal_relaxed").write_parquet(
        tmp_path / "b.parquet"
    )
    tables = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    home = tmp_path / "db"
    for some in [tables] if together else [[table] for table in tables]:
        assert ingest(some, home).changed
    rows = "select arch, seed, split, accuracy from {} order by all"
    expected = [
        (0, 777, "ori-test", 1.5),
        (0, 777, "x-valid", 3.5),
        (0, 888, "x-valid", 6.5),
        (11, 777, "ori-test", 2.5),
        (11, 777, "x-valid", 4.5),
        (11, 888, "x-valid", 6.5),
    ]
    assert natsdb.query(rows.format("metric"), home).rows() == expected
    assert natsdb.query(rows.format("final"), home).rows() == expected
    # The first that says something counts: 200.001 s is 200 s in another rounding.
    assert _costs(home) == [
        (0, 200.0 / 200, 0.5, None),
        (0, 200.001 / 200, 0.5, None),
        (11, 9.0 / 200, None, 0.013),
        (11, 9.0 / 200, None, None),
    ]
    runs = "select arch, seed, position from seed order by all"
    assert natsdb.query(runs, home).rows() == [(0, 777, 0), (0, 888, 1), (11, 777, 0), (11, 888, 1)]
    before = contents(home)
    assert not ingest(tables, home).changed
    assert not ingest(tables, home, replace=True).changed
    assert contents(home) == before


@pytest.mark.parametrize("together", [True, False])
@pytest.mark.parametrize(
    ("columns", "said"),
    [
        ({"accuracy": [1.5, 2.51]}, "accuracy, split ori-test, epoch 199 is 2.51, {} holds 2.5"),
        ({"train_all_time": [400.0, 500.0]}, "train_seconds is 2.5, {} holds 2.0"),
        ({"latency": [None, 0.014]}, "latency is 0.014, {} holds 0.013"),
    ],
)
def test_tables_that_contradict_each_other_are_refused(
    tmp_path: Path, together: bool, columns: dict[str, object], said: str
) -> None:
    _small(train_all_time=[400.0, 400.0], latency=0.013).write_parquet(tmp_path / "a.parquet")
    _small(**columns).write_parquet(tmp_path / "b.parquet")
    tables = [tmp_path / "a.parquet", tmp_path / "b.parquet"]
    if not together:
        ingest(tables[:1], tmp_path / "db")
    holder = "a.parquet" if together else "the database"
    key = "b.parquet: tss, hp 200: architecture 11, cifar100, seed 0: "
    with pytest.raises(Contradiction, match=re.escape(key + said.format(holder))):
        ingest(tables if together else tables[1:], tmp_path / "db")


def test_the_published_tables_make_one_source(tables: list[Path], tmp_path: Path) -> None:
    folder = tables[0].parent
    report = ingest(sorted(folder.glob("*.parquet")), tmp_path / "db")
    # Parameters of 777 runs differ between two of them, as they do between seeds of the official records.
    assert [note.split(" are others")[0] for note in report.notes] == [
        "tss_hp200_valid_per_seed.parquet: its parameters of 777 runs"
    ]
    for name in ("tss_hp200_final_per_seed", "tss_hp200_valid_per_seed", "tss_hp200_test_means"):
        mine = natsdb.scan("final", tmp_path / "db").filter(pl.col("hp") == "200").collect()
        theirs = pl.read_parquet(folder / f"{name}.parquet").select("arch", "dataset", "seed", "split", "accuracy")
        both = theirs.join(mine, on=["arch", "dataset", "seed", "split"], suffix="_here")
        assert len(both) == len(theirs)
        assert (both["accuracy"] - both["accuracy_here"]).abs().max() <= 1e-6


@pytest.fixture
def seeds_and_means(tmp_path: Path) -> list[Path]:
    """Two tables of two architectures: a split by seed; and means of that and of another split."""
    tables = {
        "seeds": [_small(seed=777), _small(seed=888, accuracy=[3.5, 4.5])],
        "means": [_small(accuracy=[90.0, 91.0]), _small(split="x-valid", accuracy=[5.5, 6.5])],
    }
    for name, frames in tables.items():
        pl.concat(frames).write_parquet(tmp_path / f"{name}.parquet")
    return [tmp_path / f"{name}.parquet" for name in tables]


def test_more_info_answers_of_seeds_and_of_means(seeds_and_means: list[Path], tmp_path: Path) -> None:
    ingest(seeds_and_means, tmp_path / "db")
    row = natsdb.query("from more_info('tss', 11, 'cifar100', '200')", tmp_path / "db").row(0, named=True)
    # A split that has seeds is the mean over these; one of a mean only is there too.
    assert {key: value for key, value in row.items() if value is not None} == {
        "valid-accuracy": 6.5,
        "valtest-accuracy": (2.5 + 4.5) / 2,
    }


def test_compare_takes_a_mean_only_where_there_are_no_seeds(seeds_and_means: list[Path], tmp_path: Path) -> None:
    home = tmp_path / "db"
    mine = pl.concat([_small(accuracy=[2.5, 3.5]), _small(split="x-valid", accuracy=[5.0, 6.0])])
    mine.write_parquet(tmp_path / "mine.parquet")
    ingest([tmp_path / "mine.parquet"], home, source="mine")
    ingest(seeds_and_means, home)

    def differences(other: str | Path) -> dict[str, float]:
        found = compare(home, source="mine", other=other)
        assert set(found["archs"]) == {2}
        return dict(found.select("split", "mean_difference").rows())

    assert differences("published") == {"ori-test": 0.0, "x-valid": -0.5}
    assert differences(seeds_and_means[0]) == {"ori-test": 0.0}
    assert differences(seeds_and_means[1]) == {"ori-test": -87.5, "x-valid": -0.5}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        (
            _small().drop("split"),
            "it has the columns space, hp, arch, dataset, accuracy; a published table has space, hp",
        ),
        (_small(arch=[0, 15_625]), "architectures 0 to 15625 go beyond tss; it has 0 to 15624"),
        (_small(hp="90"), "there is no schedule '90' of space 'tss'"),
        (_small(split="x-rest"), "cifar100 has no split 'x-rest'; see the table `dataset`"),
        (_small(accuracy=[1.0, 101.0]), "an accuracy is 101.0; accuracies are in percent"),
        (_small(arch=[0, 0]), "a run's split has two rows; tell runs apart by a column seed"),
        (_small(train_all_time=[0.0, 3.0]), "a training lasts no time; train_all_time is in seconds"),
        (
            _small(arch=[11, 11], seed=[0, 777]),
            "architecture 11, cifar100, ori-test has seed 0 beside others, and 0 stands for a mean over seeds; "
            "leave out means where there are runs, and give a run whose seed is 0 another number",
        ),
        (_small(arch=["a", "b"]), "a column has other values"),
        (_small(accuracy=[None, None]), "it has no accuracies"),
    ],
)
def test_a_table_that_is_none_is_refused_in_one_sentence(tmp_path: Path, table: pl.DataFrame, said: str) -> None:
    table.write_parquet(tmp_path / "table.parquet")
    with pytest.raises(NatsdbError) as caught:
        ingest([tmp_path / "table.parquet"], tmp_path / "db")
    assert str(caught.value).startswith(f"{tmp_path / 'table.parquet'}: {said}")
    assert not (tmp_path / "db" / "natsdb.json").exists()


def test_sources_of_records_and_of_tables_stay_apart(official: dict[str, Path], tmp_path: Path) -> None:
    _small().write_parquet(tmp_path / "a.parquet")
    (tmp_path / "broken.parquet").write_bytes(b"no parquet")
    with pytest.raises(NatsdbError, match="the Parquet file cannot be read"):
        ingest([tmp_path / "broken.parquet"], tmp_path / "db")
    with pytest.raises(NatsdbError, match="published tables, blackboxes and archives are of different sources"):
        ingest([tmp_path / "a.parquet", official["sss"]], tmp_path / "db")
    ingest([tmp_path / "a.parquet"], tmp_path / "db", source="mine")
    with pytest.raises(NatsdbError, match="its rows of source 'mine' are of a published table"):
        ingest([official["sss"]], tmp_path / "db", source="mine")
    ingest([official["sss"]], tmp_path / "db", source="other")
    with pytest.raises(NatsdbError, match="its rows of source 'other' are those of records"):
        ingest([tmp_path / "a.parquet"], tmp_path / "db", source="other")
