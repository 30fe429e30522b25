"""Tasks one after the other in a worker process, each with its time limit; what each found is on disk before the next.

A task that raises, or takes the worker down with it (a CUDA error, memory, a kill), is noted with its reason, a new
worker takes the next. Only this process writes results:

    OUT/proof.json    what is known of every task, written whole after each
    OUT/proof.md      the same for people
"""

from __future__ import annotations

import gc
import importlib
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, NamedTuple

from natsdb.schema.errors import NatsdbError
from natsdb.store.writing import write_whole, writing
from natsdb.training.prove.plan import PICTURES, SHARES, plan
from natsdb.training.prove.report import markdown
from natsdb.training.prove.tasks import Found, Given, Task, TimeUp

FORMAT = 1
# Seconds: of finding out what machine it is, pictures decoded; with less left, no task is begun.
MACHINE_LIMIT, LEAST = 300.0, 1.0
# What a task came to. One that was stopped because all time was up goes on in the next call.
DONE, FAILED, STOPPED = "done", "failed", "stopped"


class Outcome(NamedTuple):
    """What a task came to: a word, what it found (so far), the reason if it is not done, and where it was raised."""

    state: str
    found: Found
    reason: str = ""
    trace: str = ""


def prove(
    out: Path,
    *,
    minutes: float = 25.0,
    data: Path | None = None,
    device: str | None = None,
    say: Callable[[str], None] = print,
) -> int:
    """Do what is not done yet, in order; what failed before is tried again last.

    Args:
        out: folder of results, of this and earlier calls.
        minutes: time that this call may take.
        data: folder of CIFAR-10's pictures; made-up ones if None.
        device: a GPU if there is one, else the CPU, if None.
        say: told of each task in a line.

    Returns:
        0 when all is done, 1 when something failed, 3 when nothing failed but there is more to do.

    Raises:
        NatsdbError: no such device, no such pictures, or the folder has results of another machine, code or pictures.
    """
    end = time.monotonic() + 60 * minutes
    results = Results(out)
    with tempfile.TemporaryDirectory(prefix="natsdb-prove-") as scratch, Workers() as workers:
        given = {
            "device": device or "",
            "out": out,
            "data": data or Path(scratch, "made-up"),
            "scratch": Path(scratch),
            "before": {},
        }
        # No device, or no pictures, and there is nothing to prove.
        asked = Task("machine", 1, "natsdb.training.prove.machine:machine", {"made_up": data is None})
        here = workers.do(asked, given, min(MACHINE_LIMIT, 60 * minutes))
        if here.state != DONE:
            raise NatsdbError(f"nothing can be proved here ({here.reason})", remedy="look at --device and --data")
        results.begin(here.found, data is not None)
        given["device"] = here.found["device"]
        todo = [task for task in plan(here.found) if data is not None or not task.needs_pictures]
        left_out = {task.name: PICTURES for task in plan(here.found) if task not in todo}
        return carry_out(todo, results, workers, given, end, left_out, say)


def carry_out(
    tasks: Sequence[Task],
    results: Results,
    workers: Workers,
    given: dict[str, Any],
    end: float,
    left_out: dict[str, str],
    say: Callable[[str], None],
) -> int:
    """Do those of the tasks that are not done, until `end` on the monotonic clock; see `prove`.

    `given`: arguments of `Given`; `left_out`: tasks that are not to be done, and why.
    """
    todo = [task for task in tasks if results.state(task) != DONE]
    again = [task for task in todo if results.state(task) == FAILED]
    first = [task for task in todo if task not in again]
    ends = _ends(first, time.monotonic(), end)
    for task in (*first, *again):
        seconds = (end if task in again else ends[task.step]) - time.monotonic()
        if seconds < LEAST:
            continue
        say(f"{task.step} {task.name} …")
        started = time.monotonic()
        outcome = workers.do(task, {**given, "before": results.found()}, min(task.limit, seconds))
        took = time.monotonic() - started
        if outcome.state == STOPPED and took >= task.limit:
            outcome = Outcome(FAILED, outcome.found, f"stopped after {task.limit:g} s, its limit")
        results.note(task, outcome, took)
        say(f"{task.step} {task.name}: {outcome.state}{' (' + outcome.reason + ')' if outcome.reason else ''}")
    results.left_out({task.name: "no time was left" for task in tasks if not results.state(task)} | left_out)
    states = [results.state(task) for task in tasks]
    say(f"{results.out / 'proof.md'}: {states.count(DONE)} of {len(tasks)} tasks done, {states.count(FAILED)} failed")
    return 1 if FAILED in states else 0 if all(state == DONE for state in states) else 3


def _ends(tasks: Sequence[Task], now: float, end: float) -> dict[int, float]:
    """When each step that has something to do must be through: its share of the time; what one leaves, the next has."""
    steps = sorted({task.step for task in tasks})
    whole = sum(SHARES[step] for step in steps)
    return {step: now + (end - now) * sum(SHARES[s] for s in steps if s <= step) / whole for step in steps}


class Results:
    """`proof.json` and `proof.md` of a folder."""

    def __init__(self, out: Path) -> None:
        self.out = out
        self._known: dict[str, Any] = {"natsdb_proof": FORMAT, "machine": {}, "tasks": {}}
        if (path := out / "proof.json").exists():
            try:
                known = json.loads(path.read_text(encoding="utf-8"))
                if known["natsdb_proof"] != FORMAT:
                    raise ValueError(f"format {known['natsdb_proof']}")
                known["machine"]["same"], known["tasks"].items()
            except (ValueError, KeyError, TypeError, AttributeError) as error:
                raise NatsdbError(
                    f"these are no results of this command ({error})", where=str(path), remedy="name another folder"
                ) from error
            self._known = known

    def begin(self, machine: Found, real: bool) -> None:
        """Results are of this machine.

        Raises:
            NatsdbError: those that are there are of another one, of other code or other pictures.
        """
        before = self._known["machine"].get("same", machine["same"])
        if before != machine["same"]:
            was, now = next((a, b) for a, b in zip(before, machine["same"], strict=True) if a != b)
            raise NatsdbError(
                f"the results there are of {was}, this is {now}", where=str(self.out), remedy="name another folder"
            )
        self._known["machine"] = {**machine, "real_pictures": real}
        self._write()

    def left_out(self, reasons: dict[str, str]) -> None:
        """Tasks that were not begun in this call, and why."""
        self._known["left_out"] = reasons
        self._write()

    def state(self, task: Task) -> str:
        """What a task came to; empty if it was never begun."""
        return str(self._known["tasks"].get(task.name, {}).get("state", ""))

    def found(self) -> dict[str, Found]:
        """What was found by tasks that are done."""
        return {name: of["found"] for name, of in self._known["tasks"].items() if of["state"] == DONE}

    def note(self, task: Task, outcome: Outcome, seconds: float) -> None:
        """Note what a task came to, on disk."""
        self._known["tasks"][task.name] = {"step": task.step, **outcome._asdict(), "seconds": round(seconds, 2)}
        self._write()

    def _write(self) -> None:
        with writing(self.out, "free space there, or name another folder, and run the same command again"):
            self.out.mkdir(parents=True, exist_ok=True)
            write_whole(self.out / "proof.json", json.dumps(self._known, indent=1))
            write_whole(self.out / "proof.md", markdown(self._known))


class Workers:
    """A worker process, and another one when it is gone or has failed at something."""

    def __init__(self) -> None:
        self._context = multiprocessing.get_context("spawn")
        self._process: Any = None
        self._pipe: Connection | None = None

    def __enter__(self) -> Workers:
        return self

    def __exit__(self, *_: object) -> None:
        self._end()

    def do(self, task: Task, given: dict[str, Any], seconds: float) -> Outcome:
        """A task, done within so many seconds or not; starting a worker is part of them."""
        end = time.monotonic() + seconds
        if self._pipe is None:
            self._pipe, theirs = self._context.Pipe()
            self._process = self._context.Process(target=_serve, args=(theirs, os.getpid()))
            self._process.start()
            theirs.close()
        found: Found = {}
        try:
            self._pipe.send((task, given, end))
            while self._pipe.poll(max(0.0, end - time.monotonic())):
                told = self._pipe.recv()
                found = told.found or found
                if told.state == FAILED:
                    self._end()
                if told.state:
                    return Outcome(told.state, found, told.reason, told.trace)
        except (EOFError, OSError):
            self._process.join(10)
            code = self._process.exitcode
            self._end()
            return Outcome(FAILED, found, f"its process ended ({_ended(code)})")
        self._end()
        return Outcome(STOPPED, found, "time was up")

    def _end(self) -> None:
        if self._pipe is None:
            return
        self._pipe.close()
        self._pipe = None
        self._process.kill()
        # A process inside a driver call may take its time; nobody waits for it longer than this.
        self._process.join(20)


def _ended(code: int | None) -> str:
    if code is not None and code < 0:
        return f"signal {signal.Signals(-code).name}"
    return f"exit code {code}"


def _serve(pipe: Connection, parent: int) -> None:
    """The worker: tasks from the pipe, what they came to into it, until the main process is gone, however it went."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()
    while True:
        try:
            task, given, end = pipe.recv()
        except EOFError:
            return
        # The clock is the machine's, the same in both processes.
        left = end - time.monotonic()
        arguments = Given(**given, seconds=left, tell=lambda found: pipe.send(Outcome("", found)))
        try:
            module, name = task.function.split(":")
            outcome = Outcome(DONE, getattr(importlib.import_module(module), name)(arguments, **task.options))
        except TimeUp as ended:
            outcome = Outcome(STOPPED, {}, str(ended))
        except Exception as error:  # whatever befalls one task, the others go on: its reason is kept
            outcome = Outcome(FAILED, {}, _reason(error), traceback.format_exc()[-4000:])
        # Before it is told: a process that cannot go on is not given the next task.
        if lost := _tidied():
            outcome = outcome._replace(state=FAILED, reason=outcome.reason or f"the device is lost ({lost})")
        pipe.send(outcome)


def _reason(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [""]
    return lines[0] if isinstance(error, NatsdbError) else f"{type(error).__name__}: {lines[0]}"[:500]


def _tidied() -> str:
    """Give back what a task held, so that the next one finds the card as the first did; why not, if it cannot be."""
    gc.collect()
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        try:
            torch.compiler.reset()
            torch.cuda.synchronize()
            torch.cuda.empty_cache()
        except Exception as error:  # after some CUDA errors a process can do nothing any more
            return _reason(error)
    return ""
