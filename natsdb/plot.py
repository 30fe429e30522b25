"""Pictures of the benchmark, drawn from SQL with Altair; saved by vl-convert, no browser needed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from natsdb.schema.errors import NatsdbError


def _altair() -> Any:
    try:
        import altair
    except ImportError as error:
        raise NatsdbError("drawing needs Altair", remedy="pip install 'natsdb[plot]'") from error
    # A whole space has 32,768 points; Altair's default limit is 5,000.
    altair.data_transformers.disable_max_rows()
    return altair


def scatter(connection: Any, space: str, dataset: str, split: str, hp: str) -> Any:
    """Chart of mean final accuracy (percent) over FLOPs (millions), a point an architecture, with the Pareto front."""
    alt = _altair()
    points = connection.sql(
        """select result.arch, result.accuracy, spent.flops, result.source
        from mean_final as result join mean_cost as spent using (space, hp, arch, dataset)
        where result.space = $space and result.dataset = $dataset and result.split = $split and result.hp = $hp""",
        params={"space": space, "dataset": dataset, "split": split, "hp": hp},
    ).pl()
    front = connection.sql(
        "select arch, cost as flops, accuracy from pareto($dataset, $split, $hp, 'flops', space := $space)",
        params={"space": space, "dataset": dataset, "split": split, "hp": hp},
    ).pl()
    flops = alt.X("flops:Q", title="FLOPs (millions)").scale(zero=False)
    accuracy = alt.Y("accuracy:Q", title=f"{split} accuracy (percent)").scale(zero=False)
    cloud = alt.Chart(alt.Data(values=points.to_dicts()))
    line = alt.Chart(alt.Data(values=front.to_dicts()))
    title = f"{space}, {dataset}, {hp} epochs: {len(points):,} architectures{_said(points)}"
    return alt.layer(
        cloud.mark_circle(size=14, opacity=0.45, color="#777").encode(flops, accuracy),
        line.mark_line(color="black", interpolate="step-after").encode(flops, accuracy),
        line.mark_circle(color="black", size=28).encode(flops, accuracy),
    ).properties(title=title, width=380, height=300)


def curves(connection: Any, space: str, arch: int, dataset: str, hp: str) -> Any:
    """Chart of an architecture's accuracy (percent) over epochs, a line a split and run."""
    alt = _altair()
    rows = connection.sql(
        """unpivot (select seed, epoch, source, train_accuracy as train, x_valid_accuracy as "x-valid",
        x_test_accuracy as "x-test", ori_test_accuracy as "ori-test" from curve($space, $arch, $dataset, $hp))
        on train, "x-valid", "x-test", "ori-test" into name split value accuracy""",
        params={"space": space, "arch": arch, "dataset": dataset, "hp": hp},
    ).pl()
    return (
        alt.Chart(alt.Data(values=rows.to_dicts()))
        .mark_line(strokeWidth=1.2)
        .encode(
            alt.X("epoch:Q", title="epoch"),
            alt.Y("accuracy:Q", title="accuracy (percent)"),
            alt.StrokeDash("split:N", title="split"),
            alt.Color("split:N", title="split").scale(range=["#111", "#888", "#444", "#bbb"]),
            detail="seed:N",
        )
        .properties(title=f"{space} {arch}, {dataset}, {hp} epochs, all runs{_said(rows)}", width=380, height=300)
    )


def agreement(pairs: Any, source_a: str, source_b: str) -> Any:
    """Chart of two sources' accuracies (percent), a point an architecture, a panel a split; equal ones lie on the line.

    Args:
        pairs: rows of the macro `paired`.
    """
    alt = _altair()
    columns = ("space", "hp", "dataset", "split")
    panels = []
    for key, rows in pairs.sort(*columns).group_by(*columns, maintain_order=True):
        low = min(rows["accuracy_a"].min(), rows["accuracy_b"].min())
        high = max(rows["accuracy_a"].max(), rows["accuracy_b"].max())
        line = alt.Chart(alt.Data(values=[{"x": low, "y": low}, {"x": high, "y": high}]))
        points = alt.Chart(alt.Data(values=rows.select("arch", "accuracy_a", "accuracy_b").to_dicts()))
        panels.append(
            alt.layer(
                line.mark_line(color="#bbb", strokeWidth=1).encode(alt.X("x:Q"), alt.Y("y:Q")),
                points.mark_circle(size=22, opacity=0.6, color="black").encode(
                    alt.X("accuracy_b:Q", title=f"{source_b} (percent)").scale(zero=False),
                    alt.Y("accuracy_a:Q", title=f"{source_a} (percent)").scale(zero=False),
                ),
            ).properties(title=f"{key[0]}, hp {key[1]}, {key[2]}, {key[3]}: {len(rows):,}", width=240, height=240)
        )
    return alt.concat(*panels, columns=3)


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
    alt = _altair()
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
    for dataset in ("cifar10", "cifar100", "ImageNet16-120"):
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
    lines = []
    for timed in (True, False):
        panels = [_panel(alt, part, timed) for part in rows if len(part.filter(part["budget"].is_not_null() == timed))]
        if panels:
            lines.append(alt.hconcat(*panels))
    return alt.vconcat(*lines)


def _covered(rows: Any) -> int:
    """Runs of all searches that are judged."""
    return int(rows.unique(["search"])["runs"].sum())


def _panel(alt: Any, rows: Any, timed: bool) -> Any:
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
    ).properties(title=f"{rows['space'][0]}, {rows['dataset'][0]}: {counts} runs", width=300, height=260)


def _said(rows: Any) -> str:
    return " (synthetic)" if "synthetic" in rows["source"].to_list() else ""


def save(chart: Any, path: Path) -> Path:
    """Write a chart as PNG, SVG or HTML, by the file's ending; whole or not at all.

    Raises:
        NatsdbError: another ending, or the file cannot be written.
    """
    if path.suffix not in (".png", ".svg", ".html"):
        raise NatsdbError(f"cannot draw a {path.suffix or 'file without ending'}", remedy="use .png, .svg or .html")
    temporary = path.with_name(f".{path.stem}.{os.getpid()}{path.suffix}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        chart.save(str(temporary), **({"ppi": 144} if path.suffix == ".png" else {}))
        os.replace(temporary, path)
    except OSError as error:
        raise NatsdbError(f"cannot write ({error.strerror})", where=str(path), remedy="name another file") from error
    finally:
        temporary.unlink(missing_ok=True)
    return path
