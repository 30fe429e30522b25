-- search_cell: a row is an accuracy of search_table, before data sets and roles become columns. Key: space, part, label, dataset, role.
-- part: 1 a search; to hold it against 2 an architecture with a name, 3 the best of the space, 4 its mean. said: accuracy (percent), mean
-- ± population standard deviation over several runs, as text. runs_of_row, coverage: of all cells of a label, see search_table.
create or replace view search_cell as
with
result as (
    select
        found.space,
        found.label,
        found.dataset,
        found.role,
        found.runs,
        found.judged,
        found.accuracy,
        found.accuracy_std,
        1 as part
    from main.search_result as found
    semi join (from main.search_about as about where about.foremost) as counted on counted.search = found.search
),
named as (
    select
        arch.space,
        arch.arch,
        reference.label
    from main.arch
    inner join main.reference_arch as reference
        on reference.space = arch.space and reference.arch_str = arch.arch_str
),
score as materialized (
    select
        every.space,
        every.dataset,
        every.role,
        every.arch,
        every.accuracy
    from main.full_accuracy as every
    where not isnan(every.accuracy)
),
held_against as (
    select
        single.space,
        named.label,
        single.dataset,
        single.role,
        1 as runs,
        1 as judged,
        single.accuracy,
        null::double as accuracy_std,
        2 as part
    from score as single
    inner join named on named.space = single.space and named.arch = single.arch
    union all
    select
        every.space,
        'optimal' as label,
        every.dataset,
        every.role,
        any_value(archs_of(every.space)) as runs,
        count(*) as judged,
        max(every.accuracy) as accuracy,
        null as accuracy_std,
        3 as part
    from score as every
    group by all
    union all
    select
        every.space,
        'mean of the space' as label,
        every.dataset,
        every.role,
        any_value(archs_of(every.space)) as runs,
        count(*) as judged,
        avg(every.accuracy) as accuracy,
        stddev_pop(every.accuracy) as accuracy_std,
        4 as part
    from score as every
    group by all
),
cell as (
    select
        entry.*,
        format('{:.2f}', entry.accuracy)
        || case when entry.judged > 1 then coalesce(format(' ± {:.2f}', entry.accuracy_std), '') else '' end
        || case when entry.judged < entry.runs then format(' ({:,} of {:,})', entry.judged, entry.runs) else '' end as said
    from (from result union all by name from held_against) as entry
)
select
    cell.space,
    cell.part,
    cell.label,
    cell.dataset,
    cell.role,
    cell.runs,
    cell.judged,
    cell.accuracy,
    cell.accuracy_std,
    cell.said,
    max(case when cell.part in (3, 4) then cell.judged else cell.runs end)
        over (partition by cell.space, cell.part, cell.label) as runs_of_row,
    case
        when cell.part != 2
            then format(
                '{:,} of {:,}',
                min(cell.judged) over (partition by cell.space, cell.part, cell.label),
                arg_min(cell.runs, cell.judged) over (partition by cell.space, cell.part, cell.label)
            )
    end as coverage
from cell
