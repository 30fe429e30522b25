"""Regenerated rows against official or published ones: rank correlation and mean difference, data set by data set."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

from natsdb.schema.errors import NatsdbError

if TYPE_CHECKING:
    import polars as pl


def compare(
    db: str | os.PathLike[str] | None = None,
    *,
    source: str = "regenerated",
    other: str | Path = "official",
    other_hp: str | None = None,
    plot: str | os.PathLike[str] | None = None,
) -> pl.DataFrame:
    """How two sources agree on the final accuracies of the architectures that both measured.

    Args:
        db: the database's folder; the default one if None.
        source, other: values of the column `source`; `other` may be a published table, a Parquet file: of the columns
            space, hp, arch, dataset, split, accuracy, or of means such as cifar10_val and cifar100_test.
        other_hp: the other's schedule; the same if None. `12` compares runs of one epoch with those of twelve.
        plot: draw each architecture's two accuracies into this file (.png, .svg, .html).

    Returns:
        A row for each space, hp, data set and split; see `natsdb info agreement`.

    Raises:
        NatsdbError: nothing is common to both; the Parquet file is none of these.
    """
    import polars as pl

    import natsdb

    with natsdb.connect(db) as connection:
        results, name = "mean_by_source", str(other)
        if name.endswith(".parquet"):
            results, name = "compared", Path(name).name
            # By its file's name: the database may hold the same table, and other published ones, as a source.
            connection.register("published", published(Path(other)).with_columns(source=pl.lit(name)).to_arrow())
            connection.execute(
                "create temp table compared as from mean_by_source where source = $source "
                "union all by name from published",
                {"source": source},
            )
        chosen = {"a": source, "b": name, "hp": other_hp, "results": results}
        ask = "from agreement($a, $b, hp_b := $hp, results := $results)".replace("$results", f"'{results}'")
        chosen.pop("results")
        frame: pl.DataFrame = connection.sql(ask, params=chosen).pl()
        if not len(frame):
            have = connection.sql(f"select distinct source, hp from {results} order by all").fetchall()
            raise NatsdbError(
                f"{source} and {name} have no architecture, data set and schedule in common",
                where=str(db) if db is not None else "",
                remedy=f"there are {', '.join(f'{one} at hp {hp}' for one, hp in have) or 'no rows'}; see --other-hp",
            )
        if plot is not None:
            from natsdb.plot import agreement, save

            pairs = connection.sql(ask.replace("agreement", "paired", 1), params=chosen).pl()
            save(agreement(pairs, source, name), Path(plot))
    return frame


def published(path: Path) -> pl.DataFrame:
    """A published table as results: source (`published`), space, hp, arch, dataset, split, accuracy (percent), seeds.

    Raises:
        NatsdbError: it cannot be read, or its columns are others than `natsdb ingest` knows.
    """
    import polars as pl

    from natsdb.ingest.published import KIND, read_published

    key = ["space", "hp", "arch", "dataset", "split"]
    return (
        read_published(path)
        .rows.group_by(key)
        .agg(accuracy=pl.col("accuracy").mean(), seeds=pl.len())
        .with_columns(source=pl.lit(KIND))
    )
