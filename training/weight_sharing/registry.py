"""The searches by name, with their published settings and the options that each takes."""

from __future__ import annotations

from dataclasses import fields, replace
from typing import Any

from natsdb.schema.errors import NatsdbError
from natsdb.schema.schedules import MOST
from natsdb.schema.size import SSS
from natsdb.schema.spaces import space_of
from natsdb.schema.topology import TSS
from natsdb.training.weight_sharing.darts import Darts1, Darts2
from natsdb.training.weight_sharing.enas import Enas
from natsdb.training.weight_sharing.gdas import Gdas
from natsdb.training.weight_sharing.masking import MaskGumbel, MaskRL
from natsdb.training.weight_sharing.method import Algorithm, Method, Options
from natsdb.training.weight_sharing.sampled import Rsps, Setn
from natsdb.training.weight_sharing.size import SizeSupernet
from natsdb.training.weight_sharing.tas import TAS
from natsdb.training.weight_sharing.topology import Supernet

COMMON = ("epochs", "batch", "valid_batch")
_ADAM = ("arch_learning_rate", "arch_weight_decay", "arch_eps")
_OF_ENAS = ("candidates", "controller_steps", "controller_samples", "entropy_gradient")


def _tss(method: type[Method], *takes: str, **published: Any) -> Algorithm:
    of = lambda classes, options: method(Supernet(classes), options)  # noqa: E731
    return Algorithm(TSS.name, of, Options(**published), ("drop_path_rate", *takes))


def _sss(method: type[Method], **published: Any) -> Algorithm:
    of = lambda classes, options: method(SizeSupernet(classes), options)  # noqa: E731
    return Algorithm(SSS.name, of, Options(**published), (*_ADAM, "warmup_ratio"))


ALGORITHMS = {
    "darts-v1": _tss(Darts1, *_ADAM),
    "darts-v2": _tss(Darts2, *_ADAM),
    "gdas": _tss(Gdas, *_ADAM),
    "setn": _tss(Setn, *_ADAM, "candidates"),
    "rsps": _tss(Rsps, "candidates"),
    "enas": _tss(Enas, *_ADAM, *_OF_ENAS, arch_learning_rate=1e-3, arch_weight_decay=0.0, arch_eps=1e-3),
    "tas": _sss(TAS),
    "mask_gumbel": _sss(MaskGumbel),
    "mask_rl": _sss(MaskRL, arch_weight_decay=0.0),
}


def algorithm_of(name: str, space: str | None = None) -> Algorithm:
    """The algorithm of a name.

    Raises:
        NatsdbError: there is none, or it is not of the space.
    """
    names = [one for one, of in ALGORITHMS.items() if space in (None, of.space)]
    if not names:
        space_of(space or "")
        raise NatsdbError(f"no search with shared weights runs on {space}", remedy="choose tss or sss")
    if name not in names:
        where = "there is no search" if space is None else f"in {space} there is no search"
        raise NatsdbError(f"{where} {name!r} with shared weights", remedy=f"choose {', '.join(names)}")
    return ALGORITHMS[name]


def options_of(name: str, given: dict[str, Any]) -> Options:
    """An algorithm's published settings with those given in their place; None leaves the published one.

    Raises:
        NatsdbError: the algorithm takes no such option, or not this value.
    """
    takes = (*COMMON, *ALGORITHMS[name].takes)
    given = {option: value for option, value in given.items() if value is not None}
    for option, value in given.items():
        if option not in takes:
            raise NatsdbError(f"{name} has no option {option}", remedy=f"it has {', '.join(takes)}")
        whole = option in _LEAST
        low, high = _LEAST.get(option, 0), _MOST.get(option, 1 << 31)
        if not isinstance(value, (int,) if whole else (int, float)) or not low <= value <= high:
            kind = "a whole number" if whole else "a number"
            raise NatsdbError(f"{option} is {kind} from {low} to {high}, not {value!r}", remedy="leave it out")
    return replace(ALGORITHMS[name].options, **given)


def said_options(name: str, options: Options) -> dict[str, Any]:
    """The settings that a search of this algorithm has, as its file says them."""
    takes = {*COMMON, *ALGORITHMS[name].takes}
    return {field.name: getattr(options, field.name) for field in fields(options) if field.name in takes}


# Whole numbers and the least of each; and what is a fraction.
_LEAST = {"epochs": 1, "batch": 1, "valid_batch": 1, "candidates": 1, "controller_steps": 1, "controller_samples": 1}
_MOST = {"epochs": MOST, "entropy_gradient": True, "drop_path_rate": 1, "warmup_ratio": 1}
