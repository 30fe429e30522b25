"""Views over the Parquet files: a table's rows, and those of them that count, by `natsdb.store.choice`.

For each table TABLE: the view TABLE. For one in blocks also, with the block as a column, `all_TABLE`, and
`chosen_TABLE`: of each (space, hp, arch, dataset) the rows of one source. Of `final`, `counted_final` has those rows of
each source that count within it. `chosen_metric` has the rows of the source that has curves; `chosen_at` the same, but
at the last epoch of the schedule those of `chosen_final`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

from natsdb.schema.datasets import DATASETS, searched
from natsdb.schema.encodings import INDEX, STRING, encodings_of
from natsdb.schema.space import Encoding, Space
from natsdb.schema.spaces import SPACES
from natsdb.schema.tables import BLOCK_TABLES, TABLES, Table
from natsdb.sql.quoted import quoted_name, quoted_text, quoted_texts
from natsdb.store.choice import contested, places
from natsdb.store.manifest import Manifest, Part

_MADE = re.compile(r'create or replace (?:view|macro) "?(\w+)')
# What `read_parquet` reads, in SQL, for files by their paths in the database.
Locate = Callable[[Sequence[str]], str]

# Whether a run is a reduced one; where its file, of format 1, does not say so, as `natsdb.store.choice.is_reduced`.
_REDUCED = (
    "coalesce(run.reduced, run.epochs < try_cast(run.hp as integer), false) "
    "or coalesce(run.reduced is null and regexp_matches(run.code, '\"images\": [0-9]'), false)"
)
_RUN = ("source", "space", "hp", "arch", "dataset", "seed")
_CHOSEN_FOR = ("space", "hp", "arch", "dataset")


def table_views(locate: Locate, manifest: Manifest) -> list[str]:
    """SQL of a view with each table's name; for one in blocks, of `all_TABLE` too, with the block as a column.

    The block of an architecture is known, so macros about one architecture name it and read one file of 32: opening a
    file costs 0.25 ms, finding out that it holds other architectures included.
    """
    views = []
    for table in TABLES.values():
        name = f"all_{table.name}" if table.partitioned else table.name
        views.append(_view(name, _rows(table, manifest.of(table.name), locate)))
        if table.partitioned:
            # Columns are qualified: DuckDB binds a view's bare names to the parameters of a macro that reads it.
            columns = ", ".join(f"files.{column.name}" for column in table.columns)
            views.append(_view(table.name, f"select {columns} from {name} as files"))
    return views


def attached_views(locate: Locate, manifest: Manifest) -> list[str]:
    """SQL of a view with each attached table's name."""
    return [_view(f'"{one.name}"', _rows(one.table, manifest.of(one.name), locate)) for one in manifest.attached]


def registered() -> list[str]:
    """SQL of what spaces and data sets are, from their registries, for the views to join.

    Views: `dataset_role` (trained, split, dataset, role), `search_budget` (space, dataset, budget), `reference_arch`
    (space, arch_str, label). Macros: `archs_of(space)`, how many architectures a space has, `coverage_of(archs,
    space)`, as in '3 of 15,625', `last_arch()`, the highest index of any space, `is_halved(dataset)`, whether test
    images are cut in x-valid and x-test, `validation_split_of(dataset)`.
    """
    roles = [(*of, name, role) for name in searched() for role, of in DATASETS[name].roles.items()]
    budgets = [
        (space.name, name, space.budgets.get(name, DATASETS[name].budget))
        for space in SPACES.values()
        for name in searched()
    ]
    # Of architectures that have a name searches are compared with the first of a space.
    references = [
        (space.name, text, label) for space in SPACES.values() for label, text in list(space.references.items())[:1]
    ]
    sizes = {space.name: space.size for space in SPACES.values()}
    halved = [name for name, of in DATASETS.items() if of.halved]
    validated = [name for name, of in DATASETS.items() if "x-valid" in of.splits]
    return [
        _values("dataset_role", ("trained", "split", "dataset", "role"), roles),
        _values("search_budget", ("space", "dataset", "budget"), budgets),
        _values("reference_arch", ("space", "arch_str", "label"), references),
        f"create or replace macro archs_of(space) as {_case('space', sizes)}",
        "create or replace macro coverage_of(archs, space) as format('{:,} of {:,}', archs, archs_of(space))",
        f"create or replace macro last_arch() as {max(sizes.values()) - 1}",
        f"create or replace macro is_halved(dataset) as {_known('dataset', f'dataset in ({quoted_texts(halved)})')}",
        "create or replace macro validation_split_of(dataset) as "
        + _known("dataset", f"case when dataset in ({quoted_texts(validated)}) then 'x-valid' else 'ori-test' end"),
    ]


@dataclass(frozen=True)
class Late:
    """A statement whose end takes a while to make, and is made by `str()` of it; the head has all names in it."""

    head: str
    end: Callable[[], str]

    def __str__(self) -> str:
        return self.head + self.end()


def names_in(statement: str | Late) -> str:
    """The part of a statement that has all the names in it."""
    return statement.head if isinstance(statement, Late) else statement


def made_by(statement: str | Late) -> str:
    """Name of the view or macro that a statement makes."""
    found = _MADE.search(names_in(statement))
    assert found is not None, statement
    return found[1]


def encoded() -> list[str | Late]:
    """SQL of how architectures are written, from the encodings of registered spaces: index, string, those with a form.

    The view `encoded_arch` (space, arch, encoding, text), over `arch`. Macros, which read no table (DuckDB joins by no
    condition that does): `numbers_of(space, text, encoding)`, which architectures a text may stand for in this
    encoding, or in any if it is null, as distinct numbers in the order of all products of choices;
    `arch_numbered(space, number)`, the index.
    """
    written: list[str] = []
    read: list[str] = []
    words: tuple[str, ...]
    for space in SPACES.values():
        for name, of in encodings_of(space).items():
            if name == INDEX:
                text, form, words = "arch.arch::varchar", "", ()
            elif name == STRING:
                text, form, words = "arch.arch_str", _form_of(space), tuple(map(str, space.choices))
            elif of.form:
                text, form, words = _spelled(space, of), of.form, of.words
            else:
                continue
            written.append(
                f"select arch.space, arch.arch, {quoted_text(name)} as encoding, {text} as text from main.arch "
                f"where arch.space = {quoted_text(space.name)}"
            )
            if form:
                asked = f"space = {quoted_text(space.name)} and {_looks('text', name, of)}"
                read.append(f"case when {asked} then {_number(space, form, words, of.ignored, 'text')} end")
    return [
        _view("encoded_arch", " union all ".join(written)),
        f"create or replace macro numbers_of(space, text, encoding) as list_distinct([{', '.join(read)}])",
        Late(
            "create or replace macro arch_numbered(space, number) as ",
            # The number stands there once: it may be a long expression, which DuckDB would bind for each space.
            lambda: f"({_case('space', {one.name: _in_order(one) for one in SPACES.values()})})[number + 1]::integer",
        ),
    ]


_PLACES = re.compile(r"(\{\d+\})")


def _in_order(space: Space) -> str:
    """A list of the indices of all products of choices, in their order."""
    if space.order is None:
        return f"range({space.size})"
    archs = {choices: arch for arch, choices in enumerate(space.order())}
    listed = ",".join(str(archs[choices]) for choices in product(space.choices, repeat=len(space.positions)))
    # One text is parsed a hundred times as fast as so many numbers; it becomes a list once, when a query is planned.
    return f"cast(string_split({quoted_text(listed)}, ',') as bigint[])"


def _form_of(space: Space) -> str:
    """The form of official strings; none where they are not made of choices as they are."""
    form = space.text([f"{{{n}}}" for n in range(len(space.positions))])
    one = [space.choices[n % len(space.choices)] for n in range(len(space.positions))]
    return form if form.format(*one) == space.text(one) else ""


def _looks(text: str, name: str, encoding: Encoding) -> str:
    """Whether a text is read in an encoding, by its looks; the macro's `encoding` is the one that was named, if any."""
    pattern = quoted_text(encoding.named or encoding.pattern)
    named = f"encoding = {quoted_text(name)} and regexp_full_match({text}, {pattern})"
    return f"(encoding is null and regexp_full_match({text}, {quoted_text(encoding.pattern)}) or {named})"


def _spelled(space: Space, encoding: Encoding) -> str:
    """The text of an architecture in an encoding that has a form."""
    choices = "channels" if space.numeric else "ops"
    pieces = []
    for piece in filter(None, _PLACES.split(encoding.form)):
        if not piece.startswith("{"):
            pieces.append(quoted_text(piece))
            continue
        words = [
            f"when {quoted_text(choice) if isinstance(choice, str) else choice} then {quoted_text(word)}"
            for choice, word in zip(space.choices, encoding.words, strict=True)
        ]
        pieces.append(f"case arch.{choices}[{int(piece[1:-1]) + 1}] {' '.join(words)} end")
    return f"concat({', '.join(pieces)})"


def _number(space: Space, form: str, words: Sequence[str], ignored: str, text: str) -> str:
    """The number, among all products of choices, of what a text stands for; null where it is no text of the form.

    One regular expression, with a group for each word, puts the words in the order of positions.
    """
    pattern, places = "", []
    for piece in _PLACES.split(form):
        if piece.startswith("{"):
            places.append(int(piece[1:-1]))
            pattern += f"({'|'.join(map(re.escape, words))})"
        else:
            pattern += re.escape(re.sub(ignored, "", piece) if ignored else piece)
    bare = f"regexp_replace({text}, {quoted_text(ignored)}, '', 'g')" if ignored else text
    names = ", ".join(f"'_{place}'" for place in places)
    listed = quoted_texts(words)
    terms = [
        f"{len(space.choices) ** (len(places) - 1 - place)} * (list_position([{listed}], found._{place}) - 1)"
        for place in range(len(places))
    ]
    found = f"regexp_extract({bare}, {quoted_text(f'^{pattern}$')}, [{names}])"
    return f"list_transform([{found}], lambda found: {' + '.join(terms)})[1]"


def _known(column: str, value: str) -> str:
    """The value for a data set that is registered; an error for others, whose rows it would be wrong for."""
    remedy = "is not registered: import the module that does it, or mend the name"
    unknown = f"error('the data set ' || {column} || ' {remedy}')"
    return f"case when {column} in ({quoted_texts(DATASETS)}) then {value} else {unknown} end"


def search_columns() -> str:
    """SQL of the view `search_columns`: `search_cell` with a column for each data set searched on and role."""
    columns = "".join(
        f", any_value(cell.said) filter (cell.dataset = {quoted_text(name)} and cell.role = {quoted_text(role)})"
        f' as "{DATASETS[name].short}_{role}"'
        for name in searched()
        for role in DATASETS[name].roles
    )
    key = "cell.space, cell.part, cell.label, cell.runs_of_row, cell.coverage"
    return _view("search_columns", f"select {key}{columns} from main.search_cell as cell group by {key}")


def _values(view: str, columns: tuple[str, ...], rows: list[tuple[Any, ...]]) -> str:
    listed = ", ".join(f"({', '.join(quoted_text(v) if isinstance(v, str) else repr(v) for v in row)})" for row in rows)
    return _view(view, f"select * from (values {listed}) as registered ({', '.join(columns)})")


def _case(column: str, values: dict[str, Any]) -> str:
    return f"case {column} {' '.join(f'when {quoted_text(name)} then {value}' for name, value in values.items())} end"


def chosen_views(locate: Locate, manifest: Manifest, source: str | None) -> list[str]:
    """SQL of the views of rows that count; `source`: the only one to choose from, all if None. Before them the macro
    `is_mean(source, seed)`: whether a row is a published mean over seeds, of nobody knows how many.

    Where one source lies alone all its rows count, and nothing is asked run by run: that is decided by file.
    """
    cells, tables = contested(manifest), manifest.sources_without_curves()
    of_tables = f"seed = 0 and source in ({quoted_texts(sorted(tables))})" if tables else "false"
    views = [f"create or replace macro is_mean(source, seed) as {of_tables}"]
    views += [_view("placed_run", _placed_run(locate, manifest, cells))] if cells else []
    views.append(_view("counted_final", _counting("final", locate, manifest, None, "counted")))
    for name in BLOCK_TABLES:
        counts = "chosen_for_curves" if name == "metric" else "chosen"
        views.append(
            _view(f"chosen_{name}", _counting(name, locate, manifest, source, counts if source is None else "counted"))
        )
    inner = "result.epoch < try_cast(result.hp as integer) - 1"
    published = any((part.space, part.hp, part.block) in cells for part in manifest.parts if part.source in tables)
    views.append(
        _view(
            "chosen_at",
            f"select result.* from main.chosen_metric as result where {inner} "
            f"union all select result.* from main.chosen_final as result where not {inner}"
            if published
            else "select * from main.chosen_metric",
        )
    )
    return views


def _view(name: str, query: str) -> str:
    return f"create or replace view {name} as {query}"


def _rows(table: Table, parts: list[Part], locate: Locate) -> str:
    """Query of the rows of files, with all columns of their table; those that a file lacks are null."""
    if not parts:
        typed = [f"null::{column.type} as {quoted_name(column.name)}" for column in table.columns]
        return f"select {', '.join([*typed, *(['0 as block'] if table.partitioned else [])])} where false"
    queries = []
    for columns in dict.fromkeys(part.columns for part in parts):
        listed = locate([part.path for part in parts if part.columns == columns])
        have = {*columns, *(column.name for column in table.columns if column.partition)}
        chosen = [
            f"files.{quoted_name(column.name)}"
            if column.name in have
            else f"null::{column.type} as {quoted_name(column.name)}"
            for column in table.columns
        ]
        if not table.partitioned:
            queries.append(
                f"select {', '.join(chosen)} from read_parquet({listed}, hive_partitioning = false) as files"
            )
            continue
        # Types are said: the hp 01 is not the number 1.
        types = "".join(f"'{column.name}': '{column.type}', " for column in table.columns if column.partition)
        read = f"read_parquet({listed}, hive_partitioning = true, hive_types = {{{types}'block': 'INTEGER'}})"
        queries.append(f"select {', '.join(chosen)}, files.block from {read} as files")
    return " union all ".join(queries)


def listing(files: Iterable[str]) -> str:
    """SQL of a list of files by their names."""
    return f"[{quoted_texts(files)}]"


def _placed_run(locate: Locate, manifest: Manifest, cells: set[tuple[str, str, int]]) -> str:
    """Query: a row is a run of a contested block, and whether it counts. Key: source, space, hp, arch, dataset, seed.

    `counted`: within its source; `chosen`, `chosen_for_curves`: among all.
    """
    parts = [part for part in manifest.of("seed") if (part.space, part.hp, part.block) in cells]
    ranked = ", ".join(
        f"({quoted_text(one.source)}, {one.reduced}, {one.place}, {one.curve_place})".lower()
        for one in places(sorted({part.source for part in parts}), manifest)
    )
    key = ", ".join(f"run.{column}" for column in _RUN)
    each = ", ".join(f"ranked.{column}" for column in _CHOSEN_FOR)
    return f"""
with
place (source, reduced, place, curve_place) as (values {ranked}),
ranked as (
    select {key}, place.place, place.curve_place
    from ({_rows(TABLES["seed"], parts, locate)}) as run
    inner join place on place.source = run.source and place.reduced = ({_REDUCED})
)
select
    ranked.*,
    ranked.place = min(ranked.place) over (partition by ranked.source, {each}) as counted,
    ranked.place = min(ranked.place) over (partition by {each}) as chosen,
    ranked.curve_place = min(ranked.curve_place) over (partition by {each}) as chosen_for_curves
from ranked
"""


def _counting(name: str, locate: Locate, manifest: Manifest, source: str | None, counts: str) -> str:
    """Query of a table's rows, the block as a column, of the runs for which `placed_run` says so in a column."""
    table, tables, cells = TABLES[name], manifest.sources_without_curves(), contested(manifest, source)
    parts = [part for part in manifest.of(name) if source in (None, part.source)]
    doubtful = [part for part in parts if (part.space, part.hp, part.block) in cells]
    records = [part for part in doubtful if part.source not in tables]
    published = [part for part in doubtful if part.source in tables]
    if not doubtful:
        return f"select * from main.all_{name}" if source is None else _rows(table, parts, locate)
    # No `using` and no bare names: DuckDB binds those of a view to the parameters of a macro that reads it.
    counting = f"semi join main.placed_run as run on run.{counts} and {_equal('run', 'every', _RUN)}"
    clear = [part for part in parts if part not in doubtful]
    queries = [_rows(table, clear, locate)] if clear else []
    if records:
        queries.append(f"select every.* from ({_rows(table, records, locate)}) as every {counting}")
    if published:
        # A mean has no seed of its own (0): beside seeds of the same split it would count as one more.
        rows = _rows(table, published, locate)
        key = [column for column in table.key if column not in ("seed", "epoch")]
        of = ", ".join(f"other.{column}" for column in key)
        seeded = f"select distinct {of}, 0 as seed from ({rows}) as other where other.seed != 0"
        without = f"anti join ({seeded}) as seeded on {_equal('seeded', 'every', [*key, 'seed'])}"
        queries.append(f"select every.* from (select every.* from ({rows}) as every {without}) as every {counting}")
    return " union all ".join(queries)


def _equal(a: str, b: str, columns: Iterable[str]) -> str:
    return " and ".join(f"{a}.{column} = {b}.{column}" for column in columns)
