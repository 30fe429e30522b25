"""The demo: five questions are answered, of an archive or of natsdb's own database, and a picture is drawn."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Annotated, Any

import typer

from natsdb.store.locations import BUILTIN

_INSIDE = (
    "What is inside?",
    "select source, space, hp, count(distinct arch) as archs, count(*) as runs from seed\ngroup by all order by all",
)
# (title, SQL) by space.
QUESTIONS = {
    "tss": (
        _INSIDE,
        (
            "Which five topologies are best on CIFAR-100?",
            "select place, arch, accuracy, flops, arch_str, source from best('cifar100', 'x-test', '200', k := 5)",
        ),
        (
            "What does accuracy cost? (Pareto front over the energy on a Jetson TX2, in mJ)",
            "select arch, cost as energy, accuracy\n"
            "from pareto('cifar100', 'x-test', '200', 'hw_nas_bench.edgegpu_energy')",
        ),
        (
            "Do 12 epochs predict 200?",
            "select 'cifar10-valid' as dataset, * from rank_correlation('cifar10-valid', '12', '200')\n"
            "union all select 'cifar100', * from rank_correlation('cifar100', '12', '200')\n"
            "union all select 'ImageNet16-120', * from rank_correlation('ImageNet16-120', '12', '200')",
        ),
        (
            "Which operation helps on the edge from input to output?",
            "select edge_3_0 as operation, count(*) as archs, avg(accuracy) as accuracy, max(accuracy) as best\n"
            "from mean_final join topology using (arch)\n"
            "where space = 'tss' and hp = '200' and dataset = 'cifar100' and split = 'x-test'\n"
            "group by all order by accuracy desc",
        ),
    ),
    "sss": (
        _INSIDE,
        (
            "Which five sizes are best on CIFAR-100?",
            "select place, arch, accuracy, flops, arch_str, source\n"
            "from best('cifar100', 'x-test', '90', k := 5, space := 'sss')",
        ),
        (
            "What does accuracy cost? (Pareto front over FLOPs, in millions)",
            "select arch, cost as flops, accuracy from pareto('cifar100', 'x-test', '90', 'flops', space := 'sss')",
        ),
        (
            "Do 12 epochs predict 90?",
            "select 'cifar100' as dataset, * from rank_correlation('cifar100', '12', '90', space := 'sss')\n"
            "union all select 'ImageNet16-120', * from rank_correlation('ImageNet16-120', '12', '90', space := 'sss')",
        ),
        (
            "How many channels shall the last layer have?",
            "select layer_4 as channels, count(*) as archs, avg(accuracy) as accuracy, max(accuracy) as best\n"
            "from mean_final join size using (arch)\n"
            "where space = 'sss' and hp = '90' and dataset = 'cifar100' and split = 'x-test'\n"
            "group by all order by channels",
        ),
    ),
}


def demo(
    archive: Annotated[
        list[Path] | None, typer.Option(help="Official archive; by default those in $TORCH_HOME or ~/.torch, if any.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the database and the picture.")] = Path("demo"),
) -> None:
    """Ask five questions and draw a picture: of an archive, or of natsdb's own database where there is none.

    Example: natsdb demo --archive NATS-tss-v1_0-3ffb9-simple
    """
    import natsdb
    from natsdb.cli.answers import table
    from natsdb.cli.archives import _progress
    from natsdb.ingest import ingest

    found = archive or _archives()
    database = out / "db" if found else BUILTIN
    if found:
        print(f"ingesting {', '.join(map(str, found))} (all of a space takes minutes)")
        with _progress("rows") as progress:
            report = ingest(list(found), database, progress=progress)
        print(f"{report.archs:,} architectures, {report.rows:,} rows in {report.seconds:.1f} s → {database}\n")
    else:
        print(
            "no official archive here, so natsdb's own database answers: published final accuracies of all topologies, "
            "official records 0 and 11\n"
        )
    with natsdb.connect(database) as connection:
        space = "tss" if any(part.space == "tss" for part in connection.snapshot.manifest.parts) else "sss"
        for title, statement in QUESTIONS[space]:
            started = time.perf_counter()
            frame = connection.sql(statement).pl()
            spent = (time.perf_counter() - started) * 1000
            print(f"── {title}\n{statement}\n\n{table(frame.head(20))}\n({len(frame)} rows, {spent:.0f} ms)\n")
        picture = _draw(connection, space, out / "natsdb.png")
    if picture is not None:
        print(f"picture: {picture}")
    of = f" --db {database}" if found else ""
    print(f'ask more: natsdb sql{of} "select * from leaderboard limit 5"')


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


def _draw(connection: Any, space: str, path: Path) -> Path | None:
    """All architectures on CIFAR-100, and the curves of the best one that has some."""
    from natsdb import plot
    from natsdb.schema.errors import NatsdbError
    from natsdb.schema.spaces import SPACES

    hp = max(SPACES[space].hps, key=int)
    try:
        found = connection.execute(
            "select arch from curves where space = ? and dataset = 'cifar100' and hp = ? "
            "group by arch having count(train_accuracy) > 1 order by max(train_accuracy) desc limit 1",
            (space, hp),
        ).fetchall()
        chart = plot.scatter(connection, space, "cifar100", "x-test", hp)
        if found:
            chart = chart | plot.curves(connection, space, found[0][0], "cifar100", hp)
        return plot.save(chart, path)
    except NatsdbError as error:
        print(f"no picture: {error}", file=sys.stderr)
        return None
