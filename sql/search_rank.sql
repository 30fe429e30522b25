-- search_rank: a row is the mean rank of a label's search among all searches with a budget, at a moment of
-- search_regret. Key: space, dataset, role, label, moment. A block is a run's number on a data set: in it the runs of
-- that number are ranked by regret, 1 for the least; equal ones share the mean of their ranks. (Runs of a number have
-- nothing else in common.) Only blocks count in which every label is judged: `runs` blocks, of `searches` labels.
-- dataset: of a data set's blocks, or 'all': of those of all data sets, of the labels that are on each. mean_rank,
-- regret (percentage points): means over these blocks; area_rank, area: the same of the area up to the moment. Of
-- several searches of a label that of most runs counts; searches of other budgets are compared at the same share of
-- their own.
create or replace view search_rank as
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
    from search_regret as run
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
