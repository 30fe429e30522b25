"""How measures rank architectures beside their accuracy: a bar a measure, or one measure's values and accuracies."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from natsdb.plot.chart import altair, architectures, data, provenance_note
from natsdb.plot.costs import Measured, meaning_of
from natsdb.plot.ranks import two
from natsdb.schema.errors import NatsdbError
from natsdb.schema.spaces import space_of


def correlations(connection: Any, space: str, asked: Sequence[Measured], of: str | None = None, top: float = 1) -> Any:
    """Chart of measures' Spearman correlations with mean final accuracy: a panel a data set, a bar a measure.

    The strongest, in the mean over panels, come first. With `top` below 1 the wide bars are all architectures, and
    narrow dark ones, with the figures, the best share by accuracy.

    Args:
        asked: which accuracies, a panel each.
        of: a table whose measures alone are drawn, or one measure; all if None.
        top: a share, as in the macro `correlations`.

    Raises:
        NatsdbError: no architecture has a measure and such an accuracy, or `top` is no share.
    """
    import polars as pl

    alt = altair()
    shares = list(dict.fromkeys((1.0, float(top))))
    found = {(one, share): _correlations(connection, space, one, of, share) for one in asked for share in shares}
    everywhere = pl.concat([found[one, 1.0] for one in asked])
    strength = everywhere.group_by("measure").agg(pl.col("spearman").abs().mean())
    order = strength.sort("spearman", "measure", descending=[True, False])["measure"].to_list()
    every = pl.concat(found.values())["spearman"]
    # Room for the figures beside the bars.
    ends = [-1.15 if (every < 0).any() else 0.0, 1.15]
    x = alt.X("spearman:Q", title="Spearman correlation", axis=alt.Axis(values=[-1, -0.5, 0, 0.5, 1])).scale(
        domain=ends, nice=False
    )
    panels = []
    for number, one in enumerate(asked):
        axis = alt.Axis(labels=number == 0, ticks=False, domain=False, grid=False, labelLimit=300)
        y = alt.Y("measure:N", title=None, axis=axis).scale(domain=order)
        layers = []
        for share in shares:
            rows = found[one, share]
            wide, dark = share == 1, share == shares[-1]
            bar = alt.Chart(data(rows.select("measure", "spearman")))
            layers.append(bar.mark_bar(size=12 if wide else 5, color="#444" if dark else "#ccc").encode(x, y))
            if dark:
                said = rows.select("measure", "spearman", label=rows["spearman"].round(2).map_elements(_two, pl.String))
                layers += [
                    alt.Chart(data(part)).mark_text(align=align, dx=dx, fontSize=9).encode(x, y, alt.Text("label:N"))
                    for part, align, dx in (
                        (said.filter(said["spearman"] >= 0), "left", 4),
                        (said.filter(said["spearman"] < 0), "right", -4),
                    )
                    if len(part)
                ]
        title = {"text": str(one), "subtitle": _counts(found[one, 1.0]["archs"], space, top)}
        panels.append(alt.layer(*layers).properties(title=title, width=210, height=16 * len(order)))
    return alt.hconcat(*panels, spacing=18)


def _correlations(connection: Any, space: str, asked: Measured, of: str | None, top: float) -> Any:
    import polars as pl

    rows = connection.sql(
        "select measure, archs, spearman from correlations($dataset, $split, $hp, top := $top, space := $space, "
        "of := $of) where spearman is not null",
        params={"space": space, "of": of, "top": top} | asked._asdict(),
    ).pl()
    if not len(rows):
        named = f"of {of} " if of is not None else ""
        raise NatsdbError(
            f"no measure {named}ranks architectures of {space} that have an accuracy of {asked}",
            remedy="`select distinct name, dataset from measure` lists what there is",
        )
    if of is not None:
        rows = rows.with_columns(pl.col("measure").str.strip_prefix(f"{of}."))
    return rows


def _counts(archs: Any, space: str, top: float) -> list[str]:
    least, most, size = archs.min(), archs.max(), space_of(space).size
    several = f"{least:,} to {most:,} of {size:,} architectures"
    counts = architectures(least, space) if least == most else several
    return [counts, *([f"dark: the best {100 * top:g} % by accuracy"] if top < 1 else [])]


def correlation(connection: Any, space: str, asked: Sequence[Measured], measure: str, top: float = 1) -> Any:
    """Chart of mean final accuracy (percent) over a measure, a point an architecture, a panel a data set.

    Architectures are spaced by their rank in the measure, as rank correlations see them, and the axis says its values:
    such scores often lie far apart. Titles say both correlations.

    Args:
        asked: which accuracies, a panel each.
        measure: as in the view `measure`.
        top: the share of highest accuracy that is drawn.

    Raises:
        NatsdbError: there is no such measure, no two architectures have it and such an accuracy, or `top` is no share.
    """
    alt = altair()
    *meanings, name = meaning_of(connection, measure)
    panels = []
    for one in asked:
        params = {"space": space, "measure": measure, "top": top} | one._asdict()
        # The macro refuses what is no share and no measure.
        archs, spearman, kendall = connection.sql(
            "from correlation($measure, $dataset, $split, $hp, top := $top, space := $space)", params=params
        ).fetchall()[0]
        if archs < 2:
            raise NatsdbError(
                f"no two architectures of {space} have {measure} and an accuracy of {one}",
                remedy="`select distinct name, dataset from measure` lists what there is",
            )
        rows = connection.sql(
            """with pair as (
                select found.value, result.accuracy, result.source,
                    rank() over (order by result.accuracy desc) <= round($top * count(*) over ()) as best
                from mean_final as result join measured($measure) as found using (space, arch, dataset)
                where result.space = $space and result.dataset = $dataset and result.split = $split
                    and result.hp = $hp and not isnan(found.value) and not isnan(result.accuracy)
            )
            select value, accuracy, source, mean_rank(value, 0) as place
            from pair where best order by value, accuracy""",
            params=params,
        ).pl()
        places = [round(1 + share * (len(rows) - 1)) for share in (0, 0.25, 0.5, 0.75, 1)]
        values = {place: f"{rows['value'][place - 1]:.3g}" for place in places}
        texts = " : ".join(f"datum.value == {place} ? '{text}'" for place, text in values.items()) + " : ''"
        x = alt.X(
            "place:Q",
            title=[*meanings, f"{name}, spaced by rank"],
            axis=alt.Axis(values=places, labelExpr=texts, labelFlush=True),
        ).scale(domain=[1, len(rows)], nice=False)
        y = alt.Y("accuracy:Q", title=f"{one.split} accuracy (percent)").scale(zero=False)
        size, opacity = (14, 0.45) if len(rows) < 2000 else (6, 0.25)
        counts = architectures(len(rows), space) + (f", the best {100 * top:g} %" if top < 1 else "")
        title = {
            "text": f"{space}, {one.dataset}, hp {one.hp}{provenance_note(rows)}",
            "subtitle": [f"Spearman {two(spearman)}, Kendall {two(kendall)}", counts],
        }
        points = alt.Chart(data(rows.select("place", "accuracy"))).mark_circle(size=size, opacity=opacity, color="#333")
        panels.append(points.encode(x, y).properties(title=title, width=260, height=260))
    return alt.concat(*panels, columns=3)


def _two(value: float) -> str:
    return f"{value:.2f}".replace("-", "−")
