"""Other people's optimizers by name, as in `optuna:TPESampler`: each a search like natsdb's own, from its package."""

from __future__ import annotations

import importlib
import inspect
import logging
import random
import re
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import cache
from importlib import metadata
from typing import Any

from natsdb.own_code import is_own
from natsdb.schema.errors import NatsdbError
from natsdb.schema.names import did_you_mean
from natsdb.search.algorithm import Algorithm

# Packages, as names and natsdb's extras say it, and the modules that drive them.
PACKAGES = {"optuna": "by_optuna", "syne-tune": "by_syne_tune", "pymoo": "by_pymoo"}
# Of annotations.
_PLAIN = re.compile(r"^(?!.*(Callable|dict|list|Sequence)).*\b(bool|int|float|str)\b")


def is_others(name: str) -> bool:
    """Whether a name is PACKAGE:NAME; of a package that nobody knows too, as it is no file."""
    return ":" in name and not is_own(name)


@contextmanager
def alone(seed: int, logger: str) -> Iterator[None]:
    """The process's own sources of chance start from a seed, and stand afterwards where they stood: some optimizers
    draw from these, whatever seed they are given. What their packages log and warn of is not said meanwhile."""
    import numpy as np

    own = logging.getLogger(logger)
    before, numpy_before, level = random.getstate(), np.random.get_state(), own.level
    random.seed(seed)
    np.random.seed(seed)
    own.setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        random.setstate(before)
        np.random.set_state(numpy_before)
        own.setLevel(level)


@cache
def others_algorithm(name: str) -> Algorithm:
    """The search that an optimizer of another package makes, by PACKAGE:NAME.

    Raises:
        NatsdbError: there is no such package or optimizer, or the package is not installed.
    """
    package, _, own = name.partition(":")
    if package not in PACKAGES:
        raise NatsdbError(
            f"there is no algorithm {name!r}",
            remedy=f"{did_you_mean(package, PACKAGES)}, as in optuna:TPESampler, and FILE.py:FUNCTION for your own",
        )
    try:
        driver = importlib.import_module(f"natsdb.search.{PACKAGES[package]}")
    except ImportError as error:
        raise _not_installed(name, error.name or package, package) from error
    every = driver.optimizers()
    if own not in every:
        raise NatsdbError(f"{package} has no optimizer {own!r}", remedy=did_you_mean(own, every))
    return driver.algorithm(name, every[own])


def plain_options(constructor: Callable[..., Any], without: tuple[str, ...] = ()) -> dict[str, Any]:
    """What a constructor takes by name, and the defaults; but what a number or text cannot be."""
    taken = inspect.signature(constructor).parameters.values()
    return {
        one.name: one.default
        for one in taken
        if one.kind in (one.KEYWORD_ONLY, one.POSITIONAL_OR_KEYWORD)
        and one.default is not one.empty
        and one.name not in without
        and (one.annotation is one.empty or _PLAIN.search(str(one.annotation)))
        and (one.default is None or isinstance(one.default, bool | int | float | str))
    }


def versions(algorithm: Algorithm) -> dict[str, dict[str, str]]:
    """What the provenance of a search says of the packages that it needs: their versions.

    Raises:
        NatsdbError: one is not installed.
    """
    if not algorithm.packages:
        return {}
    try:
        return {"packages": {name: metadata.version(name) for name in algorithm.packages}}
    except metadata.PackageNotFoundError as error:
        raise _not_installed(algorithm.name, error.name, algorithm.extra) from error


def _not_installed(name: str, package: str, extra: str) -> NatsdbError:
    return NatsdbError(f"{name} needs {package}, which is not installed", remedy=f"pip install 'natsdb[{extra}]'")
