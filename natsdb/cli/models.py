"""Commands from a row to a network: model, evaluate."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from natsdb.cli.archives import DbOption
from natsdb.cli.showing import ArchArgument
from natsdb.cli.training import with_torch

DatasetOption = Annotated[str, typer.Option(help="The data set as trained on, which says classes and image size.")]
HpOption = Annotated[str | None, typer.Option(help="Schedule of the run; the longest whose weights are kept.")]
SeedOption = Annotated[int | None, typer.Option(help="Seed of the run; the lowest whose weights are kept.")]
RunSourceOption = Annotated[str | None, typer.Option("--source", help="Source of the run; the one that counts.")]


def model(
    arch: ArchArgument,
    dataset: DatasetOption = "cifar10",
    out: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write: .pt, .onnx, or .py, which is source alone.")
    ] = None,
    fresh: Annotated[int | None, typer.Option(min=0, help="Fresh weights of this seed, not kept ones.")] = None,
    hp: HpOption = None,
    seed: SeedOption = None,
    source: RunSourceOption = None,
    db: DbOption = None,
) -> None:
    """Make the network of an architecture, with the weights that the database keeps of a run, or fresh ones.

    Example: natsdb model tss/9930 --dataset cifar100 --fresh 777 -o net.onnx
    """
    with_torch()
    from natsdb.schema.datasets import DATASETS
    from natsdb.training import models
    from natsdb.training.networks import counted_cost

    if out is not None and out.suffix == ".py" and fresh is None:
        fresh = 0  # source has no weights
    made = models.named(arch, dataset, db=db, fresh=fresh, hp=hp, seed=seed, source=source)
    params = sum(one.numel() for one in made.net.parameters()) / 1e6
    said = str(made) if out is None or out.suffix != ".py" else f"{made.space}/{made.arch} for {dataset}, source alone"
    said += f": {params:.6g} million parameters"
    if DATASETS[dataset].image_size is not None:
        said += f", {counted_cost(made.net, made.images[:1])[0]:.6g} million multiply-adds"
    print(said)
    if out is None:
        print(made.net)
        return
    error = models.save_model(made, out)
    if out.suffix == ".onnx":
        print(
            "not compared: onnxruntime is not installed"
            if error is None
            else f"onnxruntime's outputs are those of torch to {error:.1e} of the largest"
        )
    print(out)


def evaluate(
    arch: ArchArgument,
    data: Annotated[Path, typer.Option(help="Folder of the data set, as for `natsdb train`.")],
    dataset: DatasetOption = "cifar10",
    hp: HpOption = None,
    seed: SeedOption = None,
    source: RunSourceOption = None,
    db: DbOption = None,
    device: Annotated[str, typer.Option(help="cpu, cuda, cuda:1, ….")] = "cpu",
    images: Annotated[
        int | None, typer.Option(min=1, help="At most so many images a split; as many as the run saw, if not given.")
    ] = None,
) -> None:
    """Put kept weights on the official splits, beside what the database says of them.

    Example: natsdb evaluate tss/9930 --dataset cifar10-valid --data DIR
    """
    with_torch()
    from natsdb.cli.answers import table
    from natsdb.evaluating import evaluate as run

    found = run(arch, data, db, dataset=dataset, hp=hp, seed=seed, source=source, device=device, images=images)
    print(found.of)
    print(table(found.rows))
    if found.note:
        print(f"({found.note})")
