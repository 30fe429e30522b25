"""What networks say before they are trained, as attached tables: scores by zero-cost proxies, and measurements."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from dataclasses import replace as with_fields
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from natsdb.attaching import MEASURED, check_table
from natsdb.ingest.attached import add_to_attached
from natsdb.ingest.fanout import fan_out, leave_if_starting, note_progress, processes
from natsdb.own_code import is_own, load_own
from natsdb.schema.encodings import architectures
from natsdb.schema.errors import NatsdbError
from natsdb.schema.names import did_you_mean, either
from natsdb.schema.spaces import SPACES, arch_str
from natsdb.store.locations import local
from natsdb.store.manifest import Attached, Measure
from natsdb.store.snapshot import data_set_of
from natsdb.store.writing import hold, writing

if TYPE_CHECKING:
    from natsdb.training.untrained.files import Figures
    from natsdb.training.untrained.proxies import Proxy
    from natsdb.training.untrained.scores import ScoreTask

# Name of what is under way, architectures done, in all, figures worked out.
Progress = Callable[[str, int, int, int], None]
_KEY = ("space", "arch", "dataset")
_SETTINGS = Measure("settings", "VARCHAR", "what else decides the numbers of the row")


@dataclass(frozen=True)
class FiguresReport:
    """What was worked out: into which table, of how many architectures, of how many it was there before, and whether
    the table is another now.

    `failures`: (which figures have no value, why); `empty`: (a column without any value, which the table lacks, why).
    """

    table: str
    database: Path
    archs: int
    before: int
    changed: bool
    failures: list[tuple[str, str]] = field(default_factory=list)
    empty: list[tuple[str, str]] = field(default_factory=list)


def score(
    proxies: str | Callable[..., Any] | Sequence[str | Callable[..., Any]],
    space: str | None = None,
    archs: str | Iterable[int] = "all",
    dataset: str = "cifar10",
    data: str | os.PathLike[str] = "data",
    db: str | os.PathLike[str] | None = None,
    *,
    seed: int = 777,
    batch: int = 64,
    table: str = "scored",
    folder: str | os.PathLike[str] | None = None,
    jobs: int | None = None,
    download: bool = False,
    replace: bool = False,
    progress: Progress | None = None,
) -> FiguresReport:
    """Score architectures by zero-cost proxies, with the seconds that it takes, into an attached table.

    A score is a function of the architecture, the seed and the batch; it is the same on any number of processes. Kept
    every few seconds; interrupted or killed, the same call goes on. Scores that are there are left alone, so that
    architectures and proxies can be added. A score that is not finite, as of cells in which nothing flows, is null.

    Args:
        proxies: names of `natsdb.training.untrained.proxies.PROXIES`, FILE.py:FUNCTION, or functions of a network and
            a batch (`.images`, `.labels`) that return a number; a text may have several with commas.
        space: tss, sss, or another one whose networks are known; None where `archs` says it.
        archs: indexes, or a text such as 0-99,1462, all, or tss/9930; see `natsdb.schema.encodings.architectures`.
        dataset, data: whose training images, and the folder they are in; see `natsdb.training.images.read_images`.
        db: the database; it is made if it is not there.
        seed: of weights, of the batch, and of what proxies draw.
        batch: how many images.
        table: what the attached table is called.
        folder: of scores as they come; beside the database if None.
        jobs: processes of one thread each; by default one a core. A function that is in no FILE.py runs in this one.
        download: fetch CIFAR into `data` if it is not there.
        replace: take the place of a table of this name; by default its rows and measures are added to.
        progress: called now and then with (name, architectures done, in all, scores worked out).

    Raises:
        NatsdbError: no such proxy, space, architecture or data set; PyTorch is missing; the table has scores of another
            seed, batch or images.
        KeyboardInterrupt: interrupted; the same call goes on.
    """
    leave_if_starting()
    check_table(table)
    with _pytorch("scoring"):
        import torch

        from natsdb.training.untrained import files
        from natsdb.training.untrained.scores import SECONDS, ScoreTask, batch_of, score_file

    named = _named(proxies)
    space, todo = _chosen(archs, space)
    if not 0 <= seed < 1 << 31:
        raise NatsdbError(f"the seed {seed} is outside 0 to 2147483647", remedy="leave --seed out")
    if batch < 1:
        raise NatsdbError("a batch needs an image at least", remedy="leave --batch out")
    data_set_of(dataset, db)
    drawn = batch_of(dataset, Path(data), seed, batch, download=download)
    settings = f"seed {seed}, batch {batch}, images {drawn.fingerprint}"
    keys = {}
    for name, (given, _) in named.items():
        keys[name] = keys[name + SECONDS] = files.digest(settings, name, _code(given))
    texts = {name: given for name, (given, _) in named.items() if isinstance(given, str)}
    home = local(db)
    with _held(home, folder, "scores") as kept:
        found, before = _read(kept, space, dataset, todo, keys)
        tasks = [
            ScoreTask(path, space, some, keys, drawn, seed)
            for path, some in files.blocks(kept, space, dataset, todo).items()
            if files.lacking(found, some, keys)
        ]

        def tick(more: int, scores: int) -> None:
            if progress is not None:
                progress(f"score {space}, {dataset}", before + more, len(todo), scores)

        if len(texts) == len(named):
            work, count = partial(_score_file, texts), processes(jobs or os.cpu_count(), len(tasks))
        else:
            own = {name: proxy.function for name, (_, proxy) in named.items()}
            work, count = partial(score_file, proxies=own, done=_noted), 1
        for some in fan_out(work, tasks, count, tick):
            found |= some
    measures = []
    for name, (_, proxy) in named.items():
        measures.append(Measure(name, "DOUBLE", proxy.meaning))
        measures.append(Measure(name + SECONDS, "DOUBLE", f"seconds of a core for {name}", "s"))
    about = f"an architecture on a data set, with scores of its untrained network; seconds on {os.cpu_count()} cores"
    return _publish(
        Attached(table, _KEY, tuple(measures), 0, about=about, origin=_origin("score", torch.__version__)),
        home,
        (space, dataset, settings),
        todo,
        keys,
        found,
        before,
        replace,
    )


def measure(
    archs: str | Iterable[int],
    space: str | None = None,
    dataset: str = "cifar10",
    db: str | os.PathLike[str] | None = None,
    *,
    device: str = "cpu",
    batches: Sequence[int] = (1,),
    backend: str = "torch",
    threads: int | None = None,
    table: str = MEASURED,
    folder: str | os.PathLike[str] | None = None,
    replace: bool = False,
    progress: Progress | None = None,
) -> FiguresReport:
    """Measure latency, memory and energy of architectures' networks on this machine, into an attached table.

    One network at a time, in evaluation mode, with fresh weights and random images. Kept every few seconds; interrupted
    or killed, the same call goes on. What is there is left alone, so that architectures and batches can be added.

    Args:
        archs: indexes, or a text such as 0-99,1462, all, or tss/9930; see `natsdb.schema.encodings.architectures`.
        space: tss, sss, or another one whose networks are known; None where `archs` says it.
        dataset: whose size of images and number of classes the networks have; no images are needed.
        db: the database; it is made if it is not there.
        device: as PyTorch names it.
        batches: numbers of images; columns of one image are called latency_ms, of 32 latency_ms_b32.
        backend: torch, or onnx: the same network, exported and run by ONNX Runtime.
        threads: of the CPU; by default as many as PyTorch takes.
        table: what the attached table is called.
        folder: of measurements as they come; beside the database if None.
        replace: take the place of a table of this name; by default its rows and measures are added to.
        progress: called now and then with (name, architectures done, in all, figures measured).

    Raises:
        NatsdbError: no such space, architecture, data set, device or backend; the size of the data set's images is
            not known; PyTorch or ONNX is missing; the table has measurements of another device, host, backend or
            version.
        KeyboardInterrupt: interrupted; the same call goes on.
    """
    check_table(table)
    with _pytorch("measuring"):
        import torch

        from natsdb.training.run import device_of
        from natsdb.training.untrained import files, latency

    space, todo = _chosen(archs, space)
    _ = data_set_of(dataset, db).height  # refused where it is not known
    if not batches or min(batches) < 1:
        raise NatsdbError("a batch needs an image at least", remedy="write --batch as in 1,32,256")
    if threads is not None and threads < 1:
        raise NatsdbError("a network runs on a thread at least", remedy="leave --threads out")
    setting = latency.Setting(str(device_of(device)), backend, threads or torch.get_num_threads())
    latency.check_backend(setting)
    settings = setting.said()
    columns = {
        latency.column(name, size): Measure(
            latency.column(name, size), "DOUBLE", f"{meaning}; {size} image{'s' * (size != 1)} at a time", unit
        )
        for size in batches
        for name, (meaning, unit) in latency.MEASURES.items()
    }
    keys = dict.fromkeys(columns, files.digest(settings))
    home = local(db)
    with _held(home, folder, "measured") as kept:
        found, before = _read(kept, space, dataset, todo, keys)
        done = figures = 0

        def tick(more: int) -> None:
            nonlocal done, figures
            done, figures = done + 1, figures + more
            if progress is not None:
                progress(f"measure {space}, {dataset}", before + done, len(todo), figures)

        for path, some in files.blocks(kept, space, dataset, todo).items():
            if files.lacking(found, some, keys):
                task = latency.MeasureTask(path, space, some, dataset, batches, keys, setting)
                found |= latency.measure_file(task, tick)
    about = "an architecture on a data set, with what its network takes on a device; the column settings names it"
    return _publish(
        Attached(table, _KEY, tuple(columns.values()), 0, about=about, origin=_origin("measure", torch.__version__)),
        home,
        (space, dataset, settings),
        todo,
        keys,
        found,
        before,
        replace,
    )


def _score_file(texts: Mapping[str, str], task: ScoreTask) -> Figures:
    """A file's scores, in whatever process, by proxies as they are named."""
    from natsdb.training.untrained.scores import score_file

    return score_file(task, {name: _proxy(text)[1].function for name, text in texts.items()}, _noted)


def _noted(figures: int) -> None:
    # A score and its seconds are two.
    note_progress(1, figures // 2)


def _named(proxies: str | Callable[..., Any] | Sequence[Any]) -> dict[str, tuple[Any, Proxy]]:
    """By the name of its column each proxy, as it was given and as it is."""
    given = [proxies] if callable(proxies) else proxies.split(",") if isinstance(proxies, str) else list(proxies)
    found: dict[str, tuple[Any, Proxy]] = {}
    for one in given:
        one = one.strip() if isinstance(one, str) else one
        name, proxy = _proxy(one)
        if name in found and found[name][0] != one:
            raise NatsdbError(f"two proxies are called {name!r}", remedy="give one of the functions another name")
        found[name] = one, proxy
    if not found:
        raise NatsdbError("no proxy is named", remedy="write them as in --proxy synflow,nwot")
    return found


def _proxy(given: str | Callable[..., Any]) -> tuple[str, Proxy]:
    """A proxy by its name, a user's as FILE.py:FUNCTION or as a function; the name of its column, and the proxy.

    Raises:
        NatsdbError: there is no such proxy, file or function, or the file cannot be run.
    """
    from natsdb.training.untrained.proxies import PROXIES, Proxy

    file = ""
    function: Any = given
    name = getattr(given, "__name__", "")
    if isinstance(given, str):
        if given in PROXIES:
            return given, PROXIES[given]
        file, _, name = given.rpartition(":")
        if not is_own(given):
            own = f"{did_you_mean(given, PROXIES)}, and FILE.py:FUNCTION for your own"
            raise NatsdbError(f"there is no proxy {given!r}", remedy=own)
        function = load_own(given)
    if not callable(function) or not name.isidentifier():
        raise NatsdbError(
            f"{given!r} is no proxy", remedy="give the name of one, or a function of a network and a batch"
        )
    if name in PROXIES or name in _KEY or name == _SETTINGS.name:
        raise NatsdbError(f"a proxy of your own cannot be called {name!r}", where=file, remedy="rename the function")
    said = (function.__doc__ or "").strip().split("\n")[0].rstrip(".")
    return name, Proxy(function, said or f"a proxy of one's own{f', in {Path(file).name}' if file else ''}")


def _code(given: str | Callable[..., Any]) -> str:
    """Digest of the code of a proxy: when it is changed, its scores are worked out anew."""
    from natsdb.search import repeated
    from natsdb.store.damage import sha256_of
    from natsdb.training.untrained import proxies

    return sha256_of(Path(proxies.__file__)) if given in proxies.PROXIES else repeated.code_of(given)


def _chosen(archs: str | Iterable[int], space: str | None) -> tuple[str, list[int]]:
    if isinstance(archs, str):
        return architectures(archs, space)
    if space is None:
        raise NatsdbError("indexes alone say no space", remedy=f"choose {either(SPACES)}")
    found = list(dict.fromkeys(archs))
    for arch in found:
        arch_str(space, arch)
    return space, found


@contextmanager
def _pytorch(what: str) -> Any:
    try:
        yield
    except ImportError as error:
        raise NatsdbError(f"{what} needs PyTorch ({error})", remedy="pip install 'natsdb[training]'") from error


@contextmanager
def _held(home: Path, folder: str | os.PathLike[str] | None, what: str) -> Any:
    """The folder of figures, of which this process has the disposal."""
    kept = Path(folder) if folder is not None else home.resolve().with_name(f"{home.resolve().name}-{what}")
    with writing(kept, "name another folder"):
        kept.mkdir(parents=True, exist_ok=True)
    with hold(kept / ".lock", "another process works in this folder"):
        yield kept


def _read(kept: Path, space: str, dataset: str, archs: Sequence[int], keys: Mapping[str, str]) -> tuple[Figures, int]:
    """The figures that are kept, and of how many architectures none is lacking."""
    from natsdb.training.untrained import files

    found: Figures = {}
    for path in files.blocks(kept, space, dataset, archs):
        found |= files.read(path)
    return found, len(archs) - len(files.lacking(found, archs, keys))


def _origin(command: str, torch: str) -> str:
    import natsdb

    return f"natsdb {command} (natsdb {natsdb.__version__}, torch {torch})"


def _publish(
    table: Attached,
    home: Path,
    where: tuple[str, str, str],
    archs: Sequence[int],
    keys: Mapping[str, str],
    found: Figures,
    before: int,
    replacing: bool,
) -> FiguresReport:
    """Figures into an attached table; columns without any value are left out.

    Args:
        where: space, data set and settings of the rows.
        keys: of the figures by name.
    """
    import pyarrow as pa

    from natsdb.schema.tables import schema_of
    from natsdb.training.untrained.files import figure_of

    space, dataset, settings = where
    columns: dict[str, list[Any]] = {"space": [space] * len(archs), "arch": list(archs)}
    columns |= {"dataset": [dataset] * len(archs), _SETTINGS.name: [settings] * len(archs)}
    kept, failures, empty = [], [], []
    for one in table.measures:
        whys: dict[str, list[int]] = {}
        figures = [figure_of(found, arch, one.name, keys[one.name]) for arch in archs]
        for figure in figures:
            if figure.value is None:
                whys.setdefault(figure.why, []).append(figure.arch)
        told = sorted(whys.items(), key=lambda item: -len(item[1]))
        if sum(map(len, whys.values())) == len(archs):
            empty.append((one.name, told[0][0]))
            continue
        kept.append(one)
        columns[one.name] = [figure.value for figure in figures]
        for why, some in told:
            failures.append((f"{one.name} of {len(some):,} architectures, such as {space} {some[0]}", why))
    if not kept:
        return FiguresReport(table.name, home, len(archs), before, False, failures, empty)
    table = with_fields(table, measures=(*kept, _SETTINGS))
    schema = schema_of(table.table)
    changed = add_to_attached(home, table, pa.table(columns, schema=schema), replacing=replacing)
    return FiguresReport(table.name, home, len(archs), before, changed, failures, empty)
