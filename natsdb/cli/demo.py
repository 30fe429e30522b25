"""The demo: an archive becomes a database, five questions are answered, a picture is drawn."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

# Architectures of each space in the generated archive: enough for rankings, made in seconds.
_FEW = 320

QUESTIONS = (
    (
        "What is inside?",
        "select source, space, hp, count(distinct arch) as archs, count(*) as runs from seed group by all order by all",
    ),
    (
        "Which five topologies are best on CIFAR-100?",
        "select place, arch, accuracy, seeds, flops, source, arch_str from best('cifar100', 'x-test', '200', k := 5)",
    ),
    (
        "Do 12 epochs predict 200?",
        "select 'cifar10-valid' as dataset, * from rank_correlation('cifar10-valid', '12', '200')\n"
        "union all select 'cifar100', * from rank_correlation('cifar100', '12', '200')\n"
        "union all select 'ImageNet16-120', * from rank_correlation('ImageNet16-120', '12', '200')",
    ),
    (
        "What does accuracy cost? (Pareto front of sizes on CIFAR-10, FLOPs in millions)",
        "select arch, cost as flops, accuracy, source\n"
        "from pareto('cifar10', 'ori-test', '90', 'flops', space := 'sss')",
    ),
    (
        "Which operation helps on the edge from input to output?",
        "select edge_3_0 as operation, count(*) as archs, avg(accuracy) as accuracy, min(source) as source\n"
        "from mean_final join topology using (arch)\n"
        "where space = 'tss' and hp = '200' and dataset = 'cifar100' and split = 'x-test'\n"
        "group by all order by accuracy desc",
    ),
)


def demo(
    archive: Annotated[
        list[Path] | None, typer.Option(help="Official archive; by default those in $TORCH_HOME or ~/.torch, if any.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the database and the picture.")] = Path("demo"),
) -> None:
    """Ingest an archive, or a small generated one where there is none; ask five questions; draw a picture.

    Example: natsdb demo --archive NATS-tss-v1_0-3ffb9-simple
    """
    import natsdb
    from natsdb.cli.archives import _progress
    from natsdb.cli.questions import _table
    from natsdb.ingest import ingest

    found = archive or _archives()
    database = out / ("db" if found else "db-synthetic")
    if found:
        print(f"ingesting {', '.join(map(str, found))} (all of a space takes minutes)")
    else:
        print(
            f"no official archive here: {_FEW} made-up architectures of each space serve, marked source = 'synthetic'"
        )
        found = _generate(out / "archive")
    with _progress("rows") as progress:
        report = ingest(
            list(found), database, source="official" if database.name == "db" else "synthetic", progress=progress
        )
    print(f"{report.archs:,} architectures, {report.rows:,} rows in {report.seconds:.1f} s → {database}\n")
    with natsdb.connect(database) as connection:
        for title, statement in QUESTIONS:
            started = time.perf_counter()
            frame = connection.sql(statement).pl()
            spent = (time.perf_counter() - started) * 1000
            print(f"── {title}\n{statement}\n\n{_table(frame.head(12))}\n({len(frame)} rows, {spent:.0f} ms)\n")
        picture = _draw(connection, out / "natsdb.png")
    if picture is not None:
        print(f"picture: {picture}")
    if natsdb.holds_synthetic(database):
        print("all accuracies, losses and times above are generated (source = 'synthetic'), not measured")
    print(f'ask more: natsdb sql --db {database} "select * from leaderboard limit 5"')


def _archives() -> list[Path]:
    """Official archive folders and files where the official package looks for them."""
    home = Path(os.environ.get("TORCH_HOME") or Path.home() / ".torch")
    found = []
    for stem in ("NATS-tss-v1_0-3ffb9", "NATS-sss-v1_0-50262"):
        for name in (f"{stem}-simple", f"{stem}-full", f"{stem}-simple.tar", f"{stem}.pickle.pbz2"):
            if (home / name).exists():
                found.append(home / name)
                break
    return found


def _generate(folder: Path) -> list[Path]:
    from natsdb.schema.spaces import SIZES
    from natsdb.synthetic import write_folder

    made = []
    for space, size in SIZES.items():
        print(f"generating {space} …", file=sys.stderr)
        made.append(write_folder(folder / space, space, range(0, size, size // _FEW), jobs=os.cpu_count() or 1))
    return made


def _draw(connection: Any, path: Path) -> Path | None:
    from natsdb import plot
    from natsdb.schema.errors import NatsdbError

    try:
        best = connection.sql("select arch from best('cifar100', 'x-test', '200', k := 1)").fetchall()
        if not best:
            return None
        left = plot.scatter(connection, "tss", "cifar100", "x-test", "200")
        return plot.save(left | plot.curves(connection, "tss", best[0][0], "cifar100", "200"), path)
    except NatsdbError as error:
        print(f"no picture: {error}", file=sys.stderr)
        return None
