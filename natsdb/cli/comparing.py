"""Commands that compare searches: compare-searches, and `plot ranks`."""

from __future__ import annotations

import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from natsdb.cli.archives import DbOption, SourceOption
from natsdb.store.writing import whole_file, writing

if TYPE_CHECKING:
    from natsdb.statistics import Comparison


class Layout(StrEnum):
    """How a comparison is written."""

    text = "text"
    markdown = "markdown"
    latex = "latex"
    csv = "csv"


_OF_SUFFIX = {".md": Layout.markdown, ".tex": Layout.latex, ".csv": Layout.csv}
SpaceOption = Annotated[str, typer.Option(help="tss or sss.")]
DatasetOption = Annotated[
    str | None, typer.Option(help="Data sets with commas; all on which every search is if not given.")
]
SearchOption = Annotated[
    list[str] | None,
    typer.Option(
        "--search", help="An algorithm, or a label of `search_table`; may be repeated. All of one budget if none."
    ),
]
RoleOption = Annotated[str, typer.Option(help="Judged on: test, valid or both.")]
ByOption = Annotated[str, typer.Option(help="accuracy or regret at the budget, or area under the curve of regret.")]
ConfidenceOption = Annotated[float, typer.Option(help="Of intervals; 1 - confidence is the level of the tests.")]


def compare_searches(
    space: SpaceOption,
    dataset: DatasetOption = None,
    db: DbOption = None,
    search: SearchOption = None,
    role: RoleOption = "test",
    by: ByOption = "accuracy",
    cell: Annotated[
        str, typer.Option(help="std: mean ± standard deviation; mean, median: with its bootstrap interval.")
    ] = "std",
    pairs: Annotated[
        bool, typer.Option("--pairs", help="Every two searches: Wilcoxon's test with Holm's correction, effect size.")
    ] = False,
    format: Annotated[
        Layout | None, typer.Option(help="How to write the table; by default as OUT's name says (.md, .tex, .csv).")
    ] = None,
    out: Annotated[Path | None, typer.Option("--output", "-o", help="File to write, whole or not at all.")] = None,
    picture: Annotated[
        Path | None, typer.Option("--plot", help="Draw the mean ranks too, as `plot ranks` does (.png, .svg, .html).")
    ] = None,
    confidence: ConfidenceOption = 0.95,
    resamples: Annotated[int, typer.Option(help="Resamples of the bootstrap.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, help="Where the bootstrap's draws come from.")] = 0,
    source: SourceOption = None,
) -> None:
    """Compare searches run by run: mean ranks, tests of significance (Friedman, Wilcoxon), effect sizes, intervals.

    Example: natsdb compare-searches --space tss --format latex -o searches.tex
    """
    from natsdb import plot
    from natsdb.statistics import printed, printed_pairs

    found = _compared(space, dataset, db, search, role, by, confidence, resamples, seed, source)
    chosen = format or _OF_SUFFIX.get(out.suffix if out is not None else "", Layout.text)
    text = printed_pairs(found, chosen.value) if pairs else printed(found, chosen.value, cell)
    if chosen is Layout.csv:
        # Other tables say it themselves.
        for note in found.notes:
            print(f"natsdb: {note}", file=sys.stderr)
    if out is None:
        print(text, end="")
    else:
        with writing(out, "name another file with -o"), whole_file(out) as temporary:
            temporary.write_text(text, encoding="utf-8", newline="")
        print(out)
    if picture is not None:
        drawn = plot.save(plot.ranks(found), picture)
        # What is written to standard output may be a table for another program.
        print(drawn, file=sys.stderr if out is None else sys.stdout)


def plot_ranks(
    space: SpaceOption,
    out: Annotated[Path, typer.Option("--output", "-o", help="Picture to write (.png, .svg, .html).")],
    dataset: DatasetOption = None,
    db: DbOption = None,
    search: SearchOption = None,
    role: RoleOption = "test",
    by: ByOption = "accuracy",
    confidence: ConfidenceOption = 0.95,
    source: SourceOption = None,
) -> None:
    """Draw mean ranks of searches as a critical-difference diagram: bars join those that do not differ (Nemenyi).

    Example: natsdb plot ranks --space tss -o ranks.png
    """
    from natsdb import plot

    found = _compared(space, dataset, db, search, role, by, confidence, 1, 0, source)
    print(plot.save(plot.ranks(found), out))
    for note in found.notes:
        print(f"natsdb: {note}", file=sys.stderr)


def _compared(
    space: str,
    dataset: str | None,
    db: Path | None,
    search: list[str] | None,
    role: str,
    by: str,
    confidence: float,
    resamples: int,
    seed: int,
    source: str | None,
) -> Comparison:
    from natsdb.statistics import compare_searches

    return compare_searches(
        space,
        [one.strip() for one in (dataset or "").split(",") if one.strip()],
        db,
        searches=search or (),
        role=role,
        by=by,
        confidence=confidence,
        resamples=resamples,
        seed=seed,
        source=source,
    )
