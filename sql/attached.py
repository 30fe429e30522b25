"""Views of the tables that were attached to a database, and what they measure: in long form, and by name.

For each table a view of its name. `measure`: every numeric measure of all of them, and of the catalogue, in long form;
`measured(name)`: one of them, from the table that has it. A measure is called TABLE.COLUMN, in a table with further key
columns TABLE.COLUMN.VALUE… of these, in the catalogue flops and params (millions, by formula).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from natsdb.schema.datasets import DATASETS
from natsdb.schema.tables import TABLES
from natsdb.sql.quoted import quoted_name, quoted_text, quoted_texts
from natsdb.store.manifest import Attached, Manifest, Measure

_NUMERIC = ("INTEGER", "BIGINT", "DOUBLE")
_CATALOGUE = ("flops", "params")
# Each part of `measured` asks this, so that no condition on its rows can leave the question out.
_KNOWN = "known_measure(measure)"
# The keys that every table has, in the view `measure` too.
_KEY = ("space", "arch", "dataset")


def numeric(table: Attached) -> list[str]:
    """Names of a table's columns that are measures and numbers."""
    return [one.name for one in table.measures if one.type in _NUMERIC]


def measure_of(name: str, attached: Iterable[Attached]) -> Measure | None:
    """What a measure is, by its name in the view `measure`; None where no table has it."""
    for own in TABLES["arch_cost"].columns:
        if own.name == name and name in _CATALOGUE:
            return Measure(name, own.type, own.meaning)
    for table in attached:
        for one in table.measures:
            column, further = f"{table.name}.{one.name}", bool(_further(table))
            if one.type in _NUMERIC and (name.startswith(f"{column}.") if further else name == column):
                value = name.removeprefix(column).removeprefix(".")
                return replace(one, name=name, meaning=f"{one.meaning or one.name}{', ' + value if value else ''}")
    return None


def measure_views(manifest: Manifest) -> list[str]:
    """SQL of the view `measure` (space, arch, dataset, name, value) and of the macro `measured(measure)`, the rows
    (space, arch, dataset, value) of one name.

    What a table does not say is left out, not null. A table without data sets is of each of them; a data set of which
    it has no rows has those of another one that has the same images, as cifar10-valid has those of cifar10.
    """
    tables = [table for table in manifest.attached if numeric(table)]
    long = [_long(table) for table in tables]
    long += [
        f"select c.space, c.arch, c.dataset, '{name}' as name, c.{name} as value from main.arch_cost as c"
        for name in _CATALOGUE
    ]
    named = [_named(table) for table in tables]
    chosen = _chosen((name, f"c.{name}") for name in _CATALOGUE)
    named.append(
        f"select c.space, c.arch, c.dataset, {chosen} as value from main.arch_cost as c "
        f"where {_KNOWN} in ({quoted_texts(_CATALOGUE)})"
    )
    known = " or ".join([f"measure in ({quoted_texts(_CATALOGUE)})", *(_is_of(table, "measure") for table in tables)])
    unknown = "error('there is no measure ' || measure || ': `select distinct name from measure` lists them')"
    return [
        f"create or replace view measure as {' union all '.join(long)}",
        "create or replace macro known_measure(measure) as "
        f"case when measure is null or {known} then measure else {unknown} end",
        "create or replace macro measured(measure) as table "
        f"select found.* from ({' union all '.join(named)}) as found where found.value is not null",
    ]


def _long(table: Attached) -> str:
    # As UNPIVOT does it; but its bare names would be bound to the parameters of a macro that reads the view.
    measures = numeric(table)
    further = "".join(f" || '.' || t.{quoted_name(column)}::varchar" for column in _further(table))
    names = ", ".join(f"({quoted_text(f'{table.name}.{one}')}, {number})" for number, one in enumerate(measures))
    cases = " ".join(f"when {number} then t.{quoted_name(one)}::double" for number, one in enumerate(measures))
    dataset, joined = _datasets(table, "t")
    value = f"case one.number {cases} end"
    columns = f"t.space, t.arch, {dataset} as dataset, one.name{further} as name, {value} as value"
    every = f"cross join (values {names}) as one (name, number)"
    return f"select {columns} from {_view(table)} as t {joined} {every} where {value} is not null"


def _named(table: Attached) -> str:
    """Query of one measure; of the other columns nothing is read, as the name is known when DuckDB plans it."""
    further = _further(table)
    dataset, joined = _datasets(table, "t")
    if further:
        long = _long(table)
        return f"select one.space, one.arch, one.dataset, one.value from ({long}) as one where one.name = {_KNOWN}"
    chosen = _chosen((f"{table.name}.{one}", f"t.{quoted_name(one)}::double") for one in numeric(table))
    return (
        f"select t.space, t.arch, {dataset} as dataset, {chosen} as value "
        f"from {_view(table)} as t {joined} where {_is_of(table, _KNOWN)}"
    )


def _chosen(values: Iterable[tuple[str, str]]) -> str:
    """The value of the measure that is asked for, of a table's (name, SQL of the value); an error of one that no table
    has."""
    # The name is compared as it is: DuckDB would write `known_measure(…)` out in every branch.
    cases = " ".join(f"when {quoted_text(name)} then {value}" for name, value in values)
    return f"case when {_KNOWN} = measure then case measure {cases} end else {_KNOWN}::double end"


def _view(table: Attached) -> str:
    # With its schema: by a bare name a macro that reads this, or a question, may mean one of its own (`with result`).
    return f"main.{quoted_name(table.name)}"


def _is_of(table: Attached, measure: str) -> str:
    names = [f"{table.name}.{one}" for one in numeric(table)]
    if _further(table):
        return "(" + " or ".join(f"starts_with({measure}, {quoted_text(f'{name}.')})" for name in names) + ")"
    return f"{measure} in ({quoted_texts(names)})"


def _further(table: Attached) -> list[str]:
    return [column for column in table.key if column not in _KEY]


def _datasets(table: Attached, rows: str) -> tuple[str, str]:
    """The data set of a row, and the join that gives it."""
    if "dataset" not in table.key:
        return "each.dataset", f"cross join (values {_rows((name,) for name in DATASETS)}) as each (dataset)"
    pairs = [(name, name) for name in table.datasets]
    for name in DATASETS:
        alike = [one for one in table.datasets if one in DATASETS and DATASETS[one].short == DATASETS[name].short]
        if name not in table.datasets and alike:
            pairs.append((alike[0], name))
    return "each.dataset", f"inner join (values {_rows(pairs)}) as each (has, dataset) on each.has = {rows}.dataset"


def _rows(rows: Iterable[tuple[str, ...]]) -> str:
    return ", ".join(f"({quoted_texts(row)})" for row in rows)
