"""Other people's optimizers by name, as in `optuna:TPESampler`: each a search like natsdb's own, from its package."""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable
from functools import cache
from importlib import metadata
from typing import Any

from natsdb.schema.errors import NatsdbError
from natsdb.schema.names import did_you_mean
from natsdb.search.algorithm import Algorithm

# A package, as names say it, by the module that drives it; both are natsdb's extra too.
PACKAGES = {"optuna": "by_optuna"}


def is_others(name: str) -> bool:
    """Whether a name is PACKAGE:NAME; of a package that nobody knows too, as it is no file."""
    package, colon, _ = name.partition(":")
    return bool(colon) and not name.rpartition(":")[0].endswith(".py") and package.isascii()


@cache
def others_algorithm(name: str) -> Algorithm:
    """The search that an optimizer of another package makes, by PACKAGE:NAME.

    Raises:
        NatsdbError: there is no such package or optimizer, or the package is not installed.
    """
    package, _, own = name.partition(":")
    if package not in PACKAGES:
        raise NatsdbError(
            f"there is no algorithm {name!r}: no package {package!r} is driven",
            remedy=f"{did_you_mean(package, PACKAGES)}, as in optuna:TPESampler, and FILE.py:FUNCTION for your own",
        )
    try:
        driver = importlib.import_module(f"natsdb.search.{PACKAGES[package]}")
    except ImportError as error:
        raise NatsdbError(f"{name} needs {package} ({error})", remedy=f"pip install 'natsdb[{package}]'") from error
    every = driver.optimizers()
    if own not in every:
        raise NatsdbError(f"{package} has no optimizer {own!r}", remedy=did_you_mean(own, every))
    return driver.algorithm(name, every[own])


def plain_options(constructor: Callable[..., Any], without: tuple[str, ...] = ()) -> dict[str, Any]:
    """What a constructor takes by name, and the defaults; what must be given has None."""
    taken = inspect.signature(constructor).parameters.values()
    return {
        one.name: None if one.default is one.empty else one.default
        for one in taken
        if one.kind in (one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD) and one.name not in without
    }


def versions(algorithm: Algorithm) -> dict[str, dict[str, str]]:
    """What the provenance of a search says of an optimizer's packages; nothing of natsdb's own."""
    if not algorithm.packages:
        return {}
    return {"packages": {name: metadata.version(name) for name in algorithm.packages}}
