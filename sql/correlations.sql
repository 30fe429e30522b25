-- correlations(dataset, split, hp, top, space, of): a row is a measure (as in the view measure), and how it ranks
-- architectures, beside their mean final accuracy. Key: measure. Highest |spearman| first. archs, spearman, top: as in
-- correlation, which has Kendall's tau too. of: a table whose measures alone are asked, or one measure. The seconds of a
-- measure that is there, NAME_seconds beside NAME, are left out: they rank nothing by intent.
create or replace macro correlations(dataset, split, hp, top := 1.0, space := 'tss', of := null) as table
with
result as (
    select
        mean_final.arch,
        mean_final.accuracy
    from main.mean_final
    where
        mean_final.space = space
        and mean_final.hp = hp::varchar
        and mean_final.dataset = dataset
        and mean_final.split = split
        and not isnan(mean_final.accuracy)
),
pair as (
    -- A name is long to compare, its hash is not.
    select
        one.name,
        hash(one.name) as number,
        one.value,
        result.accuracy
    from main.measure as one
    inner join result on result.arch = one.arch
    where
        one.space = space
        and one.dataset = dataset
        and not isnan(one.value)
        and (of is null or one.name = of or starts_with(one.name, of || '.'))
),
placed as (
    select
        pair.*,
        rank() over (partition by pair.number order by pair.accuracy desc) as place,
        count(*) over (partition by pair.number) as archs
    from pair
),
ranked as (
    select
        placed.name,
        mean_rank(placed.value, placed.number) as of_value,
        mean_rank(placed.accuracy, placed.number) as of_accuracy
    from placed
    where top = 1 or placed.place <= round(share_of(top) * placed.archs)
),
correlated as (
    select
        ranked.name as measure,
        count(*) as archs,
        case
            when min(of_value) < max(of_value) and min(of_accuracy) < max(of_accuracy) then corr(of_value, of_accuracy)
        end as spearman
    from ranked
    group by ranked.name
)
select found.*
from correlated as found
where not exists (from correlated as timed where found.measure = timed.measure || '_seconds')
-- Sums come out in another order each time: what is equal but for that shall stay in one order.
order by round(abs(found.spearman), 9) desc nulls last, found.measure
