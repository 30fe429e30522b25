"""Names that do not exist are answered with those that do, the nearest first: every message says it in the same way."""

from __future__ import annotations

from collections.abc import Iterable

# A database has some two hundred columns.
_SHOWN = 40


def nearest(name: str, names: Iterable[str]) -> list[str]:
    """All names, those most like this one first."""
    import difflib

    return sorted(
        names, key=lambda other: -difflib.SequenceMatcher(None, name.lower(), other.lower(), autojunk=False).ratio()
    )


def did_you_mean(name: str, names: Iterable[str]) -> str:
    """A remedy: `did you mean cifar100? there are cifar100, cifar10, …`; where none is like it, all in their own order.

    0.6 is where difflib itself begins to call a match close.
    """
    import difflib

    own = list(names)
    if not own:
        return "there are none"
    every = nearest(name, own)
    alike = difflib.SequenceMatcher(None, name.lower(), every[0].lower(), autojunk=False).ratio() >= 0.6
    asked = f"did you mean {every[0]}? " if alike and len(own) > 1 else ""
    shown = (every if alike else own)[:_SHOWN]
    more = f", and {len(own) - _SHOWN} more" if len(own) > _SHOWN else ""
    return f"{asked}there {'is' if len(own) == 1 else 'are'} {', '.join(shown)}{more}"


def either(names: Iterable[str]) -> str:
    """Names to choose from: `tss or sss`, `12, 90 or 200`."""
    *first, last = names
    return f"{', '.join(first)} or {last}" if first else last
