"""A critical-difference diagram (Demšar 2006, figure 1): mean ranks of searches, and which of them do not differ."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from natsdb.plot.chart import altair
from natsdb.statistics.printed import said_friedman

if TYPE_CHECKING:
    from natsdb.statistics import Comparison

# Heights in pixels, from the top: the ruler of the critical difference, the axis, and from it the bars and the names.
_RULER, _AXIS, _BARS, _NAMES = 8, 40, 9, 22
_WIDTH = 460


def ranks(comparison: Comparison) -> Any:
    """Chart of a comparison's mean ranks, the best on the left.

    A bar joins searches whose mean ranks are nearer than the critical difference of Nemenyi's test, which the ruler on
    top shows; a bar that another covers is left out.

    Raises:
        NatsdbError: Altair is not installed.
    """
    alt = altair()
    labels, places = comparison.ranks["label"].to_list(), comparison.ranks["mean_rank"].to_list()
    low, high = math.floor(places[0]), max(math.ceil(places[-1]), math.floor(places[0]) + 1)
    end = max(float(high), low + comparison.critical_difference)
    joined = [(places[first], places[last]) for first, last in groups(places, comparison.critical_difference)]
    top = _AXIS + _BARS * (len(joined) + 1) + 6
    half = (len(labels) + 1) // 2
    names, stems = [], []
    for number, (label, place) in enumerate(zip(labels, places, strict=True)):
        # From the outside inwards each one hangs lower, so that no two lines cross.
        level = number if number < half else len(labels) - 1 - number
        down, side = top + _NAMES * level, low if number < half else end
        names.append({"x": side, "y": down, "text": f"{label} ({place:.2f})", "left": number < half})
        stems += [_line(place, _AXIS, place, down), _line(place, down, side, down)]
    ticks = [_line(tick, _AXIS - 5, tick, _AXIS) for tick in range(low, high + 1)]
    ends = [_line(x, _RULER - 4, x, _RULER + 4) for x in (low, low + comparison.critical_difference)]
    ruler = _line(low, _RULER, low + comparison.critical_difference, _RULER)
    bars = [
        _line(first, _AXIS + _BARS * (n + 1), last, _AXIS + _BARS * (n + 1)) for n, (first, last) in enumerate(joined)
    ]
    numbers = [{"x": tick, "y": _AXIS - 14, "text": str(tick)} for tick in range(low, high + 1)]
    said = [
        {"x": low + comparison.critical_difference, "y": _RULER, "text": f"CD {comparison.critical_difference:.2f}"}
    ]
    bottom = top + _NAMES * half
    x = alt.X("x:Q", axis=None).scale(domain=[low, end], nice=False, zero=False)
    y = alt.Y("y:Q", axis=None).scale(domain=[bottom, 0], nice=False)

    def rules(lines: list[dict[str, float]], width: float) -> Any:
        chart = alt.Chart(alt.Data(values=lines)).mark_rule(strokeWidth=width, color="black", strokeCap="round")
        return chart.encode(x, y, alt.X2("x2:Q"), alt.Y2("y2:Q"))

    def texts(values: list[dict[str, Any]], **how: Any) -> Any:
        return alt.Chart(alt.Data(values=values)).mark_text(fontSize=12, **how).encode(x, y, text="text:N")

    layers = [
        rules([_line(low, _AXIS, high, _AXIS), *ticks, ruler, *ends], 1.2),
        rules(stems, 1),
        texts(numbers),
        texts(said, align="left", dx=6),
        texts([one for one in names if one["left"]], align="right", dx=-6),
        texts([one for one in names if not one["left"]], align="left", dx=6),
    ]
    if bars:
        layers.append(rules(bars, 4))
    alpha = 1 - comparison.confidence
    title = {
        "text": f"{comparison.space}, {comparison.role} {comparison.by}: mean ranks, 1 is best",
        "subtitle": [
            f"{comparison.blocks:,} blocks (run × data set: {', '.join(comparison.datasets)})",
            f"bars join what does not differ by Nemenyi's test at level {alpha:.3g}",
            *filter(None, [said_friedman(comparison).replace("chi-squared", "χ²")]),
        ],
        "anchor": "start",
        "frame": "group",
    }
    return alt.layer(*layers).properties(title=title, width=_WIDTH, height=bottom).configure_view(stroke=None)


def groups(places: list[float], difference: float) -> list[tuple[int, int]]:
    """First and last of the longest runs of sorted mean ranks, of two or more, that lie within a difference."""
    found: list[tuple[int, int]] = []
    for first in range(len(places)):
        last = max(n for n in range(first, len(places)) if n == first or places[n] - places[first] < difference)
        if last > first and (not found or last > found[-1][1]):
            found.append((first, last))
    return found


def _line(x: float, y: float, x2: float, y2: float) -> dict[str, float]:
    return {"x": x, "y": y, "x2": x2, "y2": y2}
