"""Step 1: the same training as one program, as a CUDA graph, compiled, in bf16, against float64 on the CPU.

Two epochs of a few small batches each, at a learning rate of 1e-4: at the official one a few steps on few images
magnify differences of 1e-15 to 1e-6 and more. Compared are the losses of every pass, and at the end logits and all
weights, each difference over the largest value. In float64 they may differ by 1e-9. In float32 and bf16 the CPU's own
difference from float64 is the measure: the device may be so many times as far off.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch

from natsdb.schema.spaces import arch_index
from natsdb.training import recipe
from natsdb.training.data import Images, TrainingData
from natsdb.training.prove.machine import fewer, pictures
from natsdb.training.prove.tasks import Found, Given
from natsdb.training.recipe import Recipe, Together, Training, arithmetic, cast, start
from natsdb.training.run_files import write_with

# All operations are in both, on other edges.
MEMBERS = tuple(
    arch_index("tss", text)
    for text in (
        "|nor_conv_3x3~0|+|nor_conv_1x1~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_1x1~1|none~2|",
        "|avg_pool_3x3~0|+|skip_connect~0|nor_conv_1x1~1|+|nor_conv_3x3~0|none~1|skip_connect~2|",
    )
)
EPOCHS, SEED = 2, 777
RECIPE = Recipe(learning_rate=1e-4, batch=32)
# As many batches, the last of them smaller, as a graph is captured after, and some more.
TRAINED = 6 * RECIPE.batch + 8
# The bound in float64, and how many times the CPU's own error a device may be off.
EXACT, TIMES = 1e-9, {"float32": 10.0, "bf16": 4.0}

# By member: losses, logits, weights.
Numbers = list[tuple[np.ndarray, np.ndarray, np.ndarray]]


def reference(given: Given, images: int, members: int = len(MEMBERS)) -> Found:
    """What float64 gives on the CPU, kept in OUT, and how far float32 and bf16 are from it there."""
    data = _few(given, images)
    alone = [[arch] for arch in MEMBERS[:members]]
    exact = _numbers(data, "float64", "eager", alone)
    arrays: dict[str, Any]
    arrays = {f"{member}-{part}": value for member, of in enumerate(exact) for part, value in enumerate(of)}
    write_with(given.out / "reference.npz", lambda file: np.savez(file, **arrays))
    own = {precision: _distance(_numbers(data, precision, "eager", alone), exact) for precision in TIMES}
    return {"members": list(MEMBERS[:members]), "images": images, "own_error": own}


def same_numbers(
    given: Given,
    images: int,
    step: str,
    stacked: bool,
    members: int | None = None,
    precisions: Sequence[str] = ("float64", "float32", "bf16"),
) -> Found:
    """How far a way of training is from the reference in each precision; of so many of its members, all if None.

    Raises:
        AssertionError: farther than it may be, or one of them failed; all are tried, and told, before.
    """
    if "reference" not in given.before:
        raise AssertionError("there is no reference to compare with: its task failed")
    own, exact = given.before["reference"]["own_error"], _kept(given.out / "reference.npz")
    members = members or len(exact)
    # The reference's images, to the last: drawn by the same rule, then moved.
    data = _few(given, images).to(given.device)
    found: Found = {"step": step, "members": members, "precisions": {}}
    wrong = []
    for precision in precisions:
        bound = EXACT if precision == "float64" else TIMES[precision] * own[precision]
        try:
            archs = MEMBERS[:members]
            stacks = [archs] if stacked else [[arch] for arch in archs]
            error = _distance(_numbers(data, precision, step, stacks), exact)
            said = {"error": error, "bound": bound, "same": error <= bound}
        except Exception as failure:  # the other precisions are of use without this one
            lines = str(failure).strip().splitlines() or [""]
            said = {"bound": bound, "same": False, "reason": f"{type(failure).__name__}: {lines[0]}"[:300]}
        found["precisions"][precision] = said
        given.tell(found)
        if not said["same"]:
            wrong.append(f"{precision}: {said.get('reason') or '{error:.1e}, not {bound:.1e}'.format(**said)}")
        torch.compiler.reset()
    if wrong:
        raise AssertionError("; ".join(wrong))
    return found


def _few(given: Given, images: int) -> TrainingData:
    data = pictures(given, "cpu", images=images)
    return replace(data, train=fewer(data.train, min(images, TRAINED)))


def _numbers(data: TrainingData, precision: str, step: str, stacks: Sequence[Sequence[int]]) -> Numbers:
    """What comes of topologies, those of a stack side by side."""
    found: Numbers = []
    for archs in stacks:
        torch.compiler.reset()
        with arithmetic():
            trainings = [start("tss", arch, SEED, data, precision, RECIPE) for arch in archs]
            together = Together(trainings, precision, step)
            epochs = [together.train_epoch(data, [SEED] * len(archs), EPOCHS) for _ in range(EPOCHS)]
            for number, training in enumerate(trainings):
                losses = [one.loss for epoch in epochs for one in epoch[number].values()]
                found.append((np.array(losses), *_state(training, data, precision)))
    return found


def _state(training: Training, data: TrainingData, precision: str) -> tuple[np.ndarray, np.ndarray]:
    """A network's logits of some test images, and all its floating-point tensors in a row."""
    images: Images = data.evals["ori-test"]
    pixels = images.pixels[:64].double().div(255).sub(data.mean).div(data.std)
    training.net.eval()
    with torch.no_grad(), recipe.autocast(pixels.device, precision):
        logits = training.net(cast(pixels, precision))[1]
    state = [value.flatten() for value in training.net.state_dict().values() if value.is_floating_point()]
    return logits.double().cpu().numpy(), torch.cat(state).double().cpu().numpy()


def _kept(path: Path) -> Numbers:
    with np.load(path) as arrays:
        members = range(len(arrays.files) // 3)
        return [(arrays[f"{n}-0"], arrays[f"{n}-1"], arrays[f"{n}-2"]) for n in members]


def _distance(found: Numbers, exact: Numbers) -> float:
    """The largest difference over the largest value, of losses, logits and weights; infinite if one is not finite."""
    worst = 0.0
    for member, right in zip(found, exact, strict=False):
        for one, other in zip(member, right, strict=True):
            off = float(np.abs(one - other).max() / max(1.0, np.abs(other).max()))
            worst = max(worst, off if np.isfinite(off) else float("inf"))
    return worst
