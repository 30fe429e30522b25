"""Training: images a second against plain eager PyTorch, in the same run, on the CPU and on a GPU if there is one.

Made-up pixels, training steps only: batches of 256 on a GPU, of 64 on a CPU, where stacks would take minutes else. The
plain loop and each way take turns, so that other work on the machine burdens both.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from statistics import median
from typing import Any

import pytest

torch = pytest.importorskip("torch", reason="torch is not installed: pip install 'natsdb[training]'")

from full_scale import Results  # noqa: E402
from natsdb.training import recipe  # noqa: E402
from natsdb.training.networks import network  # noqa: E402

pytestmark = pytest.mark.slow
ARCHS = {"sss 8:8:8:8:8": ("sss", 0), "tss 0": ("tss", 0), "tss 11": ("tss", 11)}
# Device, runs side by side, precision, step.
CPU = [("cpu", runs, "float32", "eager") for runs in (1, 4, 8)]
CUDA = [
    ("cuda", runs, precision, step)
    for runs in (1, 4, 8)
    for precision, step in (
        ("float32", "eager"),
        ("bf16", "eager"),
        ("float32", "graph"),
        ("bf16", "graph"),
        ("bf16", "fused"),
        ("bf16", "compile"),
    )
]


def _plain(space: str, arch: int, device: str, images: int) -> Callable[[], None]:
    """A training step as anybody writes it: channels first, float32, one run."""
    net = network(space, arch, 10).to(device).train()
    optimizer = torch.optim.SGD(net.parameters(), 0.1, 0.9, nesterov=True, weight_decay=5e-4)
    pixels = torch.randn(images, 3, 32, 32, device=device)
    labels = torch.randint(10, (images,), device=device)

    def step() -> None:
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(net(pixels)[1], labels)
        loss.backward()
        optimizer.step()

    return step


def _own(space: str, arch: int, device: str, images: int, runs: int, precision: str, how: str) -> Callable[[], None]:
    """natsdb's step for so many runs side by side."""
    nets = [network(space, arch, 10).to(device, memory_format=torch.channels_last).train() for _ in range(runs)]
    steps = [recipe.training_step(recipe.forward, net, recipe.sgd(net), precision, how) for net in nets]
    step = recipe.captured(recipe.side_by_side(steps), how)
    pixels = torch.randn(images, 3 * runs, 32, 32, device=device)
    labels = torch.randint(10, (runs, images), device=device)
    return lambda: step(pixels, labels)


def _seconds(step: Callable[[], object], device: str, times: int) -> float:
    started = time.perf_counter()
    for _ in range(times):
        step()
    if device == "cuda":
        torch.cuda.synchronize()
    return (time.perf_counter() - started) / times


@pytest.mark.parametrize("name", ARCHS)
@pytest.mark.parametrize(("device", "runs", "precision", "how"), CPU + CUDA)
def test_images_a_second(
    benchmark: Any, results: Results, name: str, device: str, runs: int, precision: str, how: str
) -> None:
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("needs a CUDA device")
    space, arch = ARCHS[name]
    if how == "fused" and space != "tss":
        pytest.skip("fused cells are those of tss")
    images, warm, times, rounds = (256, 5, 20, 5) if device == "cuda" else (64, 1, 1, 3)
    torch.compiler.reset()
    with recipe.arithmetic():
        plain = _plain(space, arch, device, images)
        own = _own(space, arch, device, images, runs, precision, how)
        for step in (plain, own):
            _seconds(step, device, warm)
        spent: list[float] = []

        def both() -> float:
            spent.append(_seconds(plain, device, times))
            return _seconds(own, device, times)

        mine: list[float] = []
        benchmark.pedantic(lambda: mine.append(both()), rounds=rounds)
    before, after = images / median(spent), runs * images / median(mine)
    said = f"{torch.cuda.get_device_name() if device == 'cuda' else device}, {torch.get_num_threads()} threads"
    results.add(
        f"{name}, {said}, {precision}, {how}, ×{runs}: plain, natsdb",
        f"{before:,.0f}, {after:,.0f} images/s: {after / before:.2f} ×",
        "",
    )
