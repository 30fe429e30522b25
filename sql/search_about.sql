-- search_about: a row is a search: what was run, and how often. Key: search. runs: how many; steps, seconds: mean over
-- them. foremost: whether of all searches of its label on the data set it is that of most runs. label: the algorithm
-- with those of its options, schedule, budget and seed that are not the published ones.
create or replace view search_about as
with
about as (
    select
        run.search,
        any_value(run.algorithm) as algorithm,
        any_value(run.space) as space,
        any_value(run.dataset) as dataset,
        any_value(run.hp) as hp,
        any_value(run.options) as options,
        any_value(run.budget) as budget,
        any_value(run.seed) as seed,
        count(*) as runs,
        avg(run.steps) as steps,
        avg(run.seconds) as seconds
    from main.search_run as run
    group by run.search
),
labelled as (
    select
        about.search,
        about.algorithm
        || case when about.options = '{}' then '' else ' ' || replace(trim(about.options, '{}'), '"', '') end
        || case when about.hp = '12' then '' else coalesce(' hp ' || about.hp, '') end
        || case when about.budget = published.budget then '' else coalesce(format(' budget {:g}', about.budget), '') end
        || case when about.hp is not null and about.seed != 0 then ' seed ' || about.seed else '' end as label,
        about.* exclude (search)
    from about
    left join main.search_budget as published on published.space = about.space and published.dataset = about.dataset
)
select
    labelled.*,
    row_number() over (
        partition by labelled.space, labelled.dataset, labelled.label
        order by labelled.runs desc, labelled.search
    ) = 1 as foremost
from labelled
