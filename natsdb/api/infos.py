"""`arch2infos_dict`: the official dictionary of results by architecture, each read when it is asked for."""

from __future__ import annotations

import copy
from collections import OrderedDict
from collections.abc import Callable, ItemsView, Iterable, Iterator, MutableMapping, ValuesView
from functools import partial, wraps
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from natsdb.api.backends import Backend, Results

_UNREAD: Any = None
_NONE: Any = object()


class LazyInfos(OrderedDict[int, Any]):
    """Results by architecture. `unread` are the architectures whose results nobody has seen, so nobody has changed."""

    def __init__(self, backend: Backend, archs: Iterable[int]) -> None:
        super().__init__()
        self._backend = backend
        self.unread: set[int] = set()
        self._made: dict[int, Results] = {}
        for arch in archs:
            self.put_back(arch)

    def put_back(self, arch: int) -> None:
        """Let an architecture's results be those of the backend again."""
        self._made.pop(arch, None)
        super().__setitem__(arch, _UNREAD)
        self.unread.add(arch)

    def __getitem__(self, arch: int) -> Results:
        if arch in self.unread:
            # Of several threads the first one's results are everybody's.
            self[arch] = self._made.setdefault(arch, self._backend.results(arch))
        return super().__getitem__(arch)

    def __setitem__(self, arch: int, results: Results) -> None:
        super().__setitem__(arch, results)
        self.unread.discard(arch)

    def __delitem__(self, arch: int) -> None:
        super().__delitem__(arch)
        self.unread.discard(arch)
        self._made.pop(arch, None)

    # What the dictionary in C would do without asking `__getitem__`.
    get = MutableMapping.get  # type: ignore[assignment]
    setdefault = MutableMapping.setdefault  # type: ignore[assignment]
    update = MutableMapping.update

    def values(self) -> ValuesView[Any]:  # type: ignore[override]
        return ValuesView(self)

    def items(self) -> ItemsView[int, Any]:  # type: ignore[override]
        return ItemsView(self)

    def pop(self, arch: Any, default: Any = _NONE) -> Any:
        if arch not in self and default is not _NONE:
            return default
        # Scripts pop to free memory: what nobody read is not read to be dropped.
        results = Unread(partial(self._backend.results, arch)) if arch in self.unread else self[arch]
        del self[arch]
        return results

    def popitem(self, last: bool = True) -> tuple[int, Any]:
        if not self:
            raise KeyError("dictionary is empty")
        arch = next(reversed(self)) if last else next(iter(self))
        return arch, self.pop(arch)

    def clear(self) -> None:
        super().clear()
        self.unread.clear()
        self._made.clear()

    def copy(self) -> OrderedDict[int, Any]:  # type: ignore[override]
        return OrderedDict(self.items())

    def __iter__(self) -> Iterator[int]:
        # Defined here so that `dict(infos)` asks for items one by one.
        return super().__iter__()

    def __eq__(self, other: object) -> bool:
        return OrderedDict(self.items()) == (other.copy() if isinstance(other, LazyInfos) else other)

    __hash__ = None  # type: ignore[assignment]

    def __repr__(self) -> str:
        return repr(self.copy())

    def __or__(self, other: Any) -> OrderedDict[int, Any]:  # type: ignore[override]
        return self.copy() | other

    def __ror__(self, other: Any) -> Any:
        return other | self.copy()

    def __ior__(self, other: Any) -> LazyInfos:  # type: ignore[override]
        self.update(other)
        return self

    def __copy__(self) -> OrderedDict[int, Any]:
        return self.copy()

    def _seen(self) -> list[tuple[int, Any]]:
        """What a copy must take along: every key, and the results that somebody may have changed."""
        return [(arch, None if arch in self.unread else super(LazyInfos, self).__getitem__(arch)) for arch in self]

    def __deepcopy__(self, memo: dict[int, Any]) -> LazyInfos:
        return _rebuilt(self._backend, copy.deepcopy(self._seen(), memo))

    def __reduce__(self) -> Any:
        return _rebuilt, (self._backend, self._seen())


class Unread(OrderedDict[str, Any]):
    """Results of an architecture by hp, read when somebody looks at them."""

    def __init__(self, read: Callable[[], Results]) -> None:
        super().__init__()
        self._read: Callable[[], Results] | None = read

    def _fill(self) -> None:
        # Of two threads both may read; what they read is the same, and neither sees it half filled.
        if (read := self._read) is not None:
            found = read()
            if self._read is not None:
                for hp, results in found.items():
                    super().__setitem__(hp, results)
                self._read = None

    def copy(self) -> OrderedDict[str, Any]:  # type: ignore[override]
        return OrderedDict(self.items())

    __copy__ = copy

    def __or__(self, other: Any) -> OrderedDict[str, Any]:  # type: ignore[override]
        return self.copy() | other

    def __ror__(self, other: Any) -> Any:
        return other | self.copy()

    def __reduce__(self) -> Any:
        return OrderedDict, (list(self.items()),)


def _filled_first(name: str) -> Callable[..., Any]:
    plain = getattr(OrderedDict, name)

    @wraps(plain)
    def method(self: Unread, *args: Any, **kwargs: Any) -> Any:
        self._fill()
        return plain(self, *args, **kwargs)

    return method


# What the dictionary in C would do on the results that are not there yet.
for _name in (
    *("__contains__", "__delitem__", "__eq__", "__getitem__", "__ior__", "__iter__", "__len__", "__ne__", "__repr__"),
    *("__reversed__", "__setitem__", "clear", "get", "items", "keys", "move_to_end", "pop"),
    *("popitem", "setdefault", "update", "values"),
):
    setattr(Unread, _name, _filled_first(_name))


def _rebuilt(backend: Backend, seen: list[tuple[int, Any]]) -> LazyInfos:
    infos = LazyInfos(backend, ())
    for arch, results in seen:
        if results is None:
            infos.put_back(arch)
        else:
            infos[arch] = results
    return infos
