"""What scripts ask of a handle of NAS-Bench-201: by name, a function of (handle, arch, dataset, hp)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

QUESTIONS: dict[str, Callable[[Any, int, str, str], Any]] = {
    "get_more_info": lambda api, i, d, hp: api.get_more_info(i, d, hp=hp),
    "get_more_info of an epoch": lambda api, i, d, hp: api.get_more_info(i, d, 5, hp, False),
    "get_more_info of a seed": lambda api, i, d, hp: api.get_more_info(i, d, None, hp, 777),
    "get_more_info by string": lambda api, i, d, hp: api.get_more_info(api[i], d, hp=hp, is_random=False),
    "get_cost_info": lambda api, i, d, hp: api.get_cost_info(i, d, hp),
    "get_latency": lambda api, i, d, hp: api.get_latency(i, d, hp),
    "get_latency by default": lambda api, i, d, hp: api.get_latency(i, d),
    "simulate_train_eval": lambda api, i, d, hp: (api.simulate_train_eval(i, d, hp), api.used_time),
    "query_by_index": lambda api, i, d, hp: list(api.query_by_index(i, d, hp)),
    "runs": lambda api, i, d, hp: [
        (run.get_train(), run.get_eval("ori-test"), run.get_times(), repr(run))
        for run in api.query_by_index(i, d, hp).values()
    ],
    "query_meta_info_by_index": lambda api, i, d, hp: repr(api.query_meta_info_by_index(i, hp)),
    "query_by_arch": lambda api, i, d, hp: api.query_by_arch(i, hp),
    "query_info_str_by_arch": lambda api, i, d, hp: api.query_info_str_by_arch(api[i], hp),
    "query_index_by_arch": lambda api, i, d, hp: (api.query_index_by_arch(api[i]), api.query_index_by_arch("x")),
    "arch": lambda api, i, d, hp: (api.arch(i), api[i]),
    "an index outside": lambda api, i, d, hp: api.arch(i - 20),
    "get_net_config": lambda api, i, d, hp: api.get_net_config(i, d),
    "get_net_param": lambda api, i, d, hp: api.get_net_param(i, d, None, hp),
    "show": lambda api, i, d, hp: api.show(i),
    "find_best": lambda api, i, d, hp: api.find_best(d, "ori-test", hp=hp),
    "find_best in limits": lambda api, i, d, hp: api.find_best(d, "train", FLOP_max=50, Param_max=None, hp=hp),
    "last bits and types of costs": lambda api, i, d, hp: api.query_meta_info_by_index(i, hp).get_compute_costs(d),
    "metrics": lambda api, i, d, hp: [
        api.query_meta_info_by_index(i, hp).get_metrics(d, split, epoch, seed)
        for split, epoch, seed in (("train", 0, False), ("ori-test", None, True), ("ori-test", None, 777))
    ],
    "an epoch too many": lambda api, i, d, hp: api.query_meta_info_by_index(i, hp).get_metrics(d, "train", 200),
    "a split that is not there": lambda api, i, d, hp: api.query_meta_info_by_index(i, hp).get_metrics(d, "x-valid", 3),
    "clear_params": lambda api, i, d, hp: api.clear_params(i, hp),
    "itself": lambda api, i, d, hp: (len(api), api.evaluated_indexes, sorted(api.avaliable_hps), repr(api)[:38]),
    "str2lists": lambda api, i, d, hp: (api.str2lists(api[i]), api.str2matrix(api[i]).tolist()),
}
