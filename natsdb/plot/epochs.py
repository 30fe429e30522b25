"""Learning curves."""

from __future__ import annotations

from typing import Any

from natsdb.plot.chart import altair, data, listed, provenance_note
from natsdb.schema.errors import NatsdbError


def curves(connection: Any, space: str, arch: int, dataset: str, hp: str) -> Any:
    """Chart of an architecture's accuracy (percent) over epochs, a line a split and run.

    Raises:
        NatsdbError: the database has no run of it with more than one epoch.
    """
    alt = altair()
    rows = connection.sql(
        """unpivot (select seed, epoch, source, train_accuracy as train, x_valid_accuracy as "x-valid",
        x_test_accuracy as "x-test", ori_test_accuracy as "ori-test" from curve($space, $arch, $dataset, $hp))
        on train, "x-valid", "x-test", "ori-test" into name split value accuracy""",
        params={"space": space, "arch": arch, "dataset": dataset, "hp": hp},
    ).pl()
    if rows["epoch"].n_unique() < 2:
        have = connection.execute(
            "select distinct arch from metric where space = ? and dataset = ? and hp = ? and epoch = 0 order by arch",
            [space, dataset, hp],
        ).fetchall()
        raise NatsdbError(
            f"there is no curve of {space} {arch} on {dataset} at hp {hp}"
            + (": the last epoch alone is known" if len(rows) else ""),
            remedy=f"there are those of {listed([one for (one,) in have])}" if have else "ingest an archive, or train",
        )
    runs = rows.select("source", "seed").n_unique()
    splits = [split for split in ("train", "x-valid", "x-test", "ori-test") if split in rows["split"].to_list()]
    dashes = {"train": [1, 2], "x-valid": [1, 0], "x-test": [5, 3], "ori-test": [8, 2, 2, 2]}
    greys = {"train": "#888", "x-valid": "#111", "x-test": "#0072b2", "ori-test": "#d55e00"}
    legend = alt.Legend(title="split", symbolType="stroke", symbolSize=600, symbolStrokeWidth=1.6)
    return (
        alt.Chart(data(rows))
        .mark_line(strokeWidth=1.4)
        .encode(
            alt.X("epoch:Q", title="epoch (from 0)").axis(format="d", tickMinStep=1),
            alt.Y("accuracy:Q", title="accuracy (percent)").scale(zero=False),
            alt.StrokeDash("split:N", legend=legend).scale(domain=splits, range=[dashes[split] for split in splits]),
            alt.Color("split:N", legend=legend).scale(domain=splits, range=[greys[split] for split in splits]),
            detail="seed:N",
        )
        .properties(
            title=f"{space} {arch}, {dataset}, hp {hp}: {runs} run{'s' * (runs != 1)}{provenance_note(rows)}",
            width=380,
            height=300,
        )
    )
