"""What the page paints without DuckDB-WASM: small JSON files, made from the database once.

    data/site.json             what there is: points' files, names of sources, schedules and data sets, examples of SQL
    data/archs/SPACE.json      every architecture's operations or channels, as one string of digits
    data/points/N.json         mean accuracy over seeds by split, and cost: a column an array, an entry an architecture
    data/measures/N.json       a measure of attached tables, which the page asks for when it is chosen
    data/searches.json         searches, if there are any (`searches.py`)
    data/runs/SPACE/N.json     architectures N·64 to N·64 + 63: each run's last accuracies
    data/views.sql             views and macros for DuckDB-WASM, which name files from `db/` on

Accuracies are rounded to 4 decimals (so that means which differ by a rounding share a rank), costs to 6, measures to 6
digits: exact ones are what SQL gives. Equal databases give equal files.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import natsdb
from natsdb.connection import open_database
from natsdb.schema.spaces import SPACES
from natsdb.schema.tables import BLOCK
from natsdb.site.searches import write_searches
from natsdb.sql import MACROS, MADE, VIEWS, statements
from natsdb.sql.attached import measure_of
from natsdb.sql.tables import listing
from natsdb.store.choice import rank
from natsdb.store.manifest import Manifest
from natsdb.store.snapshot import Snapshot, in_one

INDEX = "data/site.json"
# Architectures in a file of runs: 30 to 60 kB each.
GROUP = 64
# These need a newer DuckDB than the page's 0.9: lambdas in its present notation, min_by of several, query_table.
NOT_IN_BROWSER = (
    "neighbours",
    "search_regret",
    "search_rank",
    "search_result",
    "search_cell",
    "search_columns",
    "search_table",
    "trajectory",
    "arch_of",
    "arch_numbered",
    "numbers_of",
    "paired",
    "agreement",
    "ranked_searches",
)
SPLITS = ("train", "x-valid", "x-test", "ori-test")

# A row is an architecture's result over the seeds of one source; cost as recorded, else by formula.
_POINTS = """
with
measured as (
    select source, space, hp, arch, dataset, split, avg(accuracy) as accuracy, count(*) as runs
    from counted_final
    group by all
),
result as (
    select
        source, space, hp, arch, dataset, max(runs) as runs,
        max(accuracy) filter (where split = 'train') as "train",
        max(accuracy) filter (where split = 'x-valid') as "x-valid",
        max(accuracy) filter (where split = 'x-test') as "x-test",
        max(accuracy) filter (where split = 'ori-test') as "ori-test"
    from measured
    group by all
),
recorded as (
    select source, space, hp, arch, dataset, avg(flops) as flops, avg(params) as params
    from cost
    group by all
)
select
    arch,
    runs,
    round(coalesce(recorded.flops, arch_cost.flops), 6) as flops,
    round(coalesce(recorded.params, arch_cost.params), 6) as params,
    round(nullif("train", 'nan'), 4) as "train",
    round(nullif("x-valid", 'nan'), 4) as "x-valid",
    round(nullif("x-test", 'nan'), 4) as "x-test",
    round(nullif("ori-test", 'nan'), 4) as "ori-test"
from result
left join recorded using (source, space, hp, arch, dataset)
left join arch_cost using (space, arch, dataset)
where source = $source and space = $space and hp = $hp and dataset = $dataset
order by arch
"""

# A row is an architecture of a space: its runs as JSON, each [source, hp, data set, seed, accuracy by split …], the
# first three by their place in the index.
_RUNS = """
with
run as (
    select
        arch, list_position($sources, source) - 1 as source, list_position($hps, hp) - 1 as hp,
        list_position($datasets, dataset) - 1 as dataset, seed,
        max(value) filter (where split = 'train') as train,
        max(value) filter (where split = 'x-valid') as x_valid,
        max(value) filter (where split = 'x-test') as x_test,
        max(value) filter (where split = 'ori-test') as ori_test
    from (select *, round(nullif(accuracy, 'nan'), 4) as value from counted_final)
    where space = $space and arch // $block = $number
    group by all
)
select
    arch,
    string_agg(
        concat(
            '[', source, ',', hp, ',', dataset, ',', coalesce(seed::varchar, 'null'),
            ',', coalesce(train::varchar, 'null'), ',', coalesce(x_valid::varchar, 'null'),
            ',', coalesce(x_test::varchar, 'null'), ',', coalesce(ori_test::varchar, 'null'), ']'
        ),
        ',' order by source, hp, dataset, seed
    )
from run
group by arch
order by arch
"""

_COSTS = """
select arch, string_agg(concat('["', dataset, '",', round(flops, 6), ',', round(params, 6), ']'), ',' order by dataset)
from arch_cost
where space = $space
group by arch
"""

# A row is a measure of a data set: its finite values, of the architectures that have points, in order.
_MEASURES = """
select
    one.name, one.dataset, list(one.arch order by one.arch) as arch, list(one.value order by one.arch) as value
from measure as one
semi join final on final.space = one.space and final.arch = one.arch and final.dataset = one.dataset
where one.space = $space and isfinite(one.value) and one.name not in ('flops', 'params')
group by all
order by one.name, one.dataset
"""

_EXAMPLES = {
    "Ten best architectures": """
select place, arch, accuracy, seeds, flops, arch_str
from best('{dataset}', '{split}', '{hp}', k := 10, space := '{space}')
""",
    "Pareto front of FLOPs and accuracy": """
select arch, cost as flops, accuracy
from pareto('{dataset}', '{split}', '{hp}', 'flops', space := '{space}')
""",
    "Accuracy by the operation from input to output": """
select edge_3_0, count(*) as archs, avg(accuracy) as accuracy
from mean_final
join topology using (arch)
where space = 'tss' and hp = '{hp}' and dataset = '{dataset}' and split = '{split}'
group by all
order by accuracy desc
""",
    "What is inside": """
select source, space, hp, dataset, count(distinct arch) as archs, count(*) as runs
from seed
group by all
order by all
""",
}
_ALWAYS = {
    "Cheapest channel sizes, by formula": """
select arch, arch_str, flops, params
from arch_cost
join arch using (space, arch)
where space = 'sss' and dataset = 'cifar10'
order by flops
limit 10
""",
}


def write_data(
    folder: Path, snapshot: Snapshot, *, sql: bool, progress: Callable[[str, int, int, int], None] | None = None
) -> None:
    """Write a site's `data/`.

    Args:
        folder: the site's folder.
        snapshot: the database.
        sql: whether the site has DuckDB-WASM.
        progress: is told what is done, and how much of how much.

    Raises:
        NatsdbError: a file of the database is damaged.
    """
    opened: Any = open_database(snapshot, unlocked=False)
    with opened as connection, connection.explaining():
        found = connection.execute(
            "select space, source, hp, dataset, count(distinct arch), bool_or(split != 'train') from final group by all"
        ).fetchall()
        tables = snapshot.manifest.published_sources()
        known = [row for row in found if row[0] in SPACES]
        found = [row[:4] for row in sorted(known, key=lambda row: _first_offered(row, row[1] in tables))]
        spaces = list(dict.fromkeys(row[0] for row in found))
        index: dict[str, Any] = {
            "natsdb": natsdb.__version__,
            "sql": sql,
            "group": GROUP,
            "sizes": {name: space.size for name, space in SPACES.items()},
            "splits": SPLITS,
            "sources": list(dict.fromkeys(row[1] for row in found)),
            "hps": list(dict.fromkeys(row[2] for row in found)),
            "datasets": list(dict.fromkeys(row[3] for row in found)),
        }
        archs = {space: _write_archs(folder, connection, space) for space in SPACES}
        index["points"] = [_write_points(folder, connection, number, *row) for number, row in enumerate(found)]
        for space in SPACES:
            _write_runs(folder, connection, space, archs[space], index if space in spaces else None, progress)
        index["measures"] = _write_measures(folder, connection, spaces, snapshot.manifest)
        index["searches"] = write_searches(folder / "data", connection)
    index["tables"] = {
        name: [column.name for column in table.columns] for name, table in snapshot.manifest.tables().items()
    }
    index["views"] = [name for name in (*VIEWS, *MACROS, *MADE) if name not in NOT_IN_BROWSER]
    index["examples"] = _examples(index["points"])
    if sql:
        (folder / "data" / "views.sql").write_text(browser_sql(snapshot.manifest), encoding="utf-8")
    (folder / INDEX).write_text(json.dumps(index, indent=1) + "\n", encoding="utf-8")


def _first_offered(found: tuple[str, str, str, str, int, bool], published: bool) -> tuple[Any, ...]:
    """Sort key of (space, source, hp, data set, architectures, whether evaluated): the page opens on what covers the
    largest share of a space, in percent, and was evaluated; of equals on a full training of topologies."""
    space, source, hp, dataset, archs, evaluated = found
    share = 100 * archs // SPACES[space].size
    preferred = list(SPACES).index(space), rank(source, published=published), dataset.lower(), -int(hp), dataset
    return not evaluated, -share, -archs if not share else 0, *preferred


def browser_sql(manifest: Manifest) -> str:
    """Views and macros for DuckDB-WASM: a statement ends with a line `;`, files' paths begin with `db/`."""
    kept = [
        text.strip().rstrip(";")
        for text in map(str, statements(lambda paths: listing(f"db/{path}" for path in paths), in_one(manifest)))
        if not any(f"create or replace {kind} {name}" in text for name in NOT_IN_BROWSER for kind in ("view", "macro"))
    ]
    return "\n;\n".join(kept) + "\n"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")


def _write_archs(folder: Path, connection: Any, space: str) -> list[tuple[str, int]]:
    """Writes `archs/SPACE.json`; gives each architecture's official string and canonical index, by index."""
    rows = connection.execute(
        "select arch_str, canonical, coalesce(ops, channels::varchar[]) from arch where space = $space order by arch",
        {"space": space},
    ).fetchall()
    names = sorted({name for row in rows for name in row[2]}, key=lambda name: (len(name), name))
    digit = {name: str(number) for number, name in enumerate(names)}
    text = "".join(digit[name] for row in rows for name in row[2])
    _write(
        folder / "data" / "archs" / f"{space}.json",
        json.dumps({"count": len(rows), "names": names, "digits": text}) + "\n",
    )
    return [(row[0], row[1]) for row in rows]


def _write_points(
    folder: Path, connection: Any, number: int, space: str, source: str, hp: str, dataset: str
) -> dict[str, Any]:
    """Writes `points/N.json`; gives its entry in the index."""
    key = {"space": space, "source": source, "hp": hp, "dataset": dataset}
    frame = connection.sql(_POINTS, params=key).pl()
    frame = frame[[column.name for column in frame if column.null_count() < len(column)]]
    columns = {column.name: column.to_list() for column in frame}
    _write(folder / "data" / "points" / f"{number}.json", json.dumps(columns, separators=(",", ":")) + "\n")
    splits = [split for split in SPLITS if split in columns]
    return {"file": f"{number}.json", **key, "splits": splits, "archs": len(frame)}


def _write_measures(folder: Path, connection: Any, spaces: list[str], manifest: Manifest) -> list[dict[str, Any]]:
    """Writes `measures/N.json`, equal ones once; gives for each measure what it is, and its files by data set."""
    numbers: dict[str, int] = {}
    entries: dict[tuple[str, str], dict[str, Any]] = {}
    for space in spaces:
        for name, dataset, archs, values in connection.execute(_MEASURES, {"space": space}).fetchall():
            # Where all of a space are there, their indexes go without saying.
            known = {} if len(archs) == SPACES[space].size else {"arch": archs}
            columns = known | {"value": [float(f"{value:.6g}") for value in values]}
            text = json.dumps(columns, separators=(",", ":")) + "\n"
            number = numbers.setdefault(text, len(numbers))
            if (space, name) not in entries:
                found = measure_of(name, manifest.attached)
                assert found is not None, name
                meaning = found.meaning.partition(";")[0]
                entries[space, name] = {
                    "space": space,
                    "name": name,
                    "meaning": meaning,
                    "unit": found.unit,
                    "files": {},
                }
            entries[space, name]["files"][dataset] = f"{number}.json"
    for text, number in numbers.items():
        _write(folder / "data" / "measures" / f"{number}.json", text)
    return list(entries.values())


def _write_runs(
    folder: Path,
    connection: Any,
    space: str,
    archs: list[tuple[str, int]],
    index: dict[str, Any] | None,
    progress: Callable[[str, int, int, int], None] | None,
) -> None:
    costs = dict(connection.execute(_COSTS, {"space": space}).fetchall())
    runs: dict[int, str] = {}
    for start in range(0, len(archs), GROUP):
        if start % BLOCK == 0 and index is not None:
            if progress is not None:
                progress(f"runs of {space}", start, len(archs), start)
            key = {name: index[name] for name in ("sources", "hps", "datasets")}
            runs = dict(
                connection.execute(_RUNS, {"space": space, "block": BLOCK, "number": start // BLOCK, **key}).fetchall()
            )
        entries = [
            f'{{"arch":{arch},"arch_str":"{archs[arch][0]}","canonical":{archs[arch][1]},'
            f'"costs":[{costs[arch]}],"runs":[{runs.get(arch, "")}]}}'
            for arch in range(start, min(start + GROUP, len(archs)))
        ]
        _write(folder / "data" / "runs" / space / f"{start // GROUP}.json", "[\n" + ",\n".join(entries) + "\n]\n")


def _examples(points: list[dict[str, Any]]) -> list[dict[str, str]]:
    """Questions about what the database holds: title and SQL. The first piece of points says about what."""
    chosen = _EXAMPLES if points else {}
    point = points[0] if points else {}
    there = point.get("splits", [""])
    split = next((name for name in ("x-valid", "x-test", "ori-test") if name in there), there[0])
    return [
        {"title": title, "sql": text.strip().format(**point, split=split)}
        for title, text in (chosen | _ALWAYS).items()
        if "topology" not in text or point["space"] == "tss"
    ]
