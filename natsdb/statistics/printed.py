"""Comparisons as text, Markdown, LaTeX and CSV."""

from __future__ import annotations

import io
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from natsdb.schema.errors import NatsdbError

if TYPE_CHECKING:
    import polars as pl

    from natsdb.statistics.comparing import Comparison

FORMATS = ("text", "markdown", "latex", "csv")
# What a cell shows: mean ± standard deviation, the mean with its interval, the median with its interval.
CELLS = ("std", "mean", "median")
_MEASURES = {
    "accuracy": "accuracy in percent at full training",
    "regret": "regret to the best of the space in percentage points",
    "area": "area under the curve of regret over the logarithm of time, in percentage points",
}
# In front of a number that is the best, or does not differ from it, where text cannot be bold.
_BEST = "*"
_TEX = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    **{character: f"\\{character}" for character in "_%&#{}$"},
}


def printed(comparison: Comparison, format: str = "text", cell: str = "std") -> str:
    """The table of a comparison: a row a search, its mean rank, and a column a data set; of CSV, all numbers of
    `Comparison.results` in a row a search and data set.

    Args:
        format: text, markdown, latex (a `table` that needs the package booktabs) or csv.
        cell: std: mean ± population standard deviation; mean, median: that and its bootstrap interval. Best numbers,
            and those that do not differ from them significantly, are bold, in text with a star.

    Raises:
        NatsdbError: there is no such format or cell.
    """
    _check("format", format, FORMATS)
    _check("cell", cell, CELLS)
    if format == "csv":
        return _csv(comparison.results.join(comparison.ranks.rename({"mean_rank": "mean_rank_of_all"}), on="label"))
    by_key = {(row["label"], row["dataset"]): row for row in comparison.results.to_dicts()}
    heads = ["search", "mean rank", *comparison.datasets]
    lines = [
        [(label, False), (f"{rank:.2f}", False)]
        + [(_cell(by_key[label, name], cell), by_key[label, name]["best"]) for name in comparison.datasets]
        for label, rank in comparison.ranks.rows()
    ]
    return _written(heads, lines, [*_about(comparison, cell), *comparison.notes], format, "searches")


def printed_pairs(comparison: Comparison, format: str = "text") -> str:
    """The pairs of a comparison over all its blocks; of CSV, those of each data set too. Format and errors as in
    `printed`.

    Significant p are bold, in text with a star.
    """
    _check("format", format, FORMATS)
    if format == "csv":
        return _csv(comparison.pairs)
    level = 1 - comparison.confidence
    lines = [
        [
            (row["a"], False),
            (row["b"], False),
            (f"{row['better']:,}", False),
            (f"{row['equal']:,}", False),
            (f"{row['worse']:,}", False),
            (said_p(row["p_holm"]), row["p_holm"] < level),
            (f"{row['a12']:.3f}", False),
            (row["magnitude"], False),
        ]
        for row in comparison.pairs.to_dicts()
        if row["dataset"] == "all"
    ]
    heads = ["a", "b", "a better", "equal", "b better", "p", "A12", "effect"]
    about = [
        f"{_subject(comparison)}: in how many of {comparison.blocks:,} blocks (run × data set) either is better",
        "p: Wilcoxon's signed-rank test, with Holm's correction",
        "A12 (Vargha and Delaney): how probably a run of a is better than one of b",
    ]
    return _written(heads, lines, [*about, *comparison.notes], format, "pairs")


def said_p(p: float) -> str:
    """A p value to three decimals."""
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def said_friedman(comparison: Comparison) -> str:
    """The sentence on Friedman's test; nothing where there was none."""
    if comparison.friedman is None:
        return ""
    statistic, p = comparison.friedman
    equal = "" if p < 0.001 else "= "
    freedom = len(comparison.labels) - 1
    return f"Friedman's test: chi-squared({freedom}) = {statistic:.1f}, p {equal}{said_p(p)}"


def _subject(comparison: Comparison) -> str:
    return f"{comparison.space}, {comparison.role} {_MEASURES[comparison.by]}"


def _about(comparison: Comparison, cell: str) -> list[str]:
    """What a table shows: sentences without their stops."""
    share = f"{100 * comparison.confidence:g} %"
    runs = sorted({*comparison.results["runs"]})
    of = f"{runs[0]:,}" if len(runs) == 1 else f"{runs[0]:,} to {runs[-1]:,}"
    shown = {
        "std": "mean ± standard deviation",
        "mean": f"mean and its {share} bootstrap interval",
        "median": f"median and its {share} bootstrap interval",
    }
    said = [
        f"{_subject(comparison)}: {shown[cell]} of {of} runs",
        f"Mean rank: of {comparison.blocks:,} blocks (run × data set), 1 is best",
        "BEST: the best mean, and those that do not differ from it (Wilcoxon, Holm, "
        f"level {1 - comparison.confidence:.3g})",
    ]
    return [*said, *filter(None, [said_friedman(comparison)])]


def _cell(row: dict[str, Any], cell: str) -> str:
    if cell == "std":
        return f"{row['mean']:.2f} ± {row['std']:.2f}"
    low, high = ("low", "high") if cell == "mean" else ("median_low", "median_high")
    return f"{row[cell]:.2f} [{row[low]:.2f}, {row[high]:.2f}]"


def _csv(frame: pl.DataFrame) -> str:
    file = io.StringIO()
    frame.write_csv(file)
    return file.getvalue()


def _written(heads: list[str], lines: list[list[tuple[str, bool]]], about: list[str], format: str, name: str) -> str:
    """A table; its texts are to the left, its numbers to the right, and what it shows stands below, in LaTeX above."""
    texts = [all(not line[n][0][:1].isdigit() and line[n][0][:1] != "<" for line in lines) for n in range(len(heads))]
    write: Callable[..., str] = {"text": _text, "markdown": _markdown, "latex": _latex}[format]
    return write(heads, lines, about, texts, name)


def _text(heads: list[str], lines: Any, about: list[str], texts: Sequence[bool], name: str) -> str:
    rows = [heads, *([f"{_BEST * best}{text}" for text, best in line] for line in lines)]
    widths = [max(len(row[n]) for row in rows) for n in range(len(heads))]
    aligned = [
        "  ".join(
            text.ljust(wide) if left else text.rjust(wide) for text, wide, left in zip(row, widths, texts, strict=True)
        )
        for row in rows
    ]
    rule = "─" * (sum(widths) + 2 * (len(widths) - 1))
    said = [one.replace("BEST", _BEST) for one in about]
    return "\n".join(line.rstrip() for line in [aligned[0], rule, *aligned[1:], "", *said]) + "\n"


def _markdown(heads: list[str], lines: Any, about: list[str], texts: Sequence[bool], name: str) -> str:
    def row(cells: Sequence[str]) -> str:
        return f"| {' | '.join(cells)} |"

    def safe(text: str) -> str:
        return "".join(f"\\{character}" if character in "\\|*_`<" else character for character in text)

    rule = row(["---" if left else "---:" for left in texts])
    body = [row([f"**{safe(text)}**" if best else safe(text) for text, best in line]) for line in lines]
    said = [safe(one).replace("BEST", "Bold") + "." for one in about]
    return "\n".join([row(heads), rule, *body, "", *said]) + "\n"


def _latex(heads: list[str], lines: Any, about: list[str], texts: Sequence[bool], name: str) -> str:
    def row(cells: Sequence[str]) -> str:
        return f"    {' & '.join(cells)} \\\\"

    body = [row([f"\\textbf{{{_tex(text)}}}" if best else _tex(text) for text, best in line]) for line in lines]
    caption = " ".join(_tex(one).replace("BEST", "Bold") + "." for one in about)
    return (
        "\n".join(
            [
                "% needs \\usepackage{booktabs}",
                "\\begin{table}[t]",
                "  \\centering",
                f"  \\caption{{{caption}}}",
                f"  \\label{{tab:{name}}}",
                f"  \\begin{{tabular}}{{{''.join('l' if left else 'r' for left in texts)}}}",
                "    \\toprule",
                row([_tex(head) for head in heads]),
                "    \\midrule",
                *body,
                "    \\bottomrule",
                "  \\end{tabular}",
                "\\end{table}",
            ]
        )
        + "\n"
    )


def _tex(text: str) -> str:
    """Text for LaTeX. Its signs are those of mathematics; a bracket after `\\\\` would be an argument."""
    text = "".join(_TEX.get(character, character) for character in text)
    for sign, of in (("±", "$\\pm$"), ("×", "$\\times$"), ("<", "$<$"), ("chi-squared", "$\\chi^2$")):
        text = text.replace(sign, of)
    return text


def _check(kind: str, name: str, known: tuple[str, ...]) -> None:
    if name not in known:
        raise NatsdbError(f"there is no {kind} {name!r}", remedy=f"choose {', '.join(known)}")
