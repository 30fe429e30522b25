"""`NATSspace`: any other space that is registered (`natsdb.schema.spaces`), with the methods of the official two."""

from __future__ import annotations

from typing import Any

from natsdb.api.handle import NASBenchMetaAPI
from natsdb.api.printing import information_lines
from natsdb.api.results import ArchResults
from natsdb.schema.datasets import DATASETS
from natsdb.schema.space import Space


class NATSspace(NASBenchMetaAPI):
    """A space that is registered. Arguments and errors are those of `NATStopology`."""

    def __init__(
        self,
        space: Space,
        file_path_or_dict: Any = None,
        fast_mode: bool = False,
        verbose: bool = True,
        *,
        source: str | None = None,
    ) -> None:
        self._space, self._search_space_name, self._full_train_epochs = space.name, space.title, space.longest
        self._all_base_names = [space.base_name]
        super().__init__(file_path_or_dict, fast_mode, verbose, source=source)

    @staticmethod
    def _print_information(information: ArchResults, extra_info: Any = None, show: bool = False) -> list[str]:
        splits: dict[str, tuple[str, ...]] = {
            name: tuple(split for split in ("x-valid", "x-test", "ori-test") if split in of.splits)[: 1 + of.halved]
            for name, of in DATASETS.items()
        }
        return information_lines(information, extra_info, show, splits)
