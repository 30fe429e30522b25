"""kill -9 at any moment of a command that writes: there is the old version or the new, and the command works.

A command runs in a process of its own that counts what it does to the file system (opens for writing, renames, links,
removals, new folders) and kills itself with SIGKILL just before one of these. So each moment at which files differ can
be chosen, and none is left to the speed of the machine.
"""

from __future__ import annotations

import importlib
import json
import multiprocessing
import os
import random
import shutil
import signal
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from functools import cache, partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest

import archives
import natsdb
from databases import contents
from natsdb.ingest import export, ingest
from natsdb.ingest.hub.publish import publish
from natsdb.ingest.repair import repair
from natsdb.schema import catalogue
from natsdb.schema.errors import Missing, NatsdbError
from natsdb.search import search
from natsdb.site import write_site
from natsdb.site.data import INDEX
from natsdb.site.vendor import ARROW, DUCKDB, tarball
from natsdb.store.check import check
from natsdb.store.snapshot import read_manifest
from natsdb.store.versions import drop, rollback, vacuum

# A process in which all is imported and computed that commands need, and which forks for each of them.
CONTEXT = multiprocessing.get_context("spawn")
_IMPORTED = (
    *("natsdb.ingest.repair", "natsdb.ingest.hub.publish", "natsdb.search", "natsdb.site", "natsdb.connection"),
    *("natsdb.ingest.blocks", "pyarrow.parquet", "polars"),
)
_CHANGES = {"os.rename", "os.link", "os.remove", "os.rmdir", "os.mkdir", "shutil.copyfile", "shutil.rmtree"}

Command = Callable[[Path], Any]


def _run(command: Command, home: Path, kill_at: int, count: Any) -> None:
    done = 0

    def watch(event: str, arguments: tuple[Any, ...]) -> None:
        nonlocal done
        writes = event == "open" and isinstance(arguments[2], int) and arguments[2] & (os.O_WRONLY | os.O_RDWR)
        if event in _CHANGES or writes:
            done += 1
            count.value = done
            if done == kill_at:
                os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(watch)
    command(home)


def _fork_for_each(asked: Any, count: Any) -> None:
    """Carry out commands, each in a process that knows the catalogue's tables; send their exit codes."""
    for name in _IMPORTED:
        importlib.import_module(name)
    tables = catalogue.catalogue_tables()
    catalogue.catalogue_tables = lambda used=(): dict(tables)  # all commands below know official schedules only
    while True:
        try:
            command, home, kill_at = asked.recv()
        except EOFError:
            return
        child = os.fork()
        if child == 0:
            code = 1
            try:
                _run(command, home, kill_at, count)
                code = 0
            except BaseException:
                traceback.print_exc()
            finally:
                os._exit(code)
        asked.send(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


@cache
def _forking() -> tuple[Any, Any]:
    ours, theirs = CONTEXT.Pipe()
    # Without a lock, which a killed process would keep.
    count = CONTEXT.RawValue("q", 0)
    CONTEXT.Process(target=_fork_for_each, args=(theirs, count), daemon=True).start()
    return ours, count


def run(command: Command, home: Path, kill_at: int = 0) -> int:
    """Run a command, killed just before its `kill_at`-th change to the file system; how many changes it came to."""
    asking, count = _forking()
    count.value = 0
    asking.send((command, home, kill_at))
    code = asking.recv()
    assert code == (-signal.SIGKILL if kill_at else 0), f"exit code {code}"
    return int(count.value)


@pytest.fixture(scope="module")
def sources(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Archives, a full one among them, a published table, and a folder of a run."""
    folder = tmp_path_factory.mktemp("sources")
    table = folder / "table.parquet"
    key = {"space": "sss", "hp": "90", "arch": [3, 7], "dataset": "cifar100", "split": "x-test"}
    pl.DataFrame({**key, "accuracy": [70.5, 71.0]}).write_parquet(table)
    run = Path(natsdb.__file__).parent / "embedded" / "runs" / "tss" / "12"
    runs = folder / "runs" / "tss" / "12"
    runs.mkdir(parents=True)
    shutil.copy(next(run.glob("*.json")), runs)
    return {
        "first": archives.write_folder(folder / "first", "sss", [3], jobs=1),
        "second": archives.write_folder(folder / "second", "sss", [5, 1030], jobs=1),
        "full": archives.write_full_folder(folder / "full", "sss", [3]),
        "table": table,
        "runs": folder / "runs",
    }


@pytest.fixture(scope="module")
def base(sources: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database of three versions, with an attached table. Read only."""
    home = tmp_path_factory.mktemp("base") / "db"
    ingest([sources["first"]], home)
    ingest([sources["table"]], home)
    natsdb.attach({"arch": [3, 7], "score": [1.0, 4.0]}, "before", home, space="sss", key="arch", partial=True)
    return home


def _collect(runs: Path, home: Path) -> None:
    from natsdb.ingest import collect

    collect(runs, home)


def _drop(home: Path) -> None:
    # Killed after it was published, there is nothing left to drop.
    with suppress(Missing):
        drop("published", home)


def _search(home: Path) -> None:
    search("random", "sss", "cifar100", home, runs=2, budget=2_000.0, hp="90", jobs=1)


def _attach(home: Path, score: float = 1.0) -> None:
    table = {"arch": [3, 7], "score": [score, 5.0]}
    natsdb.attach(table, "mine" if score == 1 else "before", home, space="sss", key="arch", partial=True, replace=True)


def _detach(home: Path) -> None:
    # Killed after it was published, there is nothing left to take out.
    with suppress(Missing):
        natsdb.detach("before", home)


def _repair(source: Path, home: Path) -> None:
    part = next(part for part in read_manifest(home).parts if part.table == "metric" and part.source == "official")
    with (home / part.path).open("r+b") as file:
        file.seek(40)
        file.write(b"\x00\xff\x00")
    repair([source], home)


def _commands(sources: dict[str, Path]) -> dict[str, Command]:
    return {
        "ingest": partial(_ingest, sources["second"]),
        "ingest --weights": partial(_ingest, sources["full"], weights=True),
        "ingest a table": partial(_ingest, sources["table"], source="other"),
        "collect": partial(_collect, sources["runs"]),
        "search": _search,
        "drop": _drop,
        "rollback": partial(rollback, 1),
        "vacuum": partial(vacuum, keep=0),
        "repair": partial(_repair, sources["first"]),
        "attach": _attach,
        "attach another": partial(_attach, score=2.0),
        "detach": _detach,
    }


def _ingest(path: Path, home: Path, **options: Any) -> None:
    ingest([path], home, jobs=1, **options)


COMMANDS = (
    *("ingest", "ingest --weights", "ingest a table", "collect", "search", "drop", "rollback", "vacuum", "repair"),
    *("attach", "attach another", "detach"),
)


@pytest.mark.parametrize("kills", [2, pytest.param(200, marks=pytest.mark.slow)])
@pytest.mark.parametrize("name", COMMANDS)
def test_killed_at_any_change_it_leaves_the_old_version_or_the_new(
    base: Path, sources: dict[str, Path], tmp_path: Path, name: str, kills: int
) -> None:
    command = _commands(sources)[name]
    new = tmp_path / "new"
    shutil.copytree(base, new)
    changes = run(command, new)
    states = {json.dumps({k: v.hex() for k, v in contents(home).items()}) for home in (base, new)}
    chance = random.Random(f"{name} {kills}")
    moments = list(range(1, changes + 1))
    for moment in chance.sample(moments, min(kills, len(moments))):
        home = tmp_path / "home"
        shutil.rmtree(home, ignore_errors=True)
        shutil.copytree(base, home)
        assert run(command, home, moment) == moment
        if name == "repair":
            # The file was damaged by the command itself; the mended one has its place or not yet.
            assert contents(home).keys() == contents(base).keys()
        else:
            assert json.dumps({k: v.hex() for k, v in contents(home).items()}) in states, f"a mix at change {moment}"
            wrong = [one for one in check(home).findings if one.what != "no version lists it"]
            assert all(one.path.startswith(".versions/") and not one.newest for one in wrong), (moment, wrong)
            with natsdb.connect(home) as connection:
                connection.sql("from mean_final").fetchall()
        # The same command afterwards comes to the same end, and leaves nothing lying about.
        run(command, home)
        assert contents(home) == contents(new), f"killed at change {moment}, it ends otherwise"
        assert not [one for one in check(home).findings if one.newest], moment


@pytest.fixture(scope="module")
def with_weights(base: Path, sources: dict[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The database with trained weights. Read only."""
    home = tmp_path_factory.mktemp("with-weights") / "db"
    shutil.copytree(base, home)
    ingest([sources["full"]], home, weights=True)
    return home


def _outputs(home: Path) -> dict[str, Command]:
    """Commands that write a folder, which is their argument, from a database."""
    return {
        "export": partial(export, space="sss", database=home),
        "export --single": partial(export, space="sss", database=home, single=True),
        "publish": partial(publish, database=home),
        "site in place of another": partial(write_site, db=home),
    }


def _tree(folder: Path) -> dict[str, bytes]:
    """All files of a folder by their path; it may be absent."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


_FOLDERS = {"export": (3, 200), "export --single": (2, 200), "publish": (3, 200), "site in place of another": (1, 60)}


@pytest.mark.parametrize(
    ("name", "kills"),
    [(name, few) for name, (few, _) in _FOLDERS.items()]
    + [pytest.param(name, many, marks=pytest.mark.slow) for name, (_, many) in _FOLDERS.items()],
)
def test_killed_at_any_change_a_folder_is_the_old_one_absent_or_whole(
    with_weights: Path, tmp_path: Path, name: str, kills: int
) -> None:
    site = name.startswith("site")
    if site:
        for package in (DUCKDB, ARROW):
            try:
                tarball(package)
            except NatsdbError as error:
                pytest.skip(f"no DuckDB-WASM: {error}")

    def fresh() -> Path:
        folder = tmp_path / "trial"
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "out" / "data").mkdir(parents=True) if site else folder.mkdir()
        for path, data in old.items():
            (folder / "out" / path).write_bytes(data)
        return folder / "out"

    command = _outputs(with_weights)[name]
    database = _tree(with_weights)
    old = {INDEX: b"{}"} if site else {}  # no more is needed to pass for a site
    changes = run(command, out := fresh())
    new = _tree(out)
    assert new
    assert not old.items() & new.items()
    chance = random.Random(f"{name} {kills}")
    # Half of them from the last few, in which the folder takes its place.
    ends = chance.sample(range(max(1, changes - 9), changes + 1), min(-(-kills // 2), changes, 10))
    others = [moment for moment in range(1, changes + 1) if moment not in ends]
    for moment in ends + chance.sample(others, min(kills - len(ends), len(others))):
        out = fresh()
        assert run(command, out, moment) == moment
        left = _tree(out)
        assert left in (old, new, {}), f"a mix at change {moment}"
        assert _tree(with_weights) == database, moment
        if site or left != new:  # what is whole already is not written again, save a site
            run(command, out)
            assert _tree(out) == new, f"killed at change {moment}, it ends otherwise"
        assert [path.name for path in out.parent.iterdir()] == ["out"], moment
