"""A search that trains: an architecture that the database lacks is trained when the search asks for it, and kept.

A run of a search is a function of its seed and of what it is told. So nothing of it needs to be kept on the way but the
trainings: killed, the same command plays the search again, is answered by those that are there, and goes on where the
next one is missing.
"""

from __future__ import annotations

import json
import math
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any

from natsdb.schema.datasets import DATASETS, check_searched
from natsdb.schema.errors import NatsdbError
from natsdb.schema.schedules import epochs_of
from natsdb.schema.spaces import space_of
from natsdb.search.algorithm import Algorithm
from natsdb.search.others import versions
from natsdb.search.repeated import (
    SearchReport,
    about_runs,
    check_numbers,
    code_of,
    digest_of,
    held_alone,
    loaded,
    publish,
)
from natsdb.search.running import Task, options_of, run_task
from natsdb.search.trainings import Trainings
from natsdb.store.choice import REGENERATED
from natsdb.store.manifest import NAME

if TYPE_CHECKING:
    from natsdb.training.own_data import Own

# The seed of the trainings; the first of the official ones.
SEED = 777
# Finished runs become rows after so many seconds at the latest: each time is a version of the database.
_PATIENCE = 60.0


@dataclass(frozen=True)
class TrainingOptions:
    """How a search trains what the database lacks.

    `data`: folder of the data set, as for `natsdb train`; `own`: images of data sets of one's own by name, which are
    not read from it; `runs`: folder of runs, finished and under way; beside the database if None; `images`: of reduced
    runs; `progress`: called after each epoch with a `natsdb.training.run.Progress`.
    """

    data: Path | None = None
    own: dict[str, Own] | None = None
    runs: Path | None = None
    device: str | None = None
    images: int | None = None
    download: bool = False
    progress: Callable[[Any], None] | None = None


def search_and_train(
    algorithm: str | Callable[..., Any] | Algorithm,
    space: str,
    dataset: str,
    db: str | os.PathLike[str] | None = None,
    *,
    training: TrainingOptions,
    trainings: int | None = None,
    budget: float | None = None,
    runs: int = 1,
    seed: int = 0,
    hp: str = "12",
    options: dict[str, Any] | None = None,
    mixed: bool = False,
    source: str | None = None,
) -> SearchReport:
    """Run a search; an architecture whose training at `hp` the database lacks is trained, by the official recipe and
    with seed 777, and kept in the database with `source = 'regenerated'`: none is trained twice.

    Killed at any moment, the same call goes on. Only the database's own rows answer, those with seconds.

    Args:
        algorithm, space, dataset, options, mixed: as in `natsdb.search.search`.
        training: how it trains.
        trainings: evaluations of a run at most; one of an architecture that was trained before takes no time.
        budget: seconds of a run, as those of its trainings were measured; this or `trainings` is needed.
        runs, seed: so many runs, one after the other, each a function of the seed and its number.
        hp: schedule of the trainings.
        source: of the database's rows these only; by default those that count.

    Raises:
        NatsdbError: no such algorithm, option, space, data set or images; a training failed; the search takes no seed,
            so that it could not go on.
    """
    import natsdb
    from natsdb.store.staging import Staging
    from natsdb.store.writing import writing

    chosen, work = loaded(algorithm)
    given = options_of(chosen, options or {})
    space_of(space)
    check_searched(dataset)
    if trainings is None and budget is None:
        raise NatsdbError("a search that trains needs an end", remedy="say --trainings 100, or --budget SECONDS")
    check_numbers(budget, seed)
    if min(runs, 1 if trainings is None else trainings) < 1:
        raise NatsdbError("a search needs a run and a training at least", remedy="leave --runs and --trainings out")
    if not chosen.seeded:
        raise NatsdbError(
            f"{chosen.name} takes no seed, so it could not go on where it was killed", remedy="choose another search"
        )
    home = natsdb._home(db)
    epochs = sorted({epochs_of(hp) - 1, *chosen.epochs(epochs_of(hp), given)})
    said = {**given, **({"best_of_all_epochs": True} if mixed else {}), "train": True}
    said |= {name: value for name, value in (("trainings", trainings), ("images", training.images)) if value}
    name = digest_of(chosen.name, space, dataset, hp, budget, seed, said, *([source] if source is not None else []))
    provenance = {"natsdb": natsdb.__version__, "trained": SEED, "code": code_of(algorithm), **versions(chosen)}
    with writing(home), held_alone(home, name):
        kept = _Kept(home, space, dataset, hp, epochs, source, training)
        staging = Staging(home, f"{name}-train")
        path = staging.folder / "steps.parquet"
        end = math.inf if budget is None else float(budget)
        task = Task(work, kept.answers, end, seed, tuple(sorted(given.items())), mixed, 0, runs, path, trainings)
        try:
            run_task(task)
        finally:
            kept.keep()
        about = about_runs(name, chosen, space, dataset, hp, said, budget, seed, provenance)
        changed = publish(home, name, about, [path])
        staging.clear()
    note = f"{kept.new:,} architectures were trained now, {len(kept.asked) - kept.new:,} were there"
    return SearchReport(name, chosen.name, dataset, runs, 0, changed, None, (note,))


class _Kept:
    """The trainings that are there, and those that are made when they are asked for.

    `answers`: what the search sees: every architecture has a run, with NaN where it is not trained yet; `asked`:
    architectures that were asked for, and `new` of them trained now.
    """

    def __init__(
        self,
        home: Path,
        space: str,
        dataset: str,
        hp: str,
        epochs: Sequence[int],
        source: str | None,
        how: TrainingOptions,
    ) -> None:
        self._home, self._how, self._hp = home, how, hp
        self._trained = DATASETS[dataset].validated
        self._folder = how.runs or home.resolve().with_name(f"{home.resolve().name}-runs")
        self._own = dict(how.own or {})
        self._last_kept = time.monotonic()
        self.asked: set[int] = set()
        self.new, self._loose = 0, False
        if any(not path.name.endswith(".failed.json") for path in self._folder.glob("*/*/*.json")):
            self._loose = True
            self.keep()  # of one that was killed
        held = _held(home, space, self._trained, hp, epochs, source)
        start = [0]
        accuracy: dict[int, list[float]] = {epoch: [] for epoch in epochs}
        seconds: dict[int, list[float]] = {epoch: [] for epoch in epochs}
        for arch in range(space_of(space).size):
            runs = held.get(arch) or [dict.fromkeys(epochs, (math.nan, math.nan))]
            start.append(start[-1] + len(runs))
            for run in runs:
                for epoch, (percent, spent) in run.items():
                    accuracy[epoch].append(percent)
                    seconds[epoch].append(spent)
        self.answers = Trainings(space, dataset, hp, start, accuracy, seconds, None, REGENERATED, lacking=self._train)

    def _train(self, arch: int) -> None:
        """Train an architecture, unless it is there."""
        answers = self.answers
        self.asked.add(arch)
        at = answers.start[arch]
        if not math.isnan(answers.accuracy[epochs_of(self._hp) - 1][at]):
            return
        try:
            from natsdb.training.run import train
            from natsdb.training.run_files import TrainingRun
        except ImportError as error:
            raise NatsdbError(
                f"a search that trains needs PyTorch ({error})", remedy="pip install 'natsdb[training]'"
            ) from error
        run = TrainingRun(answers.space, arch, self._hp, self._trained, SEED)
        how = self._how
        report = train(
            [run],
            self._folder,
            how.data or Path(),
            device=how.device,
            images=how.images,
            own=self._images(),
            progress=how.progress,
        )
        if report.failed:
            raise NatsdbError(
                f"the training of {run} failed ({report.failed[0][1]})", remedy="the same command tries it again"
            )
        measured = json.loads(run.path(self._folder, ".json").read_text(encoding="utf-8"))["measured"]
        train_seconds, pass_seconds = (fmean(measured[split]["seconds"]) for split in ("train", "x-valid"))
        for epoch in answers.accuracy:
            answers.accuracy[epoch][at] = measured["x-valid"]["accuracy"][epoch]
            # As the macro `simulated` says it when the run is a row.
            answers.seconds[epoch][at] = train_seconds * (epoch + 1) + pass_seconds
        answers.__dict__.pop("passes", None)  # worked out before this run was there
        self.new += report.finished
        self._loose = True
        if time.monotonic() - self._last_kept > _PATIENCE:
            self.keep()

    def keep(self) -> None:
        """Take the folder's finished runs into the database."""
        from natsdb.ingest import collect

        if self._loose:
            collect(self._folder, self._home, source=REGENERATED)
            self._loose, self._last_kept = False, time.monotonic()

    def _images(self) -> dict[str, Own]:
        """The data set, read once."""
        from natsdb.training.images import read_images
        from natsdb.training.own_data import Own, own_data

        name, how = self._trained, self._how
        if name not in self._own:
            if how.data is None:
                raise NatsdbError("a search that trains needs images", remedy="name their folder with --data DIR")
            of = DATASETS[name]
            self._own[name] = (
                own_data(name, how.data)
                if of.digested
                else Own(of, *read_images(name, how.data, download=how.download))
            )
        return self._own


def _held(
    home: Path, space: str, trained: str, hp: str, epochs: Sequence[int], source: str | None
) -> dict[int, list[dict[int, tuple[float, float]]]]:
    """Runs by architecture that the database has all these epochs of, each with accuracy and seconds by epoch."""
    import natsdb
    from natsdb.store.snapshot import read_manifest

    # Without rows of its own, those of the database that comes along would answer.
    if not (home / NAME).exists() or not any(
        part.table == "seed" and (part.space, part.hp) == (space, hp) for part in read_manifest(home).parts
    ):
        return {}
    runs: dict[tuple[int, int, str], dict[int, tuple[float, float]]] = {}
    with natsdb.connect(home, source=source) as connection:
        for epoch in epochs:
            rows = connection.execute(
                "select arch, seed, source, accuracy, seconds from simulated(?, ?, ?, ?) where seconds > 0 "
                "and isfinite(seconds)",
                [space, trained, hp, epoch],
            ).fetchall()
            for arch, seed, of, accuracy, seconds in rows:
                runs.setdefault((arch, seed, of), {})[epoch] = accuracy, seconds
    found: dict[int, list[dict[int, tuple[float, float]]]] = {}
    for (arch, _, _), run in sorted(runs.items()):
        if len(run) == len(epochs):
            found.setdefault(arch, []).append(run)
    return found
