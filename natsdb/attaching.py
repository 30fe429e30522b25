"""Tables of one's own into a database: read, compared with the accuracies that are known, described, kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

from natsdb.ingest.attach import Read, read_attached
from natsdb.ingest.attach.described import Description, as_attached, beside
from natsdb.ingest.attached import check_name, keep_attached
from natsdb.schema.errors import NatsdbError
from natsdb.sql import taken
from natsdb.store.locations import BUILTIN, local
from natsdb.store.manifest import NAME
from natsdb.store.snapshot import open_snapshot

if TYPE_CHECKING:
    import polars as pl

# The table of `natsdb measure`, if it is called nothing else.
MEASURED = "measured"


def attach(
    table: Any,
    name: str,
    db: str | os.PathLike[str] | None,
    how: dict[str, Any],
    said: Description,
    *,
    replacing: bool,
) -> Read:
    """See `natsdb.attach`; `how`: arguments of `read_attached`; `said`: what it is told of the table's meaning."""
    check_table(name)
    home = local(db)
    found = beside(Path(table), name) if isinstance(table, (str, os.PathLike)) else Description()
    read = read_attached(table, **how, known=lambda: known_accuracies(home))
    keep_attached(home, as_attached(name, read, said, found), read.frame.to_arrow(), replacing=replacing)
    return read


def check_table(name: str) -> None:
    """Refuse what cannot be the name of an attached table, whoever makes it.

    Raises:
        NatsdbError: as `natsdb.ingest.attached.check_name`, or it is that of a view or macro, which ingest knows
            nothing of. `measured` may be a table beside the macro: SQL keeps macros with arguments and tables apart.
    """
    check_name(name)
    if taken(name) and name != MEASURED:
        raise NatsdbError(f"{name!r} is a name of natsdb's own", remedy="choose another with --as")


def known_accuracies(home: Path) -> pl.DataFrame | None:
    """Mean accuracies after the last epoch, by space, arch, dataset, hp, split and database: of one that may be there,
    and of natsdb's own, as those of a few architectures are soon no evidence; None if there are none at all."""
    import polars as pl

    from natsdb.connection import open_database

    every: list[pl.DataFrame] = []
    for database in dict.fromkeys((home, BUILTIN)):
        if (database / NAME).exists():
            with open_database(open_snapshot(database), unlocked=False) as connection:
                known: pl.DataFrame = connection.sql(
                    "select space, arch, dataset, hp, split, accuracy from mean_final where split <> 'train'"
                ).pl()
            every.append(known.with_columns(database=pl.lit(str(database))))
    return pl.concat(every) if every else None
