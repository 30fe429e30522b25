"""Searches: how good what they hold is, over what they spent."""

from __future__ import annotations

from typing import Any

from natsdb.plot.chart import altair, architectures
from natsdb.schema.datasets import searched
from natsdb.schema.errors import NatsdbError
from natsdb.schema.names import did_you_mean

# Okabe and Ito's colours, and dashes that tell algorithms apart in grey too.
_DASHES = ([1, 0], [6, 2], [2, 2], [8, 3, 2, 3], [1, 3], [10, 4], [4, 1], [5, 2, 1, 2, 1, 2])
COLOURS = ("#000000", "#d55e00", "#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#777777")
_FRONT_METRICS = {"hypervolume": "hypervolume (share of the box)", "igd_plus": "IGD+ to the exact front"}
ROLES = {"valid": "validation", "test": "test", "both": "validation and test"}


def searches(connection: Any, space: str, role: str | None = None) -> Any:
    """Chart of what each search's best architecture is worth (percent), a panel a data set, bands of ± one deviation.

    Searches are drawn over simulated seconds, those of weight sharing below over their epochs.

    Args:
        role: valid, test or both, as in the view `full_accuracy`; if None the first of test, both, valid that is there.

    Raises:
        NatsdbError: there is no search of the space, or none that can be judged on that role.
    """
    if role is not None and role not in ROLES:
        raise NatsdbError(f"there is no role {role!r}", remedy=f"choose {', '.join(ROLES)}")
    alt = altair()
    every = connection.sql(
        "from trajectory where space = $space and search in (select search from search_about where foremost)",
        params={"space": space},
    ).pl()
    rows = []
    for dataset in searched():
        own = every.filter(every["dataset"] == dataset)
        # The first role in which as many searches are judged, on as many of their runs, as in any.
        covered = {one: _covered(own.filter(own["role"] == one)) for one in ((role,) if role else tuple(ROLES))}
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
    lines, labels = [], sorted({label for part in rows for label in part["label"]})
    for timed in (True, False):
        panels = [
            _panel(alt, part, timed, covered_by, labels)
            for part in rows
            if len(part.filter(part["hp"].is_not_null() == timed))
        ]
        if panels:
            lines.append(alt.hconcat(*panels))
    return alt.vconcat(*lines)


def hypervolumes(connection: Any, space: str, role: str | None = None, metric: str = "hypervolume") -> Any:
    """Chart of what the fronts of searches with several objectives are worth over simulated time, a panel for each data
    set and choice of objectives, bands of ± one deviation.

    Args:
        role: valid, test or both; if None the first of test, both, valid that is there.
        metric: hypervolume or igd_plus, as in the view `front_trajectory`.

    Raises:
        NatsdbError: there is no such metric or role, or no search of the space with several objectives.
    """
    if metric not in _FRONT_METRICS:
        known = ("accuracy", *_FRONT_METRICS)
        raise NatsdbError(f"there is no metric {metric!r}", remedy=did_you_mean(metric, known))
    alt = altair()
    rows = connection.sql(
        f"""select * exclude (objectives, {metric}, {metric}_std), array_to_string(objectives, ', ') as objectives,
        {metric} as value, {metric}_std as spread from front_trajectory
        where space = $space and search in (select search from search_about where foremost) and {metric} is not null""",
        params={"space": space},
    ).pl()
    rows = of_role(rows, space, role)
    panels, labels = [], sorted(set(without_objectives(rows)["label"]))
    for dataset in searched():
        own = rows.filter(rows["dataset"] == dataset)
        for objectives in sorted(own["objectives"].unique()):
            part = own.filter(own["objectives"] == objectives)
            part = without_objectives(part)
            title = {"text": f"{space}, {dataset}: {_counts(part)} runs", "subtitle": objectives}
            panels.append(_lines(alt, part, True, labels, f"{_FRONT_METRICS[metric]}, {ROLES[part['role'][0]]}", title))
    return alt.hconcat(*panels)


def without_objectives(rows: Any) -> Any:
    """Rows whose labels leave out the objectives, which the title says."""
    import polars as pl

    return rows.with_columns(pl.col("label").str.replace(r",? ?objectives: [^ ]*[^ ,]", ""))


def of_role(rows: Any, space: str, role: str | None) -> Any:
    """Rows of a role, if None of the first of test, both, valid that is there.

    Raises:
        NatsdbError: there is no such role, or there are no such rows.
    """
    if role is not None and role not in ROLES:
        raise NatsdbError(f"there is no role {role!r}", remedy=f"choose {', '.join(ROLES)}")
    there = set(rows["role"])
    for one in ("test", "both", "valid") if role is None else (role,):
        if one in there:
            return rows.filter(rows["role"] == one)
    raise NatsdbError(
        f"there is no search of {space} with several objectives to draw" + (f" with {role} accuracies" if role else ""),
        remedy=f"run one first, as in `natsdb search optuna:NSGAIISampler --space {space} --objectives accuracy,flops`",
    )


def _covered(rows: Any) -> int:
    """Runs of all searches that are judged."""
    return int(rows.unique(["search"])["runs"].sum())


def _panel(alt: Any, rows: Any, timed: bool, covered_by: dict[str, int], labels: list[str]) -> Any:
    rows = rows.filter(rows["hp"].is_not_null() == timed)
    space, dataset = rows["space"][0], rows["dataset"][0]
    judging = architectures(covered_by[dataset + rows["role"][0]], space)
    partial = {"subtitle": f"judged by {judging}"} if " of " in judging else {}
    title = {"text": f"{space}, {dataset}: {_counts(rows)} runs", **partial}
    values = rows.with_columns(value=rows["accuracy"], spread=rows["accuracy_std"])
    return _lines(alt, values, timed, labels, f"{ROLES[rows['role'][0]]} accuracy at full training (percent)", title)


def _counts(rows: Any) -> str:
    runs = rows["runs"]
    return f"{runs.min():,}" if runs.min() == runs.max() else f"{runs.min():,} to {runs.max():,}"


def _dash(number: int) -> list[int]:
    """Dashes of a label; those of the same colour differ."""
    return _DASHES[(number + number // len(COLOURS)) % len(_DASHES)]


def _lines(alt: Any, rows: Any, timed: bool, labels: list[str], meaning: str, title: dict[str, Any]) -> Any:
    """A panel: a line a label of the column `value` over time or epochs, in a band of ± `spread`.

    Args:
        labels: of all panels, which share colours and dashes.
    """
    x = (
        alt.X("seconds:Q", title="simulated time (seconds)")
        if timed
        else alt.X("moment:Q", title="epochs of the search")
    )
    legend = alt.Legend(
        title="algorithm", symbolType="stroke", symbolSize=600, symbolStrokeWidth=2, symbolOpacity=1, labelLimit=300
    )
    colours = alt.Scale(domain=labels, range=[COLOURS[n % len(COLOURS)] for n in range(len(labels))])
    dashes = alt.Scale(domain=labels, range=[_dash(n) for n in range(len(labels))])
    # The climb from the first random architectures would flatten all that comes after.
    late = rows.filter(rows["moment"] >= rows["moment"].max() // 10)
    low = (late["value"] - late["spread"].fill_null(0)).min()
    high = (late["value"] + late["spread"].fill_null(0)).max()
    scale = alt.Scale(domain=[low, high], zero=False, clamp=True)
    y = alt.Y("value:Q", title=meaning).scale(scale)
    values = rows.with_columns(low=rows["value"] - rows["spread"], high=rows["value"] + rows["spread"]).to_dicts()
    chart = alt.Chart(alt.Data(values=values))
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
    ).properties(title=title, width=300, height=260)
