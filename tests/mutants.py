"""Small wrong changes to the core, one at a time: which of them the tests find (`make mutants`).

Python is changed by the operators of Cosmic Ray, SQL by the rules below; a sample is drawn by a seed. Each change is
made in a copy of the tree, in which the tests of its room run until one fails. What nothing found is printed with its
line: it is equivalent, or it wants a test.
"""

from __future__ import annotations

import argparse
import ast
import difflib
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
    (r"\bor\b", "and"),
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
# A change that makes a test run without end is found.
PATIENCE = 900


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
    """The change at a place; None where it changes a docstring or an annotation, which nothing evaluates."""
    room, name, rule, occurrence = place
    text = (ROOT / name).read_text(encoding="utf-8")
    if name.endswith(".sql"):
        match = _matches(rule, text)[occurrence]
        changed = text[: match.start()] + dict(SQL_RULES)[rule] + text[match.end() :]
    else:
        changed = mutate_code(text, get_operator(rule)(), occurrence)
        if _evaluated(changed) == _evaluated(text):
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
    tree = ast.parse(text)
    for node in ast.walk(tree):
        for name in ("annotation", "returns"):
            if getattr(node, name, None) is not None:
                setattr(node, name, None)
    return ast.dump(tree)


def found(change: Mutant, tree: Path) -> str:
    """What found a change: the test, or that it ran out of time; empty where nothing did."""
    path = tree / change.path
    original = path.read_text(encoding="utf-8")
    path.write_text(change.text, encoding="utf-8")
    command = [sys.executable, "-B", "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider", *ROOMS[change.room]]
    environment = {**os.environ, "PYTHONPATH": f"{tree}{os.pathsep}{tree / 'tests'}", "OMP_NUM_THREADS": "1"}
    environment.setdefault("NATSDB_TEST_DATA", str(ROOT.parent / "shared" / "data"))
    try:
        done = subprocess.run(command, cwd=tree, env=environment, capture_output=True, text=True, timeout=PATIENCE)
    except subprocess.TimeoutExpired:
        return "out of time"
    finally:
        path.write_text(original, encoding="utf-8")
    failed = re.search(r"^(?:FAILED|ERROR) (\S+)", done.stdout, re.MULTILINE)
    if done.returncode and failed is None:
        return f"pytest ended with {done.returncode}"
    return failed[1] if failed is not None else ""


def main() -> None:
    """Draw, run, print a table; exit with 1 when fewer than nine of ten were found."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--count", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--room", choices=ROOMS, help="only this one")
    asked = parser.parse_args()
    every = [one for one in places() if asked.room in (None, one[0])]
    random.Random(asked.seed).shuffle(every)
    drawn = list(islice(filter(None, map(mutant, every)), asked.count))
    print(f"{len(drawn)} of {len(every):,} changes, seed {asked.seed}", flush=True)
    with tempfile.TemporaryDirectory(prefix="natsdb-mutants-") as folder:
        trees: SimpleQueue[Path] = SimpleQueue()
        listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
        for number in range(asked.jobs):
            tree = Path(folder) / str(number)
            for name in listed.splitlines():
                (tree / name).parent.mkdir(parents=True, exist_ok=True)
                shutil.copy2(ROOT / name, tree / name, follow_symlinks=False)
            trees.put(tree)
        survivors, counts, started = [], Counter[tuple[str, bool]](), time.monotonic()

        def one(change: Mutant) -> tuple[Mutant, str]:
            tree = trees.get()
            try:
                return change, found(change, tree)
            finally:
                trees.put(tree)

        with ThreadPoolExecutor(asked.jobs) as pool:
            for number, (change, by) in enumerate(pool.map(one, drawn), 1):
                counts[change.room, bool(by)] += 1
                if not by:
                    survivors.append(change)
                left = (time.monotonic() - started) / number * (len(drawn) - number)
                where = f"{change.path}:{change.line}"
                print(f"{number}/{len(drawn)}, {left / 60:.0f} min left: {where}: {by or 'NOT FOUND'}", flush=True)
    print("\n| room | changes | found |\n|---|---|---|")
    for room in ROOMS:
        caught, missed = counts[room, True], counts[room, False]
        if caught + missed:
            print(f"| {room} | {caught + missed} | {caught} ({100 * caught / (caught + missed):.0f} %) |")
    for change in survivors:
        print(f"\n{change.path}:{change.line}: {change.rule}")
        print("\n".join(difflib.ndiff([change.before], [change.after])))
    sys.exit(len(survivors) > len(drawn) / 10)


if __name__ == "__main__":
    main()
