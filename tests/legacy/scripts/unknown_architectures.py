"""Style: robust scripts again: architectures, indexes and spaces that there are not, and what the api says of them."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import nats_bench
import numpy as np
from nats_bench.genotype_utils import topology_str2structure

ARCHS = [int(text) for text in os.environ["ARCHS"].split(",")]
FIRST = ARCHS[0]


def attempt(call: Callable[..., Any], *args: Any, **kwargs: Any) -> None:
    asked = ", ".join([*map(repr, args), *(f"{key}={value!r}" for key, value in kwargs.items())])
    try:
        answer = call(*args, **kwargs)
    except Exception as error:
        print(f"{call.__name__}({asked}): {type(error).__name__}: {str(error)[:160]}")
    else:
        print(f"{call.__name__}({asked}): gives {answer!r}")


for space, hp in (("tss", "200"), ("sss", "90")):
    api = nats_bench.create(os.environ[space.upper()], space, fast_mode=True, verbose=False)
    size = len(api)
    print(f"--- {space}")
    for arch in (-1, size, size + 7, True, np.int64(FIRST), float(FIRST), str(FIRST), None, "unknown", [FIRST]):
        attempt(api.query_index_by_arch, arch)
        if arch is not True:  # which is architecture 1, and need not be in the archive
            attempt(api.get_more_info, arch, "cifar10", None, hp, False)
            attempt(api.simulate_train_eval, arch, "cifar10")
    for number in (-1, size, 10**9):
        attempt(api.arch, number)
        attempt(api.__getitem__, number)
        attempt(api.query_meta_info_by_index, number, hp)
        attempt(api.get_net_config, number, "cifar10")
        attempt(api.query_by_arch, number, hp)
        api.show(max(number, size))
    attempt(api.__getitem__, "nothing")
    attempt(api.__getattribute__, "get_best")
    attempt(api.archstr2index.__getitem__, "nothing")

attempt(nats_bench.create, "no-such-archive", "nas-bench-301", fast_mode=True, verbose=False)
attempt(nats_bench.create, 201, "tss", fast_mode=True, verbose=False)
for tags in (("nats-bench", "tss2"), ("nas-bench-201", "tss"), ("nas-bench-101", None), ("nats-bench", "size")):
    attempt(nats_bench.search_space_info, *tags)
attempt(topology_str2structure, "|nor_conv_3x3|")
attempt(topology_str2structure, 3)
