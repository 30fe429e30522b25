"""Small wrong changes to the core, one at a time: which of them the tests find (`make mutants`).

Python is changed by the operators of Cosmic Ray, SQL by the rules below; a sample is drawn by a seed, and a change of
one file moves little else of it. Changes that no answer shows are listed in `equivalent.txt` with the reason and
not tried. Each other change is made in a copy of the tree, in which tests run until one fails: at first those that were
seen to run the line, the quickest first, for `AT_FIRST` seconds. When all changes had their turn, the next tests run on
what these did not find, at last others too, for `--longest` seconds. Only tests that pass without a change are run;
what each of them runs is recorded once for a state of the code (`seen.py`) and kept in `.mutants/`, as what was tried
is: stopped, the same command goes on. A run of tests is forked from a process that has imported what they need of
others. What nothing found is printed with its line: it wants a test, or a place in that list.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import hashlib
import json
import multiprocessing
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from itertools import groupby, islice
from pathlib import Path
from queue import SimpleQueue
from typing import Any

import pytest
from cosmic_ray.ast import get_ast
from cosmic_ray.mutating import MutationVisitor, mutate_code
from cosmic_ray.plugins import get_operator

ROOT = Path(__file__).parents[1]
ROOMS = ["schema", "sql", "natsdb/store", "ingest/archive", "natsdb/api", "natsdb/search"]
# What should find a wrong change there: all tests of these, those that run its line first.
TESTS = [
    "tests/schema",
    "tests/sql",
    "tests/store",
    "tests/ingest",
    "tests/legacy",
    "tests/search",
    "tests/package/test_compare.py",
    "tests/package/test_duckdb_file.py",
    "tests/package/test_remote.py",
    "tests/package/test_versions_cli.py",
    "tests/training/test_networks.py",
]
_COMPARED = ("Eq_NotEq", "NotEq_Eq", "Lt_LtE", "LtE_Lt", "Gt_GtE", "GtE_Gt", "Is_IsNot", "IsNot_Is")
_COMPUTED = ("Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Mul", "Mod_Mul", "LShift_RShift", "RShift_LShift")
OPERATORS = [
    *(f"core/ReplaceComparisonOperator_{name}" for name in _COMPARED),
    *(f"core/ReplaceBinaryOperator_{name}" for name in _COMPUTED),
    "core/ReplaceUnaryOperator_Delete_Not",
    "core/ReplaceUnaryOperator_USub_UAdd",
    "core/AddNot",
    "core/ReplaceTrueWithFalse",
    "core/ReplaceFalseWithTrue",
    "core/ReplaceAndWithOr",
    "core/ReplaceOrWithAnd",
    "core/ReplaceBreakWithContinue",
    "core/ReplaceContinueWithBreak",
    "core/NumberReplacer",
    "core/ZeroIterationForLoop",
]
# Comparison, kind of join, null, aggregate, order.
SQL_RULES = [
    (r"<=", "<"),
    (r"(?<![<>!:])=(?!=)", "!="),
    (r"\band\b", "or"),
    (r"\bor\b(?! replace)", "and"),
    (r"\binner join\b", "left join"),
    (r"\bleft join\b", "inner join"),
    (r"\bis null\b", "is not null"),
    (r"\bis not null\b", "is null"),
    (r"\bnulls last\b", "nulls first"),
    (r"\bcoalesce\(", "nullif("),
    (r"\bavg\(", "max("),
    (r"\bmin\(", "max("),
    (r"\bmax\(", "min("),
    (r"\bstddev_samp\(", "stddev_pop("),
    (r"\bstddev_pop\(", "stddev_samp("),
    (r"\bcount\(\*\)", "count(distinct 1)"),
    (r"\bunion all\b", "union"),
    (r"\bdesc\b", "asc"),
    (r"\basc\b", "desc"),
]
# What no answer depends on.
_UNSEEN = re.compile(r"\b(frozen|strict|maxsize)=[^,)]+")
# Seconds that tests which run the changed line may take together: the quickest of them, then others. Most changes are
# found by the first, for which few files are collected.
AT_FIRST = (6.0, 60.0)
# A change that makes tests run without end is found: after so many times what was recorded, and so many seconds more.
PATIENCE = (10, 120)
RECORDS = ROOT / ".mutants"
EQUIVALENT = Path(__file__).with_name("equivalent.txt")
CODE = ("schema", "sql", "ingest", "training", "natsdb")
# What tests import of others, which takes longer than most of them.
IMPORTED = ["__main__", "duckdb", "hypothesis", "nats_bench", "polars", "pyarrow.parquet", "torch", "typer.testing"]
FORKED = multiprocessing.get_context("forkserver")


@dataclass(frozen=True)
class Mutant:
    """A change of a file: its whole text after it, and the line as it was and is."""

    room: str
    path: str
    rule: str
    text: str
    line: int
    before: str
    after: str


def equivalent() -> dict[tuple[str, str, str], str]:
    """Reasons of the changes in `equivalent.txt`, each of all lines of a file that read so: by `key_of` it.

    Raises:
        SystemExit: a change has no reason, or its line before is no line of its file.
    """
    reasons, reason, path, before = {}, "", "", ""
    for line in EQUIVALENT.read_text(encoding="utf-8").splitlines():
        if line.startswith("# "):
            reason, path = line[2:], ""
        elif line.startswith("- "):
            before = line[2:]
            if not reason:
                raise SystemExit(f"{EQUIVALENT.name}: {before!r} of {path} has no reason: a line `# …` above says it")
            if not (ROOT / path).is_file() or before not in map(str.strip, _text(path).splitlines()):
                raise SystemExit(f"{EQUIVALENT.name}: {path} has no line {before!r} any more: take its changes out")
        elif line.startswith("+ "):
            reasons[key_of(path, before, line[2:])] = reason
        elif line:
            path = line
        else:
            reason = ""
    return reasons


def key_of(path: str, before: str, after: str) -> tuple[str, str, str]:
    """A change, however an operator spaces it."""
    return path, "".join(before.split()), "".join(after.split())


Place = tuple[str, str, str, int]


def places() -> Iterator[Place]:
    """Every place of a change, in order: room, file, operator or rule, and which of its occurrences in the file."""
    for room in ROOMS:
        for path in sorted((ROOT / room).glob("**/*")):
            name = path.relative_to(ROOT).as_posix()
            if path.suffix == ".py":
                tree = get_ast(path.read_text(encoding="utf-8"))
                for rule in OPERATORS:
                    counter = _Counter(get_operator(rule)())
                    counter.walk(tree)
                    yield from ((room, name, rule, occurrence) for occurrence in range(counter.found))
            elif path.suffix == ".sql":
                text = path.read_text(encoding="utf-8")
                for rule, _ in SQL_RULES:
                    yield from ((room, name, rule, n) for n in range(len(_matches(rule, text))))


class _Counter(MutationVisitor):
    """Walks a tree and counts where an operator applies."""

    def __init__(self, operator: Any) -> None:
        super().__init__(-1, operator)
        self.found = 0

    def visit(self, node: Any) -> Any:
        self.found += sum(1 for _ in self.operator.mutation_positions(node))
        return node


def mutant(place: Place) -> Mutant | None:
    """The change at a place; None where that is no Python, or an annotation, which nothing evaluates, or guards against
    slips of our own alone, or is the size of a cache."""
    room, name, rule, occurrence = place
    text = (ROOT / name).read_text(encoding="utf-8")
    if name.endswith(".sql"):
        match = _matches(rule, text)[occurrence]
        changed = text[: match.start()] + dict(SQL_RULES)[rule] + text[match.end() :]
    else:
        changed = mutate_code(text, get_operator(rule)(), occurrence)
        if _evaluated(changed) in ("", _evaluated(text)):
            return None
    old, new = text.splitlines(), changed.splitlines()
    at = next(n for n, (a, b) in enumerate(zip(old, new, strict=False)) if a != b)
    if re.search(r"(?:^|[(,])\s*/,", new[at]):  # of a signature: how arguments are passed, and no product
        return None
    if _UNSEEN.sub(r"\1", old[at]) == _UNSEEN.sub(r"\1", new[at]):
        return None
    return Mutant(room, name, rule.removeprefix("core/"), changed, at + 1, old[at].strip(), new[at].strip())


def _matches(rule: str, text: str) -> list[re.Match[str]]:
    comments = [match.span() for match in re.finditer(r"--.*", text)]
    return [
        match for match in re.finditer(rule, text) if not any(start <= match.start() < end for start, end in comments)
    ]


def _evaluated(text: str) -> str:
    try:
        tree = ast.parse(text)
    except SyntaxError:  # `not` before an assignment expression
        return ""
    for node in ast.walk(tree):
        for name in ("annotation", "returns"):
            if getattr(node, name, None) is not None:
                setattr(node, name, None)
    return ast.dump(tree)


# What `seen.py` records of a test, and tests by name.
Test = dict[str, Any]
Tests = dict[str, Test]


@cache
def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


@cache
def digest_of(*folders: str) -> str:
    """Digest of the Python and SQL in folders, but for files of tests: those are known by their own text."""
    paths = [path for folder in folders for path in sorted((ROOT / folder).glob("**/*"))]
    named = (path for path in paths if path.suffix in (".py", ".sql") and not path.name.startswith("test_"))
    code = (path.read_bytes() for path in named if path != Path(__file__))
    return hashlib.sha256(b"".join(code)).hexdigest()


class Tried:
    """What was tried on this code: what was found stays found; what was not is tried again with other tests."""

    def __init__(self) -> None:
        self._path = RECORDS / f"tried-{digest_of(*CODE)[:16]}.jsonl"
        lines = self._path.read_text(encoding="utf-8").splitlines() if self._path.exists() else []
        every = [json.loads(line) for line in lines]
        self._found = {one["change"]: one["by"] for one in every if one["by"]}
        self._missed = {(one["change"], one["tests"]) for one in every if not one["by"]}

    def before(self, change: Mutant, tests: Tests) -> str | None:
        """What found a change, empty where these tests, as they are, did not, None where they were not tried."""
        name = _name(change)
        return self._found.get(name, "" if (name, _as_they_are(tests)) in self._missed else None)

    def keep(self, change: Mutant, tests: Tests, by: str) -> None:
        """Note what tests made of a change."""
        line = {"change": _name(change), "tests": _as_they_are(tests), "by": by}
        with self._path.open("a", encoding="utf-8") as file:
            file.write(json.dumps(line) + "\n")


def _as_they_are(tests: Tests) -> str:
    texts = [digest_of("tests"), *sorted(tests), *(_text(name) for name in sorted(set(map(_file, tests))))]
    return hashlib.sha256("\n".join(texts).encode()).hexdigest()[:16]


def _name(change: Mutant) -> str:
    return hashlib.sha256(f"{change.path}\n{change.text}".encode()).hexdigest()[:16]


def recorded(files: list[str], trees: SimpleQueue[Path], jobs: int) -> Tests:
    """The tests of files that pass, recorded folder by folder in unchanged trees, where the code, what tests share or
    the file is not as it was."""
    digest = digest_of(*CODE, "tests")
    kept = {}
    for name in files:
        kept[name] = RECORDS / f"{Path(name).stem}-{hashlib.sha256((digest + _text(name)).encode()).hexdigest()[:16]}"

    def record(missing: list[str]) -> None:
        tree = trees.get()
        to = tree / "record.json"
        to.unlink(missing_ok=True)
        try:
            ended, printed = run_tests(missing, tree, None, {"NATSDB_RECORD": str(to)})
            if ended not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED) or not to.exists():
                raise RuntimeError(f"{printed}\nnothing was recorded: pytest ended with {ended}")
            said: Tests = json.loads(to.read_text(encoding="utf-8"))
        finally:
            trees.put(tree)
        for name in missing:
            for old in RECORDS.glob(f"{Path(name).stem}-*"):
                old.unlink()
            kept[name].write_text(json.dumps({test: one for test, one in said.items() if _file(test) == name}))
        print(f"recorded {', '.join(missing)}", flush=True)

    missing = sorted(name for name, path in kept.items() if not path.is_file())
    with ThreadPoolExecutor(jobs) as pool:
        list(pool.map(record, (list(of) for _, of in groupby(missing, lambda name: Path(name).parent))))
    return {test: one for path in kept.values() for test, one in json.loads(path.read_text(encoding="utf-8")).items()}


def _files() -> Iterator[str]:
    """The files of `TESTS`."""
    for name in TESTS:
        for path in sorted((ROOT / name).glob("test_*.py")) or [ROOT / name]:
            yield path.relative_to(ROOT).as_posix()


def _file(test: str) -> str:
    return test.partition("::")[0]


def chosen(change: Mutant, tests: Tests, most: float, rest: bool) -> Tests:
    """Tests to run on a change, as many as take no longer than `most` together, the quickest first: those that run its
    line, or where none does, as of what a module runs when it is imported, those whose file names the module, or else
    those that run it; with `rest` all others after these. Those of a file stay together, as they share fixtures."""

    def rank(test: str) -> tuple[int, float]:
        of = tests[test]
        runs = int(of["lines"].get(change.path, "0"), 16)
        line = runs >> (0 if change.path.endswith(".sql") else change.line) & 1
        named = Path(change.path).stem in _text(_file(test))
        return 0 if line else 1 if named else 2 if runs else 3, of["alone"] + sum(of["shared"].values())

    ranks = {test: rank(test) for test in tests}
    left, paid, files = most, dict[str, float](), dict[str, list[str]]()
    nearest = min((near for near, _ in ranks.values()), default=0)
    for test in sorted(tests, key=ranks.__getitem__):
        takes = tests[test]["alone"] + sum(took for name, took in tests[test]["shared"].items() if name not in paid)
        if takes <= left and (rest or ranks[test][0] == nearest):
            left, paid = left - takes, paid | tests[test]["shared"]
            files.setdefault(_file(test), []).append(test)
    return {test: tests[test] for file in files.values() for test in file}


def run_tests(files: list[str], tree: Path, most: float | None, variables: dict[str, str]) -> tuple[int | None, str]:
    """Run tests in a tree with the plugin `seen`: pytest's exit code, -1 where the process died and None where it did
    not end in time, and what it printed."""
    said, ended = tree / "said.txt", tree / "ended.txt"
    said.write_text("")
    ended.unlink(missing_ok=True)
    process = FORKED.Process(target=_run, args=(files, tree, variables, said, ended))
    process.start()
    process.join(most)
    alive = process.is_alive()
    if alive and process.pid is not None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.join()
    # Its exit code may be another's: a thread that starts a process looks after those of all threads.
    code = int(ended.read_text()) if ended.exists() else None if alive else -1
    return code, said.read_text(encoding="utf-8")


def _run(files: list[str], tree: Path, variables: dict[str, str], said: Path, ended: Path) -> None:
    os.setpgid(0, 0)
    os.chdir(tree)
    with said.open("w") as out:
        os.dup2(out.fileno(), 1)
        os.dup2(out.fileno(), 2)
    paths = [str(tree), str(tree / "tests")]
    sys.path[:0] = paths
    os.environ["PYTHONPATH"] = os.pathsep.join((*paths, os.environ.get("PYTHONPATH", "")))
    os.environ.setdefault("NATSDB_TEST_DATA", str(ROOT.parent / "shared" / "data"))
    os.environ.update(variables)
    sys.dont_write_bytecode = True
    code = int(pytest.main(["-q", "-p", "no:cacheprovider", "-p", "seen", *files]))
    ended.write_text(str(code))


def found(change: Mutant, tests: Tests, tree: Path) -> str:
    """What of some tests found a change: the test, or that it ran out of time; empty where nothing did."""
    path, order = tree / change.path, tree / "order.json"
    original = path.read_text(encoding="utf-8")
    path.write_text(change.text, encoding="utf-8")
    order.write_text(json.dumps(list(tests)), encoding="utf-8")
    shared = {name: took for one in tests.values() for name, took in one["shared"].items()}
    seconds = sum(one["alone"] for one in tests.values()) + sum(shared.values())
    variables = {"NATSDB_ORDER": str(order)}
    if change.room != "schema":  # of which alone the made-up archives are made
        variables["NATSDB_WRITTEN"] = str(tree.parent / "written")
    try:
        files = list(dict.fromkeys(map(_file, tests)))
        code, said = run_tests(files, tree, PATIENCE[0] * seconds + PATIENCE[1], variables) if tests else (0, "")
    finally:
        path.write_text(original, encoding="utf-8")
    if code is None:
        return "out of time"
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", said, re.MULTILINE)
    if code == pytest.ExitCode.NO_TESTS_COLLECTED:
        return ""
    if code and failed is None:
        return f"pytest ended with {code}"
    return failed[1] if failed is not None else ""


def main() -> None:
    """Draw, run, print a table; exit with 1 when fewer than nine of ten that are not equivalent were found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--room", choices=ROOMS, help="only this one")
    parser.add_argument("--longest", type=float, default=600, help="seconds of tests on what the first did not find")
    asked = parser.parse_args()
    os.environ["OMP_NUM_THREADS"] = "1"
    FORKED.set_forkserver_preload(IMPORTED)
    every = [one for one in places() if asked.room in (None, one[0])]
    every.sort(key=lambda place: hashlib.sha256(f"{asked.seed} {place}".encode()).digest())
    drawn = list(islice(filter(None, map(mutant, every)), asked.count))
    reasons = equivalent()
    same = {one: why for one in drawn if (why := reasons.get(key_of(one.path, one.before, one.after)))}
    print(f"{len(drawn)} of {len(every):,} changes, seed {asked.seed}, {len(same)} of them equivalent", flush=True)
    with tempfile.TemporaryDirectory(prefix="natsdb-mutants-") as folder:
        (Path(folder) / "written").mkdir()
        trees: SimpleQueue[Path] = SimpleQueue()
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for number in range(asked.jobs):
            tree = Path(folder) / str(number)
            for name in listed.splitlines():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, tree / name, follow_symlinks=False)
            trees.put(tree)
        RECORDS.mkdir(exist_ok=True)
        kept = Tried()
        tests = recorded(list(_files()), trees, asked.jobs)
        print(f"{len(tests)} tests", flush=True)
        left = dict.fromkeys((one for one in drawn if one not in same), tests)

        def tried(changes: list[Mutant], most: float, rest: bool) -> list[Mutant]:
            """Those that were not found by tests which had not run yet and take so many seconds."""

            def one(change: Mutant) -> str:
                run = chosen(change, left[change], most, rest)
                left[change] = {test: of for test, of in left[change].items() if test not in run}
                by = kept.before(change, run)
                if by is None:
                    tree = trees.get()
                    try:
                        by = found(change, run, tree)
                    finally:
                        trees.put(tree)
                    kept.keep(change, run, by)
                return by

            missed, started = [], time.monotonic()
            with ThreadPoolExecutor(asked.jobs) as pool:
                for number, (change, by) in enumerate(zip(changes, pool.map(one, changes), strict=True), 1):
                    if not by:
                        missed.append(change)
                    minutes = (time.monotonic() - started) / number * (len(changes) - number) / 60
                    done = f"{number}/{len(changes)}, {minutes:.0f} min left"
                    print(f"{done}: {change.path}:{change.line}: {change.rule}: {by or 'NOT FOUND'}", flush=True)
            return missed

        survivors = list(left)
        for most, rest in (*((most, False) for most in AT_FIRST), (asked.longest, True)):
            print(f"{len(survivors)} left: {'all tests' if rest else 'the nearest tests'}, {most:.0f} s each at most")
            survivors = tried(survivors, most, rest)
    print("\n| room | changes | equivalent | found of the others |\n|---|---|---|---|")
    for room in [*(room for room in ROOMS if room in {one.room for one in drawn}), ""]:
        of, alike, missed = (sum(room in ("", one.room) for one in some) for some in (drawn, same, survivors))
        share = 100 * (of - alike - missed) / (of - alike) if of > alike else 100
        print(f"| {room or 'all'} | {of} | {alike} | {of - alike - missed} ({share:.0f} %) |")
    for change, why in same.items():
        print(f"\n{change.path}:{change.line}: {change.rule}: {why}")
        print("\n".join(difflib.ndiff([change.before], [change.after])))
    for change in survivors:
        print(f"\n{change.path}:{change.line}: {change.rule}")
        print("\n".join(difflib.ndiff([change.before], [change.after])))
    sys.exit(len(survivors) > (len(drawn) - len(same)) / 10)


if __name__ == "__main__":
    main()
