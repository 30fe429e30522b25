"""`python -m natsdb.training.prove`: its tiny version on a CPU, and what failures, limits and kills leave behind."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import subprocess
import sys
import time
from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'natsdb[training]'")

import numpy as np  # noqa: E402
import pyarrow as pa  # noqa: E402
import pyarrow.parquet as pq  # noqa: E402
from packaging.requirements import Requirement  # noqa: E402

import natsdb  # noqa: E402
from natsdb.schema.errors import NatsdbError  # noqa: E402
from natsdb.training.prove import agreement, equality, plan, report  # noqa: E402
from natsdb.training.prove.published import published, spearman, spread  # noqa: E402
from natsdb.training.prove.running import Results  # noqa: E402
from natsdb.training.prove.speed import Traffic  # noqa: E402
from natsdb.training.prove.tasks import Found, Given, Task  # noqa: E402
from natsdb.training.recipe import Recipe  # noqa: E402
from pictures import made_up_pixels, png  # noqa: E402
from proof_tasks import (  # noqa: E402
    MACHINE,
    do_all,
    ends_by_itself,
    hangs_at_first,
    is_killed,
    quick,
    raises_at_first,
    tasks_of,
)


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One Parquet file of training and test images."""
    folder = tmp_path_factory.mktemp("pictures")
    pixels, labels = made_up_pixels(60, 10, 32, 0)
    split = ["train"] * 40 + ["test"] * 20
    pq.write_table(pa.table({"split": split, "label": labels, "png": list(map(png, pixels))}), folder / "all.parquet")
    return folder


def _bare_environment(folder: Path, *packages: str) -> Path:
    """A folder of links to these packages and what they require, and to natsdb."""
    folder.mkdir()
    (folder / "natsdb").symlink_to(Path(natsdb.__file__).parent)
    todo, seen = list(packages), set[str]()
    while todo:
        name = todo.pop()
        try:
            found = distribution(name)
        except PackageNotFoundError:  # for another platform
            continue
        if found.metadata["Name"] in seen:
            continue
        seen.add(found.metadata["Name"])
        for top in {path.parts[0] for path in found.files or ()} - {"..", "__pycache__"}:
            if not (folder / top).is_symlink():
                (folder / top).symlink_to(Path(str(found.locate_file(top))))
        needs = [Requirement(line) for line in found.requires or ()]
        todo += [need.name for need in needs if need.marker is None or need.marker.evaluate({"extra": ""})]
    return folder


def test_the_whole_command_in_an_environment_of_four_packages(pictures: Path, tmp_path: Path) -> None:
    here = _bare_environment(tmp_path / "bare", "torch", "torchvision", "numpy", "pyarrow", "pillow")
    assert not {"duckdb", "polars", "typer", "rich", "click"} & {path.name for path in here.iterdir()}
    out = tmp_path / "out"
    # -S: no packages but those of the folder; the worker process gets the option too.
    command = [
        sys.executable,
        "-S",
        "-m",
        "natsdb.training.prove",
        str(out),
        "--data",
        str(pictures),
        "--device",
        "cpu",
    ]
    keep = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "COV"))}
    environment = keep | {"PYTHONPATH": str(here), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    known = json.loads((out / "proof.json").read_text())
    found = {name: of["found"] for name, of in known["tasks"].items()}
    assert {of["state"] for of in known["tasks"].values()} == {"done"}
    assert {of["step"] for of in known["tasks"].values()} == {1, 2, 3, 4}
    assert found["same numbers: side by side"]["precisions"]["float64"]["error"] < 1e-9
    assert 0 < found["reference"]["own_error"]["float32"] < found["reference"]["own_error"]["bf16"] < 0.1
    assert found["2 side by side"]["gigabytes_a_step"] > 1.2 * found["channels last"]["gigabytes_a_step"]
    assert found["channels last"]["kernels"]
    assert found["channels last"]["share_of_bandwidth"] > 0
    assert found["published accuracies"]["architectures"] == 4
    assert found["GDAS"]["epochs"] == len(found["GDAS"]["seconds"]) == 2
    text = (out / "proof.md").read_text()
    assert all(f"## {step}" in text for step in (1, 2, 3, 4))
    assert known["machine"]["code"] in text
    assert "tiny version" in text


def test_what_raises_or_is_killed_is_noted_and_the_others_go_on(tmp_path: Path) -> None:
    tasks = tasks_of(raises_at_first, is_killed, quick)
    code, known, said = do_all(tasks, tmp_path)
    assert code == 1
    raised = known["raises_at_first"]
    assert (raised["state"], raised["reason"], raised["found"]) == (
        "failed",
        "ValueError: the first time",
        {"so far": 1},
    )
    assert "in raises_at_first" in raised["trace"]
    assert known["is_killed"]["reason"] == "its process ended (signal SIGKILL)"
    assert known["quick"]["state"] == "done"
    assert said[-1].endswith("1 of 3 tasks done, 2 failed")
    text = (tmp_path / "proof.md").read_text()
    assert "| raises_at_first | failed | ValueError: the first time |" in text
    # What is done is left alone, what failed is tried again.
    code, known, _ = do_all(tasks, tmp_path)
    assert code == 1
    assert known["raises_at_first"]["found"] == {"begun": 2}
    assert known["is_killed"]["state"] == "failed"
    assert known["quick"]["found"] == {"begun": 1, "before": []}


def test_a_call_that_was_cut_goes_on(tmp_path: Path) -> None:
    tasks = [Task(t.name, 2, t.function, {}, 60.0) for t in tasks_of(quick, hangs_at_first, is_killed)]
    began = time.monotonic()
    code, known, _ = do_all(tasks, tmp_path, 8.0)
    assert time.monotonic() - began < 16
    assert code == 3
    assert known["quick"]["state"] == "done"
    assert (known["hangs_at_first"]["state"], known["hangs_at_first"]["found"]) == ("stopped", {"so far": 1})
    assert "| is_killed | not begun | no time was left |" in (tmp_path / "proof.md").read_text()
    code, known, _ = do_all(tasks[:2], tmp_path)
    assert code == 0
    assert known["hangs_at_first"]["found"] == {"begun": 2}
    assert known["quick"]["found"]["begun"] == 1


def test_a_limit_of_its_own_is_a_failure_and_takes_no_time_from_the_others(tmp_path: Path) -> None:
    tasks = [*tasks_of(hangs_at_first, limit=5.0), *tasks_of(quick, ends_by_itself)]
    code, known, _ = do_all(tasks, tmp_path)
    assert code == 1
    hangs, ends = known["hangs_at_first"], known["ends_by_itself"]
    assert (hangs["state"], hangs["reason"]) == ("failed", "stopped after 5 s, its limit")
    assert known["quick"]["state"] == "done"
    assert (ends["state"], ends["reason"], ends["found"]) == ("stopped", "half of it", {"so far": 7})


def test_the_command_killed_its_worker_ends_and_the_next_call_goes_on(tmp_path: Path) -> None:
    script = (
        f"import sys; sys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        "from pathlib import Path\nimport proof_tasks as t\n"
        f"if __name__ == '__main__': t.do_all(t.tasks_of(t.quick, t.hangs_at_first), Path({str(tmp_path)!r}))\n"
    )
    (tmp_path / "script.py").write_text(script)
    command = subprocess.Popen([sys.executable, str(tmp_path / "script.py")])
    pid = tmp_path / "pid"
    end = time.monotonic() + 120
    while not (pid.exists() and pid.read_text()) and time.monotonic() < end:
        time.sleep(0.1)
    command.kill()
    command.wait()
    worker = Path("/proc", pid.read_text())
    while worker.exists() and "zombie" not in (worker / "status").read_text() and time.monotonic() < end:
        time.sleep(0.1)
    assert time.monotonic() < end
    code, known, _ = do_all([Task(t.name, 1, t.function, {}, 60.0) for t in tasks_of(quick, hangs_at_first)], tmp_path)
    assert (code, known["hangs_at_first"]["found"]) == (0, {"begun": 2})
    assert known["quick"]["found"]["begun"] == 1


def test_results_of_another_machine_are_not_mixed(tmp_path: Path) -> None:
    Results(tmp_path).begin(MACHINE, True)
    with pytest.raises(NatsdbError, match="the results there are of a card, this is another; name another folder"):
        Results(tmp_path).begin({**MACHINE, "same": ["another", "def"]}, True)
    (tmp_path / "proof.json").write_text("{}")
    with pytest.raises(NatsdbError, match="these are no results of this command"):
        Results(tmp_path)


def test_numbers_that_are_not_the_same_are_told_and_fail(
    pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told: list[Found] = []
    given = Given("cpu", tmp_path, pictures, tmp_path, 60.0, {}, told.append)
    known = {"reference": equality.reference(given, 4, members=1)}
    given = Given("cpu", tmp_path, pictures, tmp_path, 60.0, known, told.append)
    # Another rate in place of that of the reference: weights are elsewhere.
    monkeypatch.setattr(equality, "RECIPE", Recipe(learning_rate=1e-3, batch=32))
    with pytest.raises(AssertionError, match=r"float64: \d.*, not 1.0e-09"):
        equality.same_numbers(given, 4, "eager", False, precisions=["float64"])
    assert told[-1]["precisions"]["float64"]["same"] is False
    # Neither does one that cannot be done at all keep the others from being told.
    with pytest.raises(AssertionError, match=r"float64: .*; bf16: "):
        equality.same_numbers(given, 4, "graph", False, precisions=["float64", "bf16"])


def test_architectures_are_spread_evenly_however_many() -> None:
    of = published()
    assert len(of) == 15_625
    assert spread(64)[:10] == spread(10)
    accuracies = sorted(of[arch] for arch in spread(63))
    low, high = min(value for value in of.values() if value > 10.5), max(of.values())
    assert len(set(spread(63))) == 63
    assert np.abs(np.array(accuracies) - np.linspace(low, high, 65)[1:-1]).max() < 1.0


def test_rank_correlation_with_ties() -> None:
    assert spearman([1, 2, 3, 4], [10, 20, 30, 25]) == pytest.approx(0.8)
    assert spearman([1, 2, 2, 3], [1, 3, 2, 4]) == pytest.approx(0.9486832980505138)
    assert np.isnan(spearman([1, 2], [5, 5]))


def test_bytes_that_operations_move() -> None:
    a, b = torch.zeros(1000, requires_grad=True), torch.zeros(1000)
    with Traffic() as traffic:
        c = a.view(10, 100).t()
        assert (traffic.bytes, traffic.operations) == (0, 0)
        b.add_(1.0)
    assert (traffic.bytes, traffic.operations) == (8_000, 1)
    with Traffic() as traffic:
        (c * 2.0).sum().backward()
    # Forward: a product reads and writes, a sum reads and writes one number. Backward: a product, and little else.
    assert 16_000 <= traffic.bytes <= 28_100
    with Traffic() as traffic:
        torch._foreach_add_([b, b], 1.0)
    assert traffic.bytes == 16_000


def test_goals_are_reached_or_missed() -> None:
    row = {"images_a_second": 1.0, "channels_last": True, "step": "graph"}
    done = {
        "12 epochs alone": {"training_seconds": 3.9},
        "one": row | {"runs": 1, "seconds_a_run": 9.0},
        "two": row | {"runs": 2, "seconds_a_run": 1.7},
    }
    told = done | {"published accuracies": {"spearman": 0.96, "architectures": 49}}
    assert [goal[1:] for goal in report._goals(done, told, True)] == [
        ("3.9 s", "reached"),
        ("1.7 s", "missed"),
        ("0.96 over 49", "missed"),
    ]
    assert report._goals({}, {}, True)[2][1:] == ("", "not yet known")


def test_a_stack_that_fails_is_tried_smaller_then_as_it_is_written() -> None:
    row = {"precision": "bf16", "step": "graph", "channels_last": True, "deterministic": True}
    before = {
        "fast": row | {"runs": 4, "topologies": 4, "images_a_second": 9.0, "seconds_a_run": 1.0},
        "one topology": row | {"runs": 8, "topologies": 1, "images_a_second": 99.0, "seconds_a_run": 0.1},
    }
    how: Found | None = agreement._fastest(before)
    tried = []
    while how:
        tried.append((how["runs"], how["step"]))
        how = agreement._slower(how)
    assert tried == [(4, "graph"), (2, "graph"), (1, "graph"), (1, "eager")]


@pytest.mark.parametrize("device", ["cuda", "cpu"])
def test_every_task_of_the_plan_can_be_called(device: str) -> None:
    tasks = plan.plan({"device": device})
    given = Given(device, Path(), Path(), Path(), 1.0, {}, print)
    for task in tasks:
        module, name = task.function.split(":")
        inspect.signature(getattr(importlib.import_module(module), name)).bind(given, **task.options)
    assert len({task.name for task in tasks}) == len(tasks)
    assert [task.step for task in tasks] == sorted(task.step for task in tasks)
    assert {task.step for task in tasks} == plan.SHARES.keys()
    assert sum(plan.SHARES.values()) == pytest.approx(1)
