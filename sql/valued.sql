-- valued(measures, dataset, split, hp, space): a row is an architecture that has a value of each of one to three measures.
-- Key: arch. measures: a list of names: 'accuracy', the mean after the last epoch on the split; 'flops', 'params' (millions),
-- 'latency' (seconds for 256 images), 'train_seconds' (an epoch), as in mean_cost; any other as in the view measure. value_1,
-- value_2, value_3: in this order, null where there is no such measure; NaN is no value. source: of what archives recorded.
create or replace macro valued(measures, dataset, split, hp, space) as table
with
recorded as (
    -- Conditions on measures alone are known when DuckDB plans: of tables that have none of them nothing is read.
    select
        result.arch,
        'accuracy' as name,
        result.accuracy as value,
        result.source
    from main.mean_final as result
    where
        'accuracy' in (measures[1], measures[2], measures[3])
        and result.space = space
        and result.hp = hp::varchar
        and result.dataset = dataset
        and result.split = split
    union all
    select
        spent.arch,
        one.name,
        case one.name
            when 'flops' then spent.flops
            when 'params' then spent.params
            when 'latency' then spent.latency
            else spent.train_seconds
        end as value,
        spent.source
    from main.mean_cost as spent
    inner join (values ('flops'), ('params'), ('latency'), ('train_seconds')) as one (name)
        on one.name in (measures[1], measures[2], measures[3])
    where
        list_has_any(['flops', 'params', 'latency', 'train_seconds'], measures)
        and spent.space = space
        and spent.hp = hp::varchar
        and spent.dataset = dataset
),
attached as (
    select
        found.arch,
        found.name,
        found.value,
        null as source
    from main.measure as found
    where
        found.name in (attached_name(measures[1]), attached_name(measures[2]), attached_name(measures[3]))
        and found.name not in ('flops', 'params')
        and not list_has_all(['accuracy', 'flops', 'params', 'latency', 'train_seconds'], measures)
        and found.space = space
        and found.dataset = dataset
),
listed as (
    -- What is asked is said row by row: DuckDB takes a macro's parameters beside aggregates for columns.
    select
        one.arch,
        one.value,
        one.source,
        one.name = measures[1] as is_1,
        one.name = measures[2] as is_2,
        one.name = measures[3] as is_3,
        measures[2] is not null as has_2,
        measures[3] is not null as has_3
    from (from recorded union all from attached) as one
    where not isnan(one.value)
),
each as (
    select
        listed.arch,
        any_value(listed.value) filter (listed.is_1) as value_1,
        any_value(listed.value) filter (listed.is_2) as value_2,
        any_value(listed.value) filter (listed.is_3) as value_3,
        any_value(listed.source) as source,
        bool_or(listed.has_2) as has_2,
        bool_or(listed.has_3) as has_3
    from listed
    group by listed.arch
)
select
    each.arch,
    each.value_1,
    each.value_2,
    each.value_3,
    each.source
from each
where
    each.value_1 is not null
    and (each.value_2 is not null or not each.has_2)
    and (each.value_3 is not null or not each.has_3)
