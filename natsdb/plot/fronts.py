"""Fronts of searches with several objectives, over the whole space and its exact front."""

from __future__ import annotations

from typing import Any

from natsdb.objectives import ExactFront, nondominated, read_objectives, values
from natsdb.plot.chart import altair, data
from natsdb.plot.costs import meaning_of
from natsdb.plot.searching import COLOURS, ROLES, of_role, without_objectives
from natsdb.schema.datasets import DATASETS, check_searched
from natsdb.schema.errors import NatsdbError
from natsdb.schema.names import did_you_mean


def fronts(connection: Any, space: str, dataset: str, objectives: str | None = None, role: str | None = None) -> Any:
    """Chart of what searches with several objectives found: accuracy at full training (percent) over each other one.

    Of each search the front of the run of median hypervolume, with a line where there are two objectives, and pale the
    fronts of all its runs; grey all architectures, black the exact front.

    Args:
        dataset: cifar10, cifar100 or ImageNet16-120.
        objectives: of which searches, as they were written, with commas; those that are there if None.
        role: valid, test or both; if None the first of test, both, valid that is there.

    Raises:
        NatsdbError: there is no such search, or there are some of several choices of objectives and none was named.
    """
    import numpy as np
    import polars as pl

    alt = altair()
    check_searched(dataset)
    rows = connection.sql(
        """select front.search, front.run, front.role, front.judged,
        array_to_string(front.objectives, ',') as objectives, about.label, about.hp, result.hypervolume,
        count(distinct front.run) over (partition by front.search) as runs
        from search_front as front
        join search_about as about on about.search = front.search
        join multi_objective_result as result
            on result.search = front.search and result.run = front.run and result.role = front.role
        where about.space = $space and about.dataset = $dataset and about.foremost
        and front.until is null and front.judged is not null
        order by about.label, front.run, front.step""",
        params={"space": space, "dataset": dataset},
    ).pl()
    rows = of_role(rows, space, role)
    choices = sorted(set(rows["objectives"]))
    if objectives is None and len(choices) > 1:
        remedy = "name them with --objectives"
        raise NatsdbError(f"there are searches of several choices of objectives: {'; '.join(choices)}", remedy=remedy)
    asked = objectives or choices[0]
    if asked not in choices:
        raise NatsdbError(f"there is no search of {space} with objectives {asked}", remedy=did_you_mean(asked, choices))
    rows = without_objectives(rows.filter(rows["objectives"] == asked))
    every = _space(connection, space, dataset, rows["role"][0], asked, rows["hp"][0])
    named = read_objectives(connection, asked)
    signs = np.array([one.sign for one in named])
    exact = ExactFront.of(every * signs).values * signs
    (accuracy,) = (place for place, one in enumerate(named) if one.measure == "accuracy")
    points = pl.DataFrame(np.stack(rows["judged"].to_numpy()), [f"value_{place}" for place in range(len(named))])
    points = points.with_columns(rows["label"], rows["run"], rows["hypervolume"])
    middle = (
        points.unique(["label", "run"])
        .sort("label", "hypervolume", "run")
        .group_by("label", maintain_order=True)
        .agg(pl.col("run").gather((pl.len() - 1) // 2).first())
    )
    shown = points.join(middle, on=["label", "run"], how="semi")
    # What full training turned out worse is drawn, but the line leaves it out.
    steps = pl.concat(
        [part.filter(nondominated(part[:, : len(named)].to_numpy() * signs)) for part in shown.partition_by("label")]
    )
    labels = sorted(set(points["label"]))
    colour = alt.Color("label:N", title="algorithm", legend=alt.Legend(labelLimit=300, symbolOpacity=1)).scale(
        domain=labels, range=[COLOURS[n % len(COLOURS)] for n in range(1, len(labels) + 1)]
    )
    shape = alt.Shape("label:N", title="algorithm").scale(domain=labels)
    # Below lie the few architectures that learn nothing, at any cost.
    low, high = float(np.quantile(every[:, accuracy], 0.1)), float(every[:, accuracy].max())
    said = f"{ROLES[rows['role'][0]]} accuracy at full training (percent)"
    panels = []
    for place, one in enumerate(named):
        if place == accuracy:
            continue
        pair = [f"value_{place}", f"value_{accuracy}"]
        drawn = np.concatenate([exact[:, place], points[pair[0]].to_numpy()])
        x = alt.X(f"{pair[0]}:Q", title=meaning_of(connection, one.measure)).scale(
            domain=[float(drawn.min()), float(drawn.max())], nice=False, padding=8
        )
        y = alt.Y(f"{pair[1]}:Q", title=said).scale(domain=[low, high + 0.02 * (high - low)], nice=False)
        cloud = alt.Chart(data(pl.DataFrame(every[:, [place, accuracy]], pair)))
        front = alt.Chart(data(pl.DataFrame(exact[:, [place, accuracy]], pair).sort(pair)))
        ours, all_runs, best = (alt.Chart(data(one)) for one in (shown, points, steps.sort("label", *pair)))
        step = "step-after" if one.sign > 0 else "step-before"
        lines = [front.mark_line(color="black", interpolate=step, strokeWidth=1, clip=True).encode(x, y)]
        lines.append(best.mark_line(interpolate=step, strokeWidth=1.2, clip=True).encode(x, y, colour))
        panels.append(
            alt.layer(
                cloud.mark_circle(size=5, opacity=0.2, color="#999", clip=True).encode(x, y),
                all_runs.mark_circle(size=14, opacity=0.3, clip=True).encode(x, y, colour),
                *(lines if len(named) == 2 else ()),
                front.mark_circle(color="black", size=16, clip=True).encode(x, y),
                ours.mark_point(size=45, filled=True, opacity=0.9, clip=True).encode(x, y, colour, shape),
            ).properties(width=420, height=320)
        )
    counts = sorted({int(count) for count in rows["runs"]})
    runs = f"{counts[0]:,}" if len(counts) == 1 else f"{counts[0]:,} to {counts[-1]:,}"
    title = {
        "text": f"{space}, {dataset}: fronts of searches, {runs} runs each",
        "subtitle": f"{asked.replace(',', ', ')}; large: the run of median hypervolume; black: the exact front of "
        f"{len(every):,} architectures",
    }
    return alt.hconcat(*panels).properties(title=title)


def _space(connection: Any, space: str, dataset: str, role: str, asked: str, hp: str) -> Any:
    """Values of all architectures of a space that have all of them: accuracy of a role, the rest as searches see it."""
    import numpy as np

    columns = []
    for one in read_objectives(connection, asked):
        if one.measure == "accuracy":
            found = connection.execute(
                "select arch, accuracy from full_accuracy where space = ? and dataset = ? and role = ? order by arch",
                [space, dataset, role],
            ).fetchnumpy()
            columns.append((found["arch"], found["accuracy"]))
        else:
            archs, column = values(connection, [one], space, DATASETS[dataset].validated, "x-valid", hp)
            columns.append((archs, column[:, 0]))
    size = max(int(archs.max()) for archs, _ in columns) + 1
    every = np.full((size, len(columns)), np.nan)
    for place, (archs, column) in enumerate(columns):
        every[archs, place] = column
    return every[np.isfinite(every).all(axis=1)]
