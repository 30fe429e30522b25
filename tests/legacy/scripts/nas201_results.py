"""Style: scripts that came from NAS-Bench-201 and work on its ArchResults objects."""

from __future__ import annotations

import os
import random

import nats_bench
from nats_bench import ArchResults, ResultsCount
from nats_bench.api_size import NATSsize
from nats_bench.api_topology import NATStopology

ARCHS = [int(text) for text in os.environ["ARCHS"].split(",")]
SETS = {"cifar10-valid": "x-valid", "cifar10": "ori-test", "cifar100": "x-test", "ImageNet16-120": "x-test"}


def describe(info: ArchResults) -> None:
    print(info, info.arch_index, info.arch_str, info.arch_idx_str(), info.get_total_epoch(), info.clear_net_done)
    print("  names", info.get_dataset_names(), "seeds", info.dataset_seed, "runs", sorted(info.all_results))
    for dataset in info.get_dataset_names():
        seeds = info.get_dataset_seeds(dataset)
        print("  ", dataset, seeds, info.get_total_epoch(dataset), info.get_latency(dataset))
        print("    costs", info.get_compute_costs(dataset))
        for split in ("train", SETS[dataset]):
            print("    mean", split, info.get_metrics(dataset, split, iepoch=None, is_random=False))
            print("    seed", split, info.get_metrics(dataset, split, None, seeds[-1]))
            print("    any", split, info.get_metrics(dataset, split, is_random=True)["accuracy"])
        for seed in seeds:
            run = info.query(dataset, seed)
            print("    run", type(run).__name__, run.name, repr(run.seed), run.epochs, run.get_times())
            print("    weights", run.get_net_param(), run.get_net_param(clone=True), info.get_net_param(dataset, seed))
        every = info.query(dataset)
        print("    all", list(every), all(isinstance(run, ResultsCount) for run in every.values()))
        print("    weights", info.get_net_param(dataset))


random.seed(201)
for api, hps in (
    (NATStopology(os.environ["TSS"], True, False), ("12", "200")),
    (NATSsize(file_path_or_dict=os.environ["SSS"], fast_mode=True, verbose=False), ("01", "12", "90")),
):
    for index in ARCHS:
        for hp in hps:
            info = api.query_meta_info_by_index(index, hp=hp)
            assert isinstance(info, ArchResults)
            describe(info)
        print("default", api.query_meta_info_by_index(index).get_total_epoch())
        same = api.query_by_index(index, hp=hps[-1])
        print("without a data set", same)
        copied = ArchResults.create_from_state_dict(same.state_dict())
        print("copied", copied, list(same.state_dict()))
        for dataset, split in SETS.items():
            print("  ", dataset, copied.get_metrics(dataset, split) == same.get_metrics(dataset, split))

    # What a caller does to an answer stays with the caller.
    mine = api.query_meta_info_by_index(ARCHS[0], hps[-1])
    mine.reset_latency("cifar10", None, 0.5)
    mine.reset_pseudo_train_times("cifar10", None, 10.0)
    mine.reset_pseudo_eval_times("cifar10", 777, "ori-test", 2.0)
    print("mine", mine.get_compute_costs("cifar10"), mine.get_metrics("cifar10", "train", 3))
    print("its", api.query_meta_info_by_index(ARCHS[0], hps[-1]).get_compute_costs("cifar10"))
print(nats_bench.version(), random.random())
