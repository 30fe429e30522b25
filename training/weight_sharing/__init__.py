"""The weight-sharing searches of NATS-Bench: one supernet, trained once, in place of thousands of networks."""

from natsdb.training.weight_sharing.loop import Progress, Searched, search
from natsdb.training.weight_sharing.method import Algorithm, Options
from natsdb.training.weight_sharing.registry import ALGORITHMS

__all__ = ["ALGORITHMS", "Algorithm", "Options", "Progress", "Searched", "search"]
