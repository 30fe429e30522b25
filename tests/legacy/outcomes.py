"""What a call does, in a form that two packages' calls can be compared by: to the last bit, type and random number."""

from __future__ import annotations

import contextlib
import io
import pickle
import random
import re
import struct
import warnings
from array import array
from collections.abc import Callable, Collection
from typing import Any

import numpy as np


def described(value: Any) -> Any:
    """A value as nested tuples: types by name, floats by their bits, results by their fields."""
    if isinstance(value, (float, np.floating)):
        return type(value).__name__, struct.pack("<d", value)
    if isinstance(value, dict):
        kind = type(value).__name__
        kind = "OrderedDict" if kind in ("LazyInfos", "Unread") else kind
        return kind, _all(value.keys()), _all(value.values())
    if isinstance(value, (list, tuple)):
        return type(value).__name__, _all(value)
    if isinstance(value, set):
        return "set", tuple(sorted(map(repr, value)))
    if isinstance(value, np.ndarray):
        return "ndarray", value.dtype.str, value.shape, value.tobytes()
    if hasattr(value, "state_dict"):
        return type(value).__name__, described(value.state_dict())
    return type(value).__name__, repr(value)


def _all(values: Collection[Any]) -> Any:
    """Values as `described` has them, those of one simple type at once."""
    kinds = {type(each) for each in values}
    if kinds == {float}:
        return "floats", array("d", values).tobytes()
    if kinds == {int} or kinds == {str}:
        return next(iter(kinds)).__name__, tuple(values)
    return tuple(described(each) for each in values)


def outcome(
    call: Callable[[], Any], seed: int = 0, describe: Callable[[Any], Any] = described
) -> tuple[Any, str, list[str], Any]:
    """What a call returns or raises, prints (without times of day) and warns, and the state it leaves `random` in."""
    random.seed(seed)
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed), warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        try:
            found = describe(call())
        except Exception as error:
            found = ("raised", type(error).__name__, str(error))
    text = re.sub(r"\[\d{4}-\d\d-\d\d \d\d:\d\d:\d\d\]", "[now]", printed.getvalue())
    text = re.sub(r"0x[0-9a-f]+", "0x", text)
    return found, text, [str(one.message) for one in caught], random.getstate()


class _Answered(pickle.Unpickler):
    """Finds the names that `natsdb run` answers."""

    def find_class(self, module: str, name: str) -> Any:
        known = {"nas_201_api.api_201": "natsdb.api.nas_201", "nas_201_api.api_utils": "natsdb.api.nas_201_results"}
        return super().find_class(known.get(module, module.replace("nats_bench", "natsdb.api")), name)


def answered_pickle(handle: Any) -> Any:
    """What an official package's handle is under `natsdb run` after it was pickled."""
    return _Answered(io.BytesIO(pickle.dumps(handle))).load()
