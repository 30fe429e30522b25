"""Is a table read rightly? What it says of FLOPs, parameters and accuracies against what is known of its architectures.

A wrong order of edges is silent: all texts are architectures, others than they were. Costs by formula tell operations
apart, accuracies all else. Right readings of published tables correlate by 0.996 (NASLib's FLOPs, which count
otherwise) and 0.99 (accuracies of other runs); wrong ones by 0.27, and by 0.76 where only the order of edges is wrong.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from natsdb.ingest.attach.keys import IN_ORDER, Reading, as_texts, each
from natsdb.ingest.attach.reading import Plain, dataset_named
from natsdb.schema.costs import costs
from natsdb.schema.datasets import DATASETS
from natsdb.schema.encodings import encodings_of, readings, reordered
from natsdb.schema.errors import Contradiction, NatsdbError
from natsdb.schema.names import either
from natsdb.schema.spaces import SPACES

if TYPE_CHECKING:
    import polars as pl

# Accuracies, or what gives them where a table has some to compare.
Known: TypeAlias = "pl.DataFrame | Callable[[], pl.DataFrame | None] | None"
# What a column that means this is called, in lower case, without a unit or a number at its end.
_FLOPS = {"flop", "flops", "macs", "madds", "mult_adds", "multadds"}
_PARAMS = {"param", "params", "parameters", "n_params", "num_params", "nparams", "model_size"}
_ACCURACY = re.compile(r"(.*_)?(acc|accuracy|accuracies|acc1|top1)")
_END = re.compile(r"_(score|value|mean|m|mb|\d+)$")
# From here on it is agreed, and below it is not.
COST, ACCURACY = 0.97, 0.9
# So few rows say nothing, and so many enough.
_FEW, _ENOUGH = 10, 20_000


def right_reading(
    plain: Plain, found: Sequence[Reading], datasets: pl.Series | None, known: Known
) -> tuple[Reading, str]:
    """Which reading of a table is right, by its costs and accuracies, and how that is known, in words.

    Args:
        datasets: the data set of each row, if it has one.
        known: accuracies, or what gives them: space, arch, dataset, accuracy (percent), and columns that tell them
            apart.

    Raises:
        Contradiction: the only reading disagrees with what is known; the one that would agree is named.
        NatsdbError: several readings are possible.
    """
    evidence = Evidence(plain, datasets, known)
    evidence.leave_out_unlike(found)
    first = found[0]
    if all(one.archs.equals(first.archs) for one in found[1:]):
        evidence.check(first)
        return first, evidence.said(first)
    agreeing = [one for one in found if not evidence.disagreeing(one)]
    if not agreeing:
        evidence.check(first)
        agreeing = list(found)
    if len(agreeing) == 1:
        return agreeing[0], f"by its column {min(evidence.disagreeing(first) or evidence.disagreeing(found[1]))!r}"
    rows = [one.archs for one in agreeing]
    at = next(n for n in range(len(rows[0])) if len({series[n] for series in rows}) > 1)
    text = plain.frame[first.column][at]
    each = either([f"{one.archs[at]} as {one.encoding}" for one in agreeing])
    raise NatsdbError(
        f"{text!r} of column {first.column!r} is architecture {each}",
        remedy=f"say which: {either([f'--key {one.column}={one.encoding}' for one in agreeing])}",
    )


class Evidence:
    """Columns of a table that say something of architectures which is known."""

    def __init__(self, plain: Plain, datasets: pl.Series | None, known: Known) -> None:
        self._step = -(-len(plain.frame) // _ENOUGH)
        self._frame = plain.frame.gather_every(self._step)
        self._datasets = datasets if datasets is None else datasets.gather_every(self._step)
        self._found: dict[tuple[str, str, str], float | None] = {}
        names = {name: _meaning(name) for name in self._frame.columns if _numeric(self._frame[name]) is not None}
        self._known = known() if callable(known) and "accuracy" in names.values() else known
        unknown = callable(self._known) or self._known is None
        self.meanings = {name: of for name, of in names.items() if of and not (of == "accuracy" and unknown)}
        self._unlike: list[str] = []

    def leave_out_unlike(self, found: Sequence[Reading]) -> None:
        """Leave out accuracies that are like none known, however the table is read: they may be of something else, as
        under attack, or after an epoch."""
        others: list[Reading] | None = None
        for name in [name for name, of in self.meanings.items() if of == "accuracy"]:
            if all(self._disagrees(name, one) for one in found):
                others = self._others(found[0]) if others is None else others
                if all(self._disagrees(name, one) for one in others):
                    del self.meanings[name]
                    self._unlike.append(name)

    def _disagrees(self, name: str, one: Reading) -> bool:
        value = self.agreement(name, one)
        return value is not None and value < (ACCURACY if self.meanings[name] == "accuracy" else COST)

    def disagreeing(self, one: Reading) -> dict[str, float]:
        """Columns that say something else of these architectures, with their correlation."""
        return {name: self.agreement(name, one) or 0.0 for name in self.meanings if self._disagrees(name, one)}

    def agreement(self, name: str, one: Reading) -> float | None:
        """The correlation of a column with what is known, the better of Pearson's and Spearman's; None if unknown."""
        asked = name, one.column, one.encoding
        if asked not in self._found:
            self._found[asked] = self._agreement(name, one)
        return self._found[asked]

    def _agreement(self, name: str, one: Reading) -> float | None:
        values = _numeric(self._frame[name])
        assert values is not None
        # (Other readings, of `_others`, are of the sample as it is.)
        read = one.archs if len(one.archs) == len(values) else one.archs.gather_every(self._step)
        have = ~np.isnan(values) & read.is_not_null().to_numpy()
        archs = read.to_numpy()
        groups = {None: have}
        if self._datasets is not None:
            groups = {of: have & (self._datasets == of).to_numpy() for of in self._datasets.unique().to_list()}
        found = []
        for dataset, rows in groups.items():
            at = archs[rows].astype(int)
            best = [correlation(values[rows], known[at]) for known in self._expected(name, one.space, dataset)]
            found += [max(value for value in best if value is not None)] if any(v is not None for v in best) else []
        return float(np.mean(found)) if found else None

    def _expected(self, name: str, space: str, dataset: str | None) -> list[np.ndarray]:
        """What may be known of each architecture, NaN where nothing is."""
        meaning = self.meanings[name]
        if meaning != "accuracy":
            # Their order is that of any data set.
            of = DATASETS.get(dataset or "")
            flops, params = costs(space, of.name if of and of.image_size is not None else next(iter(DATASETS)))
            return [flops if meaning == "flops" else params]
        import polars as pl

        assert isinstance(self._known, pl.DataFrame)
        known = self._known.filter(pl.col("space") == space)
        if dataset is not None:
            twins = {dataset, DATASETS[dataset].validated} if dataset in DATASETS else {dataset}
            known = known.filter(pl.col("dataset").is_in(twins))
        rest = [column for column in known.columns if column not in ("space", "arch", "accuracy")]
        arrays = []
        for _, rows in known.group_by(rest, maintain_order=True):
            every = np.full(SPACES[space].size, np.nan)
            every[rows["arch"].to_numpy()] = rows["accuracy"].to_numpy()
            arrays.append(every)
        return arrays

    def check(self, one: Reading) -> None:
        """Refuse a reading that disagrees with what is known.

        Raises:
            Contradiction: it does; the encoding that would agree is named.
        """
        wrong = self.disagreeing(one)
        if not wrong:
            return
        worst = min(wrong, key=wrong.__getitem__)
        where = "" if one.encoding == IN_ORDER else f"column {one.column!r} read as {one.encoding}: "
        said = f"{where}its column {worst!r} is not that of these architectures (correlation {wrong[worst]:.2f})"
        for other in self._others(one):
            if not self.disagreeing(other):
                words = f"as {other.encoding} it would agree"
                if other.encoding in encodings_of(SPACES[one.space]):
                    raise Contradiction(said, remedy=f"{words}: --key {one.column}={other.encoding}")
                raise Contradiction(said, remedy=f"{words}: write its architectures as index or official string")
        remedy = "no encoding would agree: name the right key, or rename the column if it means something else"
        raise Contradiction(said, remedy=remedy)

    def _others(self, one: Reading) -> list[Reading]:
        """The same texts in each other encoding, and in those that mix the words of one with the order of another."""
        import polars as pl

        if one.encoding == IN_ORDER:
            return []
        space = SPACES[one.space]
        texts = self._frame[one.column]
        if isinstance(texts.dtype, (pl.List, pl.Array)):
            texts = as_texts(texts)
        unique = texts.cast(pl.String).unique(maintain_order=True).drop_nulls()
        values = unique.to_list()
        every: dict[str, list[int | None]] = {}
        for name in encodings_of(space):
            if name != one.encoding:
                every |= readings(space, values, name)
        every |= reordered(space, values)
        return [
            replace(one, encoding=name, archs=each(texts, unique, archs))
            for name, archs in every.items()
            if 2 * archs.count(None) < len(archs)
        ]

    def said(self, one: Reading) -> str:
        """Which columns agree with what is known, in words."""
        right = [name for name in self.meanings if self.agreement(name, one) is not None]
        agree = f"{', '.join(right)} {'agrees' if len(right) == 1 else 'agree'} with what is known" if right else ""
        plural = "are" if len(self._unlike) > 1 else "is"
        unlike = f"{', '.join(self._unlike)} {plural} like no accuracy known" if self._unlike else ""
        return "; ".join(filter(None, (agree, unlike)))


def _meaning(column: str) -> str:
    """What a column is by its name: flops, params, accuracy, or "" if it is none of them."""
    name = column.lower()
    while (short := _END.sub("", name)) != name:
        name = short
    if name in _FLOPS:
        return "flops"
    if name in _PARAMS:
        return "params"
    return "accuracy" if _ACCURACY.fullmatch(name) and not name.startswith("train") else ""


def _numeric(values: pl.Series) -> np.ndarray | None:
    """Values as floats, NaN where there is none; None where they are no numbers."""
    import polars as pl

    if values.dtype == pl.String:
        cast = values.cast(pl.Float64, strict=False)
        if cast.null_count() != values.null_count():
            return None
        values = cast
    if not values.dtype.is_numeric() or values.null_count() == len(values):
        return None
    return values.cast(pl.Float64).to_numpy()


def correlation(a: np.ndarray, b: np.ndarray) -> float | None:
    """The larger of Pearson's and Spearman's correlation of two arrays, without NaN; None where there are few values,
    or all are the same."""
    have = np.isfinite(a) & np.isfinite(b)
    a, b = a[have], b[have]
    if len(a) < _FEW or np.ptp(a) == 0 or np.ptp(b) == 0:
        return None
    return float(max(np.corrcoef(a, b)[0, 1], np.corrcoef(_ranks(a), _ranks(b))[0, 1]))


def _ranks(values: np.ndarray) -> np.ndarray:
    """Ranks, the mean of their places for equal values."""
    _, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return (ends - (counts - 1) / 2)[inverse]


def datasets_of(values: pl.Series) -> Mapping[str, str]:
    """The name of each data set as natsdb has it; those that it does not know keep their own."""
    return {text: dataset_named(text) or text for text in values.unique().drop_nulls().to_list()}
