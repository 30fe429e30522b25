"""The ways to write an architecture: which there are, which of them a text is, and between them, index and arrays.

Each space has `index` (the official one), `string` (the official string) and what its `encodings` say. A text of the
encoding `canonical` is that of a class of architectures that compute the same function: its index is the lowest.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

from natsdb.schema.errors import NatsdbError
from natsdb.schema.names import did_you_mean, either
from natsdb.schema.space import Encoding, Space
from natsdb.schema.spaces import SPACES, arch_index, arch_str, space_of

if TYPE_CHECKING:
    import numpy as np
    import polars as pl

INDEX, STRING = "index", "string"


@cache
def encodings_of(space: Space) -> Mapping[str, Encoding]:
    """All encodings of a space by name: index, official string, and its own."""
    return {
        INDEX: Encoding("the official index, from 0", pattern=r"0|[1-9]\d*"),
        STRING: Encoding("the official string", pattern=space.pattern, text=space.text),
        **space.encodings,
    }


def encoding_of(space: Space, name: str) -> Encoding:
    """The encoding of a name.

    Raises:
        NatsdbError: the space has none of it.
    """
    every = encodings_of(space)
    if name not in every:
        raise NatsdbError(f"there is no encoding {name!r} of {space.name}", remedy=did_you_mean(name, every))
    return every[name]


@cache
def texts(space: Space, name: str) -> tuple[str, ...]:
    """The text of each architecture of a space in an encoding, in index order.

    Raises:
        NatsdbError: the space has no such encoding.
    """
    encoding = encoding_of(space, name)
    if name == INDEX:
        return tuple(map(str, range(space.size)))
    if name == STRING:
        return space.strings
    if encoding.text:
        return tuple(map(encoding.text, space.every))
    return tuple(encoding.form.format(*(encoding.words[n] for n in numbers)) for numbers in space.numbers)


@cache
def lookup(space: Space, name: str) -> Mapping[str, int]:
    """The lowest index by text in an encoding, without the characters that the encoding ignores."""
    encoding, found = encoding_of(space, name), dict[str, int]()
    for arch, text in enumerate(texts(space, name)):
        found.setdefault(_bare(encoding, text), arch)
    return found


def _bare(encoding: Encoding, text: str) -> str:
    return re.sub(encoding.ignored, "", text) if encoding.ignored else text


def found(space: Space, name: str, texts: Iterable[str], named: bool = False) -> list[int | None]:
    """The index of each text as this encoding reads it, None where it is not one.

    Args:
        named: whether the encoding was named, and so is known.
    """
    encoding, every = encoding_of(space, name), list(texts)
    pattern = re.compile(f"(?:{encoding.pattern}){f'|(?:{encoding.named})' if named and encoding.named else ''}")
    if not any(map(pattern.fullmatch, every)):
        return [None] * len(every)  # without all texts of the space, which take a while
    known = lookup(space, name)
    return [known.get(_bare(encoding, text)) if pattern.fullmatch(text) else None for text in every]


def readings(space: Space, values: Sequence[Any], encoding: str | None = None) -> dict[str, list[int | None]]:
    """The index of each value, None where it is no architecture, by the encodings that it may be written in.

    Args:
        values: as for `index_of`.
        encoding: the one that was named; otherwise all that some of the values look like, best first.

    Raises:
        NatsdbError: the space has no such encoding.
    """
    written, whole = _written(space, values, encoding)
    if encoding is not None:
        return {encoding: found(space, encoding, written, named=True)}
    every = {name: found(space, name, written) for name in ((INDEX,) if whole else encodings_of(space))}
    missed = {name: archs.count(None) for name, archs in every.items()}
    return {name: every[name] for name in sorted(every, key=missed.__getitem__) if missed[name] < len(written)}


def reordered(space: Space, values: Sequence[Any]) -> dict[str, list[int | None]]:
    """The index of each value in what is no encoding, but a mistake: the words of one in the order of another.

    By a name such as `naslib in the order of digits`.
    """
    forms = {name: of for name, of in space.encodings.items() if of.form}
    every = {}
    for (one, words), (other, order) in itertools.permutations(forms.items(), 2):
        turned = re.findall(r"\{\d+\}", order.form)
        if words.ignored != order.ignored or re.findall(r"\{\d+\}", words.form) == turned:
            continue
        form = "".join(turned)
        known = {form.format(*(words.words[n] for n in of)): arch for arch, of in enumerate(space.numbers)}
        texts = _written(space, values, one)[0]
        every[f"{one} in the order of {other}"] = [known.get(_bare(words, text)) for text in texts]
    return every


def recognised(space: str, values: Sequence[Any]) -> list[str]:
    """Encodings that all of some texts fit, whatever architectures they would be; values as for `index_of`.

    Six digits such as `403143` are both `naslib` and `digits`: all other texts of tss, and those of sss, fit one.

    Raises:
        NatsdbError: there is no such space.
    """
    return [name for name, archs in readings(space_of(space), _listed(values)).items() if None not in archs]


def index_of(space: str, values: Any, encoding: str | None = None) -> Any:
    """The index of an architecture, or of many, however they are written.

    Whole numbers are indices; where one goes beyond the space, they are digits that lost their leading zeros. A
    canonical string is that of a class of architectures: its index is the lowest of these.

    Args:
        values: a text, a number, or a tuple with the numbers of one architecture; or a list, array or series of these
            (rows of an array and inner lists are architectures too).
        encoding: how they are written (`encodings_of` has the names); recognised from them all if None.

    Returns:
        An int for one architecture; for many an int32 array of shape (n,).

    Raises:
        NatsdbError: a value is no architecture of the space, or they could be written in several encodings, which give
            different architectures.
    """
    import numpy as np

    of = space_of(space)
    one = isinstance(values, str) or not hasattr(values, "__iter__")
    listed = [values] if one else _listed(values)
    if not one and _is_one(of, listed, encoding, isinstance(values, tuple)):
        one, listed = True, [listed]
    if encoding is None:
        archs = _recognised_archs(of, listed)
    else:
        archs = readings(of, listed, encoding)[encoding]
        if None in archs:
            raise _stranger(of, listed, archs, encoding)
    return archs[0] if one else np.array(archs, dtype=np.int32)


def architecture(text: str) -> tuple[str, int]:
    """Space and index of an architecture as it is named to a command: `tss/9930`, `sss/64:64:64:64:64`, or its space
    and any other encoding; an official string alone says its space.

    Raises:
        NatsdbError: it is none, or says no space.
    """
    space, slash, rest = text.partition("/")
    if slash and space in SPACES:
        return space, index_of(space, rest)
    for one in SPACES.values():
        if re.fullmatch(one.pattern, text):
            return one.name, arch_index(one.name, text)
    raise NatsdbError(f"{text!r} names no space", remedy=f"write {' or '.join(f'{name}/{text}' for name in SPACES)}")


def architectures(text: str, space: str | None = None) -> tuple[str, list[int]]:
    """Space and indexes, each once and in their order, of architectures as they are named to a command: of a space that
    is given, or that the text says as in `tss/0-99`, indexes and ranges such as `0-99,1462`, or `all` of them; or one
    alone, as of `architecture`.

    Raises:
        NatsdbError: it is no such text, says no space or another one than is given, or goes beyond the space.
    """
    said, slash, rest = text.partition("/")
    if slash and said in SPACES:
        if space not in (None, said):
            raise NatsdbError(f"{text!r} is of {said}, and the space is to be {space}", remedy="name one of them")
        space, text = said, rest
    if space is None:
        space, arch = architecture(text)
        return space, [arch]
    of = space_of(space)
    if text == "all":
        return space, list(range(of.size))
    if not re.fullmatch(r"[\w\s,/-]*", text):
        return space, [index_of(space, text)]
    found: dict[int, None] = {}
    for part in (part.strip().removeprefix(f"{space}/") for part in text.split(",")):
        ends = re.fullmatch(r"(\d+)(?:-(\d+))?", part)
        first, last = (int(ends[1]), int(ends[2] or ends[1])) if ends else (0, -1)
        if last < first:
            raise NatsdbError(f"{part!r} is no index or range", remedy="write architectures as in 0-99,1462")
        arch_str(space, last)
        found |= dict.fromkeys(range(first, last + 1))
    return space, list(found)


def _listed(values: Any) -> list[Any]:
    """Values one by one, with Python's own types."""
    for method in ("to_pylist", "tolist", "to_list"):
        if hasattr(values, method):
            return list(getattr(values, method)())
    return list(values)


def _is_one(space: Space, values: list[Any], encoding: str | None, sure: bool) -> bool:
    """Whether numbers are those of one architecture, as a tuple of as many as there are positions is, and not indices.

    Raises:
        NatsdbError: it may be both.
    """
    if len(values) != len(space.positions) or not all(type(value) is int for value in values) or encoding == INDEX:
        return False
    if sure:
        return True
    alike = [name for name in space.encodings if found(space, name, [str(values)], named=True) != [None]]
    if encoding is None and alike:
        what = f"{values} may be {len(values)} indices or one architecture"
        raise NatsdbError(what, remedy=f"name the encoding: {either([INDEX, *alike])}")
    return encoding in alike


def _written(space: Space, values: Sequence[Any], encoding: str | None) -> tuple[list[str], bool]:
    """Values as texts, and whether they are all whole numbers that can be indices, and so nothing else."""
    wholes = [_whole(value) for value in values]
    if None in wholes:
        return [_text(value) for value in values], False
    numbers = [number for number in wholes if number is not None]
    if encoding == INDEX or (encoding is None and all(0 <= number < space.size for number in numbers)):
        return list(map(str, numbers)), True
    return [f"{number:0{len(space.positions)}d}" for number in numbers], False


def _whole(value: Any) -> int | None:
    """The whole number that a value is or spells, without zeros before it."""
    if isinstance(value, str):
        return int(value) if re.fullmatch(r"0|[1-9][0-9]{0,17}", value) else None
    if isinstance(value, float):
        return int(value) if value.is_integer() else None
    return int(value) if hasattr(value, "__index__") and not isinstance(value, bool) else None


def _text(value: Any) -> str:
    if isinstance(value, str):
        return value.strip()
    return str(list(value)) if isinstance(value, (list, tuple)) else str(value)


def _recognised_archs(space: Space, values: list[Any]) -> list[int | None]:
    if not values:
        return []
    every = readings(space, values)
    whole = {name: archs for name, archs in every.items() if None not in archs}
    if not whole:
        raise _stranger(space, values, *next(((archs, name) for name, archs in every.items()), ([None], None)))
    (first, archs), *others = whole.items()
    for name, theirs in others:
        if theirs != archs:
            at = next(n for n, (a, b) in enumerate(zip(archs, theirs, strict=True)) if a != b)
            what = f"{_shown(values[at])} is {archs[at]} of {space.name} as {first} and {theirs[at]} as {name}"
            raise NatsdbError(what, remedy=f"name the encoding: {either(whole)}")
    return archs


def _stranger(space: Space, values: list[Any], archs: Sequence[int | None], encoding: str | None) -> NatsdbError:
    at = archs.index(None)
    count = f" ({archs.count(None):,} of {len(values):,} values are none)" if len(values) > 1 else ""
    if encoding is None:
        what = f"{_shown(values[at])} is no architecture of {space.name}{count}"
        return NatsdbError(what, remedy=f"its encodings are {', '.join(encodings_of(space))}")
    what = f"{_shown(values[at])} is no architecture of {space.name} in the encoding {encoding}{count}"
    return NatsdbError(what, remedy=f"such texts look like {texts(space, encoding)[0]!r}")


def _shown(value: Any) -> str:
    shown = repr(value)
    return shown if len(shown) <= 100 else f"{shown[:97]}…"


def text_of(space: str, archs: Any, encoding: str = STRING) -> Any:
    """How an architecture, or many, are written in an encoding.

    Args:
        archs: an index, or a list, array or series of them.

    Returns:
        A text for one index, a list of texts for many.

    Raises:
        NatsdbError: there is no such encoding of the space, or an index is outside it.
    """
    of = space_of(space)
    every = texts(of, encoding)
    one = not hasattr(archs, "__iter__")
    written = [every[arch] for arch in _checked(of, [archs] if one else archs)]
    return written[0] if one else written


def _checked(space: Space, archs: Any) -> list[int]:
    """Indices of a space, as a list."""
    indices = _listed(archs)
    for arch in indices:
        if not (hasattr(arch, "__index__") and 0 <= arch < space.size):
            what = f"index {arch!r} is outside the space {space.name}"
            raise NatsdbError(what, remedy=f"choose 0 to {space.size - 1}")
    return indices


def one_hot(space: str, archs: Any) -> np.ndarray:
    """Which choice each position has.

    Args:
        archs: a list, array or series of n indices.

    Returns:
        float32 array of shape (n, positions, choices), (n, 6, 5) of tss and (n, 5, 8) of sss, of zeros and ones;
        positions and choices are in the order of the space's: tss has edges 1<-0, 2<-0, 2<-1, 3<-0, 3<-1, 3<-2 and
        operations none, skip_connect, nor_conv_1x1, nor_conv_3x3, avg_pool_3x3.

    Raises:
        NatsdbError: an index is outside the space.
    """
    import numpy as np

    of = space_of(space)
    return np.eye(len(of.choices), dtype=np.float32)[_numbers(of, archs)]


def adjacency(space: str, archs: Any) -> tuple[np.ndarray, np.ndarray]:
    """Cells as graphs whose nodes are operations, as in NAS-Bench-101: input, the operation of each edge, output.

    An operation precedes those that begin where it ends. `none` is an operation like the others, so all cells have the
    same graph, and differ in what its nodes are.

    Args:
        archs: a list, array or series of n indices.

    Returns:
        Two float32 arrays of zeros and ones: matrices of shape (n, nodes, nodes), 1 where the row's node precedes the
        column's, and operations of shape (n, nodes, choices + 2), the first kind being input and the last output.
        Nodes are positions + 2; of tss shapes are (n, 8, 8) and (n, 8, 7).

    Raises:
        NatsdbError: architectures of the space are no cells, or an index is outside it.
    """
    import numpy as np

    of = _cells(space)
    numbers, last = _numbers(of, archs), max(to for to, _ in of.edges)
    # (to, from): the input ends in node 0, the output begins in the last one.
    nodes = [(0, -1), *of.edges, (-2, last)]
    matrix = np.array([[float(a[0] == b[1]) for b in nodes] for a in nodes], dtype=np.float32)
    operations = np.zeros((len(numbers), len(nodes), len(of.choices) + 2), dtype=np.float32)
    operations[:, 0, 0] = operations[:, -1, -1] = 1
    operations[:, 1:-1, 1:-1] = np.eye(len(of.choices), dtype=np.float32)[numbers]
    return np.repeat(matrix[None], len(numbers), axis=0), operations


def paths(space: str, archs: Any) -> np.ndarray:
    """Which sequences of operations lead from a cell's input to its output: the path encoding of BANANAS.

    `none` is an operation like the others, as in the authors' code for NAS-Bench-201.

    Args:
        archs: a list, array or series of n indices.

    Returns:
        float32 array of shape (n, sequences), (n, 155) of tss, of zeros and ones. Shorter sequences come first, those
        of a length in the order of the space's choices, the last operation fastest (`feature_names` has them).

    Raises:
        NatsdbError: architectures of the space are no cells, or an index is outside it.
    """
    import numpy as np

    of = _cells(space)
    numbers, size = _numbers(of, archs), len(of.choices)
    routes = _routes(of)
    start, width = {}, 0
    for length in range(1, max(map(len, routes)) + 1):
        start[length] = width
        width += size**length
    encoded = np.zeros((len(numbers), width), dtype=np.float32)
    for route in routes:
        place = np.zeros(len(numbers), dtype=int)
        for position in route:
            place = place * size + numbers[:, position]
        encoded[np.arange(len(numbers)), start[len(route)] + place] = 1
    return encoded


def feature_names(space: str, features: str) -> list[str]:
    """Names of the columns of `one_hot` (as `edge_1_0=none`) or of `paths` (as `none>skip_connect`), in their order.

    Raises:
        NatsdbError: there are no such features of the space.
    """
    if features == "one_hot":
        of = space_of(space)
        return [f"{position}={choice}" for position in of.positions for choice in of.choices]
    if features == "paths":
        cells = _cells(space)
        lengths = range(1, max(map(len, _routes(cells))) + 1)
        return [">".join(path) for length in lengths for path in itertools.product(cells.choices, repeat=length)]
    raise NatsdbError(f"there are no features {features!r}", remedy="choose one_hot or paths")


def as_frame(space: str, archs: Any, features: str = "one_hot") -> pl.DataFrame:
    """`one_hot` or `paths` as a polars frame: space, arch, then a float32 column a feature, by `feature_names`.

    Raises:
        NatsdbError: there are no such features of the space, or an index is outside it.
    """
    import polars as pl

    names = feature_names(space, features)
    values = one_hot(space, archs) if features == "one_hot" else paths(space, archs)
    key = pl.DataFrame({"arch": _listed(archs)}, schema={"arch": pl.Int32}).select(pl.lit(space).alias("space"), "arch")
    return key.hstack(pl.DataFrame(values.reshape(len(key), -1), schema=names, orient="row"))


def _numbers(space: Space, archs: Any) -> np.ndarray:
    import numpy as np

    every = [space.numbers[arch] for arch in _checked(space, archs)]
    return np.array(every, dtype=np.intp).reshape(len(every), len(space.positions))


def _cells(space: str) -> Space:
    of = space_of(space)
    if not of.edges:
        raise NatsdbError(f"architectures of {space} are no cells", remedy="ask of a space with edges, such as tss")
    return of


@cache
def _routes(space: Space) -> tuple[tuple[int, ...], ...]:
    """Positions on each way from the input of a cell to its output."""
    last = max(to for to, _ in space.edges)

    def onward(node: int) -> list[tuple[int, ...]]:
        if node == last:
            return [()]
        return [
            (position, *rest)
            for position, (to, source) in enumerate(space.edges)
            if source == node
            for rest in onward(to)
        ]

    return tuple(onward(0))
