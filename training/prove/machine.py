"""On which machine, with which versions, at which commit, from which pictures: what every result is a result of."""

from __future__ import annotations

import hashlib
import os
import platform
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import torch

import natsdb
from natsdb.training.data import Images, TrainingData, load
from natsdb.training.prove.pictures import make_up
from natsdb.training.prove.tasks import Found, Given
from natsdb.training.run import device_of
from natsdb.training.run_files import write_with
from natsdb.training.splits import some

ROOT = Path(natsdb.__file__).resolve().parent


# Pictures to make up on a GPU and on a CPU: to train on, to test on.
MADE_UP = {"cuda": (50_000, 10_000), "cpu": (200, 100)}


def machine(given: Given, made_up: bool) -> Found:
    """The device and all that was asked of it. `same`: what must not change between two calls that share a folder.

    `made_up`: pictures are made up in the folder of pictures.
    """
    import torchvision  # for its version with CUDA's, which its metadata lacks; it takes seconds

    device = device_of(given.device or None)
    if made_up and not given.data.exists():
        make_up(given.data, *MADE_UP["cuda" if device.type == "cuda" else "cpu"])
    data = pictures(given, "cpu")
    found: dict[str, Any] = {
        "device": str(device),
        "card": torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {platform.machine()}",
        "driver": _said("nvidia-smi", "--query-gpu=driver_version,memory.total,power.limit", "--format=csv,noheader"),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cuda": torch.version.cuda,
        "cudnn": torch.backends.cudnn.version(),
        "torchvision": torchvision.__version__,
        "numpy": np.__version__,
        "pyarrow": pa.__version__,
        "natsdb": natsdb.__version__,
        "commit": _said("git", "-C", str(ROOT), "describe", "--always", "--dirty", "--abbrev=12"),
        "code": code_digest(),
        "pictures": f"{data.fingerprint}: {len(data.train):,} to train on, {len(data.evals['ori-test']):,} to test on",
    }
    if device.type == "cuda":
        properties = torch.cuda.get_device_properties(device)
        found["memory_gib"] = round(properties.total_memory / 2**30, 1)
        found["multiprocessors"] = properties.multi_processor_count
    found["same"] = [found[name] for name in ("card", "torch", "cuda", "code", "pictures")]
    return found


def pictures(given: Given, device: str, images: int | None = None) -> TrainingData:
    """CIFAR-10 on a device; at most so many images of each split."""
    return _pictures(given.data, given.scratch, device, images)


@cache
def _pictures(folder: Path, scratch: Path, device: str, images: int | None) -> TrainingData:
    if images is not None:
        whole = _pictures(folder, scratch, "cpu", None)
        evals = {split: fewer(of, images) for split, of in whole.evals.items()}
        return replace(whole, train=fewer(whole.train, images), evals=evals).to(device)
    if device != "cpu":
        return _pictures(folder, scratch, "cpu", None).to(device)
    # Decoded once a call: a worker that takes another's place finds the pixels there.
    decoded = scratch / "decoded.pt"
    if not decoded.exists():
        data = load("cifar10", folder)
        write_with(decoded, lambda file: torch.save(data, file))
        return data
    found: TrainingData = torch.load(decoded, weights_only=False)
    return found


def fewer(images: Images, count: int) -> Images:
    """So many images, drawn by a fixed seed."""
    at = some(range(len(images)), count)
    return Images(images.pixels[at], images.labels[at])


def code_digest() -> str:
    """First digits of the SHA-256 of all code that trains, this package included."""
    digest = hashlib.sha256()
    for path in sorted((ROOT / "training").rglob("*.py")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:12]


def _said(*command: str) -> str:
    """First line that a command prints; empty where there is no such command, or it fails."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=20, env={**os.environ, "LC_ALL": "C"})
    except (OSError, subprocess.SubprocessError):
        return ""
    return (done.stdout.strip().splitlines() or [""])[0] if done.returncode == 0 else ""
