"""Fixtures of the benchmarks; see `full_scale`."""

from full_scale import folders, records, results

__all__ = ["folders", "records", "results"]
