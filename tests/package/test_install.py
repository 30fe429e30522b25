"""natsdb as it is installed: what the wheel holds, one command of each room, and Python in the checkout's folder."""

from __future__ import annotations

import json
import os
import shutil
import site
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

import natsdb
from natsdb.store.locations import EMBEDDED

ROOT = Path(__file__).parents[2]
ROOMS = ("ingest", "schema", "sql", "training")
# Hides a package, for "the extra is not there", in an environment that borrows the tests' packages.
HIDE = """
import sys
class Hidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {"altair", "torch", "s3fs"}:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Hidden())
"""


def _environment() -> dict[str, str]:
    left_out = ("PYTHONPATH", "VIRTUAL_ENV", "NATSDB_HOME")
    return {name: value for name, value in os.environ.items() if name not in left_out}


def _run(*command: object, cwd: Path, code: int = 0, stdin: str | None = None) -> str:
    done = subprocess.run(
        [str(part) for part in command], cwd=cwd, env=_environment(), input=stdin, capture_output=True, text=True
    )
    assert done.returncode == code, f"{command}: {done.returncode}\n{done.stdout[-2000:]}\n{done.stderr[-2000:]}"
    assert "Traceback" not in done.stderr
    return done.stdout + done.stderr


def _copied_checkout(to: Path) -> Path:
    """What git would clone, with its links, as one stands in it."""
    shutil.copytree(
        ROOT,
        to,
        symlinks=True,
        ignore=shutil.ignore_patterns(
            ".git", ".venv*", "build", "dist", "demo", ".bench", "*.egg-info", ".*cache", "__pycache__"
        ),
    )
    return to


@pytest.fixture(scope="module")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return _copied_checkout(tmp_path_factory.mktemp("checkout") / "natsdb")


@pytest.fixture(scope="module")
def wheel(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The wheel, built from a copy of the checkout with the setuptools that is at hand."""
    pytest.importorskip("setuptools", "77")
    out = tmp_path_factory.mktemp("wheel")
    _run(
        sys.executable,
        "-m",
        "pip",
        "wheel",
        "--quiet",
        "--no-deps",
        "--no-build-isolation",
        "-w",
        out,
        ".",
        cwd=checkout,
    )
    return next(out.glob("*.whl"))


def _new_environment(folder: Path, *, borrowing: bool) -> Path:
    """An empty environment's Python; borrowing: it sees the packages of the environment that the tests run in."""
    _run(sys.executable, "-m", "venv", "--without-pip", folder, cwd=folder.parent)
    if borrowing:
        packages = next((folder / "lib").iterdir()) / "site-packages"
        # The path alone: .pth files there, such as that of an editable natsdb, are not followed.
        (packages / "borrowed.pth").write_text("\n".join(site.getsitepackages()) + "\n")
        (packages / "hidden.py").write_text(HIDE)
        (packages / "hidden.pth").write_text("import hidden\n")
    return folder / "bin" / "python"


def _install(python: Path, *what: object, cwd: Path) -> None:
    _run(sys.executable, "-m", "pip", "--python", python, "install", "--quiet", *what, cwd=cwd)


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Python of an environment with the wheel, the dependencies and no extra."""
    python = _new_environment(tmp_path_factory.mktemp("installed") / "env", borrowing=True)
    _install(python, "--no-deps", "--force-reinstall", wheel, cwd=wheel.parent)
    return python


def test_the_wheel_holds_every_file_of_every_room_under_one_name(wheel: Path) -> None:
    held = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    assert {name.partition("/")[0] for name in held} == {"natsdb"}
    for folder, pattern in (
        *((ROOT / room, "**/*.py") for room in ROOMS),
        (ROOT / "natsdb", "**/*.py"),
        (ROOT / "sql", "*.sql"),
        (ROOT / "natsdb" / "site" / "static", "*"),
        (EMBEDDED, "**/*.json"),
    ):
        prefix = "natsdb/" if folder.parent == ROOT and folder.name in ROOMS else ""
        wanted = {prefix + path.relative_to(ROOT).as_posix() for path in folder.glob(pattern) if path.is_file()}
        assert wanted, folder
        assert not wanted - held
    assert "natsdb/py.typed" in held


# Runs commands one after the other in one process, as starting one takes longer than most commands: writes of each what
# it wrote to both outputs.
SEVERAL = """
import contextlib, io, json, sys
from natsdb.cli import app
done = []
for arguments in json.load(sys.stdin):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            app(arguments)
            code = 0
        except SystemExit as ended:
            code = ended.code or 0
    done.append([code, out.getvalue()])
print(json.dumps(done))
"""


def test_one_command_of_each_room_runs_where_the_wheel_is_installed(installed: Path, tmp_path: Path, few: Path) -> None:
    command = installed.with_name("natsdb")
    (tmp_path / "old.py").write_text("import nats_bench\nprint(nats_bench.create.__module__)\n")
    assert _run(command, "--version", cwd=tmp_path) == f"natsdb {natsdb.__version__}\n"
    assert "3 architectures" in _run(command, "ingest", few, "--db", "db", cwd=tmp_path)
    assert "natsdb" in _run(command, "run", "old.py", cwd=tmp_path)
    searched = ("search", "random", "--space", "tss", "--dataset", "cifar10", "--runs", "2", "--jobs", "1")
    trained = ("--archs", "0", "--hp", "12", "--dataset", "cifar10", "--data", "data", "--db", "db")
    counted = ("sql", "select count(*) as n from leaderboard", "--db", "db", "--format", "csv")
    commands: list[tuple[tuple[object, ...], int, str]] = [
        (("info", "train_seconds"), 0, "seconds"),
        (("verify", few, "--db", "db"), 0, "all equal, bit for bit"),
        (("info", "--db", "db"), 0, "3 architectures"),
        (("export", "--space", "sss", "--db", "db", "out"), 0, ""),
        (counted, 0, ""),
        (("duckdb", "nats.duckdb", "--db", "db"), 0, ""),
        (("collect", EMBEDDED / "runs", "--db", "runs"), 0, ""),
        ((*searched, "--db", "runs"), 0, "cifar10"),
        (("site", "page", "--db", "db", "--no-sql"), 0, ""),
        (("publish", "hub", "--db", "db"), 0, ""),
        (("train", "--help"), 0, "Example: natsdb train "),
        # An extra that is not there is one sentence with its name.
        (
            ("plot", "scatter", "--space", "sss", "--dataset", "cifar10", "--db", "db", "-o", "a.png"),
            1,
            "pip install 'natsdb[plot]'",
        ),
        (("train", "--space", "tss", *trained), 1, "natsdb[training]"),
    ]
    asked = json.dumps([[str(part) for part in arguments] for arguments, _, _ in commands])
    answers = json.loads(_run(installed, "-c", SEVERAL, cwd=tmp_path, stdin=asked).splitlines()[-1])
    for (arguments, code, said), (ended, wrote) in zip(commands, answers, strict=True):
        assert ended == code, (arguments, wrote)
        assert said in wrote, (arguments, wrote)
        assert "Traceback" not in wrote
        assert arguments != counted or wrote.startswith("n\n")
    assert sorted(path.name for path in few.glob("0*")) == sorted(path.name for path in (tmp_path / "out").glob("0*"))
    ask = "from natsdb import api; print(api.create('db', 'sss', verbose=False).get_more_info(20, 'cifar10', hp='90'))"
    assert "test-accuracy" in _run(installed, "-c", ask, cwd=tmp_path)
    assert (tmp_path / "page" / "index.html").is_file()
    assert (tmp_path / "hub" / "croissant.json").is_file()


@pytest.mark.parametrize("way", ["installed", "editable", "not installed"])
def test_python_in_the_checkout_imports_it(way: str, installed: Path, checkout: Path, tmp_path: Path) -> None:
    here = checkout
    python = installed
    if way != "installed":
        python = _new_environment(tmp_path / "env", borrowing=True)
    if way == "editable":
        here = _copied_checkout(tmp_path / "mine")
        _install(python, "--no-deps", "--no-build-isolation", "-e", ".", cwd=here)
    rooms = "; ".join(f"import natsdb.{room}" for room in (*ROOMS[:3], "training.run_files", "api", "search", "cli"))
    say = f"{rooms}; import natsdb.sql; print(natsdb.__file__, len(natsdb.sql.comment('best')))"
    found = _run(python, "-c", say, cwd=here).split()
    assert Path(found[0]) == here / "natsdb" / "__init__.py"
    if way == "editable":
        assert Path(_run(python, "-c", say, cwd=tmp_path).split()[0]) == here / "natsdb" / "__init__.py"
    if way == "installed":
        assert "site-packages" in _run(python, "-c", say, cwd=tmp_path)


@pytest.mark.slow
@pytest.mark.parametrize("form", ["wheel", "sdist"])
def test_it_installs_from_the_index_into_an_empty_environment(
    form: str, checkout: Path, tmp_path: Path, few: Path
) -> None:
    build = "build_sdist" if form == "sdist" else "build_wheel"
    (tmp_path / "dist").mkdir()
    _run(
        sys.executable,
        "-c",
        f"from setuptools import build_meta; build_meta.{build}({str(tmp_path / 'dist')!r})",
        cwd=checkout,
    )
    file = next((tmp_path / "dist").iterdir())
    python = _new_environment(tmp_path / "env", borrowing=False)
    _install(python, file, cwd=tmp_path)
    _run(python.with_name("natsdb"), "ingest", few, "--db", "db", cwd=tmp_path)
    asked = _run(
        python.with_name("natsdb"),
        "sql",
        "select count(*) as n from size",
        "--db",
        "db",
        "--format",
        "json",
        cwd=tmp_path,
    )
    assert json.loads(asked) == [{"n": 32_768}]
    assert "pip install 'natsdb[plot]'" in _run(
        *(python.with_name("natsdb"), "plot", "scatter", "--space", "sss", "--dataset", "cifar10"),
        *("--db", "db", "-o", "a.png"),
        cwd=tmp_path,
        code=1,
    )
