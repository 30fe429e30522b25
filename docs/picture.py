"""The picture on top of the README: all topologies with their Pareto front, and the curves of official runs.

python docs/picture.py [DATABASE]       # writes docs/natsdb.png
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import altair as alt

import natsdb
from natsdb import plot

HERE = Path(__file__).parent
LOWEST = 30


def topologies(connection: Any) -> Any:
    """Accuracy over FLOPs. The front is what one looks for: FLOPs are logarithmic, and accuracies begin at 30 %."""
    chart = plot.scatter(connection, "tss", "cifar100", "x-test", "200")
    for layer in chart.layer:
        layer.mark.clip = True
        layer.encoding.x.scale = alt.Scale(type="log", domain=[6.5, 260], nice=False)
        layer.encoding.x.axis = alt.Axis(values=[7, 10, 15, 20, 30, 50, 70, 100, 150, 200], grid=False)
        layer.encoding.y.scale = alt.Scale(domain=[LOWEST, 76], nice=False)
    chart.layer[0].mark.opacity = 0.22
    chart.layer[0].mark.size = 9
    chart.layer[-1].mark.dy = -18  # names, above the front
    return chart.properties(
        title={
            "text": "All 15,625 topologies on CIFAR-100",
            "subtitle": "the line is the Pareto front; hp 200, x-test",
        },
        width=430,
    )


def curves(connection: Any) -> Any:
    """Train and test accuracy of three official runs; x-valid and x-test have the last epoch only."""
    chart = plot.curves(connection, "tss", 11, "cifar100", "200").transform_filter(
        alt.FieldOneOfPredicate("split", ["train", "ori-test"])
    )
    chart.encoding.color = alt.Color("split:N", legend=None).scale(
        domain=["train", "ori-test"], range=["#888", "#d55e00"]
    )
    chart.encoding.strokeDash = alt.Undefined
    chart.mark.strokeWidth = 1
    names = alt.Chart(
        alt.InlineData([{"at": 80, "high": 69, "name": "train"}, {"at": 168, "high": 51, "name": "test (ori-test)"}])
    ).mark_text(fontWeight="bold")
    title = {"text": "Topology 11 on CIFAR-100", "subtitle": "three official runs, hp 200, every epoch"}
    return alt.layer(chart, names.encode(alt.X("at:Q"), alt.Y("high:Q"), text="name:N")).properties(
        title=title, width=330, height=300
    )


if __name__ == "__main__":
    with natsdb.connect(*sys.argv[1:]) as connection:
        both = alt.hconcat(topologies(connection), curves(connection), spacing=30)
        print(plot.save(both.configure_axis(titleFontWeight="normal"), HERE / "natsdb.png"))
