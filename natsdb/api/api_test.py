"""A quick look whether a database or archive answers: `test_nats_bench_tss(path)`, `test_nats_bench_sss(path)`."""

from __future__ import annotations

from typing import Any

from natsdb.api.api_size import NATSsize
from natsdb.api.api_topology import NATStopology
from natsdb.schema.datasets import OF_NATS_BENCH
from natsdb.schema.spaces import SPACES

_FEW = 10


def test_nats_bench_tss(benchmark_dir: Any) -> None:
    """Ask a topology benchmark some of everything, and print what it says; raises where it cannot answer."""
    test_nats_bench(benchmark_dir, True)


def test_nats_bench_sss(benchmark_dir: Any) -> None:
    """Ask a size benchmark some of everything, and print what it says; raises where it cannot answer."""
    test_nats_bench(benchmark_dir, False)


def test_nats_bench(benchmark_dir: Any, is_tss: bool, verbose: bool = False) -> None:  # noqa: PT028
    """The same for either space."""
    api = (NATStopology if is_tss else NATSsize)(benchmark_dir, True, verbose)
    # A folder that is read on demand lists nothing yet: the first ones of the space serve.
    for index in sorted(api.evaluated_indexes)[:_FEW] or range(_FEW):
        print(f"--- {index}: {api[index]}")
        assert api.query_index_by_arch(api[index]) == index
        api.show(index)
        for hp in SPACES[api._space].hps:
            for dataset in OF_NATS_BENCH:
                info = api.get_more_info(index, dataset, hp=hp, is_random=False)
                cost = api.get_cost_info(index, dataset, hp)
                print(f"{dataset:14s} hp {hp}: train {info['train-accuracy']:.2f}%, {cost['flops']:.2f} MFLOPs")
                assert api.query_by_index(index, dataset, hp)
        print(api.get_net_config(index, "cifar10"))
        accuracy, latency, seconds, used = api.simulate_train_eval(index, "cifar100", hp="12")
        print(f"simulated: {accuracy:.2f}%, latency {latency}, {seconds:.1f} s, {used:.1f} s so far")
    api.reset_time()
    print(api)


__test__ = False  # pytest takes no part in it
