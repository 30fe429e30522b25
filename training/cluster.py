"""Train on the nodes of a Ray cluster: a Ray task a run, or a stack; what a lost node was at is redone on another.

All files pass through the driver, the process that asked. It reads the data set and puts it into Ray's object store; a
task trains in a folder of its own node and sends what it writes: each epoch's checkpoint, then the finished run. So
nodes need share no disk, one process writes the folder of runs, and a run goes on from its last whole epoch wherever it
was. A checkpoint is a few MB (at most 13) against the seconds to minutes of an epoch.

Ray's own retries are off: they would replay a task from its first epoch.
"""

from __future__ import annotations

import logging
import os
import socket
import tempfile
from collections import Counter, deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import ray
import torch
from ray.exceptions import OutOfMemoryError, RayError, RayTaskError

from natsdb.schema.errors import NatsdbError, said_by
from natsdb.training.data import TrainingData
from natsdb.training.recipe import Recipe
from natsdb.training.run import Epoch, Failure, Task, reason_of, settings_of, train_together
from natsdb.training.run_files import TrainingRun, checkpoint_path, checkpoints, remove_traces, write

# A run is given up when it was lost so often with no epoch in between: it is likely what kills its workers.
LOSSES = 4
# Seconds without news after which we look whether the cluster still has a node for a run.
PATIENCE = 10.0


class _News(NamedTuple):
    """What a task sends of a run: an epoch, a failure, or None for its end; and files by their path in the folder."""

    run: TrainingRun
    done: Epoch | Failure | None
    files: dict[str, bytes]


def train_on_cluster(
    tasks: Sequence[Task], folder: Path, *, address: str, cpus_per_run: int = 1, gpus_per_run: float = 0
) -> Generator[Epoch | Failure, None, None]:
    """Train on a Ray cluster: with the last three arguments bound, a trainer for `natsdb.training.run.train`.

    Rows are those of the same runs alone on a device of the same kind: on CPUs bit for bit with as many threads as
    `cpus_per_run`, a stack's as those of a stack; measured seconds are apart. Call it on a machine of the cluster.
    Every node has the same natsdb, Ray and PyTorch. Seconds are shared out as if all that the cluster trains were side
    by side.

    Args:
        tasks: each becomes a Ray task; their data are on the CPU.
        folder: of the runs; no other node needs to see it.
        address: of the cluster, HOST:PORT; `auto` finds the one that this machine belongs to.
        cpus_per_run: CPUs that a task takes, and the threads it computes with.
        gpus_per_run: the share of a GPU that a task takes, at most 1; 0 trains on CPUs.

    Raises:
        NatsdbError: there is no such cluster; none of its nodes has room for a task; the folder cannot be written.
    """
    if cpus_per_run < 1 or not 0 <= gpus_per_run <= 1:
        raise NatsdbError("a run takes one CPU or more and one GPU at most", remedy="see natsdb train --help")
    if not gpus_per_run and any(task.settings["step"] == "graph" for task in tasks):
        raise NatsdbError("a run on CPUs has no CUDA graphs", remedy="leave --graph out, or say --gpus-per-run")
    if not tasks:
        return
    with _joined(address):
        device = "cuda" if gpus_per_run else "cpu"
        room = {"num_cpus": cpus_per_run, "num_gpus": gpus_per_run}
        work = ray.remote(num_returns="streaming", max_retries=0, scheduling_strategy="SPREAD", **room)(_work)
        data = {name: ray.put(images) for name, images in {task.data.name: task.data for task in tasks}.items()}

        def submit(task: Task) -> Any:
            begun = _contents((path for run in task.runs for path in checkpoints(run, folder)), folder)
            return work.remote(*task._replace(data=data[task.data.name]), device, cpus_per_run, str(folder), begun)

        # Closed whatever happens, so that no task outlives this call.
        with closing(_follow(tasks, submit, lambda: _slots(cpus_per_run, gpus_per_run), device)) as heard:
            for news in heard:
                for name, content in news.files.items():
                    write(folder / name, content)
                if news.done is None:
                    remove_traces(news.run, folder)
                else:
                    yield news.done


def _follow(
    tasks: Sequence[Task], submit: Callable[[Task], Any], slots: Callable[[], int], device: str
) -> Generator[_News, None, None]:
    """All news of all runs: as many tasks under way as the cluster has room for; what is lost is submitted again."""
    waiting, under_way, losses = deque(tasks), dict[Any, Task](), Counter[TrainingRun]()
    try:
        while waiting or under_way:
            room = slots()
            while waiting and len(under_way) < room:
                task = waiting.popleft()
                under_way[submit(task)] = task
            ready, _ = ray.wait(list(under_way), timeout=PATIENCE, fetch_local=False)
            for stream in ready:
                task, beside, lost = under_way[stream], len(under_way), False
                try:
                    news: list[_News] = [ray.get(next(stream))]
                except RayTaskError as error:  # the node could not even begin, as with no natsdb on it
                    reason = reason_of(error.cause if isinstance(error.cause, Exception) else error)
                    news = _failed(task, task.runs, reason, device)
                except (RayError, StopIteration) as error:  # the worker or its node is gone
                    lost = True
                    losses.update(task.runs)
                    news = _failed(task, [run for run in task.runs if losses[run] == LOSSES], _lost(error), device)
                ended = {one.run for one in news if not isinstance(one.done, Epoch)}
                under_way[stream] = task = task._replace(runs=tuple(run for run in task.runs if run not in ended))
                if lost or not task.runs:
                    del under_way[stream]
                if lost and task.runs:
                    waiting.appendleft(task)
                for one in news:
                    if isinstance(one.done, Epoch):
                        losses[one.run] = 0
                        one = one._replace(done=one.done._replace(seconds=one.done.seconds / beside))
                    yield one
    finally:
        for stream in under_way:
            ray.cancel(stream, force=True)


def _failed(task: Task, runs: Iterable[TrainingRun], reason: str, device: str) -> list[_News]:
    return [_News(run, Failure(run, reason, {**task.settings, "device": device}), {}) for run in runs]


def _work(
    runs: tuple[TrainingRun, ...],
    data: TrainingData,
    settings: dict[str, Any],
    epochs: int,
    keep_weights: bool,
    device: str,
    threads: int,
    home: str,
    begun: dict[str, bytes],
) -> Iterator[_News]:
    """On a node: train as `train` does, in a folder that goes away, and send what that writes.

    `settings`: the driver's; `home`: its folder of runs; `begun`: checkpoints in it.
    """
    torch.set_num_threads(threads)
    data = data.to(device)
    code = settings["training"]
    recipe = Recipe(**settings.get("recipe", {}))
    settings = settings_of(data, settings["precision"], settings["step"], settings["images"], recipe)
    if settings["training"] != code:
        raise NatsdbError("a node has another version of natsdb", remedy="install the same one on all nodes")
    with tempfile.TemporaryDirectory(prefix="natsdb-") as name:
        folder = Path(name)
        for path, content in begun.items():
            write(folder / path, content)
        for done in train_together(Task(runs, data, settings, epochs, keep_weights), folder):
            if isinstance(done, Epoch):
                checkpoint = checkpoint_path(done.run, folder, settings, epochs)
                yield _News(done.run, done, _contents([checkpoint], folder))
                checkpoint.unlink()  # the driver has it: a worker that is killed is to leave little behind
            else:
                # A damaged checkpoint is one of the driver's; what cannot be written is the node's.
                at_home = done.reason if "cannot write" in done.reason else done.reason.replace(name, home)
                yield _News(done.run, done._replace(reason=at_home), {})
        for run in runs:
            # In this order: the appearance of a run's .json is its commit point.
            files = _contents((run.path(folder, end) for end in (".npz", ".json")), folder)
            if files:
                yield _News(run, None, files)


def _contents(paths: Iterable[Path], folder: Path) -> dict[str, bytes]:
    """The files' contents by their path in a folder; of those that are there."""
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths if path.exists()}


@contextmanager
def _joined(address: str) -> Iterator[None]:
    """Connected to a Ray cluster; one that the caller is connected to already stays so."""
    if address.startswith("ray://"):
        raise NatsdbError(
            "Ray Client cannot follow runs epoch by epoch",
            where=address,
            remedy="start the command on a machine of the cluster, with --ray auto",
        )
    ours = not ray.is_initialized()
    if ours:
        try:
            # One attempt, of 40 seconds: Ray would go on for minutes where no cluster answers. None at a closed port.
            os.environ.setdefault("RAY_gcs_server_port_wait_time_s", "1")
            if ":" in address:
                host, port = address.rsplit(":", 1)
                socket.create_connection((host.strip("[]"), int(port)), timeout=10).close()
            # Our errors say what went wrong; Ray's own log goes to its files.
            ray.init(address, log_to_driver=False, logging_level=logging.ERROR)
        except (RayError, OSError, RuntimeError, ValueError) as error:
            raise NatsdbError(
                f"there is no Ray cluster here ({said_by(error).split('. ')[0]})",
                where=address,
                remedy="start one with `ray start --head`, and this command on one of its machines",
            ) from error
    try:
        yield
    finally:
        if ours:
            ray.shutdown()


def _slots(cpus: int, gpus: float) -> int:
    """How many tasks the cluster's nodes can hold at a time.

    Raises:
        NatsdbError: none.
    """
    slots = 0
    for node in ray.nodes():
        if node["Alive"]:
            have = node["Resources"]
            # Shares are of one GPU each: 0.4 leaves room for two on it. 1 / 0.1 is not to become 9.
            by_gpu = int(have.get("GPU", 0)) * int(1 / gpus + 1e-9) if gpus else 1 << 30
            slots += min(int(have.get("CPU", 0)) // cpus, by_gpu)
    if not slots:
        needed = f"{cpus} CPUs" + (f" and {gpus:g} GPUs" if gpus else "")
        raise NatsdbError(
            f"no node of the Ray cluster has the {needed} of a run",
            remedy="add one, or ask for less with --cpus-per-run and --gpus-per-run; the same command goes on",
        )
    return slots


def _lost(error: Exception) -> str:
    first = (str(error).strip() or "the task ended early").splitlines()[0]
    kind = "out of memory" if isinstance(error, OutOfMemoryError) else type(error).__name__
    return f"its worker was lost {LOSSES} times in a row; the last time: {kind}: {first}"
