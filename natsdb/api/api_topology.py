"""`NATStopology`: the topology space (`tss`), as in `nats_bench.api_topology`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from natsdb.api.api_utils import *  # noqa: F403 (the official module has these names too)
from natsdb.api.api_utils import ArchResults, NASBenchMetaAPI
from natsdb.api.genotype_utils import nodes_of, topology_str2structure
from natsdb.api.printing import information_lines
from natsdb.schema.topology import OPS, TSS

ALL_BASE_NAMES = [TSS.base_name]


def print_information(information: ArchResults, extra_info: Any = None, show: bool = False) -> list[str]:
    """Lines about an architecture's results: costs, losses and accuracies by data set; printed if `show`."""
    return information_lines(information, extra_info, show, {"cifar10-valid": ("x-valid",)})


class NATStopology(NASBenchMetaAPI):
    """The topology space: 15,625 cells, trained for 12 and 200 epochs.

    Args:
        file_path_or_dict: a natsdb database, an official archive in any form, a loaded dictionary, or None: a database
            or an archive where these lie by default.
        fast_mode: read a folder's records when they are asked for. A database is open at once in either mode.
        verbose: print what is called.
        source: of a database, the rows of this source and no others, as in the column `source`.

    Raises:
        ValueError: there is nothing there, or a form that does not go with the mode.
        NatsdbError: the archive is damaged, or the database has nothing of this space.
    """

    _all_base_names = ALL_BASE_NAMES
    _search_space_name = "topology"
    _full_train_epochs = TSS.longest
    _space = TSS.name
    _print_information = staticmethod(print_information)

    def __init__(
        self, file_path_or_dict: Any = None, fast_mode: bool = False, verbose: bool = True, *, source: str | None = None
    ) -> None:
        super().__init__(file_path_or_dict, fast_mode, verbose, source=source)

    def get_unique_str(self, arch: Any) -> str:
        """An expression that architectures share if they compute the same function."""
        return topology_str2structure(self.meta_archs[self.query_index_by_arch(arch)]).to_unique_str(consider_zero=True)

    @staticmethod
    def str2lists(arch_str: str) -> list[Any]:
        """For each node of a cell its edges: tuples of (operation, number of the node that it comes from).

        Raises:
            AssertionError: an edge is malformed.
        """
        return [tuple(node) for node in nodes_of(arch_str)]

    @staticmethod
    def str2matrix(arch_str: str, search_space: Sequence[str] = OPS) -> Any:
        """A cell as a matrix of float64: row and column are nodes, a value the place of the operation between them.

        Raises:
            AssertionError: an edge is malformed.
            ValueError: an operation is not in `search_space`.
        """
        import numpy as np

        nodes = list(nodes_of(arch_str))
        matrix = np.zeros((len(nodes) + 1, len(nodes) + 1))
        for number, node in enumerate(nodes, start=1):
            for op, source in node:
                if op not in search_space:
                    raise ValueError(f"this op ({op}) is not in {search_space}")
                matrix[number, source] = search_space.index(op)
        return matrix
