"""Fixtures of the benchmarks; see `full_scale`."""

from full_scale import database, folders, records, results

__all__ = ["database", "folders", "records", "results"]
