"""Searches: how good what they hold is, over what they spent."""

from __future__ import annotations

from typing import Any

from natsdb.plot.chart import altair, architectures
from natsdb.schema.datasets import searched
from natsdb.schema.errors import NatsdbError

# Okabe and Ito's colours, and dashes that tell algorithms apart in grey too.
_DASHES = ([1, 0], [6, 2], [2, 2], [8, 3, 2, 3], [1, 3], [10, 4], [4, 1], [5, 2, 1, 2, 1, 2])
_COLOURS = ("#000000", "#d55e00", "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#777777")
_ROLES = {"valid": "validation", "test": "test", "both": "validation and test"}


def searches(connection: Any, space: str, role: str | None = None) -> Any:
    """Chart of what each search's best architecture is worth (percent), a panel a data set, bands of ± one deviation.

    Searches with a budget are drawn over simulated seconds, those of weight sharing below over their epochs.

    Args:
        role: valid, test or both, as in the view `full_accuracy`; if None the first of test, both, valid that is there.

    Raises:
        NatsdbError: there is no search of the space, or none that can be judged on that role.
    """
    if role is not None and role not in _ROLES:
        raise NatsdbError(f"there is no role {role!r}", remedy=f"choose {', '.join(_ROLES)}")
    alt = altair()
    every = connection.sql("select * from trajectory where space = $space", params={"space": space}).pl()
    # Of several searches of a label the one of most runs, as in `search_table`.
    first = (
        every.sort("runs", "search", descending=[True, False])
        .group_by("dataset", "label")
        .first()
        .select("dataset", "label", "search")
    )
    every = every.join(first, on=["dataset", "label", "search"], how="semi")
    rows = []
    for dataset in searched():
        own = every.filter(every["dataset"] == dataset)
        # The first role in which as many searches are judged, on as many of their runs, as in any.
        covered = {one: _covered(own.filter(own["role"] == one)) for one in ((role,) if role else tuple(_ROLES))}
        best = max(covered.values(), default=0)
        for one in ("test", "both", "valid"):
            if best and covered.get(one) == best:
                rows.append(own.filter(own["role"] == one))
                break
    if not rows:
        raise NatsdbError(
            f"there is no search of {space} to draw" + (f" with {role} accuracies" if role else ""),
            remedy=f"run one first, as in `natsdb search all --space {space}`",
        )
    covered_by = dict(
        connection.sql(
            "select dataset || role, count(*) from full_accuracy where space = $space group by dataset, role",
            params={"space": space},
        ).fetchall()
    )
    lines = []
    for timed in (True, False):
        panels = [
            _panel(alt, part, timed, covered_by)
            for part in rows
            if len(part.filter(part["budget"].is_not_null() == timed))
        ]
        if panels:
            lines.append(alt.hconcat(*panels))
    return alt.vconcat(*lines)


def _covered(rows: Any) -> int:
    """Runs of all searches that are judged."""
    return int(rows.unique(["search"])["runs"].sum())


def _panel(alt: Any, rows: Any, timed: bool, covered_by: dict[str, int]) -> Any:
    rows = rows.filter(rows["budget"].is_not_null() == timed)
    labels = sorted(rows["label"].unique())
    x = (
        alt.X("seconds:Q", title="simulated time (seconds)")
        if timed
        else alt.X("moment:Q", title="epochs of the search")
    )
    legend = alt.Legend(
        title="algorithm", symbolType="stroke", symbolSize=600, symbolStrokeWidth=2, symbolOpacity=1, labelLimit=300
    )
    colours = alt.Scale(domain=labels, range=[_COLOURS[n % len(_COLOURS)] for n in range(len(labels))])
    dashes = alt.Scale(domain=labels, range=[_DASHES[n % len(_DASHES)] for n in range(len(labels))])
    # The climb from the first random architectures would flatten all that comes after.
    late = rows.filter(rows["moment"] >= rows["moment"].max() // 10)
    low = (late["accuracy"] - late["accuracy_std"].fill_null(0)).min()
    high = (late["accuracy"] + late["accuracy_std"].fill_null(0)).max()
    scale = alt.Scale(domain=[low, high], zero=False, clamp=True)
    y = alt.Y("accuracy:Q", title=f"{_ROLES[rows['role'][0]]} accuracy at full training (percent)").scale(scale)
    values = rows.with_columns(
        low=rows["accuracy"] - rows["accuracy_std"], high=rows["accuracy"] + rows["accuracy_std"]
    ).to_dicts()
    chart = alt.Chart(alt.Data(values=values))
    runs = rows["runs"]
    counts = f"{runs.min():,}" if runs.min() == runs.max() else f"{runs.min():,} to {runs.max():,}"
    space, dataset = rows["space"][0], rows["dataset"][0]
    judging = architectures(covered_by[dataset + rows["role"][0]], space)
    partial = {"subtitle": f"judged by {judging}"} if " of " in judging else {}
    return alt.layer(
        chart.mark_area(opacity=0.07).encode(
            x,
            alt.Y("low:Q", title="").scale(scale),
            alt.Y2("high:Q"),
            alt.Color("label:N", legend=legend).scale(colours),
        ),
        chart.mark_line(strokeWidth=1.8, clip=True).encode(
            x,
            y,
            alt.Color("label:N", legend=legend).scale(colours),
            alt.StrokeDash("label:N", legend=legend).scale(dashes),
        ),
    ).properties(title={"text": f"{space}, {dataset}: {counts} runs", **partial}, width=300, height=260)
