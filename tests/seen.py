"""A plugin of pytest for `mutants.py`: what each test runs of the rooms, and tests run in an order that is given.

Lines come from coverage.py, which tells them by context: a test, or a fixture that several tests share, whose lines
are those of each of them. Of SQL files it is noted which ones statements need. What other processes run is not seen.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import tempfile
from collections import defaultdict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import pytest

# A test folder's tests are recorded for so many seconds; what comes later is not run by `mutants.py`.
LONGEST = 900


class Recorder:
    """Records the tests of a process into a file, as JSON.

    For each test that passes: `alone`, seconds; `shared`, seconds of the fixtures that it shares; `lines`, by path a
    number with a bit for each line, in hexadecimal (of an SQL file, bit 0).
    """

    def __init__(self, to: Path, root: Path) -> None:
        from coverage import Coverage

        self.to, self.root, self.started = to, root, _spent()
        self.coverage = Coverage(data_file=None, include=[f"{root}/*"], omit=[f"{root}/tests/*"], config_file=False)
        self.coverage.start()
        self.inside: list[str] = []
        self.seconds: dict[str, float] = {}
        self.sql: dict[str, set[str]] = defaultdict(set)
        self.shared: dict[str, list[str]] = {}
        self.passed: dict[str, bool] = {}
        self._watch_statements()

    def _watch_statements(self) -> None:
        from natsdb.installed import Installed

        def watched(method: Any) -> Any:
            def call(installed: Any, *arguments: Any) -> None:
                needed: set[str] = set()
                asked = set(re.findall(r"\w+", arguments[-1].lower()))
                while asked:
                    needed |= asked
                    asked = set().union(*(installed._named.get(name, ()) for name in asked)) - needed
                self.sql[self.inside[-1] if self.inside else ""] |= needed
                method(installed, *arguments)

            return call

        Installed.for_statement = watched(Installed.for_statement)  # type: ignore[method-assign]
        Installed.for_names = watched(Installed.for_names)  # type: ignore[method-assign]

    @contextmanager
    def context(self, name: str) -> Iterator[None]:
        """Lines and seconds until it ends are those of a test or fixture."""
        before, others = _spent(), sum(self.seconds.values())
        self.inside.append(name)
        self.coverage.switch_context(name)
        try:
            yield
        finally:
            self.inside.pop()
            self.coverage.switch_context(self.inside[-1] if self.inside else "")
            others = sum(self.seconds.values()) - others
            self.seconds[name] = self.seconds.get(name, 0.0) + _spent() - before - others

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_protocol(self, item: pytest.Item) -> Iterator[None]:
        with self.context(item.nodeid):
            result = yield
        definitions = item._fixtureinfo.name2fixturedefs  # type: ignore[attr-defined]
        self.shared[item.nodeid] = [_shared(one[-1]) for one in definitions.values() if one[-1].scope != "function"]
        if _spent() - self.started > LONGEST:
            item.session.shouldstop = "recorded for long enough"
        return result

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: Any) -> Iterator[None]:
        if fixturedef.scope == "function":
            return (yield)
        with self.context(_shared(fixturedef)):
            return (yield)

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        self.passed[report.nodeid] = self.passed.get(report.nodeid, True) and report.passed

    def pytest_sessionfinish(self) -> None:
        self.coverage.stop()
        data = self.coverage.get_data()
        masks: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
        for path in data.measured_files():
            name = Path(path).relative_to(self.root).as_posix()
            for line, contexts in data.contexts_by_lineno(path).items():
                for context in contexts:
                    masks[context][name] |= 1 << line
        for context, words in self.sql.items():
            masks[context].update({f"sql/{word}.sql": 1 for word in words if (self.root / f"sql/{word}.sql").is_file()})
        tests = {}
        for test, others in self.shared.items():
            if self.passed[test]:
                inside = {one: self.seconds[one] for one in others if self.seconds.get(one, 0) > 0.01}
                lines: dict[str, int] = defaultdict(int)
                for context in (test, *inside):
                    for name, mask in masks[context].items():
                        lines[name] |= mask
                said = {name: hex(mask) for name, mask in lines.items()}
                tests[test] = {"alone": self.seconds[test], "shared": inside, "lines": said}
        self.to.write_text(json.dumps(tests), encoding="utf-8")


def _spent() -> float:
    """Seconds of processors, which other work on the machine does not lengthen, of this process and its children."""
    return sum(os.times()[:4])


def _shared(fixturedef: Any) -> str:
    return f"{fixturedef.baseid}::{fixturedef.argname}"


def _kept(write: Any, kept: Path) -> Any:
    """A writer of made-up archives that writes each once and then copies it, from process to process."""

    def call(folder: Path, space: str, indexes: Iterable[int], **options: Any) -> Path:
        asked = list(indexes)
        mine = kept / hashlib.sha256(repr((space, asked, sorted(options.items()))).encode()).hexdigest()[:16]
        if not mine.is_dir():
            with tempfile.TemporaryDirectory(dir=kept, ignore_cleanup_errors=True) as new, suppress(OSError):
                write(Path(new) / "0", space, asked, **options).rename(mine)
        shutil.copytree(mine, folder, dirs_exist_ok=True)
        return folder

    return call


def pytest_configure(config: pytest.Config) -> None:
    """In one process, so that all is seen: `NATSDB_RECORD` names the file to write; `NATSDB_WRITTEN` a folder where
    made-up archives are kept."""
    os.cpu_count = lambda: 1
    if kept := os.environ.get("NATSDB_WRITTEN"):
        import archives
        import synthetic

        synthetic.write_folder = archives.write_folder = _kept(synthetic.write_folder, Path(kept))
    if to := os.environ.get("NATSDB_RECORD"):
        config.pluginmanager.register(Recorder(Path(to), config.rootpath.resolve()))


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Of what was collected, the tests in the file that `NATSDB_ORDER` names, in its order."""
    if order := os.environ.get("NATSDB_ORDER"):
        places = {test: n for n, test in enumerate(json.loads(Path(order).read_text(encoding="utf-8")))}
        items[:] = sorted((one for one in items if one.nodeid in places), key=lambda one: places[one.nodeid])
