"""Finished runs become rows, and those an archive that the official package opens."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from statistics import fmean
from typing import Any

import nats_bench
import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'natsdb[training]'")

import archives  # noqa: E402
import natsdb  # noqa: E402
from databases import contents, weights_path  # noqa: E402
from natsdb.ingest import collect, export, ingest, verify  # noqa: E402
from natsdb.schema.errors import NatsdbError  # noqa: E402
from natsdb.training.run import train  # noqa: E402
from natsdb.training.run_files import runs_of  # noqa: E402
from pictures import write_parquet  # noqa: E402


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Runs of both spaces, two schedules, three data sets and two seeds; of few images and epochs. Read only."""
    torch.set_num_threads(1)
    folder = tmp_path_factory.mktemp("collect")
    ten, hundred = write_parquet(folder / "10", 20, 10), write_parquet(folder / "100", 100, 100, classes=100)
    for space, archs, hp, datasets, data in (
        ("sss", [1, 1100], "12", ["cifar10-valid", "cifar10"], ten),
        ("sss", [1, 1100], "12", ["cifar100"], hundred),
        ("sss", [1], "01", ["cifar10-valid"], ten),
        ("tss", [17], "200", ["cifar10-valid"], ten),
    ):
        seeds = [888, 777] if space == "sss" else [777]
        report = train(
            runs_of(space, archs, hp, datasets, seeds),
            folder / "runs",
            data,
            device="cpu",
            epochs=None if hp == "01" else 2,
            images=20,
            keep_weights=space == "tss",
        )
        assert not report.failed
    return folder / "runs"


@pytest.fixture(scope="module")
def home(runs: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of these runs. Read only."""
    database = tmp_path_factory.mktemp("collected") / "db"
    assert collect(runs, database).archs == 3
    return database


def _runs(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("*/*/*.json"))]


def test_every_number_of_every_run_is_in_the_tables(runs: Path, home: Path) -> None:
    metric = natsdb.query("select * from metric", home)
    rows = {
        (row["space"], row["hp"], row["arch"], row["dataset"], row["seed"], row["split"], row["epoch"]): row
        for row in metric.to_dicts()
    }
    count = 0
    for run in _runs(runs):
        for split, values in run["measured"].items():
            for epoch in range(run["epochs"]):
                key = tuple(run[name] for name in ("space", "hp", "arch", "dataset", "seed"))
                row = rows[(*key, split, epoch)]
                assert (row["accuracy"], row["loss"]) == (values["accuracy"][epoch], values["loss"][epoch])
                assert row["top5"] == (values["top5"][epoch] if split == "train" else None)
                count += 1
    assert count == len(metric)
    assert natsdb.query("select count(*) from final", home).item() == sum(len(run["measured"]) for run in _runs(runs))


def test_seconds_are_means_and_latency_follows_the_official_rule(runs: Path, home: Path) -> None:
    run = json.loads((runs / "sss" / "12" / "000001-cifar100-777.json").read_text())
    ask = "select * from cost where space = 'sss' and hp = '12' and arch = 1 and dataset = 'cifar100' and seed = 777"
    cost = natsdb.query(ask, home).row(0, named=True)
    assert cost["train_seconds"] == fmean(run["measured"]["train"]["seconds"])
    assert cost["x_test_seconds"] == fmean(run["measured"]["x-test"]["seconds"])
    # 20 images of each split are one batch each.
    evals = [fmean(run["measured"][split]["seconds"]) for split in ("ori-test", "x-valid", "x-test")]
    assert cost["latency"] == pytest.approx(fmean(evals), rel=1e-12)


def test_export_opens_in_the_official_package(runs: Path, home: Path, tmp_path: Path) -> None:
    for space in ("sss", "tss"):
        out = export(tmp_path / space, space, home, source="regenerated")
        api = nats_bench.create(str(out), space, fast_mode=True, verbose=False)
        for run in _runs(runs):
            if run["space"] != space:
                continue
            arch, hp, dataset, seed = run["arch"], run["hp"], run["dataset"], run["seed"]
            measured = run["measured"]
            asked = "cifar10" if dataset == "cifar10-valid" else dataset
            split = "x-valid" if "x-valid" in measured else "ori-test"
            found = api.query_by_index(arch, dataset, hp=hp)[seed]
            assert found.get_train()["accuracy"] == measured["train"]["accuracy"][-1]
            assert found.get_eval(split)["loss"] == measured[split]["loss"][-1]
            assert api.get_cost_info(arch, dataset, hp=hp)["flops"] == run["flops"]
            more = api.get_more_info(arch, dataset, hp=hp, is_random=seed)
            name = "valid-accuracy" if split == "x-valid" else "test-accuracy"
            assert more[name] == measured[split]["accuracy"][-1]
            assert api.get_net_config(arch, dataset)["num_classes"] == (100 if dataset == "cifar100" else 10)
            if dataset == "cifar100" or (dataset, hp) == ("cifar10-valid", "12"):  # for costs it asks cifar10 too
                accuracy, latency, seconds, _ = api.simulate_train_eval(arch, asked, hp=hp)
                same = runs.glob(f"{space}/{hp}/{arch:06d}-{dataset}-*.json")  # it draws a seed
                finals = [json.loads(path.read_text())["measured"]["x-valid"]["accuracy"][-1] for path in same]
                assert accuracy in finals
                assert min(latency, seconds) > 0
        seeds = {run["seed"] for run in _runs(runs) if run["space"] == space}
        assert (
            set(api.query_by_index(1 if space == "sss" else 17, "cifar10-valid", hp="12" if space == "sss" else "200"))
            == seeds
        )


def test_an_export_holds_what_was_collected_to_the_last_bit(home: Path, tmp_path: Path) -> None:
    for space in ("sss", "tss"):
        out = export(tmp_path / space, space, home, source="regenerated")
        found = verify(out, home, name="regenerated")
        assert found.numbers > 20
        assert found.count == 0


def test_collecting_again_or_in_two_steps_ends_in_the_same_files(runs: Path, home: Path, tmp_path: Path) -> None:
    before = contents(home)
    assert not collect(runs, home).changed
    assert contents(home) == before
    for path in sorted(runs.glob("*/*/*")):
        copy = tmp_path / "half" / path.relative_to(runs)
        copy.parent.mkdir(parents=True, exist_ok=True)
        if "888" not in path.name and "001100" not in path.name:
            shutil.copy(path, copy)
    collect(tmp_path / "half", tmp_path / "db")
    collect(runs, tmp_path / "db")
    after = contents(tmp_path / "db")
    assert {name: after[name] for name in before if name != "natsdb.json"} == {
        name: data for name, data in before.items() if name != "natsdb.json"
    }


def test_regenerated_rows_lie_beside_official_ones(runs: Path, tmp_path: Path) -> None:
    archives.write_folder(tmp_path / "official", "sss", [1])
    ingest([tmp_path / "official"], tmp_path / "db")
    collect(runs, tmp_path / "db")
    count = "select source, count(*) from seed where space = 'sss' and arch = 1 and hp = '12' group by all order by all"
    assert natsdb.query(count, tmp_path / "db").rows() == [("official", 12), ("regenerated", 6)]
    # Views take one source for each run, official first.
    chosen = "select distinct source from runs where space = 'sss' and arch = 1 and hp = '12'"
    assert natsdb.query(chosen, tmp_path / "db")["source"].to_list() == ["official"]


def test_weights_of_a_later_run_join_those_that_are_there(runs: Path, home: Path, tmp_path: Path) -> None:
    from safetensors.numpy import load_file

    path = weights_path(home, "regenerated", "tss", 17)
    first = load_file(path)
    assert {name.rsplit("/", 1)[0] for name in first} == {"200/cifar10-valid/777"}
    shutil.copytree(home, tmp_path / "db")
    later = tmp_path / "later" / "tss" / "200"
    later.mkdir(parents=True)
    run = json.loads((runs / "tss" / "200" / "000017-cifar10-valid-777.json").read_text())
    (later / "000017-cifar10-valid-999.json").write_text(json.dumps({**run, "seed": 999}))
    shutil.copy(runs / "tss" / "200" / "000017-cifar10-valid-777.npz", later / "000017-cifar10-valid-999.npz")
    collect(tmp_path / "later", tmp_path / "db")
    both = load_file(weights_path(tmp_path / "db", "regenerated", "tss", 17))
    assert len(both) == 2 * len(first)
    assert natsdb.query("select count(*) from seed where weights and space = 'tss'", tmp_path / "db").item() == 2


def test_a_contradiction_is_refused_and_replaced_if_asked(runs: Path, home: Path, tmp_path: Path) -> None:
    shutil.copytree(home, tmp_path / "db")
    other = tmp_path / "other" / "sss" / "12"
    other.mkdir(parents=True)
    run = json.loads((runs / "sss" / "12" / "000001-cifar10-777.json").read_text())
    run["measured"]["ori-test"]["accuracy"][1] = 12.5
    (other / "000001-cifar10-777.json").write_text(json.dumps(run))
    before = contents(tmp_path / "db")
    with pytest.raises(
        NatsdbError, match=r"architecture 1, cifar10, seed 777: accuracy, split ori-test, epoch 1 is 12\.5"
    ):
        collect(tmp_path / "other", tmp_path / "db")
    assert contents(tmp_path / "db") == before
    assert collect(tmp_path / "other", tmp_path / "db", replace=True).changed
    ask = "select accuracy from final where arch = 1 and dataset = 'cifar10' and seed = 777 and split = 'ori-test'"
    assert natsdb.query(ask, tmp_path / "db").item() == 12.5


@pytest.mark.parametrize(
    "change",
    [
        {"natsdb_run": 2},
        {"arch_str": "8:8:8:8:8"},
        {"dataset": "mnist"},
        {"epochs": 3},
        {"measured": {}},
        {"provenance": {}},
        {"arch": 40_000},
        {"seed": "x"},
        {"hp": "1"},
    ],
)
def test_a_damaged_run_is_named_and_nothing_changes(runs: Path, tmp_path: Path, change: dict[str, Any]) -> None:
    path = tmp_path / "runs" / "sss" / "12" / "000001-cifar10-777.json"
    path.parent.mkdir(parents=True)
    run = json.loads((runs / "sss" / "12" / path.name).read_text())
    path.write_text(json.dumps({**run, **change}))
    with pytest.raises(NatsdbError, match=r"000001-cifar10-777\.json|outside the space"):
        collect(tmp_path / "runs", tmp_path / "db")
    assert not (tmp_path / "db" / "natsdb.json").exists()


def test_a_folder_without_runs_is_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(NatsdbError, match="there is no finished run in it; train some: natsdb train"):
        collect(tmp_path, tmp_path / "db")
