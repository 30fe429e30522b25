"""Accuracy over what it costs: all architectures, and those on the Pareto front."""

from __future__ import annotations

import textwrap
from typing import Any, NamedTuple

from natsdb.plot.chart import altair, counted, data, provenance_note
from natsdb.schema.errors import NatsdbError
from natsdb.schema.names import did_you_mean
from natsdb.schema.spaces import SPACES
from natsdb.sql.attached import measure_of


class Measured(NamedTuple):
    """Which final accuracies: of a data set as trained on, on a split, after a schedule."""

    dataset: str
    split: str
    hp: str

    def __str__(self) -> str:
        return f"{self.dataset}, {self.split}, hp {self.hp}"


# Where no split is asked for: the first of these that is there.
_SPLITS = ("x-valid", "ori-test", "x-test")
_COSTS = {
    "flops": "FLOPs (millions of multiply-adds)",
    "params": "parameters (millions)",
    "latency": "latency (seconds for 256 images)",
    "train_seconds": "training time (seconds an epoch)",
}


def measured(connection: Any, space: str, dataset: str, split: str | None = None, hp: str | None = None) -> Measured:
    """Which accuracies are meant, where split or hp are not given: those of the longest schedule that
    covers at least half as many architectures as any, on the first of x-valid, ori-test and x-test that is there.

    Raises:
        NatsdbError: the database has none like that; it says which there are.
    """
    every = connection.execute(
        "select dataset, split, hp, count(distinct arch) from chosen_final "
        "where space = ? and split != 'train' group by dataset, split, hp",
        [space],
    ).fetchall()
    if not every:
        raise NatsdbError(f"there are no accuracies of the space {space!r}", remedy=did_you_mean(space, SPACES))
    for at, (kind, asked) in enumerate((("data set", dataset), ("split", split), ("schedule", hp))):
        there = sorted({row[at] for row in every})
        if asked is not None and asked not in there:
            raise NatsdbError(
                f"there are no accuracies of {space} with the {kind} {asked!r}", remedy=did_you_mean(asked, there)
            )
        every = [row for row in every if asked in (None, row[at])]
    # A few long trainings do not stand for the space: the same rule as that of the view `full_schedule`.
    most = max(row[3] for row in every)
    every = [row for row in every if 2 * row[3] >= most]
    return Measured(*max(every, key=lambda row: (int(row[2]), -_SPLITS.index(row[1])))[:3])


def scatter(connection: Any, space: str, dataset: str, split: str, hp: str, cost: str = "flops") -> Any:
    """Chart of mean final accuracy (percent) over cost, a point an architecture, with the Pareto front.

    Args:
        cost: flops, params (millions), latency (seconds for 256 images), train_seconds (an epoch), or another measure,
            as in the view `measure`.

    Raises:
        NatsdbError: there is no such cost, or no architecture has both.
    """
    alt = altair()
    points = _priced(connection, space, Measured(dataset, split, hp), cost)
    named = points.filter(points["name"].is_not_null())
    x, y = (
        alt.X("cost:Q", title=meaning_of(connection, cost)).scale(zero=False),
        alt.Y("accuracy:Q", title=f"{split} accuracy (percent)").scale(zero=False),
    )
    size, opacity = (14, 0.45) if len(points) < 2000 else (6, 0.25)
    cloud = alt.Chart(data(points.select("cost", "accuracy")))
    marks = alt.Chart(data(named.select("cost", "accuracy", "name")))
    line = alt.Chart(data(_front(connection, space, Measured(dataset, split, hp), cost)))
    title = {
        "text": f"{space}, {dataset}, hp {hp}{provenance_note(points)}",
        "subtitle": f"{counted(points, space)}; the line is the Pareto front",
    }
    layers = [
        cloud.mark_circle(size=size, opacity=opacity, color="#777").encode(x, y),
        line.mark_line(color="black", interpolate="step-after").encode(x, y),
        line.mark_circle(color="black", size=28).encode(x, y),
    ]
    if len(named):
        layers += [
            marks.mark_point(size=90, shape="diamond", filled=True, fill="white", stroke="black").encode(x, y),
            marks.mark_text(dy=-12, fontWeight="bold").encode(x, y, alt.Text("name:N")),
        ]
    return alt.layer(*layers).properties(title=title, width=380, height=300)


def pareto(connection: Any, space: str, dataset: str, split: str, hp: str, cost: str = "flops") -> Any:
    """Chart of the architectures that no other beats in both mean final accuracy (percent) and cost, by their indexes.

    Costs that differ by more than five times are on a logarithmic axis. Arguments and errors are those of `scatter`.
    """
    alt = altair()
    asked = Measured(dataset, split, hp)
    points, front = _priced(connection, space, asked, cost), _front(connection, space, asked, cost)
    far = front["cost"].max() > 5 * front["cost"].min()
    chart = alt.Chart(data(front.with_columns(_labels(front, far))))
    x = alt.X("cost:Q", title=meaning_of(connection, cost)).scale(
        type="log" if far else "linear", zero=False, nice=False, padding=20
    )
    y = alt.Y("accuracy:Q", title=f"{split} accuracy (percent)").scale(zero=False, padding=30)
    title = {
        "text": f"{space}, {dataset}, hp {hp}{provenance_note(points)}: Pareto front",
        "subtitle": f"{len(front):,} in front of {counted(points, space)}; by index",
    }
    return alt.layer(
        chart.mark_line(color="#999", interpolate="step-after").encode(x, y),
        chart.mark_circle(color="black", size=36).encode(x, y),
        chart.mark_text(angle=270, align="left", dx=6, fontSize=8).encode(x, y, alt.Text("label:N")),
    ).properties(title=title, width=640, height=320)


def _labels(front: Any, logarithmic: bool) -> Any:
    """Indexes of a front's architectures; those without the room for it, 1.5 % of the axis, yield to the better one."""
    at = front["cost"].log() if logarithmic else front["cost"]
    room, next_at, labels = 0.015 * (at[-1] - at[0]), float("inf"), []
    for arch, here in zip(front["arch"].to_list()[::-1], at.to_list()[::-1], strict=True):
        labels.append(str(arch) if next_at - here >= room else "")
        next_at = here if labels[-1] else next_at
    return type(front["arch"])("label", labels[::-1])


def meaning_of(connection: Any, measure: str) -> list[str]:
    """Lines that say what a measure is, with its unit, as far as known, and its name.

    Args:
        connection: of `natsdb.connect`; of another one no meaning is known.
    """
    if measure in _COSTS:
        return [_COSTS[measure]]
    snapshot = getattr(connection, "snapshot", None)
    found = measure_of(measure, snapshot.manifest.attached) if snapshot is not None else None
    if found is None or not found.meaning:
        return [measure]
    meaning = found.meaning.partition(";")[0] + (f" ({found.unit})" if found.unit else "")
    return [*textwrap.wrap(meaning, 50), measure]


def _priced(connection: Any, space: str, asked: Measured, cost: str) -> Any:
    """Architectures with their accuracy and cost: arch, name, accuracy, cost, seeds, source."""
    value = f"spent.{cost}" if cost in _COSTS else "spent.value"
    table, using = (
        ("mean_cost", "space, hp, arch, dataset") if cost in _COSTS else ("measured($cost)", "space, arch, dataset")
    )
    points = connection.sql(
        f"""select result.arch, arch.arch_str as name, result.accuracy, {value} as cost, result.seeds, result.source
        from mean_final as result join {table} as spent using ({using}) join arch using (space, arch)
        where result.space = $space and result.dataset = $dataset and result.split = $split and result.hp = $hp
        and isfinite({value})""",
        params={"space": space} | asked._asdict() | ({} if cost in _COSTS else {"cost": cost}),
    ).pl()
    if not len(points):
        raise NatsdbError(
            f"no architecture of {space} has an accuracy and {cost} of {asked}", remedy="see `natsdb info`"
        )
    named = {text: label for label, text in SPACES[space].references.items()}
    return points.with_columns(name=points["name"].replace_strict(named, default=None))


def _front(connection: Any, space: str, asked: Measured, cost: str) -> Any:
    return connection.sql(
        "select arch, cost, accuracy from pareto($dataset, $split, $hp, $cost, space := $space)",
        params={"space": space, "cost": cost} | asked._asdict(),
    ).pl()
