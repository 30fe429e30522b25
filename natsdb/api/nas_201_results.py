"""`ArchResults` and `ResultsCount` as `nas_201_api` has them: means by NumPy, to the bit and type of these.

The module is `nas_201_api.api_utils` to scripts.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

from natsdb.api import nas_201_versions, results
from natsdb.api.handle import NASBenchMetaAPI, remap_dataset_set_names
from natsdb.api.printing import information_lines

__all__ = ["ArchResults", "NASBenchMetaAPI", "ResultsCount", "remap_dataset_set_names"]


_SHOWN: dict[str, tuple[str, ...]] = {"cifar10-valid": ("x-valid",)}


def print_information(information: results.ArchResults, extra_info: Any = None, show: bool = False) -> list[str]:
    """Lines about an architecture's results, as NAS-Bench-201 writes them."""
    lines = [
        line.replace(" & top1 = ", ", top1 = ") for line in information_lines(information, extra_info, False, _SHOWN)
    ]
    if show:
        print("\n".join(lines))
    return lines


@lru_cache(maxsize=1 << 16)
def _mean_of_equal(seconds: float, count: int) -> tuple[Any, Any]:
    every = [seconds] * count
    return np.mean(every), np.sum(every)


class ResultsCount(results.ResultsCount):
    """One training run of an architecture on a data set; see `natsdb.api.results`."""

    __slots__ = ()

    @staticmethod
    def _mean_and_sum(seconds: list[float]) -> tuple[Any, Any]:
        return np.mean(seconds), np.sum(seconds)

    _mean_of_equal = staticmethod(_mean_of_equal)

    def _no_time(self, key: str) -> Exception:
        return KeyError(key)

    def judge_valid(self, iepoch: int) -> None:
        """Refuse an epoch that was not trained.

        Raises:
            AssertionError: it is negative or too large.
        """
        assert 0 <= iepoch < self.epochs, f"invalid iepoch={iepoch} < {self.epochs}"


class ArchResults(results.ArchResults):
    """All runs of an architecture at one hp; see `natsdb.api.results`."""

    _run_kind = ResultsCount
    _by_epochs = True
    _mean = staticmethod(np.mean)

    @staticmethod
    def _agreed(values: list[Any], seeds: list[int]) -> list[Any]:
        # That some records carry wrong costs was noticed later.
        return values

    def get_comput_costs(self, dataset: str) -> dict[str, Any]:
        """`get_compute_costs`, as versions up to 1.2 spell it."""
        nas_201_versions.VERSION.saw(1, "get_comput_costs")
        return self.get_compute_costs(dataset)

    def show(self, is_print: bool = False) -> list[str]:
        """Lines about these results, printed if `is_print`."""
        return print_information(self, None, is_print)
