"""The demo: an archive becomes a database, five questions are answered, a picture is drawn.

Where no archive is at hand, runs that natsdb trained itself serve: the folder `natsdb/embedded`, described there.
"""

from __future__ import annotations

import os
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

EMBEDDED = Path(__file__).parents[1] / "embedded"


@dataclass(frozen=True)
class _Asked:
    """What the questions are about: data set, split and hp of topologies, and of sizes."""

    dataset: str
    split: str
    hp: str
    size_split: str
    size_dataset: str
    size_hp: str
    predicts: tuple[str, str]


_OFFICIAL = _Asked(
    dataset="cifar100",
    split="x-test",
    hp="200",
    size_dataset="cifar10",
    size_split="ori-test",
    size_hp="90",
    predicts=(
        "Do 12 epochs predict 200?",
        "select 'cifar10-valid' as dataset, * from rank_correlation('cifar10-valid', '12', '200')\n"
        "union all select 'cifar100', * from rank_correlation('cifar100', '12', '200')\n"
        "union all select 'ImageNet16-120', * from rank_correlation('ImageNet16-120', '12', '200')",
    ),
)
_REGENERATED = _Asked(
    dataset="cifar10-valid",
    split="x-valid",
    hp="12",
    size_dataset="cifar10-valid",
    size_split="x-valid",
    size_hp="12",
    predicts=(
        "Do the first 6 epochs predict all 12?",
        "with ranked as (\n"
        "    select epoch, arch, rank() over (partition by epoch order by accuracy) as place\n"
        "    from metric where space = 'tss' and hp = '12' and split = 'x-valid' and epoch in (5, 11)\n"
        ")\n"
        "select count(*) as archs, corr(early.place, late.place) as spearman\n"
        "from ranked as early inner join ranked as late using (arch) where early.epoch = 5 and late.epoch = 11",
    ),
)


def _questions(about: _Asked) -> tuple[tuple[str, str], ...]:
    return (
        (
            "What is inside?",
            "select source, space, hp, count(distinct arch) as archs, count(*) as runs from seed\n"
            "group by all order by all",
        ),
        (
            f"Which five topologies are best on {about.dataset}?",
            "select place, arch, accuracy, seeds, flops, source, arch_str\n"
            f"from best('{about.dataset}', '{about.split}', '{about.hp}', k := 5)",
        ),
        about.predicts,
        (
            "What does accuracy cost? (Pareto front of sizes on CIFAR-10, FLOPs in millions)",
            "select arch, cost as flops, accuracy, source\n"
            f"from pareto('{about.size_dataset}', '{about.size_split}', '{about.size_hp}', 'flops', space := 'sss')",
        ),
        (
            "Which operation helps on the edge from input to output?",
            "select edge_3_0 as operation, count(*) as archs, avg(accuracy) as accuracy, min(source) as source\n"
            "from mean_final join topology using (arch)\n"
            f"where space = 'tss' and hp = '{about.hp}' and dataset = '{about.dataset}' and split = '{about.split}'\n"
            "group by all order by accuracy desc",
        ),
    )


def demo(
    archive: Annotated[
        list[Path] | None, typer.Option(help="Official archive; by default those in $TORCH_HOME or ~/.torch, if any.")
    ] = None,
    out: Annotated[Path, typer.Option(help="Folder for the database and the picture.")] = Path("demo"),
) -> None:
    """Make a database of an archive, or of natsdb's own runs where there is none; ask five questions; draw a picture.

    Example: natsdb demo --archive NATS-tss-v1_0-3ffb9-simple
    """
    import natsdb
    from natsdb.cli.answers import table
    from natsdb.cli.archives import _progress
    from natsdb.ingest import collect, ingest

    found = archive or _archives()
    database = out / ("db" if found else "db-embedded")
    about = _OFFICIAL if found else _REGENERATED
    if found:
        print(f"ingesting {', '.join(map(str, found))} (all of a space takes minutes)")
        with _progress("rows") as progress:
            report = ingest(list(found), database, progress=progress)
    else:
        runs = len(list(EMBEDDED.glob("runs/*/*/*.json")))
        print(f"no official archive here: {runs} runs that natsdb trained itself serve")
        report = collect(EMBEDDED / "runs", database)
    print(f"{report.archs:,} architectures, {report.rows:,} rows in {report.seconds:.1f} s → {database}\n")
    with natsdb.connect(database) as connection:
        for title, statement in _questions(about):
            started = time.perf_counter()
            frame = connection.sql(statement).pl()
            spent = (time.perf_counter() - started) * 1000
            print(f"── {title}\n{statement}\n\n{table(frame.head(12))}\n({len(frame)} rows, {spent:.0f} ms)\n")
        picture = _draw(connection, about, out / "natsdb.png")
    if picture is not None:
        print(f"picture: {picture}")
    if not found:
        print("all accuracies above are of reduced runs (source = 'regenerated'): not those of the paper")
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


def _draw(connection: Any, about: _Asked, path: Path) -> Path | None:
    from natsdb import plot
    from natsdb.schema.errors import NatsdbError

    try:
        asked = (about.dataset, about.split, about.hp)
        best = connection.execute("select arch from best(?, ?, ?, k := 1)", asked).fetchall()
        if not best:
            return None
        left = plot.scatter(connection, "tss", *asked)
        return plot.save(left | plot.curves(connection, "tss", best[0][0], about.dataset, about.hp), path)
    except NatsdbError as error:
        print(f"no picture: {error}", file=sys.stderr)
        return None
