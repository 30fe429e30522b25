"""Runs at the start of each process that a script under `natsdb run` starts; another `sitecustomize` runs too."""

from __future__ import annotations

import importlib.util
import os
import sys
from importlib.machinery import PathFinder

import natsdb_names  # type: ignore[import-not-found]

natsdb_names.install()
_spec = PathFinder.find_spec("sitecustomize", [p for p in sys.path if os.path.abspath(p) != natsdb_names.FOLDER])
if _spec is not None and _spec.loader is not None:
    _module = importlib.util.module_from_spec(_spec)
    _spec.loader.exec_module(_module)
