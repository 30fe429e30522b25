"""Work spread over processes: results as they come, progress while waiting, and no process left behind."""

from __future__ import annotations

import multiprocessing
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import ExitStack
from typing import Any, TypeVar

from natsdb.schema.errors import NatsdbError, Stopped

# A worker takes some 170 MB, the main process 130 MB: with six, all stay under 1.5 GB.
MOST_JOBS = 6

Task = TypeVar("Task")
Result = TypeVar("Result")


class _Counts:
    """Files and rows done so far, and whether to stop; in a single process plain numbers, else shared memory."""

    def __init__(self) -> None:
        self.shared: Any = None
        self.stop: Any = None
        self.here = [0, 0]
        self.tick: Callable[[int, int], None] | None = None


_counts = _Counts()


def note_progress(files: int, rows: int) -> None:
    """Note work done by this process.

    Raises:
        Stopped: the command was interrupted.
    """
    if _counts.shared is None:
        _counts.here[0] += files
        _counts.here[1] += rows
        if _counts.tick is not None and _counts.here[0] % 16 == 0:
            _counts.tick(*_counts.here)
        return
    if _counts.stop.is_set():
        raise Stopped
    with _counts.shared.get_lock():
        _counts.shared[0] += files
        _counts.shared[1] += rows


def _start_worker(shared: Any, stop: Any, parent: int) -> None:
    # ^C is the main process's affair; when that is gone, however it went, so is its worker.
    _counts.shared, _counts.stop = shared, stop
    shared[2] = 1
    signal.signal(signal.SIGINT, signal.SIG_IGN)

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def leave_if_starting() -> None:
    """End a process that is just being started: it imports the script that was run, and so came here by a call that
    no `if __name__ == "__main__":` keeps from it. The process that started it says so."""
    if getattr(multiprocessing.current_process(), "_inheriting", False):
        raise SystemExit(1)


def processes(jobs: int | None, tasks: int) -> int:
    """Number of processes for so many tasks: what was asked for, else one a core, at most six."""
    return max(1, min(jobs or min(os.cpu_count() or 1, MOST_JOBS), tasks))


def fan_out(
    work: Callable[[Task], Result],
    tasks: Sequence[Task],
    jobs: int,
    tick: Callable[[int, int], None] | None = None,
) -> Iterator[Result]:
    """Results of `work` on each task, as they are done; in this process when `jobs` is 1.

    Args:
        work: a function of a module, that calls `note_progress` as it goes.
        tasks: its arguments.
        jobs: processes.
        tick: called several times a second with (files, rows) done so far.

    Raises:
        NatsdbError: what the first failing task raised; the others are stopped. Or no process came up: each imports the
            script that was run, and it calls natsdb without a guard.
    """
    if jobs <= 1:
        _counts.here, _counts.tick = [0, 0], tick
        yield from map(work, tasks)
        return
    context = multiprocessing.get_context("spawn")
    shared, stop = context.Array("q", 3), context.Event()
    with ExitStack() as stack:
        pool = ProcessPoolExecutor(
            jobs, mp_context=context, initializer=_start_worker, initargs=(shared, stop, os.getpid())
        )
        stack.callback(pool.shutdown, wait=True, cancel_futures=True)
        stack.callback(stop.set)
        waiting: set[Future[Result]] = {pool.submit(work, task) for task in tasks}
        while waiting:
            finished, waiting = wait(waiting, timeout=0.2, return_when=FIRST_COMPLETED)
            if tick is not None:
                tick(shared[0], shared[1])
            for future in finished:
                try:
                    yield future.result()
                except BrokenProcessPool as error:
                    if not shared[2]:
                        raise NatsdbError(
                            'the script has no guard `if __name__ == "__main__":`, so no worker process comes up: each '
                            "imports the script and would do all of its work",
                            remedy="put what the script does below that guard, or say jobs=1",
                        ) from error
                    raise NatsdbError(
                        "a worker process was killed, perhaps for lack of memory",
                        remedy="run the same command again, with --jobs 1 if it happens again",
                    ) from error
