"""The data card of a published database: `README.md` with the YAML head that the Hugging Face Hub reads."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from natsdb.store.manifest import ATTACHED, Manifest, provenance

TITLE = "NATS-Bench: Benchmarking NAS Algorithms for Architecture Topology and Size"
AUTHORS = ("Xuanyi Dong", "Lu Liu", "Katarzyna Musial", "Bogdan Gabrys")
CITATION = """@article{dong2021nats,
  title   = {{NATS-Bench}: Benchmarking {NAS} Algorithms for Architecture Topology and Size},
  author  = {Dong, Xuanyi and Liu, Lu and Musial, Katarzyna and Gabrys, Bogdan},
  journal = {IEEE Transactions on Pattern Analysis and Machine Intelligence},
  year    = {2021},
  doi     = {10.1109/TPAMI.2021.3054824},
  note    = {arXiv:2009.00437}
}"""
SYNTHETIC = (
    "Rows of source `synthetic` are generated, not measured; no number of them, or of a search on them, is a result."
)

# The table that the Hub's viewer opens first.
_FIRST = "final"
_SIZES = ((10**3, "1K"), (10**4, "10K"), (10**5, "100K"), (10**6, "1M"), (10**7, "10M"), (10**8, "100M"), (10**9, "1B"))


# Source, space and hp.
Place = tuple[str, str, str]


def card(manifest: Manifest, archs: Mapping[Place, int], *, repo: str | None, license: str) -> str:
    """Text of the data card of a published folder, which has so many architectures with runs."""
    tables = held_tables(manifest)
    origins = sources(manifest)
    name = repo or "OWNER/NAME"
    text = [
        _head(manifest, tables, license),
        "# NATS-Bench as tables\n",
        "NATS-Bench (Dong et al., TPAMI 2021) trained 15,625 cell topologies (`tss`) and 32,768 channel sizes (`sss`) "
        "on CIFAR-10, CIFAR-100 and ImageNet16-120 and logged every epoch. These are such runs as Parquet tables, "
        f"written by natsdb; numbers are those of their sources, bit for bit. {_weights(manifest)}\n",
    ]
    if "synthetic" in origins:
        text.append(f"> **Not measurements.** {SYNTHETIC}\n")
    text += [
        "## Rows\n",
        _contents(manifest, archs),
        *(f"- `{source}`: {origin}" for source, origin in origins.items()),
        "",
        "## Load\n",
        "One configuration a table; each has the one split that the loader names `train` (the benchmark's own splits "
        "are the column `split`).\n",
        "```python",
        "from datasets import load_dataset",
        "",
        f'final = load_dataset("{name}", "{_first(tables)}", split="train")',
        "```\n",
        "With [natsdb](https://pypi.org/project/natsdb/), which reads only the bytes that a question needs:\n",
        "```sh",
        "pip install 'natsdb[remote]'",
        f"natsdb sql --db hf://datasets/{name} \"from best('cifar100', 'x-test', '200')\"",
        "```\n",
        "Or in plain SQL:\n",
        "```sql",
        "-- DuckDB",
        "select arch, avg(accuracy) as accuracy",
        f"from read_parquet('hf://datasets/{name}/{pattern('final', manifest)}', hive_partitioning = false)",
        "where space = 'tss' and hp = '200' and dataset = 'cifar100' and split = 'x-test'",
        "group by arch order by accuracy desc limit 10",
        "```\n",
        "`natsdb.json` is the manifest that natsdb reads; `sha256sum -c SHA256SUMS` checks a copy; `croissant.json` "
        "describes it for machines (Croissant 1.1).\n",
        "## Tables\n",
    ]
    for name in tables:
        rows = sum(part.rows for part in manifest.of(name))
        table = manifest.tables()[name]
        text += [
            f"### {name}\n",
            f"A row is {_line(table.row)}; key: {', '.join(table.key)}. {rows:,} rows.\n",
            *(f"{_line(line)}\n" for one in manifest.attached if one.name == name for line in provenance(one)),
            "| column | type | meaning, with its unit |",
            "|---|---|---|",
            *(f"| `{_cell(one.name)}` | {one.type} | {_cell(one.meaning)} |" for one in table.columns),
            "",
        ]
    text += [
        "## Licence\n",
        "The benchmark's authors published it under the MIT licence"
        + (
            "; rows that others published are under the licence of those who did.\n"
            if manifest.published_sources() & set(origins)
            else ".\n"
        ),
        "Times are calibrated by the authors, not raw: the same for all seeds, in proportion to the number "
        "of images.\n",
        "## Citation\n",
        f"```bibtex\n{CITATION}\n```",
    ]
    return "\n".join(text) + "\n"


def held_tables(manifest: Manifest) -> list[str]:
    """Names of the tables that have rows."""
    return [name for name in manifest.tables() if any(part.rows for part in manifest.of(name))]


def pattern(table: str, manifest: Manifest) -> str:
    """Where a table's files are in a published folder, and no others."""
    attached = any(one.name == table for one in manifest.attached)
    return f"{f'{ATTACHED}/' * attached}{table}/**/*.parquet"


def _first(tables: Sequence[str]) -> str:
    return _FIRST if _FIRST in tables else tables[0]


def _weights(manifest: Manifest) -> str:
    if not manifest.weights:
        return "Trained weights are not among them."
    archs = len({(one.space, one.arch) for one in manifest.weights})
    return (
        f"Trained weights of {archs:,} architectures are in `weights/`: a safetensors file for each source and "
        "architecture, tensors named `hp/dataset/seed/name`."
    )


def sources(manifest: Manifest) -> dict[str, str]:
    """Where the rows of each source come from, in words."""
    known = {
        "official": "read from the official archives of NATS-Bench",
        "regenerated": "trained again by natsdb with the official recipe",
        "synthetic": "**generated, not measured**",
        "nas-bench-201": "read from the files of NAS-Bench-201",
        "hpobench": "curves of NAS-Bench-201 as HPOBench extracted them",
        "syne-tune": "curves of Syne Tune's blackbox, in float32",
    }
    found = {}
    for source in sorted({part.source for part in manifest.parts if part.source}):
        # Names of files only: where they lay is nobody's business.
        read = sorted({Path(one.name).name for one in manifest.ingests if one.source == source})
        what = (
            "final accuracies that others published"
            if source in manifest.sources_without_curves()
            else known.get(source, "own rows")
        )
        found[source] = what + (f" ({', '.join(read[:5])}{', …' if len(read) > 5 else ''})" if read else "")
    return found


def _head(manifest: Manifest, tables: Sequence[str], license: str) -> str:
    rows = max(sum(part.rows for part in manifest.of(name)) for name in tables)
    lower = [("n", "")] + [(name, name) for _, name in _SIZES]
    at = sum(rows >= size for size, _ in _SIZES)
    size = "n<1K" if at == 0 else "n>1B" if at == len(_SIZES) else f"{lower[at][0]}<n<{_SIZES[at][1]}"
    lines = [
        "---",
        f"license: {license}",
        "pretty_name: NATS-Bench as tables",
        "language:",
        "- en",
        "tags:",
        "- neural-architecture-search",
        "- NATS-Bench",
        "- tabular",
        *(["- synthetic"] if any(part.source == "synthetic" for part in manifest.parts) else []),
        "size_categories:",
        f"- {size}",
        "configs:",
    ]
    for name in tables:
        lines += [f"- config_name: {name}", f"  data_files: {pattern(name, manifest)}"]
        if name == _first(tables):
            lines.append("  default: true")
    return "\n".join([*lines, "---", ""])


def _contents(manifest: Manifest, archs: Mapping[Place, int]) -> str:
    rows: dict[tuple[str, Place], int] = {}
    for part in manifest.parts:
        key = part.table, (part.source, part.space, part.hp)
        rows[key] = rows.get(key, 0) + part.rows
    held = sorted(place for table, place in rows if table == "seed")
    if not held:
        return "The catalogue only: architectures, costs by formula, data sets, schedules.\n"
    lines = ["| source | space | hp | architectures | runs | rows of metric |", "|---|---|---|---|---|---|"]
    lines += [
        f"| {' | '.join(place)} | {archs[place]:,} | {rows['seed', place]:,} | {rows.get(('metric', place), 0):,} |"
        for place in held
    ]
    return "\n".join(lines) + "\n"


def _line(text: str) -> str:
    """A text that others wrote, in one line."""
    return " ".join(text.split())


def _cell(text: str) -> str:
    return _line(text).replace("|", "\\|")
