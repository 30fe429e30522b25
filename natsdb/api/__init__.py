"""What a script written for the `nats_bench` package (1.8) expects, answered from a natsdb database.

Change `import nats_bench` to `from natsdb import api as nats_bench`, or change nothing and run the script with
`natsdb run script.py`. Calls, numbers, types, exceptions, printed text and random draws are the official ones;
`docs/legacy.md` lists the few intended differences.

Example:
    >>> from natsdb.api import create
    >>> api = create("my-database", "tss", fast_mode=True, verbose=False)  # doctest: +SKIP
    >>> api.get_more_info(1462, "cifar100", hp="200", is_random=False)["test-accuracy"]  # doctest: +SKIP
"""

from __future__ import annotations

from typing import Any

from natsdb.api import api_size, api_topology, api_utils, genotype_utils
from natsdb.api.api_size import NATSsize
from natsdb.api.api_topology import NATStopology
from natsdb.api.api_utils import (
    ArchResults,
    ResultsCount,
    get_file_system,
    pickle_load,
    pickle_save,
    reset_file_system,
)
from natsdb.api.own_space import NATSspace
from natsdb.schema.size import CHANNELS, LAYERS
from natsdb.schema.spaces import SPACES
from natsdb.schema.topology import EDGES, OPS

NATS_BENCH_API_VERSIONs = ["v1.0", "v1.1", "v1.2", "v1.3", "v1.4", "v1.5", "v1.6", "v1.7", "v1.8"]
NATS_BENCH_SSS_NAMEs = ("sss", "size")
NATS_BENCH_TSS_NAMEs = ("tss", "topology")

__all__ = [
    "ArchResults",
    "NATS_BENCH_API_VERSIONs",
    "NATS_BENCH_SSS_NAMEs",
    "NATS_BENCH_TSS_NAMEs",
    "NATSsize",
    "NATSspace",
    "NATStopology",
    "ResultsCount",
    "api_size",
    "api_topology",
    "api_utils",
    "create",
    "genotype_utils",
    "get_file_system",
    "pickle_load",
    "pickle_save",
    "reset_file_system",
    "search_space_info",
    "version",
]


def version() -> str:
    """Version of the `nats_bench` package whose behaviour this is."""
    return NATS_BENCH_API_VERSIONs[-1]


def create(
    file_path_or_dict: Any,
    search_space: str,
    fast_mode: bool = False,
    verbose: bool = True,
    *,
    source: str | None = None,
) -> NATStopology | NATSsize | NATSspace:
    """A handle on a benchmark.

    Args:
        file_path_or_dict: a natsdb database, an official archive in any form, a loaded dictionary, or None: a database
            or an archive where these lie by default.
        search_space: `tss` or `topology`, `sss` or `size`, or another space that is registered.
        fast_mode: read a folder's records when they are asked for. A database is open at once in either mode.
        verbose: print what is called.
        source: of a database, the rows of this source and no others, as in the column `source`.

    Raises:
        ValueError: there is no such space, nothing at the path, or a form that does not go with the mode.
        NatsdbError: the archive is damaged, or the database has nothing of this space.
    """
    if search_space in NATS_BENCH_TSS_NAMEs:
        return NATStopology(file_path_or_dict, fast_mode, verbose, source=source)
    if search_space in NATS_BENCH_SSS_NAMEs:
        return NATSsize(file_path_or_dict, fast_mode, verbose, source=source)
    if search_space in SPACES:
        return NATSspace(SPACES[search_space], file_path_or_dict, fast_mode, verbose, source=source)
    raise ValueError(f"invalid search space : {search_space}")


def search_space_info(main_tag: str, aux_tag: str | None) -> dict[str, Any]:
    """Operations and nodes (topology) or channel numbers and layers (size).

    Args:
        main_tag: `nats-bench`, or `nas-bench-201` with no `aux_tag`.
        aux_tag: the space by one of its names.

    Raises:
        ValueError: a tag is unknown.
    """
    tss = {"op_names": list(OPS), "num_nodes": max(to for to, _ in EDGES) + 1}
    if main_tag == "nats-bench":
        if aux_tag in NATS_BENCH_SSS_NAMEs:
            return {"candidates": list(CHANNELS), "num_layers": LAYERS}
        if aux_tag in NATS_BENCH_TSS_NAMEs:
            return tss
        raise ValueError(f"Unknown auxiliary tag: {aux_tag}")
    if main_tag == "nas-bench-201":
        if aux_tag is not None:
            raise ValueError("For NAS-Bench-201, the auxiliary tag should be None.")
        return tss
    raise ValueError(f"Unknown main tag: {main_tag}")
