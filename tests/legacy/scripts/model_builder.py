"""Style: model builders: configurations, encodings and structures of cells, by way of `genotype_utils`."""

from __future__ import annotations

import os

import nats_bench
from nats_bench.genotype_utils import TopologyStructure, topology_str2structure

ARCHS = [int(text) for text in os.environ["ARCHS"].split(",")]
DATASETS = ("cifar10-valid", "cifar10", "cifar100", "ImageNet16-120")
OPS = nats_bench.search_space_info("nats-bench", "tss")["op_names"]
EXTRA = [
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|avg_pool_3x3~1|+|skip_connect~0|nor_conv_3x3~1|skip_connect~2|",
    "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
    "|skip_connect~0|+|none~0|nor_conv_1x1~1|+|none~0|none~1|skip_connect~2|",
]


def describe(structure: TopologyStructure) -> None:
    print(" ", structure, len(structure), structure.node_num, structure.node_N, structure.nodes)
    print("  round trip", structure.tostr(), topology_str2structure(structure) is structure)
    print("  first", structure[0], "node", structure.node(1), "list", structure.tolist("none"), structure.tolist(None))
    print("  valid", structure.check_valid(), structure.check_valid_op(OPS), structure.check_valid_op(OPS[:3]))
    for zero in (True, False, None):
        print("  unique", zero, structure.to_unique_str(zero))


api = nats_bench.create(os.environ["TSS"], "tss", fast_mode=True, verbose=False)
for index in ARCHS:
    arch = api.arch(index)
    for dataset in DATASETS:
        config = api.get_net_config(index, dataset)
        print(index, dataset, type(config).__name__, config)
    lists = api.str2lists(arch)
    print("lists", lists, TopologyStructure(lists).tostr() == arch)
    matrix = api.str2matrix(arch)
    print("matrix", matrix.dtype, matrix.shape, matrix.tolist())
    print("with other ops", api.str2matrix(arch, OPS[::-1]).astype(int).tolist())
    print("unique", api.get_unique_str(index), api.get_unique_str(arch) == api.get_unique_str(index))
    describe(topology_str2structure(config["arch_str"]))
    run = next(iter(api.query_by_index(index, "cifar100", hp="200").values()))
    built = run.get_config(topology_str2structure)
    print("built", built, type(built["genotype"]).__name__)
    print(
        "weights", api.get_net_param(index, "cifar10", None, hp="200"), api.get_net_param(index, "cifar10", 777, "200")
    )

for text in EXTRA:
    print(api.query_index_by_arch(text), text, api.get_unique_str(text), api.str2matrix(text).tolist())
    describe(TopologyStructure.str2structure(text))
print(TopologyStructure.str2fullstructure("|nor_conv_3x3~0|+|nor_conv_3x3~1|+|skip_connect~1|"))

size = nats_bench.create(os.environ["SSS"], "sss", fast_mode=True, verbose=False)
for index in ARCHS:
    for dataset in DATASETS:
        config = size.get_net_config(index, dataset)
        print(index, dataset, config, [int(width) for width in config["channels"].split(":")])
    run = size.query_by_index(index, "ImageNet16-120", hp="90")[777]
    print(run.get_config(topology_str2structure), size.get_net_param(index, "cifar100", None, "01"))
