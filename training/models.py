"""The network of a row: with the weights that a database keeps, or fresh ones, as a module or as a file."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from natsdb.schema.datasets import DATASETS
from natsdb.schema.encodings import architecture, index_of
from natsdb.schema.errors import Missing, NatsdbError
from natsdb.schema.names import either
from natsdb.schema.spaces import arch_str
from natsdb.store.snapshot import Snapshot, data_set_of, open_local_with_builtin
from natsdb.store.weights import Kept, kept_runs, run_weights
from natsdb.store.writing import whole_file, writing
from natsdb.training.networks import Network, export_onnx, network
from natsdb.training.plain import plain_source

# What the outputs of an ONNX file may differ by from torch's, relative to the largest of them.
ONNX_TOLERANCE = 1e-5


class Model(NamedTuple):
    """A network and whose it is. `kept`: the run whose weights it has; None where they are fresh, of seed `fresh`."""

    net: Network
    space: str
    arch: int
    dataset: str
    kept: Kept | None
    fresh: int | None

    def __str__(self) -> str:
        weights = f"fresh weights of seed {self.fresh}" if self.kept is None else f"weights of {self.kept}"
        return f"{self.space}/{self.arch} for {self.dataset}, {weights}"

    @property
    def images(self) -> Tensor:
        """Two made-up normalized images, 2×3×H×H, the same each time; an error where their size is not known."""
        height = DATASETS[self.dataset].height
        return torch.randn(2, 3, height, height, generator=torch.Generator().manual_seed(0))


def model(space: str, arch: Any, dataset: str = "cifar10", **options: Any) -> Network:
    """The network of an architecture, in evaluation mode, on the CPU. `model("tss", 9930, "cifar100", fresh=777)`

    Its `forward` gives (features, logits) of normalized images N×3×H×H: N×width and N×classes. For `options` see
    `find_model`.

    Args:
        space: tss or sss.
        arch: index, official string, or another encoding of the architecture.
        dataset: a data set as trained on.

    Raises:
        NatsdbError: as `find_model`.
    """
    return find_model(space, int(index_of(space, arch)), dataset, **options).net


def find_model(
    space: str,
    arch: int,
    dataset: str,
    *,
    db: str | os.PathLike[str] | None = None,
    fresh: int | None = None,
    hp: str | None = None,
    seed: int | None = None,
    source: str | None = None,
) -> Model:
    """The network of an architecture with kept weights, or fresh ones.

    Args:
        db: where kept weights are looked for: after `natsdb ingest --weights` of a full archive, or `natsdb train
            --keep-weights`.
        fresh: make weights anew, those that training starts with for this seed, and look for none.
        hp, seed, source: of the run; by default the longest schedule, then the lowest seed, of the source that counts.

    Raises:
        Missing: no weights of such a run are kept.
        NatsdbError: there is no such architecture or data set, or the weights are not of this network.
    """
    classes = data_set_of(dataset, db).classes
    if fresh is not None:
        # As `natsdb.training.recipe.start` draws them.
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(fresh)
            net = network(space, arch, classes)
        return Model(net.eval(), space, arch, dataset, None, fresh)
    arch_str(space, arch)
    snapshot = open_local_with_builtin(db)
    kept = _chosen(snapshot, space, arch, dataset, hp, seed, source)
    state = {
        name: torch.from_numpy(values)
        for name, values in run_weights(snapshot.path(kept.path), f"{kept.hp}/{kept.dataset}/{kept.seed}").items()
    }
    with torch.random.fork_rng(devices=[]):
        net = network(space, arch, classes)
    try:
        net.load_state_dict(state)
    except RuntimeError as error:
        raise NatsdbError(
            f"the weights of {kept} are not of this network ({str(error).splitlines()[-1].strip()})",
            where=snapshot.path(kept.path),
            remedy="make them again: `natsdb repair SOURCE…`",
        ) from error
    return Model(net.eval(), space, arch, dataset, kept, None)


def _chosen(
    snapshot: Snapshot, space: str, arch: int, dataset: str, hp: str | None, seed: int | None, source: str | None
) -> Kept:
    every = kept_runs(snapshot, space, arch)
    found = [
        one
        for one in every
        if one.dataset == dataset and hp in (None, one.hp) and seed in (None, one.seed) and source in (None, one.source)
    ]
    if not found:
        asked = ", ".join(
            [dataset, *(f"{name} {value}" for name, value in (("hp", hp), ("seed", seed), ("source", source)) if value)]
        )
        raise Missing(
            f"no weights of {space}/{arch} are kept for {asked}",
            where=str(snapshot.home),
            remedy=f"there are those of {either(map(str, every))}"
            if every
            else "ingest a full archive with --weights, train it with --keep-weights, or say --fresh SEED",
        )
    return found[0]


def save_model(made: Model, path: Path) -> float | None:
    """Write a network: .pt (its state and what it is), .onnx, or .py (a readable file that needs torch alone), whole or
    not at all. The .py holds no weights: its `load` takes those of the .pt.

    Returns:
        Of .onnx, how far onnxruntime's outputs are from torch's, relative to the largest; None without onnxruntime.

    Raises:
        NatsdbError: another ending; ONNX or its exporter is not installed; its outputs differ from torch's by more than
            `ONNX_TOLERANCE`; the file cannot be written.
    """
    if path.suffix not in (".pt", ".onnx", ".py"):
        raise NatsdbError(f"cannot write a {path.suffix or 'file without ending'}", remedy="use .pt, .onnx or .py")
    error = None
    with writing(path, "name another file with -o"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with whole_file(path) as temporary:
            if path.suffix == ".pt":
                torch.save(described(made) | {"state_dict": made.net.state_dict()}, temporary)
            elif path.suffix == ".py":
                temporary.write_text(plain_source(made.space, made.arch, made.dataset), encoding="utf-8")
            else:
                error = _export(made, temporary)
    return error


def described(made: Model) -> dict[str, Any]:
    """What a network is, in plain values."""
    run = made.kept._asdict() if made.kept else {"fresh": made.fresh}
    run.pop("path", None)
    return {
        "space": made.space,
        "arch": made.arch,
        "arch_str": arch_str(made.space, made.arch),
        "dataset": made.dataset,
        "classes": DATASETS[made.dataset].classes,
        "weights": run,
    }


def _export(made: Model, path: Path) -> float | None:
    try:
        import onnx
    except ImportError as error:
        raise NatsdbError("writing ONNX needs the package onnx", remedy="pip install 'natsdb[onnx]'") from error
    batch = {0: "batch"}
    export_onnx(
        made.net,
        made.images,
        str(path),
        output_names=["features", "logits"],
        dynamic_axes={"images": batch, "features": batch, "logits": batch},
    )
    written = onnx.load(str(path))
    onnx.helper.set_model_props(written, {f"natsdb.{name}": json.dumps(is_) for name, is_ in described(made).items()})
    onnx.checker.check_model(written)
    onnx.save_model(written, str(path))
    return _difference(made, path)


def _difference(made: Model, path: Path) -> float | None:
    try:
        import onnxruntime
    except ImportError:
        return None
    session = onnxruntime.InferenceSession(path.read_bytes(), providers=["CPUExecutionProvider"])
    worst = 0.0
    with torch.no_grad():
        for images in (made.images, made.images[:1]):
            found: Sequence[Any] = session.run(None, {"images": images.numpy()})
            for ours, theirs in zip(made.net(images), found, strict=True):
                scale = max(float(ours.abs().max()), 1e-30)
                worst = max(worst, float((ours - torch.from_numpy(theirs)).abs().max()) / scale)
    if not worst <= ONNX_TOLERANCE:
        raise NatsdbError(
            f"outputs of the ONNX file differ from torch's by {worst:.1e} of the largest",
            where=str(path),
            remedy="write .pt instead, and tell us",
        )
    return worst


def named(text: str, dataset: str, **options: Any) -> Model:
    """`find_model` of an architecture as a command has it: `tss/9930`."""
    return find_model(*architecture(text), dataset, **options)
