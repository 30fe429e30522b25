"""Two measurements of the same architectures against each other: their places, or their accuracies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from natsdb.plot.chart import altair, architectures, counted, data, provenance_note
from natsdb.plot.costs import Measured
from natsdb.schema.errors import NatsdbError

# More points than this hide each other.
_MANY = 2000


def rank(connection: Any, space: str, rankings: Sequence[Measured]) -> Any:
    """Chart of places by mean final accuracy (1 is best), a point an architecture, against those of the first ranking.

    A panel a further ranking; its title says both rank correlations, among the architectures that are in both. Of more
    than 2,000 architectures fields say how many there are, darker for more.

    Raises:
        NatsdbError: there are fewer than two rankings, or two have no two architectures in common.
    """
    alt = altair()
    if len(rankings) < 2:
        raise NatsdbError("one ranking is nothing to compare", remedy="name two data sets or two schedules")
    first, panels = rankings[0], []
    for other in rankings[1:]:
        params = {"space": space} | {f"{key}_a": value for key, value in first._asdict().items()}
        params |= {f"{key}_b": value for key, value in other._asdict().items()}
        rows = connection.sql(
            """with result as (from mean_final where space = $space),
            a as (from result where (dataset, split, hp) = ($dataset_a, $split_a, $hp_a)),
            b as (from result where (dataset, split, hp) = ($dataset_b, $split_b, $hp_b))
            select rank() over (order by a.accuracy desc) as x, rank() over (order by b.accuracy desc) as y,
            a.seeds + b.seeds as seeds, least(a.source, b.source) as source from a join b using (arch)""",
            params=params,
        ).pl()
        if len(rows) < 2:
            raise NatsdbError(
                f"{first} and {other} have no two architectures of {space} in common", remedy="see `natsdb info`"
            )
        _, spearman, kendall = connection.sql(
            """from rank_correlation($dataset_a, $hp_a, $hp_b, split := $split_a, space := $space,
            dataset_b := $dataset_b, split_b := $split_b)""",
            params=params,
        ).fetchall()[0]
        line = alt.Chart(alt.Data(values=[{"x": 1, "y": 1}, {"x": len(rows), "y": len(rows)}]))
        x = alt.X("x:Q", title=f"place: {first}").scale(domain=[1, len(rows)], nice=False)
        y = alt.Y("y:Q", title=f"place: {other}").scale(domain=[1, len(rows)], nice=False)
        title = {
            "text": f"{space}: Spearman {two(spearman)}, Kendall {two(kendall)}",
            "subtitle": f"{counted(rows, space)}{provenance_note(rows)}; 1 is best",
        }
        panels.append(
            alt.layer(
                _places(alt, rows, x, y),
                line.mark_line(color="#999", strokeDash=[4, 3], strokeWidth=1.2).encode(x, y),
            ).properties(title=title, width=280, height=280)
        )
    return alt.concat(*panels, columns=3)


def _spearman(rows: Any) -> float:
    ranks = rows.select(rows["accuracy_a"].rank().alias("a"), rows["accuracy_b"].rank().alias("b"))
    return float(ranks.corr()[0, 1])


def _places(alt: Any, rows: Any, x: Any, y: Any) -> Any:
    """Each architecture; or, where they would hide each other, how many are in each of 90 × 90 fields."""
    if len(rows) < _MANY:
        return alt.Chart(data(rows.select("x", "y"))).mark_circle(size=30, opacity=0.6, color="black").encode(x, y)
    side = len(rows) / 90
    fields = (
        rows.group_by(((rows["x"] - 1) // side * side).alias("left"), ((rows["y"] - 1) // side * side).alias("low"))
        .len("archs")
        .sort("left", "low")
    )
    fields = fields.with_columns(right=fields["left"] + side, high=fields["low"] + side)
    shade = alt.Color("archs:Q", legend=None).scale(type="log", range=["#ddd", "#000"])
    x, y = x.copy(), y.copy()
    x.shorthand, y.shorthand = "left:Q", "low:Q"
    return alt.Chart(data(fields)).mark_rect().encode(x, y, alt.X2("right:Q"), alt.Y2("high:Q"), shade)


def two(value: float | None) -> str:
    """A correlation as text."""
    return "undefined" if value is None or value != value else f"{value:.3f}"


def agreement(pairs: Any, source_a: str, source_b: str) -> Any:
    """Chart of two sources' accuracies (percent), a point an architecture, a panel a split; equal ones lie on the line.

    Args:
        pairs: rows of the macro `paired`.
    """
    alt = altair()
    columns = ("space", "hp", "dataset", "split")
    panels = []
    for key, rows in pairs.sort(*columns).group_by(*columns, maintain_order=True):
        low = min(rows["accuracy_a"].min(), rows["accuracy_b"].min())
        high = max(rows["accuracy_a"].max(), rows["accuracy_b"].max())
        line = alt.Chart(alt.Data(values=[{"x": low, "y": low}, {"x": high, "y": high}]))
        title = {
            "text": f"{key[0]}, {key[2]}, {key[3]}, hp {key[1]}",
            "subtitle": f"{architectures(len(rows), str(key[0]))}, Spearman {two(_spearman(rows))}",
        }
        points = alt.Chart(data(rows.select("arch", "accuracy_a", "accuracy_b")))
        panels.append(
            alt.layer(
                line.mark_line(color="#bbb", strokeWidth=1).encode(alt.X("x:Q"), alt.Y("y:Q")),
                points.mark_circle(size=22, opacity=0.6, color="black").encode(
                    alt.X("accuracy_b:Q", title=f"{source_b} accuracy (percent)").scale(zero=False),
                    alt.Y("accuracy_a:Q", title=f"{source_a} accuracy (percent)").scale(zero=False),
                ),
            ).properties(title=title, width=240, height=240)
        )
    return alt.concat(*panels, columns=3)
