"""The two packages have the same public names and signatures."""

from __future__ import annotations

import importlib
import inspect
import subprocess
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

MODULES = ("", ".api_utils", ".api_topology", ".api_size", ".genotype_utils")


def _names(module: ModuleType) -> dict[str, Any]:
    """Public names, those of the standard library left out."""
    return {
        name: value
        for name, value in vars(module).items()
        if not name.startswith("_")
        and not (isinstance(value, ModuleType) and not value.__name__.startswith("nats_bench."))
        and getattr(value, "__module__", "nats_bench").startswith("nats_bench")
    }


def _signature(value: Any) -> list[tuple[str, Any, Any]]:
    """Parameters, but for the keyword `source`, which is natsdb's own (see docs/legacy.md)."""
    every = inspect.signature(value).parameters.values()
    return [(p.name, p.kind, p.default) for p in every if (p.name, p.kind) != ("source", p.KEYWORD_ONLY)]


@pytest.mark.parametrize("module", MODULES)
def test_public_names_and_signatures_are_the_official_ones(module: str) -> None:
    theirs = _names(importlib.import_module(f"nats_bench{module}"))
    mine = importlib.import_module(f"natsdb.api{module}")
    differing = []
    for name, value in theirs.items():
        if not hasattr(mine, name):
            differing.append(f"{name} is missing")
            continue
        own = getattr(mine, name)
        if inspect.isfunction(value) and _signature(value) != _signature(own):
            differing.append(f"{name}{inspect.signature(own)}")
        elif inspect.isclass(value):
            for attribute in (a for a in dir(value) if not a.startswith("_") or a == "__init__"):
                official = getattr(value, attribute)
                if not hasattr(own, attribute):
                    differing.append(f"{name}.{attribute} is missing")
                elif callable(official) and _signature(official) != _signature(getattr(own, attribute)):
                    differing.append(f"{name}.{attribute}{inspect.signature(getattr(own, attribute))}")
        elif not callable(value) and not isinstance(value, ModuleType) and value != own:
            differing.append(f"{name} = {own!r}")
    assert differing == []


def test_instances_have_the_same_public_attributes(real_pair: Any) -> None:
    official, mine = real_pair("tss")
    public = {name for name in dir(official) if not name.startswith("_")}
    assert public <= set(dir(mine))
    assert {name for name in vars(official) if name not in dir(mine)} == set()


def test_the_first_answer_brings_nothing_heavy(real_db: Path) -> None:
    """Each of these takes as long to import as all else until the first answer."""
    code = f"""
import sys
import numpy
before = set(sys.modules)
from natsdb.api import create
create({str(real_db)!r}, "tss", verbose=False).get_more_info(11, "cifar100", hp="200", is_random=False)
heavy = ("pandas", "polars", "duckdb", "fsspec", "torch", "numpy.ma", "tenacity", "filelock", "platformdirs")
print([name for name in heavy if name in sys.modules and name not in before])"""
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "[]\n"
