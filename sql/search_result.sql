-- search_result: a row is what a search's runs found, judged at full training on one role's images (see full_accuracy).
-- Key: search, role. accuracy (percent): mean over runs; accuracy_std: population standard deviation over runs; runs: number
-- of runs. A run with a budget counts as the accuracy at the budget on the straight line through the best architectures at
-- its two evaluations that are nearest to it in time; one of weight sharing as that of the architecture it found.
-- label: the algorithm with those of its options that are not the published ones.
create or replace view search_result as
with
nearest as (
    select
        step.search,
        step.run,
        any_value(run.budget) as budget,
        min_by(
            {'seconds': step.seconds, 'best': step.best},
            abs(step.seconds - run.budget) + step.step * 1e-9, 2
        ) as point
    from search_step as step
    inner join search_run as run on run.search = step.search and run.run = step.run
    where run.budget is not null
    group by step.search, step.run
),
read as (
    select
        nearest.search,
        nearest.run,
        nearest.budget,
        nearest.point[1].seconds as seconds,
        nearest.point[1].best as best,
        coalesce(nearest.point[2].seconds, nearest.point[1].seconds) as other_seconds,
        coalesce(nearest.point[2].best, nearest.point[1].best) as other_best
    from nearest
    union all
    select
        found.search,
        found.run,
        null as budget,
        found.seconds,
        found.arch as best,
        found.seconds as other_seconds,
        found.arch as other_best
    from search_run as found
    where found.budget is null
),
judged as (
    select
        read.search,
        read.run,
        mine.hp,
        mine.role,
        case
            when read.other_seconds = read.seconds then mine.accuracy
            else
                mine.accuracy
                + (other.accuracy - mine.accuracy)
                * (read.budget - read.seconds) / (read.other_seconds - read.seconds)
        end as accuracy
    from read
    inner join search_run as run on run.search = read.search and run.run = read.run
    inner join full_accuracy as mine
        on
            mine.space = run.space
            and mine.dataset = run.dataset
            and mine.arch = read.best
    inner join full_accuracy as other
        on
            other.space = mine.space
            and other.dataset = mine.dataset
            and other.role = mine.role
            and other.arch = read.other_best
),
about as (
    select
        run.search,
        any_value(run.algorithm) as algorithm,
        any_value(run.space) as space,
        any_value(run.dataset) as dataset,
        any_value(run.hp) as asked_hp,
        any_value(run.options) as options,
        any_value(run.budget) as budget,
        avg(run.steps) as steps,
        avg(run.seconds) as seconds
    from search_run as run
    group by run.search
)
select
    about.search,
    about.algorithm
    || case when about.options = '{}' then '' else ' ' || replace(trim(about.options, '{}'), '"', '') end
    || case when about.asked_hp = '12' then '' else coalesce(' hp ' || about.asked_hp, '') end as label,
    about.algorithm,
    about.space,
    about.dataset,
    judged.hp,
    judged.role,
    avg(judged.accuracy) as accuracy,
    stddev_pop(judged.accuracy) as accuracy_std,
    count(*) as runs,
    about.budget,
    about.steps,
    about.seconds
from judged
inner join about on about.search = judged.search
group by all
