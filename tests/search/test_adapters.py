"""The database behind Optuna and Syne Tune: its numbers, its account of time, the examples of the document."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import natsdb
from natsdb.adapters import arch_of, elapsed
from natsdb.schema.errors import NatsdbError
from natsdb.schema.spaces import SPACES
from natsdb.search.simulation import read_trainings

DOCUMENT = Path(__file__).parents[2] / "docs" / "adapters.md"


def _example(name: str) -> str:
    """The example under a heading of the document."""
    section = DOCUMENT.read_text(encoding="utf-8").split(f"## {name}\n")[1]
    return re.search(r"```python\n(.*?)```", section, flags=re.DOTALL)[1]  # type: ignore[index]


def _values(space: str, arch: int) -> dict[str, Any]:
    choices = SPACES[space].numbers[arch]
    return {name: SPACES[space].choices[number] for name, number in zip(SPACES[space].positions, choices, strict=True)}


def test_time_is_training_so_far_and_a_pass_at_each_look(made_up_db: Path) -> None:
    answers = read_trainings("tss", "cifar100", "12", made_up_db, (2, 5))
    cost = natsdb.query(
        "select train_seconds, x_valid_seconds from cost "
        "where space = 'tss' and hp = '12' and dataset = 'cifar100' order by arch, seed",
        made_up_db,
    )
    training, passes = (cost[name].to_numpy()[:, None] for name in cost.columns)
    expected = training * np.array([3, 6, 12]) + passes * np.array([1, 2, 3])
    np.testing.assert_allclose(elapsed(answers), expected, rtol=1e-9)
    alone = read_trainings("tss", "cifar100", "12", made_up_db)
    np.testing.assert_allclose(elapsed(alone), (training * 12 + passes), rtol=1e-9)


def test_values_name_the_architecture_of_the_views(made_up_db: Path) -> None:
    for space, view in (("tss", "topology"), ("sss", "size")):
        answers = read_trainings(space, "cifar10", "12", made_up_db)
        columns = ", ".join(SPACES[space].positions)
        rows = natsdb.query(f"select arch, {columns} from {view} where arch % 20 = 0 and arch < 1400", made_up_db)
        assert len(rows) == 70
        for row in rows.to_dicts():
            arch = row.pop("arch")
            assert arch_of(answers, row) == arch
    assert arch_of(read_trainings("tss", "cifar10", "12", made_up_db), _values("tss", 1)) % 20 == 0


@pytest.fixture
def optuna() -> Any:
    module = pytest.importorskip("optuna", reason="the extra `optuna` is not installed")
    module.logging.set_verbosity(module.logging.ERROR)
    return module


def test_optuna_is_told_the_rows_and_stops_at_the_budget(optuna: Any, made_up_db: Path) -> None:
    from natsdb.adapters.optuna import objective

    def searched() -> tuple[Any, Any]:
        ask = objective("sss", "cifar10", "12", made_up_db, budget=10_000, seed=3)
        study = optuna.create_study(direction="maximize", sampler=optuna.samplers.RandomSampler(seed=3))
        study.optimize(ask, n_trials=10_000)
        return ask, study

    ask, study = searched()
    rows = natsdb.query("select * from simulated('sss', 'cifar10-valid', '12', 11)", made_up_db).to_dicts()
    runs = {(row["arch"], round(row["accuracy"], 9), round(row["seconds"], 6)) for row in rows}
    for trial in study.trials:
        said = trial.user_attrs
        assert (said["arch"], round(trial.value, 9), round(said["seconds"], 6)) in runs
    spent = [trial.user_attrs["seconds"] for trial in study.trials]
    assert ask.spent == pytest.approx(sum(spent))
    assert sum(spent) >= 10_000 > sum(spent[:-1])
    again = searched()[1].trials
    assert [(trial.params, trial.value) for trial in again] == [(trial.params, trial.value) for trial in study.trials]


def test_a_pruned_training_costs_what_it_cost_up_to_there(optuna: Any, made_up_db: Path) -> None:
    from natsdb.adapters.optuna import objective

    ask = objective("tss", "cifar100", "12", made_up_db, epochs=(1,), budget=1e9)
    study = optuna.create_study(direction="maximize", pruner=optuna.pruners.ThresholdPruner(lower=1000))
    study.optimize(ask, n_trials=1)
    (trial,) = study.trials
    assert trial.state is optuna.trial.TrialState.PRUNED
    assert list(trial.intermediate_values) == [1]
    expected = natsdb.query(
        f"select seconds from simulated('tss', 'cifar100', '12', 1) where arch = {trial.user_attrs['arch']}", made_up_db
    )
    assert ask.spent == trial.user_attrs["seconds"] == pytest.approx(expected["seconds"][0])


def test_optuna_prunes_what_is_over_a_limit_before_it_is_trained(optuna: Any, made_up_db: Path) -> None:
    from natsdb.adapters.optuna import constraints, objective

    ask = objective("tss", "cifar100", "12", made_up_db, budget=1e9, seed=2, cost="flops", at_most=60)
    asks = {} if hasattr(optuna.Trial, "set_constraint") else {"constraints_func": constraints}
    sampler = optuna.samplers.TPESampler(seed=2, **asks)
    study = optuna.create_study(direction="maximize", sampler=sampler)
    study.optimize(ask, n_trials=40)
    limit = dict(
        natsdb.query(
            "select arch, flops from arch_cost where space = 'tss' and dataset = 'cifar100'", made_up_db
        ).rows()
    )
    pruned = [trial for trial in study.trials if trial.state is optuna.trial.TrialState.PRUNED]
    assert 0 < len(pruned) < 40
    for trial in study.trials:
        flops = limit[trial.user_attrs["arch"]]
        assert trial.user_attrs["over"] == constraints(trial)[0] == flops - 60
        assert (trial in pruned) == (flops > 60) == ("seconds" not in trial.user_attrs)
    assert ask.spent == pytest.approx(sum(trial.user_attrs.get("seconds", 0) for trial in study.trials))


def test_the_optuna_example_runs(optuna: Any, made_up_db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATSDB_HOME", str(made_up_db))
    names: dict[str, Any] = {}
    exec(_example("Optuna"), names)
    assert names["ask"].spent >= 20_000
    assert any(trial.state is optuna.trial.TrialState.PRUNED for trial in names["study"].trials)


def test_optuna_is_refused_what_is_not_there(optuna: Any, made_up_db: Path) -> None:
    from natsdb.adapters.optuna import distributions, objective

    assert list(distributions("sss")) == [f"layer_{layer}" for layer in range(5)]
    with pytest.raises(NatsdbError, match="there is no epoch 12 at hp 12; choose 0 to 11"):
        objective("tss", "cifar100", "12", made_up_db, epochs=(12,))
    with pytest.raises(NatsdbError, match="there is no space 'x'"):
        distributions("x")
    with pytest.raises(
        NatsdbError, match="not all runs of tss on cifar100, hp 200, have x-valid accuracies at epoch 5"
    ):
        objective("tss", "cifar100", "200", made_up_db, epochs=(5,))


@pytest.fixture
def syne_tune(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))
    return pytest.importorskip("syne_tune.blackbox_repository", reason="the extra `syne-tune` is not installed")


def test_a_syne_tune_blackbox_is_the_database(syne_tune: Any, made_up_db: Path) -> None:
    from natsdb.adapters.syne_tune import blackbox

    table = blackbox("tss", "cifar100", "12", made_up_db)
    assert table.objectives_evaluations.shape == (15_625, 1, 12, 2)
    for epoch in (1, 7, 12):
        (row,) = natsdb.query(
            f"select accuracy, seconds from simulated('tss', 'cifar100', '12', {epoch - 1}) where arch = 40", made_up_db
        ).to_dicts()
        (cost,) = natsdb.query(
            "select x_valid_seconds as pass from cost "
            "where space = 'tss' and hp = '12' and dataset = 'cifar100' and arch = 40",
            made_up_db,
        ).to_dicts()
        found = table(_values("tss", 40), fidelity={"epoch": epoch}, seed=0)
        assert found["accuracy"] == row["accuracy"]
        assert found["elapsed_time"] == pytest.approx(row["seconds"] + (epoch - 1) * cost["pass"])
    # Runs are seeds: of sss at hp 12 there are three.
    assert blackbox("sss", "cifar10", "12", made_up_db).num_seeds == 3
    assert blackbox("tss", "cifar100", "200", made_up_db, epochs=[200]).fidelity_values.tolist() == [200]


@pytest.mark.usefixtures("syne_tune")
def test_a_syne_tune_blackbox_says_what_is_over_a_limit(made_up_db: Path) -> None:
    from natsdb.adapters.syne_tune import blackbox

    table = blackbox("tss", "cifar100", "12", made_up_db, cost="flops", at_most=60)
    free = blackbox("tss", "cifar100", "12", made_up_db)
    flops = dict(
        natsdb.query(
            "select arch, flops from arch_cost where space = 'tss' and dataset = 'cifar100'", made_up_db
        ).rows()
    )
    feasible = 0
    for arch in range(0, 1400, 20):
        found, without = (one(_values("tss", arch), fidelity={"epoch": 12}, seed=0) for one in (table, free))
        assert found["over"] == flops[arch] - 60
        assert found["elapsed_time"] == without["elapsed_time"]
        assert found["accuracy"] == (without["accuracy"] if flops[arch] <= 60 else 0)
        feasible += flops[arch] <= 60
    assert 0 < feasible < 70


@pytest.mark.usefixtures("syne_tune")
def test_the_syne_tune_example_runs(made_up_db: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NATSDB_HOME", str(made_up_db))
    names: dict[str, Any] = {}
    exec(_example("Syne Tune").replace("20_000", "2_000"), names)
    status = names["tuner"].tuning_status
    assert status.num_trials_finished > 5
