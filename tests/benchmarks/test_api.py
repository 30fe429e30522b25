"""`natsdb.api` beside `nats_bench` in the same run: on the real records, both warm, and at full scale, both cold."""

from __future__ import annotations

import random
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import nats_bench
import numpy as np
import pytest

from full_scale import Results
from natsdb import api
from natsdb.schema.spaces import SPACES

pytestmark = pytest.mark.slow
ARCH = 11


@pytest.fixture(scope="module")
def pairs(official: dict[str, Path], real_db: Path) -> dict[str, tuple[Any, Any]]:
    """Both handles of each space on the real records."""
    return {
        space: (
            nats_bench.create(str(folder), space, fast_mode=True, verbose=False),
            api.create(str(real_db), space, fast_mode=True, verbose=False),
        )
        for space, folder in official.items()
    }


def _seconds(call: Callable[[], Any]) -> float:
    """Median seconds of a call, over runs of at least 20 ms each."""
    call()
    started = time.perf_counter()
    call()
    count = max(1, int(0.02 / max(time.perf_counter() - started, 1e-7)))
    spent = []
    for _ in range(7):
        started = time.perf_counter()
        for _ in range(count):
            call()
        spent.append((time.perf_counter() - started) / count)
    return median(spent)


def _add(results: Results, measure: str, theirs: float, mine: float, must: str) -> None:
    results.add(
        f"{measure}: nats_bench, natsdb", f"{theirs * 1e6:,.0f} µs, {mine * 1e6:,.2f} µs: 1/{theirs / mine:,.0f}", must
    )


WARM: dict[str, tuple[str, Callable[[Any], Any], str]] = {
    "`get_more_info`, tss, cifar100, hp 200": (
        "tss",
        lambda handle: handle.get_more_info(ARCH, "cifar100", hp="200"),
        "≤ 1/50",
    ),
    "`get_more_info`, tss, cifar10-valid, hp 12": (
        "tss",
        lambda handle: handle.get_more_info(ARCH, "cifar10-valid", hp="12", is_random=False),
        "≤ 1/50",
    ),
    "`get_more_info`, sss, cifar10, hp 90": (
        "sss",
        lambda handle: handle.get_more_info(ARCH, "cifar10", hp="90"),
        "≤ 1/50",
    ),
    "`get_more_info`, sss, cifar100, hp 12, epoch 5": (
        "sss",
        lambda handle: handle.get_more_info(ARCH, "cifar100", iepoch=5, hp="12"),
        "≤ 1/50",
    ),
    "`simulate_train_eval`, tss": ("tss", lambda handle: handle.simulate_train_eval(ARCH, "cifar10"), "≤ 1/100"),
    "`simulate_train_eval`, sss": ("sss", lambda handle: handle.simulate_train_eval(ARCH, "cifar10"), "≤ 1/100"),
    "`get_cost_info`, tss, hp 200": ("tss", lambda handle: handle.get_cost_info(ARCH, "cifar100", "200"), "≤ 1/500"),
}


@pytest.mark.parametrize("name", WARM)
def test_warm(benchmark: Any, pairs: Any, results: Results, name: str) -> None:
    space, call, must = WARM[name]
    theirs, mine = pairs[space]
    before = _seconds(lambda: call(theirs))
    own = _seconds(lambda: call(mine))
    after = _seconds(lambda: call(theirs))
    benchmark.pedantic(lambda: call(mine), rounds=100, iterations=100)
    _add(results, f"warm {name}", (before + after) / 2, own, must)


@pytest.mark.parametrize(("space", "hp"), [("tss", "200"), ("sss", "90")])
@pytest.mark.parametrize("iepoch", [None, 50])
def test_cold(
    benchmark: Any, folders: list[Path], database: Path, results: Results, space: str, hp: str, iepoch: int | None
) -> None:
    """Another architecture each call, files opened anew for each round; the first round brings them into memory."""
    folder = next(folder for folder in folders if f"-{space}-" in folder.name)
    known = random.Random(3).sample(range(len(list(folder.glob("[0-9]*.pbz2")))), 100)
    archs = random.Random(3).sample(range(SPACES[space].size), 1000)

    def cold(create: Any, place: Path, archs: list[int]) -> float:
        """Mean seconds of a call."""
        handle = create(str(place), space, fast_mode=True, verbose=False)
        started = time.perf_counter()
        for arch in archs:
            handle.get_more_info(arch, "cifar100", iepoch=iepoch, hp=hp, is_random=False)
            handle.arch2infos_dict.pop(arch, None) if create is nats_bench.create else None
        return (time.perf_counter() - started) / len(archs)

    spent: list[float] = []
    official = median(cold(nats_bench.create, folder, known) for _ in range(3))
    benchmark.pedantic(lambda: spent.append(cold(api.create, database, archs)), rounds=5)
    own = median(spent)
    what = "the last epoch" if iepoch is None else f"epoch {iepoch}"
    must = "≤ 1/5" if iepoch is None else "≤ 0.5 ms" if space == "tss" else "≤ 0.4 ms"
    _add(results, f"cold `get_more_info`, {space}, hp {hp}, {what}", official, own, must)


@pytest.mark.parametrize(("space", "hp"), [("tss", "200"), ("sss", "90")])
def test_find_best(benchmark: Any, database: Path, results: Results, space: str, hp: str) -> None:
    first = []
    for _ in range(3):
        handle = api.create(str(database), space, fast_mode=True, verbose=False)
        started = time.perf_counter()
        handle.find_best("cifar100", "x-test", hp=hp)
        first.append(time.perf_counter() - started)
    benchmark.pedantic(lambda: handle.find_best("cifar100", "x-test", hp=hp), rounds=20)
    results.add(
        f"`find_best` over all of {space}: a handle's first, the next ones",
        f"{median(first) * 1e3:.0f} ms, {benchmark.stats.stats.median * 1e3:.1f} ms",
        "≤ 20 ms" if space == "tss" else "≤ 35 ms",
    )


_FRESH = """import sys, time
started = time.perf_counter()
from natsdb.api import create
api = create({database!r}, "tss", fast_mode=True, verbose=False)
api.get_more_info(77, "cifar100", hp="200", is_random=False)
spent = time.perf_counter() - started
if {many}:
    import random
    for _ in range(10_000):
        api.get_more_info(random.randrange({known}), "cifar100", hp="200", is_random=False)
peak = next(line for line in open("/proc/self/status") if line.startswith("VmHWM")).split()[1]
print(spent, int(peak) / 1000)"""


@pytest.mark.parametrize("many", [False, True])
def test_fresh_process(benchmark: Any, database: Path, results: Results, many: bool) -> None:
    known = SPACES["tss"].size
    code = _FRESH.format(database=str(database), many=many, known=known)

    def fresh() -> list[float]:
        out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
        return [float(number) for number in out.split()]

    measured = [fresh() for _ in range(5)]
    benchmark.pedantic(fresh, rounds=1)
    seconds, memory = (median(column) for column in zip(*measured, strict=True))
    if many:
        results.add("10,000 random cold `get_more_info`, resident", f"{memory:.0f} MB", "≤ 500 MB")
    else:
        results.add(
            "`create` + first query in a fresh process", f"{seconds:.2f} s, {memory:.0f} MB", "≤ 0.2 s, ≤ 200 MB"
        )


def test_a_million_at_once(benchmark: Any, database: Path, results: Results) -> None:
    known = SPACES["tss"].size
    archs = np.random.default_rng(0).integers(0, known, 1_000_000)

    def simulate() -> Any:
        handle = api.create(str(database), "tss", verbose=False)
        return handle.simulate_many(archs, "cifar10", hp="12")

    assert len(benchmark.pedantic(simulate, rounds=3)) == len(archs)
    results.add("`simulate_many` of a million, opening included", f"{benchmark.stats.stats.median:.2f} s", "about 1 s")


def test_scripts(benchmark: Any, official: dict[str, Path], real_db: Path, results: Results) -> None:
    """A random search of 200,000 simulated seconds on the two real architectures, the loop alone."""

    def search(handle: Any) -> int:
        random.seed(1)
        handle.reset_time()
        steps = 0
        while handle.used_time < 200_000:
            handle.simulate_train_eval(random.choice((0, 11)), "cifar10", hp="12")
            steps += 1
        return steps

    theirs = nats_bench.create(str(official["tss"]), "tss", fast_mode=True, verbose=False)
    mine = api.create(str(real_db), "tss", fast_mode=True, verbose=False)
    assert search(theirs) == search(mine)
    _add(
        results,
        "random search of 200,000 simulated seconds",
        _seconds(lambda: search(theirs)),
        _seconds(lambda: search(mine)),
        "",
    )
    benchmark.pedantic(lambda: search(mine), rounds=3)
