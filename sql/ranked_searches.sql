-- ranked_searches(regrets): a row is the mean rank of a label's search, as in the view search_rank, which says what its columns
-- are. Key: space, dataset, role, label, moment. regrets: the view or table to take regrets from, of the columns of
-- search_regret: who needs both works them out once.
create or replace macro ranked_searches(regrets := 'search_regret') as table
with
curve as materialized (
    select
        run.space,
        run.dataset,
        run.role,
        run.label,
        run.run,
        run.moment,
        run.regret,
        run.area
    from (from query_table(regrets)) as run
    where run.foremost and run.budget is not null and run.area is not null
),
spread as (
    select
        curve.space,
        curve.role,
        curve.label,
        count(distinct curve.dataset) as datasets
    from curve
    group by all
),
everywhere as (
    select
        spread.space,
        spread.role,
        spread.label
    from spread
    qualify spread.datasets = max(spread.datasets) over (partition by spread.space, spread.role)
),
placed as (
    select
        curve.*,
        curve.dataset as within
    from curve
    union all
    select
        curve.*,
        'all' as within
    from curve
    semi join everywhere
        on everywhere.space = curve.space and everywhere.role = curve.role and everywhere.label = curve.label
),
searched as (
    select
        placed.space,
        placed.role,
        placed.within,
        placed.dataset,
        count(distinct placed.label) as searches
    from placed
    group by all
),
block as (
    -- A number for the key of a block: windows over many texts are slow.
    select
        placed.space,
        placed.role,
        placed.within,
        placed.dataset,
        placed.run,
        placed.moment,
        any_value(searched.searches) as searches,
        row_number() over () as number
    from placed
    inner join searched
        on
            searched.space = placed.space
            and searched.role = placed.role
            and searched.within = placed.within
            and searched.dataset = placed.dataset
    group by all
    having count(*) = any_value(searched.searches)
),
ranked as (
    select
        placed.*,
        block.searches,
        mean_rank(placed.regret, block.number) as place,
        mean_rank(placed.area, block.number) as area_place
    from placed
    inner join block
        on
            block.space = placed.space
            and block.role = placed.role
            and block.within = placed.within
            and block.dataset = placed.dataset
            and block.run = placed.run
            and block.moment = placed.moment
)
select
    ranked.space,
    ranked.within as dataset,
    ranked.role,
    ranked.label,
    ranked.moment,
    avg(ranked.place) as mean_rank,
    avg(ranked.regret) as regret,
    avg(ranked.area_place) as area_rank,
    avg(ranked.area) as area,
    count(*) as runs,
    any_value(ranked.searches) as searches
from ranked
group by all
