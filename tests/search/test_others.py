"""Other people's optimizers as searches: what they are told, their options, versions, limits, kills."""

from __future__ import annotations

import json
import random
import shutil
import signal
import subprocess
import sys
import time
from collections import namedtuple
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
from typer.testing import CliRunner

import natsdb
from databases import contents
from natsdb.cli import app
from natsdb.schema.errors import NatsdbError
from natsdb.schema.spaces import SPACES
from natsdb.search import Benchmark, others, search
from natsdb.search.algorithm import Algorithm
from natsdb.search.measures import WarmUp
from natsdb.search.running import load_algorithm, options_of, play
from natsdb.search.trainings import Trainings

optuna = pytest.importorskip("optuna", reason="the extra `optuna` is not installed")
pytest.importorskip("pymoo", reason="the extra `pymoo` is not installed")

from natsdb.search.by_pymoo import _search  # noqa: E402


def _whole(space: str = "tss", **more: Any) -> Trainings:
    """A whole space: accuracy is twice the sum of the choices, 12 epochs last 100 seconds each and a pass 10."""
    size = SPACES[space].size
    accuracy = [2.0 * sum(choices) for choices in SPACES[space].numbers]
    by_epoch = {epoch: [value * (epoch + 1) / 12 for value in accuracy] for epoch in range(12)}
    spent = {epoch: [100.0 * (epoch + 1) + 10] * size for epoch in by_epoch}
    return Trainings(space, "cifar10", "12", list(range(size + 1)), by_epoch, spent, None, "made up", **more)


@pytest.fixture
def syne_tune(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SYNETUNE_FOLDER", str(tmp_path))
    pytest.importorskip("syne_tune", reason="the extra `syne-tune` is not installed")


@pytest.fixture
def db(made_up_db: Path, tmp_path: Path) -> Path:
    """A database of 70 made-up architectures of each space, to write to."""
    return Path(shutil.copytree(made_up_db, tmp_path / "db"))


@pytest.mark.parametrize("package", ["optuna", "pymoo"])
def test_31_bits_of_a_run_seed_what_others_draw(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the same runs come back with the next natsdb."""

    class Seeded(Exception):
        pass

    def seeded(seed: int, of: str) -> None:
        raise Seeded(seed, of)

    monkeypatch.setattr(f"natsdb.search.by_{package}.alone", seeded)
    algorithm = load_algorithm({"optuna": "optuna:TPESampler", "pymoo": "pymoo:GA"}[package])
    with pytest.raises(Seeded) as raised:
        next(algorithm.propose(Benchmark(_whole(), 1e9, random.Random(0)), random.Random(5)))
    assert raised.value.args == (random.Random(5).getrandbits(31), package)


def test_an_optimizer_of_pymoo_that_makes_nothing_more_ends_the_search() -> None:
    from pymoo.algorithms.soo.nonconvex.ga import GA

    class Ended(GA):  # type: ignore[misc]
        asked = 0

        def ask(self) -> Any:
            Ended.asked += 1
            assert Ended.asked < 3
            return super().ask() if Ended.asked == 1 else None

    made = _search(Ended, Benchmark(_whole(), 1e9, random.Random(0)), random.Random(5), pop_size=4)
    next(made)
    with suppress(StopIteration):
        while True:
            made.send(50.0)
    assert Ended.asked == 2


OPTUNA = ("TPESampler", "RandomSampler", "NSGAIISampler", "CmaEsSampler", "QMCSampler")


@pytest.mark.parametrize("space", ["tss", "sss"])
@pytest.mark.parametrize("name", [*(f"optuna:{one}" for one in OPTUNA), "pymoo:GA", "pymoo:NSGA2"])
def test_a_run_is_a_function_of_seed_and_number_and_ends_at_the_budget(space: str, name: str) -> None:
    answers, algorithm = _whole(space), load_algorithm(name)
    first = play(algorithm, answers, 40 * 1210.0, 7, 0)
    # Whatever was drawn in this process before.
    random.random(), np.random.random()
    state = random.getstate(), np.random.get_state()[1].tolist()
    assert play(algorithm, answers, 40 * 1210.0, 7, 0) == first
    assert (random.getstate(), np.random.get_state()[1].tolist()) == state
    assert play(algorithm, answers, 40 * 1210.0, 7, 1) != first
    assert first.seconds == pytest.approx([1210.0 * (step + 1) for step in range(40)])
    assert len(set(first.arch)) > 10


@pytest.mark.parametrize("name", ["optuna:TPESampler", "optuna:CmaEsSampler", "pymoo:GA"])
def test_what_an_optimizer_proposes_is_what_is_trained_and_told(name: str) -> None:
    # Accuracy grows with the numbers of choices, so whoever is told it comes to choose high ones; nobody else does.
    options = {"pop_size": 10} if name.startswith("pymoo") else {}
    told = play(load_algorithm(name), _whole(), 100 * 1210.0, 1, 0, options)
    early, late = (np.mean(told.accuracy[part]) for part in (slice(0, 10), slice(80, 100)))
    assert early < 34 < late
    assert told.accuracy == [2.0 * sum(SPACES["tss"].numbers[arch]) for arch in told.arch]


def test_optunas_sampler_gets_its_options_and_a_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[dict[str, Any]] = []

    class Mine(optuna.samplers.RandomSampler):  # type: ignore[misc]
        def __init__(self, *, seed: int | None = None, depth: int = 3, wide: bool = False) -> None:
            asked.append({"seed": seed, "depth": depth, "wide": wide})
            super().__init__(seed)

    monkeypatch.setattr(optuna.samplers, "Mine", Mine, raising=False)
    others.others_algorithm.cache_clear()
    algorithm = load_algorithm("optuna:Mine")
    assert algorithm.options == {"depth": 3, "wide": False}
    for run in (0, 0, 1):
        play(algorithm, _whole(), 1.0, 0, run, {"wide": True})
    assert [(one["depth"], one["wide"]) for one in asked] == [(3, True)] * 3
    assert asked[0]["seed"] == asked[1]["seed"] != asked[2]["seed"]
    with pytest.raises(NatsdbError, match="optuna:Mine has no option --dept; did you mean --depth"):
        options_of(algorithm, {"dept": 1})


def test_one_that_takes_no_seed_is_said_to_be_so(monkeypatch: pytest.MonkeyPatch, db: Path) -> None:
    class Unseeded(optuna.samplers.RandomSampler):  # type: ignore[misc]
        def __init__(self) -> None:
            super().__init__(None)

    monkeypatch.setattr(optuna.samplers, "Unseeded", Unseeded, raising=False)
    others.others_algorithm.cache_clear()
    arguments = ["search", "optuna:Unseeded", "--space", "tss", "--dataset", "cifar10", "--runs", "1", "--db", str(db)]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0
    said = "natsdb: optuna:Unseeded takes no seed: each repetition of its runs finds something else\n"
    assert done.stderr.count(said) == 1


def test_a_search_says_options_and_versions_and_is_left_alone_when_done(db: Path) -> None:
    arguments = [
        "search",
        "optuna:TPESampler",
        "--space",
        "tss",
        "--dataset",
        "cifar10",
        "--runs",
        "2",
        "--db",
        str(db),
    ]
    options = ["--budget", "3000", "--option", "multivariate=true", "--option", "n_startup_trials=4"]
    done = CliRunner().invoke(app, [*arguments, *options])
    assert done.exit_code == 0, done.stderr
    assert "optuna:TPESampler multivariate: true, n_startup_trials: 4 budget 3000" in done.stdout
    (run, *_) = natsdb.query("from search_run", db).to_dicts()
    assert json.loads(run["options"]) == {"multivariate": True, "n_startup_trials": 4}
    assert json.loads(run["provenance"])["packages"] == {"optuna": optuna.__version__}
    assert "(no change)" in CliRunner().invoke(app, [*arguments, *options]).stdout
    # Another version of the package: searched anew, in place of the runs that there are.
    name, algorithm = run["search"], load_algorithm("optuna:TPESampler")
    assert others.versions(algorithm) == {"packages": {"optuna": optuna.__version__}}
    monkey = pytest.MonkeyPatch()
    with monkey.context() as patched:
        patched.setattr(others.metadata, "version", lambda _: "999")
        again = search(
            "optuna:TPESampler", "tss", "cifar10", db, runs=2, budget=3000.0, options=json.loads(run["options"])
        )
    assert (again.search, again.changed) == (name, True)


@pytest.mark.parametrize("name", ["optuna:RandomSampler", "pymoo:GA"])
def test_any_number_of_processes_and_an_interruption_give_the_same_files(
    made_up_db: Path, tmp_path: Path, name: str
) -> None:
    homes = [Path(shutil.copytree(made_up_db, tmp_path / one)) for one in ("one", "two")]
    asked: dict[str, Any] = {"runs": 50, "budget": 3000.0}
    search(name, "sss", "cifar100", homes[0], **asked, jobs=2)

    def interrupt(_: str, done: int, *__: int) -> None:
        if done > 25:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        search(name, "sss", "cifar100", homes[1], **asked, jobs=1, progress=interrupt)
    assert search(name, "sss", "cifar100", homes[1], **asked, jobs=1).resumed == 25
    assert contents(homes[0]) == contents(homes[1])


@pytest.mark.slow
@pytest.mark.parametrize(("name", "budget"), [("optuna:TPESampler", 6_000.0), ("pymoo:GA", 30_000.0)])
def test_killed_it_goes_on_where_it_was(made_up_db: Path, tmp_path: Path, name: str, budget: float) -> None:
    whole, killed = (Path(shutil.copytree(made_up_db, tmp_path / one)) for one in ("whole", "killed"))
    asked: dict[str, Any] = {"runs": 75, "budget": budget, "jobs": 1}
    search(name, "tss", "cifar10", whole, **asked)
    command = [sys.executable, "-c", "from natsdb.cli import app; app()", "search", name, "--space", "tss"]
    command += ["--dataset", "cifar10", "--runs", "75", "--budget", str(budget), "--db", str(killed), "-j", "1"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    deadline = time.monotonic() + 120
    while not list(killed.glob(".ingest/*/steps-*.parquet")) and time.monotonic() < deadline:
        time.sleep(0.02)
    process.kill()
    assert process.wait() == -signal.SIGKILL
    done = len(list(killed.glob(".ingest/*/steps-*.parquet")))
    assert 0 < done < 3
    assert search(name, "tss", "cifar10", killed, **asked).resumed == 25 * done
    assert contents(killed) == contents(whole)


@pytest.mark.parametrize("name", ["optuna:TPESampler", "optuna:NSGAIISampler", "pymoo:GA", "pymoo:NSGA2"])
def test_what_is_over_a_limit_is_not_trained(name: str) -> None:
    # Half of the architectures, those whose first choice is 0 to 2.
    over = [float(choices[0] - 2) for choices in SPACES["tss"].numbers]
    steps = play(load_algorithm(name), _whole(over=over), 60 * 1210.0, 0, 0)
    assert len(steps.arch) == 60
    assert all(over[arch] <= 0 for arch in steps.arch)


def test_optuna_is_told_the_accuracy_of_what_just_keeps_a_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    told: set[tuple[float, str]] = set()

    class Mine(optuna.samplers.RandomSampler):  # type: ignore[misc]
        def after_trial(self, study: Any, trial: Any, state: Any, values: Any) -> None:
            told.add((trial.user_attrs["over"], state.name))

    monkeypatch.setattr(optuna.samplers, "Mine", Mine, raising=False)
    others.others_algorithm.cache_clear()
    over = [float(choices[0] - 2) for choices in SPACES["tss"].numbers]
    play(load_algorithm("optuna:Mine"), _whole(over=over), 40 * 1210.0, 0, 0)
    # The limit itself is kept.
    assert told == {(-2, "COMPLETE"), (-1, "COMPLETE"), (0, "COMPLETE"), (1, "PRUNED"), (2, "PRUNED")}


@pytest.mark.parametrize("name", ["optuna:RandomSampler", "pymoo:GA", "optuna:CmaEsSampler"])
def test_the_first_are_those_of_the_warm_up(name: str) -> None:
    size = SPACES["tss"].size
    value = [float(-abs(arch - 5000)) for arch in range(size)]
    answers = _whole(warm_up=WarmUp(200, value, [2.0] * size, True))
    steps = play(load_algorithm(name), answers, 30 * 1210.0, 0, 0)
    first = [value[arch] for arch in steps.arch[:10]]
    assert first == sorted(first, reverse=True)
    assert first[0] > -size / 50
    # What measuring 200 of them cost (some may be drawn twice) is spent before.
    assert 1210 + 390 <= steps.seconds[0] <= 1210 + 400


@pytest.mark.usefixtures("syne_tune")
def test_a_scheduler_stops_trainings_that_go_on_from_epoch_to_epoch() -> None:
    algorithm = load_algorithm("syne-tune:ASHA")
    assert list(algorithm.epochs(12, {})) == list(range(12))
    assert "reduction_factor" in algorithm.options
    assert not {"metric", "max_t", "random_seed", "points_to_evaluate", "config_space"} & set(algorithm.options)
    steps = play(algorithm, _whole(), 30_000.0, 0, 0)
    assert steps == play(algorithm, _whole(), 30_000.0, 0, 0)
    # An epoch and a pass each, whether a training starts or goes on.
    assert np.diff([0.0, *steps.seconds]).tolist() == pytest.approx([110.0] * len(steps.seconds))
    lasted: list[int] = []
    for number, epoch in enumerate(steps.epoch):
        if epoch == 0:
            lasted.append(0)
        else:
            assert steps.arch[number] == steps.arch[number - 1]
        lasted[-1] = epoch + 1
    # Rungs are 1, 3 and 9 of 12 epochs; the very last training is the one that the budget ended.
    assert set(lasted[:-1]) <= {1, 3, 9, 12}
    assert len(set(lasted[:-1])) > 2


@pytest.mark.usefixtures("syne_tune")
@pytest.mark.parametrize("name", ["REA", "RandomSearch", "BOHB"])
def test_schedulers_of_syne_tune_are_repeatable_and_keep_limits(name: str) -> None:
    algorithm = load_algorithm(f"syne-tune:{name}")
    over = [float(choices[0] - 2) for choices in SPACES["sss"].numbers]
    steps = [play(algorithm, _whole("sss", over=over), 20_000.0, 0, run) for run in (0, 0, 1)]
    assert steps[0] == steps[1] != steps[2]
    assert all(over[arch] <= 0 for arch in steps[0].arch)


class _Scheduler:
    """What a scheduler of Syne Tune has, for tests without it: five random trials, and all that it is given."""

    __module__ = "syne_tune.optimizer.baselines"
    given: ClassVar[list[dict[str, Any]]] = []
    told: ClassVar[list[tuple[str, int, dict[str, Any]]]] = []

    def _start(self, space: dict[str, Any], random_seed: int, **given: Any) -> None:
        self.given.append(given)
        self.space, self.chance, self.left = space, random.Random(random_seed), 5

    def suggest(self) -> Any:
        self.left -= 1
        config = {name: self.chance.choice(values) for name, values in self.space.items()}
        return SimpleNamespace(config=config) if self.left >= 0 else None

    def on_trial_add(self, trial: Any) -> None:
        self.told.append(("add", trial.trial_id, trial.config))

    def on_trial_result(self, trial: Any, result: dict[str, Any]) -> str:
        self.told.append(("result", trial.trial_id, result))
        return "STOP" if trial.trial_id % 2 and result["epoch"] == 3 else "CONTINUE"

    def on_trial_complete(self, trial: Any, result: dict[str, Any]) -> None:
        self.told.append(("complete", trial.trial_id, result))

    def on_trial_remove(self, trial: Any) -> None:
        self.told.append(("remove", trial.trial_id, {}))


class _Stopping(_Scheduler):
    __module__ = _Scheduler.__module__

    def __init__(
        self,
        config_space: dict[str, Any],
        metric: str,
        do_minimize: bool = True,
        time_attr: str = "",
        max_t: int = 0,
        random_seed: int = 0,
        points_to_evaluate: list[dict[str, Any]] | None = None,
        brackets: int = 1,
    ) -> None:
        given = {"metric": metric, "do_minimize": do_minimize, "time_attr": time_attr, "max_t": max_t}
        self._start(config_space, random_seed, **given, first=points_to_evaluate, brackets=brackets)


class _AtTheEnd(_Scheduler):
    __module__ = _Scheduler.__module__

    def __init__(
        self,
        config_space: dict[str, Any],
        metrics: list[str],
        do_minimize: bool = True,
        random_seed: int = 0,
        points_to_evaluate: list[dict[str, Any]] | None = None,
    ) -> None:
        self._start(config_space, random_seed, metrics=metrics, do_minimize=do_minimize, first=points_to_evaluate)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A package of Syne Tune's names with the two schedulers above, whether or not Syne Tune is installed."""
    Trial = namedtuple("Trial", ("trial_id", "config", "creation_time"))
    schedulers = {"Stopping": _Stopping, "AtTheEnd": _AtTheEnd}
    baselines = SimpleNamespace(__name__="syne_tune.optimizer.baselines", **schedulers)
    for name, module in {
        "syne_tune": SimpleNamespace(config_space=SimpleNamespace(choice=list, ordinal=list)),
        "syne_tune.backend.trial_status": SimpleNamespace(Trial=Trial),
        "syne_tune.optimizer": SimpleNamespace(baselines=baselines),
        "syne_tune.optimizer.scheduler": SimpleNamespace(
            TrialScheduler=_Scheduler, SchedulerDecision=SimpleNamespace(CONTINUE="CONTINUE", STOP="STOP")
        ),
    }.items():
        monkeypatch.setitem(sys.modules, name, module)  # type: ignore[arg-type]
    drivers = {
        name: sys.modules.pop(name, None) for name in ("natsdb.adapters.syne_tune", "natsdb.search.by_syne_tune")
    }
    others.others_algorithm.cache_clear()
    _Scheduler.given.clear(), _Scheduler.told.clear()
    yield
    for name, module in drivers.items():
        sys.modules.pop(name, None)
        if module is not None:
            sys.modules[name] = module
    others.others_algorithm.cache_clear()


@pytest.mark.usefixtures("stand_in")
def test_a_scheduler_of_syne_tune_is_told_each_epoch_until_it_stops_a_training() -> None:
    algorithm, of = load_algorithm("syne-tune:Stopping"), SPACES["tss"]
    assert algorithm.options.keys() == {"brackets"}
    steps = play(algorithm, _whole(), 1e9, 0, 0, {"brackets": 2})
    # Every second trial is stopped after three epochs.
    assert steps.epoch == [*range(12), *range(3)] * 2 + [*range(12)]
    told, expected = list(_Scheduler.told), iter(zip(steps.arch, steps.accuracy, strict=True))
    for number in range(5):
        what, trial, config = told.pop(0)
        choices = tuple(of.choices.index(config[name]) for name in of.positions)
        assert (what, trial) == ("add", number)
        for epoch in range(3 if number % 2 else 12):
            arch, accuracy = next(expected)
            assert arch == of.by_numbers[choices]
            assert told.pop(0) == ("result", number, {"accuracy": accuracy, "epoch": epoch + 1})
        assert told.pop(0) == ("remove", number, {})
    assert not told
    # More is better of an accuracy in percent.
    asked = {"metric": "accuracy", "do_minimize": False, "time_attr": "epoch", "max_t": 12, "first": None}
    assert _Scheduler.given == [asked | {"brackets": 2}]
    assert play(algorithm, _whole(), 1e9, 0, 0) == steps != play(algorithm, _whole(), 1e9, 0, 1)


@pytest.mark.usefixtures("stand_in")
def test_a_scheduler_of_syne_tune_that_stops_nothing_is_told_at_the_end() -> None:
    # Half of the architectures are over the limit: these are told an accuracy of 0, and are no steps.
    over = [float(choices[0] - 3) for choices in SPACES["sss"].numbers]
    steps = play(load_algorithm("syne-tune:AtTheEnd"), _whole("sss", over=over), 1e9, 0, 0)
    told = [result["accuracy"] for what, _, result in _Scheduler.told if what == "complete"]
    assert len(told) == 5 > len(steps.arch) > 0
    assert [accuracy for accuracy in told if accuracy] == steps.accuracy
    assert set(steps.epoch) == {11}
    assert _Scheduler.given == [{"metrics": ["accuracy"], "do_minimize": False, "first": None}]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (("optuna:TPESample",), "optuna has no optimizer 'TPESample'; did you mean TPESampler? there are TPESampler, "),
        (("pymoo:NSGA3",), "pymoo has no optimizer 'NSGA3'; did you mean NSGA2? there are NSGA2, "),
        (("optun:TPESampler",), "there is no algorithm 'optun:TPESampler'; did you mean optuna? there are optuna, "),
        (("optuna:RandomSampler", "--option", "x=1"), "optuna:RandomSampler has no option --x; there are none"),
        (("pymoo:GA", "--option", "pop=10"), "pymoo:GA has no option --pop; did you mean --pop_size? there are "),
        (("optuna:TPESampler", "--option", "seed=1"), "optuna:TPESampler has no option --seed; there are "),
        (
            # In one process: of several, run 50 may fail before run 0.
            ("optuna:TPESampler", "--option", "n_startup_trials=few", "--jobs", "1"),
            "the search optuna:TPESampler failed in run 0 (TypeError: ",
        ),
        (("optuna:TPESampler", "--option", "few"), "'few' is no option; write it as in --option depth=3"),
    ],
)
def test_bad_names_and_options_are_a_sentence_each(db: Path, asked: tuple[str, ...], said: str) -> None:
    others.others_algorithm.cache_clear()
    before = contents(db)
    done = CliRunner().invoke(app, ["search", *asked, "--space", "tss", "--dataset", "cifar10", "--db", str(db)])
    assert done.exit_code == 1
    assert done.stderr.startswith(f"natsdb: {said}")
    assert done.stderr.count("\n") == 1
    assert contents(db) == before


def test_what_is_not_installed_is_a_sentence_with_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    others.others_algorithm.cache_clear()
    monkeypatch.delitem(sys.modules, "natsdb.search.by_optuna", raising=False)
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(NatsdbError, match=r"optuna:TPESampler needs optuna, .*; pip install 'natsdb\[optuna\]'"):
        load_algorithm("optuna:TPESampler")
    with pytest.raises(
        NatsdbError, match=r"x needs no-such-package, which is not installed; pip install 'natsdb\[y\]'"
    ):
        others.versions(Algorithm("x", lambda: None, packages=("no-such-package",), extra="y"))


def test_options_are_those_that_a_number_or_text_can_be() -> None:
    def make(
        a: int, *, b: float = 1.0, c: str | None = None, d: Any = len, e: bool = False, seed: int | None = None
    ) -> None: ...

    assert others.plain_options(make, ("seed",)) == {"b": 1.0, "c": None, "e": False}
    assert "gamma" not in others.plain_options(optuna.samplers.TPESampler)


def test_gaussian_processes_compute_in_one_thread_meanwhile() -> None:
    torch = pytest.importorskip("torch", reason="PyTorch is not installed")
    torch.set_num_threads(2)
    algorithm = load_algorithm("optuna:GPSampler")
    first = play(algorithm, _whole(), 12 * 1210.0, 0, 0)
    assert torch.get_num_threads() == 2
    torch.set_num_threads(1)
    assert play(algorithm, _whole(), 12 * 1210.0, 0, 0) == first
    torch.set_num_threads(2)
