-- best(dataset, split, hp, max_flops, max_params, k, space): a row is one of the k architectures of highest mean accuracy
-- after the last epoch, among those of at most max_flops and max_params (millions, as in mean_cost; null for no limit).
-- Key: arch. k is 10, space is tss unless given. NaN is last. coverage: how many architectures of the space have such an
-- accuracy, whatever they cost, as in '3 of 15,625'.
create or replace macro best(dataset, split, hp, max_flops := null, max_params := null, k := 10, space := 'tss') as table
with
result as (
    select
        mean_final.*,
        count(*) over () as archs
    from mean_final
    where
        mean_final.space = space
        and mean_final.hp = hp::varchar
        and mean_final.dataset = dataset
        and mean_final.split = split
),
spent as (
    select
        mean_cost.arch,
        mean_cost.flops,
        mean_cost.params,
        mean_cost.latency
    from mean_cost
    where mean_cost.space = space and mean_cost.hp = hp::varchar and mean_cost.dataset = dataset
)
select
    row_number() over (order by nullif(result.accuracy, 'nan'::double) desc nulls last, result.arch) as place,
    result.arch,
    result.accuracy,
    result.accuracy_std,
    result.seeds,
    spent.flops,
    spent.params,
    spent.latency,
    names.arch_str,
    result.source,
    coverage_of(result.archs, result.space) as coverage
from result
inner join spent on spent.arch = result.arch
inner join arch as names on names.space = result.space and names.arch = result.arch
where
    (max_flops is null or spent.flops <= max_flops)
    and (max_params is null or spent.params <= max_params)
qualify row_number() over (order by nullif(result.accuracy, 'nan'::double) desc nulls last, result.arch) <= k
order by place
