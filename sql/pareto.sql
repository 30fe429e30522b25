-- pareto(dataset, split, hp, cost, space): a row is an architecture that no other beats in both mean accuracy and cost.
-- Key: arch. cost is 'flops', 'params' (millions), 'latency' (seconds for 256 images) or 'train_seconds' (an epoch), as in
-- mean_cost, or any other measure (as in the view measure), of which less is better.
-- coverage: how many architectures of the space have both, as in '3 of 15,625'.
create or replace macro pareto(dataset, split, hp, cost, space := 'tss') as table
with
price as (
    select
        spent.arch,
        case cost
            when 'flops' then spent.flops
            when 'params' then spent.params
            when 'latency' then spent.latency
            else spent.train_seconds
        end as value
    from main.mean_cost as spent
    where
        cost in ('flops', 'params', 'latency', 'train_seconds')
        and spent.space = space
        and spent.hp = hp::varchar
        and spent.dataset = dataset
    union all
    select
        found.arch,
        found.value
    from measured(case when cost not in ('latency', 'train_seconds') then cost end) as found
    where
        cost not in ('flops', 'params')
        and found.space = space
        and found.dataset = dataset
),
priced as (
    select
        result.arch,
        result.accuracy,
        result.source,
        price.value as price
    from main.mean_final as result
    inner join price on price.arch = result.arch
    where result.space = space and result.hp = hp::varchar and result.dataset = dataset and result.split = split
),
compared as (
    select
        *,
        max(accuracy) over (
            order by price, accuracy desc, arch
            rows between unbounded preceding and 1 preceding
        ) as best_of_cheaper,
        count(*) over () as archs
    from priced
    where not isnan(price) and not isnan(accuracy)
)
select
    compared.arch,
    compared.price as cost,
    compared.accuracy,
    names.arch_str,
    compared.source,
    coverage_of(compared.archs, names.space) as coverage
from compared
inner join main.arch as names on names.space = space and names.arch = compared.arch
where compared.best_of_cheaper is null or compared.accuracy > compared.best_of_cheaper
order by compared.price
