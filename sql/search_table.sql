-- search_table: a row is an algorithm, or what to hold it against, as in Table 4 of NATS-Bench.
-- Key: space, label. Accuracies in percent at full training as text, mean ± population standard deviation over several runs; valid,
-- test and both are the roles of full_accuracy. Of several searches of a label on a data set the one of most runs counts.
-- Where only some runs can be judged, or only some architectures of the space are there, it says how many: (5 of 50).
-- coverage: the same of the column that has the fewest, for every row but a single architecture's.
-- Rows to hold against: ResNet (tss: the cell that is a residual block), largest (sss: 64:64:64:64:64), optimal (the best of
-- the space in each column by itself) and mean of the space.
create or replace view search_table as
with
result as (
    select
        search_result.space,
        search_result.label,
        search_result.dataset,
        search_result.role,
        search_result.runs,
        search_result.judged,
        search_result.accuracy,
        search_result.accuracy_std,
        1 as part
    from search_result
    qualify
        row_number() over (
            partition by search_result.space, search_result.label, search_result.dataset, search_result.role
            order by search_result.runs desc, search_result.search
        ) = 1
),
named as (
    select
        arch.space,
        arch.arch,
        case arch.space when 'tss' then 'ResNet' else 'largest' end as label
    from arch
    where
        arch.arch_str in (
            '|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|skip_connect~2|', '64:64:64:64:64'
        )
),
score as materialized (
    select
        every.space,
        every.dataset,
        every.role,
        every.arch,
        every.accuracy
    from full_accuracy as every
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
    cell.label,
    max(case when cell.part in (3, 4) then cell.judged else cell.runs end) as runs,
    any_value(cell.said) filter (cell.dataset = 'cifar10' and cell.role = 'valid') as cifar10_valid,
    any_value(cell.said) filter (cell.dataset = 'cifar10' and cell.role = 'test') as cifar10_test,
    any_value(cell.said) filter (cell.dataset = 'cifar100' and cell.role = 'valid') as cifar100_valid,
    any_value(cell.said) filter (cell.dataset = 'cifar100' and cell.role = 'test') as cifar100_test,
    any_value(cell.said) filter (cell.dataset = 'cifar100' and cell.role = 'both') as cifar100_both,
    any_value(cell.said) filter (cell.dataset = 'ImageNet16-120' and cell.role = 'valid') as imagenet_valid,
    any_value(cell.said) filter (cell.dataset = 'ImageNet16-120' and cell.role = 'test') as imagenet_test,
    any_value(cell.said) filter (cell.dataset = 'ImageNet16-120' and cell.role = 'both') as imagenet_both,
    case
        when cell.part != 2
            then format('{:,} of {:,}', min(cell.judged), arg_min(cell.runs, cell.judged))
    end as coverage
from cell
group by cell.space, cell.label, cell.part
order by cell.space desc, cell.part, cell.label
