"""Pictures of the benchmark, drawn from SQL with Altair; saved by vl-convert, no browser needed."""

from natsdb.plot.cell import cell
from natsdb.plot.chart import save
from natsdb.plot.correlations import correlation, correlations
from natsdb.plot.costs import Measured, measured, pareto, scatter
from natsdb.plot.critical_difference import ranks
from natsdb.plot.epochs import curves
from natsdb.plot.fronts import fronts
from natsdb.plot.ranks import agreement, rank
from natsdb.plot.searching import hypervolumes, searches

__all__ = [
    "Measured",
    "agreement",
    "cell",
    "correlation",
    "correlations",
    "curves",
    "fronts",
    "hypervolumes",
    "measured",
    "pareto",
    "rank",
    "ranks",
    "save",
    "scatter",
    "searches",
]
