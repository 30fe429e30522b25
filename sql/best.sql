-- best(dataset, split, hp, max_flops, max_params, k, space, measure, at_most): a row is one of the k architectures of highest
-- mean accuracy after the last epoch, among those of at most max_flops and max_params (millions, as in mean_cost; null for no
-- limit), and whose value of a measure (as in the view measure; column measured) is at most at_most.
-- Key: arch. k is 10, space is tss unless given. NaN is last. coverage: how many architectures of the space have such an
-- accuracy, whatever they cost, as in '3 of 15,625'.
create or replace macro best(
    dataset, split, hp, max_flops := null, max_params := null, k := 10, space := 'tss', measure := null, at_most := null
) as table
with
result as (
    select
        mean_final.*,
        count(*) over () as archs
    from main.mean_final
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
    from main.mean_cost
    where mean_cost.space = space and mean_cost.hp = hp::varchar and mean_cost.dataset = dataset
),
valued as (
    select
        found.arch,
        found.value
    from measured(measure) as found
    where found.space = space and found.dataset = dataset
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
    valued.value as measured,
    names.arch_str,
    result.source,
    coverage_of(result.archs, result.space) as coverage
from result
inner join spent on spent.arch = result.arch
inner join main.arch as names on names.space = result.space and names.arch = result.arch
left join valued on valued.arch = result.arch
where
    (max_flops is null or spent.flops <= max_flops)
    and (max_params is null or spent.params <= max_params)
    and case
        when at_most is null then true
        when measure is null then error('at_most is of a measure: name one, as in measure := ''flops''')
        else valued.value <= at_most
    end
qualify row_number() over (order by nullif(result.accuracy, 'nan'::double) desc nulls last, result.arch) <= k
order by place
