"""Regenerating rows of the benchmark with PyTorch: networks, data, the official recipe, and runs that survive a kill.

Imports torch, torchvision, numpy and pyarrow only (`cluster.py` Ray too): a machine that trains need not have DuckDB.
"""

from typing import Any


def __getattr__(name: str) -> Any:
    """`natsdb.training.model`, imported when it is asked for, since it reads databases."""
    if name == "model":
        from natsdb.training.models import model

        return model
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
