"""`NATSsize`: the size space (`sss`), as in `nats_bench.api_size`."""

from __future__ import annotations

from typing import Any

from natsdb.api.api_utils import *  # noqa: F403 (the official module has these names too)
from natsdb.api.api_utils import ArchResults, NASBenchMetaAPI
from natsdb.api.printing import information_lines
from natsdb.schema.size import SSS

ALL_BASE_NAMES = [SSS.base_name]


def print_information(information: ArchResults, extra_info: Any = None, show: bool = False) -> list[str]:
    """Lines about an architecture's results: costs, losses and accuracies by data set; printed if `show`."""
    return information_lines(information, extra_info, show, {"cifar10-valid": ("x-valid", "ori-test")})


class NATSsize(NASBenchMetaAPI):
    """The size space: 32,768 widths of five layers, trained for 1, 12 and 90 epochs.

    Arguments and errors are those of `NATStopology`.
    """

    _all_base_names = ALL_BASE_NAMES
    _search_space_name = "size"
    _full_train_epochs = SSS.longest
    _space = SSS.name
    _print_information = staticmethod(print_information)

    def __init__(
        self, file_path_or_dict: Any = None, fast_mode: bool = False, verbose: bool = True, *, source: str | None = None
    ) -> None:
        super().__init__(file_path_or_dict, fast_mode, verbose, source=source)
