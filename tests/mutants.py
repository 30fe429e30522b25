"""Small wrong changes to the core, one at a time: which of them the tests find (`make mutants`).

Python is changed by the operators of Cosmic Ray, SQL by the rules below; a sample is drawn by a seed. Each change is
made in a copy of the tree, in which tests of its room run until one fails: at first those that were seen to run the
line, the quickest first, for `AT_FIRST` seconds. When all changes had their turn, the rest of the room runs on what
these did not find, for `--longest` seconds. Only tests that pass without a change are run; what each of them runs is
recorded once for a state of the code (`seen.py`) and kept in `.mutants/`. What nothing found is printed with its line:
it is equivalent, or it wants a test.
"""

from __future__ import annotations

import argparse
import ast
import difflib
import hashlib
import json
import os
import random
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from cosmic_ray.ast import get_ast
from cosmic_ray.mutating import MutationVisitor, mutate_code
from cosmic_ray.plugins import get_operator

ROOT = Path(__file__).parents[1]
# Rooms, and the tests that should find what is wrong there.
ROOMS = {
    "schema": ["tests/schema", "tests/sql"],
    "sql": ["tests/sql", "tests/search/test_search_tables.py", "tests/package/test_duckdb_file.py"],
    "natsdb/store": ["tests/store", "tests/sql/test_which_rows_count.py", "tests/ingest/test_adding.py"],
    "ingest/archive": ["tests/ingest", "tests/legacy/test_every_answer.py"],
    "natsdb/api": ["tests/legacy"],
    "natsdb/search": ["tests/search"],
}
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
# Seconds that tests which run the changed line may take together.
AT_FIRST = 45.0
# A change that makes tests run without end is found: they take so many times longer than was recorded, and so many
# seconds more for the start.
PATIENCE = (10, 120)
RECORDS = ROOT / ".mutants"


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
    """The change at a place; None where that is no Python or changes an annotation, which nothing evaluates."""
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


@dataclass(frozen=True)
class Test:
    """A test that passes: seconds that it takes alone, those of fixtures it shares, lines that it runs as bits."""

    name: str
    alone: float
    shared: dict[str, float]
    lines: dict[str, str]

    def rank(self, change: Mutant, lines: int) -> tuple[int, float]:
        """How early to run it: whether it runs the changed line, the file, or neither; then how quick it is."""
        mask = int(self.lines.get(change.path, "0"), 16)
        named = change.path.endswith(".sql") and Path(change.path).stem in _text(self.name.partition("::")[0])
        return 0 if mask & lines else 1 if mask or named else 2, self.alone + sum(self.shared.values())


@cache
def _text(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def recorded(names: list[str], tree: Path) -> dict[str, list[Test]]:
    """The tests of files that pass, recorded in an unchanged tree where the code or they are not as they were."""
    code = [path for room in ROOMS for path in sorted((ROOT / room).glob("**/*")) if path.suffix in (".py", ".sql")]
    digest = hashlib.sha256(b"".join(path.read_bytes() for path in code))
    kept = {}
    for name in names:
        one = digest.copy()
        one.update(_text(name).encode())
        kept[name] = RECORDS / f"{Path(name).stem}-{one.hexdigest()[:16]}.json"
    if missing := [name for name, path in kept.items() if not path.is_file()]:
        RECORDS.mkdir(exist_ok=True)
        print(f"recording {', '.join(missing)}", flush=True)
        record = tree / "record.json"
        run_tests(missing, tree, None, {"NATSDB_RECORD": str(record)})
        said = json.loads(record.read_text(encoding="utf-8"))
        for name in missing:
            for old in RECORDS.glob(f"{Path(name).stem}-*.json"):
                old.unlink()
            of = {test: one for test, one in said.items() if test.startswith(f"{name}::")}
            kept[name].write_text(json.dumps(of), encoding="utf-8")
    found = {name: json.loads(path.read_text(encoding="utf-8")) for name, path in kept.items()}
    return {name: [Test(test, **one) for test, one in tests.items()] for name, tests in found.items()}


def chosen(change: Mutant, tests: list[Test], most: float) -> list[Test]:
    """Tests to run on a change, by rank, as many as take no longer than `most` together; those of a file stay together,
    since they share fixtures."""
    lines = _statement(_text(change.path), change.line) if change.path.endswith(".py") else 1
    ranks = {test.name: test.rank(change, lines) for test in tests}
    paid: dict[str, float] = {}
    files: dict[str, list[Test]] = {}
    left = most
    for test in sorted(tests, key=lambda one: ranks[one.name]):
        takes = test.alone + sum(seconds for name, seconds in test.shared.items() if name not in paid)
        if takes <= left and (most > AT_FIRST or ranks[test.name][0] == 0):
            left -= takes
            paid |= test.shared
            files.setdefault(test.name.partition("::")[0], []).append(test)
    return [test for file in files.values() for test in file]


def _statement(text: str, line: int) -> int:
    """Lines of the innermost statement around a line, of one with a body only its head, as bits."""
    around = [
        range(one.lineno, max(one.lineno + 1, one.body[0].lineno) if hasattr(one, "body") else one.end_lineno + 1)
        for one in ast.walk(ast.parse(text))
        if isinstance(one, ast.stmt)
    ]
    within = [lines for lines in around if line in lines] or [range(line, line + 1)]
    return sum(1 << one for one in min(within, key=len))


def run_tests(files: list[str], tree: Path, most: float | None, variables: dict[str, str]) -> tuple[int, str]:
    """Run tests in a tree with the plugin `seen`: pytest's exit code, and what it printed."""
    command = [sys.executable, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "-p", "seen", *files]
    path = os.pathsep.join((str(tree), str(tree / "tests"), os.environ.get("PYTHONPATH", "")))
    environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", **variables}
    environment.setdefault("NATSDB_TEST_DATA", str(ROOT.parent / "shared" / "data"))
    if most is not None:
        command.append("-x")
    done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, timeout=most)
    return done.returncode, done.stdout


def found(change: Mutant, tests: list[Test], tree: Path) -> str:
    """What of some tests found a change: the test, or that it ran out of time; empty where nothing did."""
    if not tests:
        return ""
    path, order = tree / change.path, tree / "order.json"
    original = path.read_text(encoding="utf-8")
    path.write_text(change.text, encoding="utf-8")
    order.write_text(json.dumps([test.name for test in tests]), encoding="utf-8")
    files = list(dict.fromkeys(test.name.partition("::")[0] for test in tests))
    seconds = sum(test.alone for test in tests) + sum({k: v for t in tests for k, v in t.shared.items()}.values())
    variables = {"NATSDB_ORDER": str(order)}
    if change.room != "schema":  # of which alone the made-up archives are made
        variables["NATSDB_WRITTEN"] = str(tree.parent / "written")
    try:
        code, said = run_tests(files, tree, seconds * PATIENCE[0] + PATIENCE[1], variables)
    except subprocess.TimeoutExpired:
        return "out of time"
    finally:
        path.write_text(original, encoding="utf-8")
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", said, re.MULTILINE)
    if code and failed is None:
        return f"pytest ended with {code}"
    return failed[1] if failed is not None else ""


def _test_files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(path.glob("test_*.py"))


def main() -> None:
    """Draw, run, print a table; exit with 1 when fewer than nine of ten were found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--room", choices=ROOMS, help="only this one")
    parser.add_argument("--skip", type=int, default=0, help="changes of the sample that were tried before")
    parser.add_argument("--longest", type=float, default=600, help="seconds of tests on what the first did not find")
    asked = parser.parse_args()
    every = [one for one in places() if asked.room in (None, one[0])]
    random.Random(asked.seed).shuffle(every)
    drawn = list(islice(filter(None, map(mutant, every)), asked.skip, asked.count))
    print(f"{len(drawn)} of {len(every):,} changes, seed {asked.seed}, from {asked.skip + 1}", flush=True)
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
        tests: dict[str, list[Test]] = {}

        def tried(changes: list[Mutant], *most: float) -> list[Mutant]:
            """Those that tests which take so many seconds, beside those of an attempt before, did not find."""

            def one(change: Mutant) -> str:
                left = tests[change.room]
                for seconds in most:
                    run = chosen(change, left, seconds)
                    left = [test for test in left if test not in run]
                tree = trees.get()
                try:
                    return found(change, run, tree)
                finally:
                    trees.put(tree)

            missed, started = [], time.monotonic()
            with ThreadPoolExecutor(asked.jobs) as pool:
                for number, (change, by) in enumerate(zip(changes, pool.map(one, changes), strict=True), 1):
                    if not by:
                        missed.append(change)
                    left = (time.monotonic() - started) / number * (len(changes) - number)
                    where = f"{change.path}:{change.line}: {change.rule}"
                    done = f"{number}/{len(changes)}, {left / 60:.0f} min left"
                    print(f"{done}: {where}: {by or 'NOT FOUND'}", flush=True)
            return missed

        by_file: dict[str, list[Test]] = {}
        missed = []
        for room, names in ROOMS.items():
            if changes := [change for change in drawn if change.room == room]:
                files = [p.relative_to(ROOT).as_posix() for name in names for p in _test_files(ROOT / name)]
                tree = trees.get()
                by_file |= recorded([name for name in files if name not in by_file], tree)
                trees.put(tree)
                tests[room] = [test for name in files for test in by_file[name]]
                print(f"{room}: {len(tests[room])} tests in {len(files)} files", flush=True)
                missed += tried(changes, AT_FIRST)
        print(f"{len(missed)} left: the rest of their rooms, {asked.longest:.0f} s each at most", flush=True)
        survivors = tried(missed, AT_FIRST, asked.longest)
    counts = Counter((change.room, change not in survivors) for change in drawn)
    print("\n| room | changes | found |\n|---|---|---|")
    for room in ROOMS:
        if every_of := sum(counts[room, by] for by in (True, False)):
            caught = counts[room, True]
            print(f"| {room} | {every_of} | {caught} ({100 * caught / every_of:.0f} %) |")
    for change in survivors:
        print(f"\n{change.path}:{change.line}: {change.rule}")
        print("\n".join(difflib.ndiff([change.before], [change.after])))
    sys.exit(len(survivors) > len(drawn) / 10)


if __name__ == "__main__":
    main()
