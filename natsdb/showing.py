"""All that a database says of one architecture."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from natsdb.schema.encodings import architecture
from natsdb.schema.spaces import arch_str, space_of

if TYPE_CHECKING:
    import polars as pl


# Without accuracies the three parameters are null, and so is `accuracy`.
_NEAR = """
with judged as materialized (
    select result.arch, result.accuracy from mean_final as result
    where result.space = $space and result.dataset = $dataset and result.split = $split and result.hp = $hp
)
select
    near.arch, near.position, near.new_value, judged.accuracy, near.arch_str,
    coalesce(judged.accuracy > (select own.accuracy from judged as own where own.arch = $arch), false) as better
from neighbours($space, $arch) as near left join judged on judged.arch = near.arch
order by nullif(judged.accuracy, 'nan'::double) desc nulls last, near.arch
"""


@dataclass(frozen=True)
class Shown:
    """An architecture: what it is, what it costs, how accurate it is, and what lies around it.

    `alike`: indexes of all architectures that compute the same function, itself too; `accuracies`: hp, dataset, split,
    place (1 is best), accuracy (percent), seeds (runs in the mean), source, coverage; `measures`: name and a column a
    data set, of FLOPs, parameters (millions) and every attached measure; `around`: what `neighbours` holds of which
    accuracies, and `neighbours`: architectures one edit away, the most accurate first: arch, position, new_value,
    accuracy (null where none is known), arch_str.
    """

    space: str
    arch: int
    arch_str: str
    alike: tuple[int, ...]
    accuracies: pl.DataFrame
    measures: pl.DataFrame
    around: str
    neighbours: pl.DataFrame

    def __str__(self) -> str:
        """The cell, and tables of all of it."""
        from natsdb.cli.answers import table
        from natsdb.plot.cell import cell_text

        others = [arch for arch in self.alike if arch != self.arch]
        alike = f"computes the same function as {_some(others)}" if others else "no other computes the same function"
        parts = [f"{self.space}/{self.arch}  {self.arch_str}", cell_text(self.space, self.arch), alike]
        parts.append(table(self.accuracies) if len(self.accuracies) else "the database knows no accuracy of it")
        parts.append(table(self.measures))
        better = self.neighbours["better"].sum()
        known = self.neighbours["accuracy"].drop_nulls().len()
        if known:
            parts.append(
                f"{better:,} of {known:,} neighbours whose accuracy is known are better ({self.around}); the best:\n"
                + table(self.neighbours.drop("better").head(8))
            )
        return "\n\n".join(parts)


def show(
    arch: str,
    db: str | os.PathLike[str] | None = None,
    *,
    dataset: str | None = None,
    version: int | None = None,
    source: str | None = None,
) -> Shown:
    """All that a database says of an architecture.

    Args:
        arch: as `tss/9930`, `sss/64:64:64:64:64`, or its space and another encoding of it.
        db, version, source: see `natsdb.connect`.
        dataset: whose accuracies the neighbours are judged by; the first of which there are any.

    Raises:
        NatsdbError: it is no architecture, there is no database, or none of its accuracies is of that data set.

    Example:
        >>> print(natsdb.show("tss/9930"))  # doctest: +SKIP
    """
    from natsdb.connection import open_database
    from natsdb.plot.costs import measured
    from natsdb.schema.datasets import DATASETS
    from natsdb.store.snapshot import open_with_builtin

    space, index = architecture(arch)
    with open_database(open_with_builtin(db, version), source=source, unlocked=False) as connection:

        def ask(statement: str, **values: Any) -> pl.DataFrame:
            found: pl.DataFrame = connection.sql(statement, params={"space": space, "arch": index} | values).pl()
            return found

        accuracies = ask(
            "select hp, dataset, split, rank as place, accuracy, accuracy_std, seeds, source, coverage "
            "from leaderboard where space = $space and arch = $arch order by hp::int desc, dataset, split"
        )
        known = accuracies.filter(accuracies["split"] != "train")["dataset"].to_list()
        judged = measured(connection, space, dataset or known[0]) if dataset or known else None
        measures = ask("select name, dataset, value from measure where space = $space and arch = $arch order by all")
        near = ask(_NEAR, dataset=judged and judged.dataset, split=judged and judged.split, hp=judged and judged.hp)
    of = space_of(space)
    classes = of.canonical() if of.canonical else range(of.size)
    alike = tuple(other for other, lowest in enumerate(classes) if lowest == classes[index])
    wide = measures.pivot("dataset", index="name", values="value", maintain_order=True)
    columns = [name for name in DATASETS if name in wide.columns]
    return Shown(
        space,
        index,
        arch_str(space, index),
        alike,
        accuracies,
        wide.select("name", *columns),
        str(judged) if judged else "",
        near,
    )


def _some(archs: list[int], most: int = 8) -> str:
    more = f" and {len(archs) - most} more" if len(archs) > most else ""
    return ", ".join(map(str, archs[:most])) + more
