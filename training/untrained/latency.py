"""Latency, memory and energy of an architecture's network on a device of one's own, one network at a time."""

from __future__ import annotations

import io
import os
import platform
import statistics
import time
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from natsdb.schema.datasets import DATASETS
from natsdb.schema.errors import NatsdbError
from natsdb.training.networks import Network, export_onnx, network
from natsdb.training.recipe import threads
from natsdb.training.run import reason_of
from natsdb.training.untrained import files
from natsdb.training.untrained.energy import Meter
from natsdb.training.untrained.files import Figure, Figures

BACKENDS = ("torch", "onnx")
# Passes before the clock starts, and at least so many, and seconds of them, on the clock.
_WARM_UP = 3
_PASSES = 10
_SECONDS = 0.2
# Meters count in steps of up to 0.1 s.
_METERED_SECONDS = 1.0
MEASURES: Mapping[str, tuple[str, str]] = {
    "latency_ms": ("median latency of a forward pass", "ms"),
    "latency_spread_ms": ("spread of the latency: from the first to the third quartile", "ms"),
    "memory_mb": ("peak of what PyTorch holds: weights and feature maps, on CUDA all it allocates", "MB"),
    "energy_mj": ("energy of the device over a forward pass, idle draw included", "mJ"),
}

Pass = Callable[[], Any]


class Setting(NamedTuple):
    """On what networks are measured. `threads`: of a CPU; `seed`: of weights and images, which decide little."""

    device: str = "cpu"
    backend: str = "torch"
    threads: int = 1
    seed: int = 777

    def said(self) -> str:
        """All that decides the numbers but architecture and batch, in words: device, host, versions, threads."""
        if self.backend == "onnx":
            import onnxruntime

            by = f"onnxruntime {onnxruntime.__version__}"
        else:
            by = f"torch {torch.__version__}"
        on = torch.cuda.get_device_name(self.device) if self.device.startswith("cuda") else _processor()
        threads = f"{self.threads} thread{'s' * (self.threads != 1)}"
        return f"{on} on {platform.node() or 'a host without a name'}, {by}, float32, {threads}"


class MeasureTask(NamedTuple):
    """A file's architectures to measure; `keys`: of each measure by its column's name, see `column`."""

    path: Path
    space: str
    archs: Sequence[int]
    dataset: str
    batches: Sequence[int]
    keys: Mapping[str, str]
    setting: Setting


def column(measure: str, batch: int) -> str:
    """The name of a measure's column: of one image as it is, of more with their number, as in latency_ms_b32."""
    return measure if batch == 1 else f"{measure}_b{batch}"


def check_backend(setting: Setting) -> None:
    """See that a backend can do what is asked.

    Raises:
        NatsdbError: there is no such backend, its packages are missing, or it has not this device.
    """
    if setting.backend not in BACKENDS:
        raise NatsdbError(f"there is no backend {setting.backend!r}", remedy="choose torch or onnx")
    if setting.backend == "onnx":
        try:
            import onnx  # noqa: F401
            import onnxruntime
        except ImportError as error:
            raise NatsdbError(
                f"the backend onnx needs ONNX ({error})", remedy="pip install 'natsdb[onnx]', or leave --backend out"
            ) from error
        provider = _provider(setting.device)
        if provider not in onnxruntime.get_available_providers():
            raise NatsdbError(
                f"the onnxruntime that is installed has no {provider}",
                remedy="pip install onnxruntime-gpu, or leave --backend out",
            )


def measure_file(task: MeasureTask, done: Callable[[int], None], meter: Meter | None = None) -> Figures:
    """Measure what a file lacks, one network after the other; see `natsdb.training.untrained.files.fill`."""
    meter = Meter.of(task.setting.device) if meter is None else meter

    def compute(arch: int, names: Sequence[str]) -> Iterator[Figure]:
        for batch in task.batches:
            if any(column(measure, batch) in names for measure in MEASURES):
                yield from _measure(task, arch, batch, meter)

    with threads(task.setting.threads):
        return files.fill(task.path, task.archs, task.keys, compute, done)


def _measure(task: MeasureTask, arch: int, batch: int, meter: Meter) -> Iterator[Figure]:
    try:
        found = measured(task.space, arch, task.dataset, batch, task.setting, meter)
    except Exception as error:  # memory, most of all: the others go on, its reason is kept
        for measure in MEASURES:
            yield Figure(arch, column(measure, batch), "", None, reason_of(error))
        return
    for measure, value in found.items():
        name = column(measure, batch)
        known = not isinstance(value, str)
        yield Figure(arch, name, task.keys[name], float(value) if known else None, "" if known else str(value))


def measured(space: str, arch: int, dataset: str, batch: int, setting: Setting, meter: Meter) -> dict[str, float | str]:
    """Figures of a network by the names of `MEASURES`; a text is the reason why there is none.

    Raises:
        Exception: whatever PyTorch or ONNX Runtime raises.
    """
    of = DATASETS[dataset]
    with torch.random.fork_rng(devices=[]), torch.inference_mode():
        torch.manual_seed(setting.seed)
        net = network(space, arch, of.classes).eval()
        images = torch.randn(batch, 3, of.height, of.height)
        memory: float | str
        if setting.backend == "onnx":
            seconds, joules = _timed(_onnx(net, images, setting), _nothing, meter)
            memory = "ONNX Runtime does not say"
        else:
            net, images = net.to(setting.device), images.to(setting.device)
            cuda = images.is_cuda

            def run() -> Any:
                return net(images)

            seconds, joules = _timed(run, torch.cuda.synchronize if cuda else _nothing, meter)
            memory = _cuda_memory(run) if cuda else _memory(net, run)
    quartiles = statistics.quantiles(seconds, n=4)
    return {
        "latency_ms": 1e3 * statistics.median(seconds),
        "latency_spread_ms": 1e3 * (quartiles[2] - quartiles[0]),
        "memory_mb": memory if isinstance(memory, str) else memory / 1e6,
        "energy_mj": joules if isinstance(joules, str) else 1e3 * joules,
    }


def _timed(run: Pass, synchronize: Pass, meter: Meter) -> tuple[list[float], float | str]:
    """Seconds of each pass, and joules of one as a mean over all of them, or why nobody knows."""
    for _ in range(_WARM_UP):
        run()
    synchronize()
    last = _METERED_SECONDS if not meter.why else _SECONDS
    seconds: list[float] = []
    before, began = meter.joules(), time.perf_counter()
    while len(seconds) < _PASSES or time.perf_counter() - began < last:
        start = time.perf_counter()
        run()
        synchronize()
        seconds.append(time.perf_counter() - start)
    after = meter.joules()
    if before is None or after is None:
        return seconds, meter.why
    return seconds, meter.between(before, after) / len(seconds)


class _Live(TorchDispatchMode):
    """Counts the bytes of the tensors that are alive among those that operations return."""

    def __init__(self) -> None:
        super().__init__()
        self.live: dict[int, int] = {}
        self.bytes = self.peak = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        returned = func(*args, **(kwargs or {}))
        for one in returned if isinstance(returned, tuple | list) else (returned,):
            if isinstance(one, Tensor):
                storage = one.untyped_storage()
                at, size = storage.data_ptr(), storage.nbytes()
                if not self.live.get(at):
                    self.bytes += size
                # Views share what they view: it goes with the last of them.
                self.live[at] = self.live.get(at, 0) + 1
                weakref.finalize(one, self._gone, at, size)
        self.peak = max(self.peak, self.bytes)
        return returned

    def _gone(self, at: int, size: int) -> None:
        self.live[at] -= 1
        if not self.live[at]:
            self.bytes -= size


def _memory(net: nn.Module, run: Pass) -> int:
    with _Live() as live:
        run()
    return live.peak + sum(one.nbytes for one in (*net.parameters(), *net.buffers()))


def _cuda_memory(run: Pass) -> int:
    torch.cuda.empty_cache()
    torch.cuda.reset_peak_memory_stats()
    run()
    torch.cuda.synchronize()
    return torch.cuda.max_memory_allocated()


class _Logits(nn.Module):
    def __init__(self, net: Network) -> None:
        super().__init__()
        self.net = net

    def forward(self, images: Tensor) -> Tensor:
        return self.net(images)[1]


def _onnx(net: Network, images: Tensor, setting: Setting) -> Pass:
    import onnxruntime

    file = io.BytesIO()
    export_onnx(_Logits(net).eval(), images, file)
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = setting.threads
    options.inter_op_num_threads = 1
    session = onnxruntime.InferenceSession(file.getvalue(), options, providers=[_provider(setting.device)])
    given = {"images": images.numpy()}
    return lambda: session.run(None, given)


def _provider(device: str) -> str:
    return "CUDAExecutionProvider" if device.startswith("cuda") else "CPUExecutionProvider"


def _nothing() -> None:
    pass


def _processor() -> str:
    """The CPU's model, where the system says it, and how many cores there are."""
    try:
        lines = Path("/proc/cpuinfo").read_text("utf-8").splitlines()
    except OSError:
        lines = []
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else platform.processor() or platform.machine()} ({os.cpu_count()} cores)"
