"""Searches compared: ranks, tests of significance, effect sizes, intervals, and the table as papers print it."""

from natsdb.statistics.comparing import RESAMPLES, Comparison, compare_searches
from natsdb.statistics.printed import FORMATS, printed, printed_pairs

__all__ = ["FORMATS", "RESAMPLES", "Comparison", "compare_searches", "printed", "printed_pairs"]
