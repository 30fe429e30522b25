"""The weight-sharing searches of NATS-Bench: one supernet, trained once, in place of thousands of networks."""

from natsdb.training.search.loop import Progress, Searched, search
from natsdb.training.search.method import Algorithm, Options
from natsdb.training.search.registry import ALGORITHMS

__all__ = ["ALGORITHMS", "Algorithm", "Options", "Progress", "Searched", "search"]
