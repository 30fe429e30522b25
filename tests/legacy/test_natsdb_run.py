"""`natsdb run`: scripts and modules, their arguments, exit codes and errors, and the processes that they start."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

import natsdb
from natsdb.api.nas_201_versions import Version
from natsdb.run import run
from natsdb.schema.errors import NatsdbError

PYTHON = [sys.executable]
NATSDB = [sys.executable, "-m", "natsdb", "run"]


def _run(
    *arguments: object, cwd: Path | None = None, by: list[str] = NATSDB, given: str | None = None
) -> subprocess.CompletedProcess[str]:
    command = [*by, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=cwd, input=given)


def test_both_packages_and_their_modules_are_answered(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\n"
        "import nats_bench, nats_bench.api_utils as u\n"
        "from nats_bench import create, api_test\n"
        "from nats_bench.api_topology import NATStopology\n"
        "from nats_bench.api_size import NATSsize, ALL_BASE_NAMES\n"
        "from nats_bench.genotype_utils import topology_str2structure\n"
        "from nats_bench.api_test import test_nats_bench_tss, test_nats_bench_sss\n"
        "import nas_201_api\n"
        "from nas_201_api import NASBench201API as API, ResultsCount\n"
        "from nas_201_api.api_utils import ArchResults\n"
        "from nas_201_api.api_201 import NASBench201API\n"
        "print(nats_bench.__name__, u.__name__, create.__module__, NATStopology.__module__, API.__module__)\n"
        "print(sys.argv[1:], __name__, sys.path[0] == __file__.rpartition('/')[0])\n"
    )
    done = _run(script, "--hp", "200", "-m", "--help")
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "natsdb.api natsdb.api.api_utils natsdb.api natsdb.api.api_topology natsdb.api.nas_201",
        "['--hp', '200', '-m', '--help'] __main__ True",
    ]


def test_modules_run_from_the_working_directory(tmp_path: Path) -> None:
    (tmp_path / "package").mkdir()
    (tmp_path / "package" / "__init__.py").touch()
    (tmp_path / "package" / "work.py").write_text(
        "import sys, nats_bench\nif __name__ == '__main__':\n    print(nats_bench.version(), sys.argv[1:])\n"
    )
    assert _run("-m", "package.work", "-x", "1", cwd=tmp_path).stdout == "v1.8 ['-x', '1']\n"


@pytest.mark.parametrize("method", ["spawn", "fork"])
def test_processes_of_the_script_get_the_same_packages(tmp_path: Path, method: str) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import multiprocessing, subprocess, sys\n"
        "import nats_bench\n"
        "def work(_):\n"
        "    import nats_bench\n"
        "    return nats_bench.__name__\n"
        "if __name__ == '__main__':\n"
        f"    with multiprocessing.get_context({method!r}).Pool(2) as pool:\n"
        "        print(set(pool.map(work, range(4))))\n"
        "    sys.stdout.flush()\n"
        "    subprocess.run([sys.executable, '-c', 'import nats_bench; print(nats_bench.__name__)'], check=True)\n"
    )
    done = _run(script)
    assert (done.returncode, done.stdout) == (0, "{'natsdb.api'}\nnatsdb.api\n"), done.stderr


def test_exit_codes_and_tracebacks_are_the_scripts(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("import sys\nsys.exit(7)\n")
    assert _run(script).returncode == 7
    script.write_text("def work():\n    return 1 / 0\n\nwork()\n")
    failed = _run(script)
    assert failed.returncode == 1
    assert failed.stderr.splitlines()[0] == "Traceback (most recent call last):"
    assert failed.stderr.splitlines()[1] == f'  File "{script}", line 4, in <module>'
    assert failed.stderr.splitlines()[-1] == "ZeroDivisionError: division by zero"


def test_what_is_missing_is_said_in_one_sentence(tmp_path: Path) -> None:
    done = _run(tmp_path / "nothing.py")
    assert done.returncode == 1
    assert done.stderr == f"natsdb: {tmp_path}/nothing.py: there is no such script; name a file, or a module with -m\n"
    assert "-m needs a value" in _run("-m").stderr
    assert _run().returncode == 2


def test_what_a_script_sees_of_itself_is_what_python_shows(tmp_path: Path) -> None:
    (tmp_path / "real").mkdir()
    (tmp_path / "real" / "helper.py").write_text("VALUE = 5\n")
    script = tmp_path / "real" / "script.py"
    script.write_text(
        "import atexit, os, pickle, sys, threading, time\n"
        "class A: pass\n"
        "import helper\n"
        "os.chdir('/')\n"
        "print(os.path.exists(__file__), os.path.isabs(__file__), sys.argv, __name__, __spec__ is None, helper.VALUE)\n"
        "print(os.path.samefile(sys.path[0], os.path.dirname(helper.__file__)))\n"
        "def later():\n"
        "    time.sleep(0.2)\n"
        "    print(type(pickle.loads(pickle.dumps(A()))).__name__)\n"
        "threading.Thread(target=later).start()\n"
        "def at_exit():\n"
        "    import __main__\n"
        "    print(__main__.A.__name__)\n"
        "atexit.register(at_exit)\n"
    )
    (tmp_path / "link.py").symlink_to(script)
    for target in ("real/script.py", "link.py"):
        plain = subprocess.run([sys.executable, target, "x"], capture_output=True, text=True, check=True, cwd=tmp_path)
        assert _run(target, "x", cwd=tmp_path).stdout == plain.stdout


def test_code_and_modules_by_short_options(tmp_path: Path) -> None:
    (tmp_path / "helper.py").write_text("import sys\nprint(__name__, sys.argv[1:])\n")
    assert _run("-c", "import sys, nats_bench; print(nats_bench.__name__, sys.argv)", "x").stdout == (
        "natsdb.api ['-c', 'x']\n"
    )
    names = "import nas_201_api, nas_201_api.api_201 as a; from nas_201_api import api_201 as b"
    assert _run("-c", f"{names}; print(a is b is nas_201_api)").stdout == "True\n"
    assert _run("-mhelper", "-h", cwd=tmp_path).stdout == "__main__ ['-h']\n"
    missing = _run("-m", "nosuch", cwd=tmp_path)
    assert missing.returncode == 1
    assert missing.stderr.endswith("No module named nosuch\n")


def test_hooks_interrupts_and_slips_are_the_scripts(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nsys.excepthook = lambda kind, value, frames: print('hook', value)\nraise ValueError(3)\n"
    )
    done = _run(script)
    assert (done.returncode, done.stdout, done.stderr) == (1, "hook 3\n", "")
    script.write_text("def wait():\n    raise KeyboardInterrupt\nwait()\n")
    done = _run(script)
    assert done.returncode == 130
    assert f'File "{script}", line 3' in done.stderr
    assert "database" not in done.stderr
    script.write_text("from natsdb import api\napi.create('/nothing/natsdb', 'tss')\nx = (\n")
    done = _run(script)
    assert done.stderr.splitlines()[-1].startswith("SyntaxError")
    assert "natsdb" not in done.stderr.replace("natsdb.json", "").split("SyntaxError")[0].replace("/nothing/natsdb", "")
    script.write_text("import natsdb\nnatsdb.query('select 1', '/nothing')\n")
    done = _run(script)
    assert done.returncode == 1
    assert f'File "{script}", line 2' in done.stderr
    assert "there is no natsdb database here" in done.stderr


def test_annotations_are_the_scripts_own(tmp_path: Path) -> None:
    """It is not compiled under natsdb's `from __future__ import annotations`."""
    script = tmp_path / "script.py"
    script.write_text(
        "import argparse, dataclasses\n"
        "@dataclasses.dataclass\n"
        "class Options:\n"
        "    epochs: int = 3\n"
        "parser = argparse.ArgumentParser()\n"
        "for field in dataclasses.fields(Options):\n"
        "    parser.add_argument('--' + field.name, type=field.type)\n"
        "print(parser.parse_args().epochs + 1)\n"
        "def wrong(argument: nothing): pass\n"
    )
    done = _run(script, "--epochs", "7")
    assert done.stdout == "8\n", done.stderr
    assert done.stderr.endswith("NameError: name 'nothing' is not defined\n")
    assert "NameError" in _run("-c", "def wrong(argument: nothing): pass").stderr


def test_copies_that_come_with_a_script_are_passed_over_or_chosen(tmp_path: Path) -> None:
    for copy in ("nas_201_api", "lib/nats_bench"):
        (tmp_path / copy).mkdir(parents=True)
        (tmp_path / copy / "__init__.py").write_text("def who():\n    return 'copy'\n")
    (tmp_path / "nats_bench").mkdir()  # no code, no copy
    script = tmp_path / "script.py"
    script.write_text(
        "import importlib.util, pathlib, subprocess, sys\n"
        "sys.path.insert(0, 'lib')\n"
        "sys.path.append(pathlib.Path('.'))\n"
        "importlib.util.find_spec('nas_201_api')\n"  # said once
        "import nas_201_api, nats_bench\n"
        "print([hasattr(each, 'who') for each in (nas_201_api, nats_bench)], flush=True)\n"
        "child = \"import sys; sys.path.insert(0, 'lib'); import nats_bench; print(hasattr(nats_bench, 'who'))\"\n"
        "subprocess.run([sys.executable, '-c', child], check=True)\n"
    )
    done = _run(script, cwd=tmp_path)
    assert done.stdout == "[False, False]\nFalse\n", done.stderr
    assert done.stderr.splitlines() == [
        f"natsdb: {tmp_path / copy} is passed over, natsdb answers {copy.rpartition('/')[2]}; "
        "`natsdb run --vendored` takes the copy"
        for copy in ("nas_201_api", "lib/nats_bench")
    ]
    chosen = _run("--vendored", script, cwd=tmp_path)
    assert (chosen.stdout, chosen.stderr) == ("[True, True]\nTrue\n", "")


def test_a_copy_without_an_init_file_and_one_of_one_file_are_copies_too(tmp_path: Path) -> None:
    (tmp_path / "nas_201_api").mkdir()
    (tmp_path / "nas_201_api" / "work.py").write_text("WHO = 'copy'\n")
    (tmp_path / "nats_bench.py").write_text("WHO = 'copy'\n")
    script = tmp_path / "script.py"
    script.write_text("import nas_201_api, nats_bench\nprint(hasattr(nats_bench, 'WHO'), nas_201_api.__name__)\n")
    done = _run(script)
    assert done.stdout == "False natsdb.api.nas_201\n"
    assert [line.split(" is passed over, ")[0] for line in done.stderr.splitlines()] == [
        f"natsdb: {tmp_path / 'nas_201_api'}",
        f"natsdb: {tmp_path / 'nats_bench.py'}",
    ]
    script.write_text("import nats_bench\nfrom nas_201_api import work\nprint(work.WHO, nats_bench.WHO)\n")
    chosen = _run("--vendored", script)
    assert (chosen.stdout, chosen.stderr) == ("copy copy\n", "")


def test_another_sitecustomize_runs_too_in_processes_of_the_script(tmp_path: Path) -> None:
    (tmp_path / "sitecustomize.py").write_text("import builtins\nbuiltins.customized = True\n")
    child = "import nats_bench; print(customized, nats_bench.__name__)"
    code = f"import os, subprocess, sys; subprocess.run([sys.executable, '-c', {child!r}], check=True)"
    command = ["env", f"PYTHONPATH={os.pathsep.join([*filter(None, [os.environ.get('PYTHONPATH')]), str(tmp_path)])}"]
    assert _run("-c", code, by=[*command, *NATSDB]).stdout == "True natsdb.api\n"


def test_options_of_python_folders_and_standard_input(tmp_path: Path) -> None:
    seen = "import sys; print(sys.argv, __name__, sys.path[0], sys.warnoptions, sys.flags.dont_write_bytecode)\n"
    script = tmp_path / "folder" / "__main__.py"
    script.parent.mkdir()
    script.write_text(seen)
    for arguments in (
        ["-W", "ignore", "-Bu", "folder/__main__.py", "-u"],
        ["folder", "x"],
        ["-Bm", "folder", "-W"],
        ["-Werror", "-c", seen, "-c"],
        ["-", "-m"],
    ):
        theirs, mine = (_run(*arguments, cwd=tmp_path, by=by, given=seen) for by in (PYTHON, NATSDB))
        assert theirs.returncode == 0
        assert (mine.stdout, mine.stderr) == (theirs.stdout, theirs.stderr)


def test_options_of_python_need_no_installed_natsdb(tmp_path: Path) -> None:
    """As in a checkout: `-S` leaves installed packages out."""
    (tmp_path / "natsdb").symlink_to(Path(natsdb.__file__).parent)
    (tmp_path / "script.py").write_text("import sys\nprint(sys.argv, sys.path[0], sys.flags.safe_path)\n")
    by = [sys.executable, "-S", "-m", "natsdb", "run"]
    for options, first in (["-S"], str(tmp_path)), (["-S", "-E"], str(tmp_path)):
        done = _run(*options, "script.py", "x", cwd=tmp_path, by=by)
        assert (done.stdout, done.stderr) == (f"['script.py', 'x'] {first} False\n", "")
    assert "['script.py'] " in _run("-S", "-P", "script.py", cwd=tmp_path, by=by).stdout


def test_after_a_script_python_asks_on_with_what_the_script_made(tmp_path: Path) -> None:
    (tmp_path / "script.py").write_text("made = 5\n")
    done = _run("-i", tmp_path / "script.py", given="print('made', made)\n")
    assert done.stdout.rstrip().endswith("made 5")
    assert "SystemExit" not in done.stderr


def test_wrong_options_are_said(tmp_path: Path) -> None:
    for arguments, said in (
        (
            ["--nas-201-api", "9.9", "x.py"],
            "--nas-201-api 9.9: there is no such version of nas_201_api; 1.0 to 1.3, 2.0",
        ),
        (["--nas-201-api", "1.9", "x.py"], "--nas-201-api 1.9: there is no such version"),
        (["--nas-201-api=2.7", "x.py"], "--nas-201-api 2.7: there is no such version"),
        (["--nas-201-api"], "--nas-201-api: there is no such version"),
        (["--vendor", "x.py"], "there is no option --vendor; see `natsdb run --help`"),
        (["-uZ", "x.py"], "there is no option -uZ that a script can be run with"),
        (["-W"], "-W needs a value"),
        (["--vendored", "-u"], "there is nothing to run"),
    ):
        with pytest.raises(NatsdbError, match=re.escape(said)):
            run(arguments)


@pytest.mark.parametrize("version", ["3.0", "latest", "1.9"])
def test_a_wrong_version_in_the_environment_is_said_like_a_wrong_option(
    version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NATSDB_NAS_201_API", version)
    with pytest.raises(NatsdbError, match=rf"^\$NATSDB_NAS_201_API {version}: there is no such version .* or 2\.1$"):
        Version()
    monkeypatch.setenv("NATSDB_NAS_201_API", "v1.3")
    assert Version().first


def test_a_short_script_loads_no_more_than_it_needs(real_db: Path) -> None:
    code = (
        "import sys, nats_bench\n"
        f"api = nats_bench.create({str(real_db)!r}, 'tss', fast_mode=True, verbose=False)\n"
        "api.get_more_info(11, 'cifar100', hp='200', is_random=False)\n"
        "heavy = ('typer', 'rich', 'pydantic', 'polars', 'duckdb', 'pandas', 'torch', 'pyarrow.compute')\n"
        "print([name for name in heavy if name in sys.modules])\n"
    )
    assert _run("-c", code).stdout == "[]\n"


def test_a_script_of_nas_201_api_1x_is_answered_as_one(real_db: Path) -> None:
    code = (
        "from nas_201_api import NASBench201API as API\n"
        f"results = API({str(real_db)!r}, verbose=False).query_by_index(11)\n"
        "print(round(results.get_metrics('cifar10', 'ori-test')['accuracy'].item(), 2))\n"
    )
    done = _run("--nas-201-api", "1.3", "-Wignore", "-c", code)
    assert (done.stdout, done.stderr) == ("91.58\n", "")
