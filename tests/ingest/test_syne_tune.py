"""Syne Tune's blackbox: curves to the bit, imputed runs left out, and given back as Syne Tune writes it."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import polars as pl
import pytest

import archives
import natsdb
from databases import contents
from natsdb.api import create
from natsdb.ingest import export, ingest
from natsdb.schema.errors import NatsdbError
from natsdb.store.snapshot import read_manifest
from sources import add_table

# Not in order, of two blocks; some have three seeds, others two.
ARCHS = (1, 0, 33, 2000, 100, 101)
TASKS = ("cifar10", "cifar100", "ImageNet16-120")


@pytest.fixture(scope="module")
def box(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return archives.write_blackbox(tmp_path_factory.mktemp("box") / "nasbench201", ARCHS, tasks=TASKS)


@pytest.fixture(scope="module")
def home(box: Path) -> Path:
    report = ingest([box], box.parent / "db")
    left_out = 3 * sum(("cifar10", 999) not in archives.record("tss", arch)["200"]["all_results"] for arch in ARCHS)
    assert left_out > 0
    assert report.notes == [f"{left_out:,} runs were left out: each is the mean of its architecture's others"]
    assert report.archs == len(ARCHS)
    return box.parent / "db"


def test_curves_are_what_was_measured_and_on_ori_test(home: Path) -> None:
    assert {(one.kind, one.source) for one in read_manifest(home).ingests} == {("syne-tune", "syne-tune")}
    rows = natsdb.query("select distinct hp, dataset, seed, split, source from metric order by all", home)
    assert set(rows["split"]) == {"train", "ori-test"}
    for arch in (0, 100):
        found = archives.record("tss", arch)["200"]["all_results"]
        for dataset, seed in found:
            if dataset == "cifar10-valid":
                continue
            ask = f"from metric where arch = {arch} and dataset = '{dataset}' and seed = {seed} and split = 'ori-test'"
            mine = natsdb.query(f"select accuracy {ask} order by epoch", home)["accuracy"].to_numpy()
            run = found[dataset, seed]["eval_acc1es"]
            error = np.array([1 - run[f"ori-test@{epoch}"] / 100 for epoch in range(200)]).astype(np.float32)
            assert ((1 - mine / 100).astype(np.float32) == error).all()
    seeds = natsdb.query("select arch, seed from seed where dataset = 'cifar10' order by all", home).rows()
    expected = [
        (arch, seed)
        for arch in sorted(ARCHS)
        for dataset, seed in sorted(archives.record("tss", arch)["200"]["all_results"])
        if dataset == "cifar10"
    ]
    assert seeds == expected


def test_sql_answers_and_legacy_handles_say_what_is_missing(home: Path, alone: None) -> None:
    best = natsdb.query("from best('cifar100', 'ori-test', '200', k := 1)", home).row(0, named=True)
    assert (best["source"], best["coverage"]) == ("syne-tune", "6 of 15,625")
    assert len(natsdb.query("from curve('tss', 33, 'cifar10', '200')", home)) == 200 * len(
        natsdb.query("from seed where arch = 33 and dataset = 'cifar10'", home)
    )
    with pytest.raises(NatsdbError, match="it holds nothing of the space tss; it holds tss from syne-tune"):
        create(str(home), "tss", fast_mode=True, verbose=False)


def test_its_curves_count_beside_a_published_table(home: Path, tmp_path: Path, alone: None) -> None:
    shutil.copytree(home, tmp_path / "db")
    add_table(tmp_path / "db", hp="200", arch=33, seed=777)
    chosen = natsdb.query("from chosen_metric where arch = 33 and dataset = 'cifar100' and seed = 777", tmp_path / "db")
    assert (len(chosen), set(chosen["source"])) == (400, {"syne-tune"})
    final = natsdb.query("from chosen_final where arch = 33 and dataset = 'cifar100'", tmp_path / "db")
    assert final["accuracy"].to_list() == [99.0]


def test_it_comes_back_as_it_was(box: Path, home: Path, tmp_path: Path) -> None:
    made = export(tmp_path / "back", "tss", home, format="syne-tune")
    order = np.argsort(ARCHS)
    mine, theirs = (np.load(one / "objectives_evaluations.npy") for one in (made, box))
    assert mine.dtype == np.float32
    assert np.array_equal(mine, theirs[:, order])
    tables = [pl.read_parquet(one / "hyperparameters.parquet") for one in (made, box)]
    assert tables[0].equals(tables[1][order])
    # And of official records it is what Syne Tune makes of them.
    folder = archives.write_folder(tmp_path / "records", "tss", ARCHS)
    ingest([folder], tmp_path / "official")
    other = export(tmp_path / "other", "tss", tmp_path / "official", format="syne-tune", source="official")
    assert np.array_equal(np.load(other / "objectives_evaluations.npy"), mine)
    ingest([made], tmp_path / "again")
    one, two = (
        {path: data for path, data in contents(db).items() if path.startswith(("metric", "final", "cost"))}
        for db in (tmp_path / "again", home)
    )
    assert one == two


@pytest.mark.filterwarnings("ignore:The inplace keyword")  # of pandas, by Syne Tune
def test_syne_tune_itself_writes_what_is_read_and_reads_what_is_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    tabular = pytest.importorskip("syne_tune.blackbox_repository.blackbox_tabular", reason="syne-tune is not installed")
    pd = pytest.importorskip("pandas")
    scripts = "syne_tune.blackbox_repository.conversion_scripts.scripts.nasbench201_import"
    recipe = pytest.importorskip(scripts, reason="syne-tune is not installed")
    # It asks for fastparquet, which need not be there.
    write, read = pd.DataFrame.to_parquet, pd.read_parquet
    monkeypatch.setattr(pd.DataFrame, "to_parquet", lambda self, path, **how: write(self, path, index=how["index"]))
    monkeypatch.setattr(pd, "read_parquet", lambda path, **_: read(path))
    records = {arch: archives.record("tss", arch) for arch in range(3)}
    converted = {task: recipe.convert_dataset({"total_archs": 3, "arch2infos": records}, task) for task in TASKS}
    theirs = tmp_path / "nasbench201"
    tabular.serialize(converted, str(theirs), {"time_attr": recipe.TIME_ATTR})
    ingest([theirs], tmp_path / "db")
    made = export(tmp_path / "back", "tss", tmp_path / "db", format="syne-tune")
    # And what the tests write is what it writes.
    for other in (made, archives.write_blackbox(tmp_path / "ours", range(3), tasks=TASKS)):
        for name in ("objectives_evaluations.npy", "fidelities_values.npy"):
            assert np.array_equal(np.load(other / name), np.load(theirs / name))
    read_back = tabular.deserialize(str(made))
    for task, box in tabular.deserialize(str(theirs)).items():
        mine = read_back[task]
        assert mine.hyperparameters.equals(box.hyperparameters)
        assert mine.objectives_names == box.objectives_names
        assert str(mine.fidelity_space) == str(box.fidelity_space)
        assert {name: set(one.categories) for name, one in mine.configuration_space.items()} == {
            name: set(one.categories) for name, one in box.configuration_space.items()
        }
        asked = {"configuration": dict(box.hyperparameters.iloc[2]), "fidelity": {"hp_epoch": 100}, "seed": 1}
        assert mine.objective_function(**asked) == box.objective_function(**asked)


def test_what_is_no_such_blackbox_is_said(box: Path, tmp_path: Path) -> None:
    about = json.loads((box / "metadata.json").read_text())

    def changed(name: str, data: bytes | None) -> Path:
        folder = tmp_path / f"{len(list(tmp_path.iterdir()))}"
        shutil.copytree(box, folder)
        (folder / name).unlink()
        if data is not None:
            (folder / name).write_bytes(data)
        return folder

    other = pl.DataFrame({"hp_activation": ["relu"]})
    other.write_parquet(tmp_path / "other.parquet")
    twice = pl.read_parquet(box / "hyperparameters.parquet")[[0] * len(ARCHS)]
    twice.write_parquet(tmp_path / "twice.parquet")
    values = (box / "objectives_evaluations.npy").read_bytes()
    for folder, said in (
        (changed("metadata.json", None), r"metadata\.json: it cannot be read .*; take the folder from Syne Tune's"),
        (changed("metadata.json", b"{}"), r"metadata\.json: it cannot be read .*objectives_names"),
        (
            changed("metadata.json", json.dumps({**about, "task_names": ["mnist"]}).encode()),
            "are not those of nasbench201",
        ),
        (
            changed("metadata.json", json.dumps({**about, "task_names": ["cifar10"]}).encode()),
            r"its shape is \(3, 6, 3",
        ),
        (
            changed("hyperparameters.parquet", (tmp_path / "other.parquet").read_bytes()),
            "the columns hp_activation; name",
        ),
        (
            changed("hyperparameters.parquet", (tmp_path / "twice.parquet").read_bytes()),
            "not architectures of tss, once",
        ),
        (changed("objectives_evaluations.npy", values[:-100]), r"objectives_evaluations\.npy: it cannot be read"),
        (changed("fidelities_values.npy", values), "its epochs are not 1 to 200"),
    ):
        with pytest.raises(NatsdbError, match=said):
            ingest([folder], tmp_path / "db")
        assert not (tmp_path / "db" / "natsdb.json").exists()
    with pytest.raises(NatsdbError, match="published tables, blackboxes and archives are of different sources; ingest"):
        ingest([box, tmp_path / "other.parquet"], tmp_path / "db")
