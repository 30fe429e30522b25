-- trajectory: a row is a moment of a search: how good the best architectures of its runs are by then at full training.
-- Key: search, role, moment. 150 moments, equally far apart, from 1/150 of the budget, without one of the run's end; of
-- weight sharing (hp null) a moment an epoch. seconds: mean over runs (simulated, or of the device); accuracy (percent),
-- accuracy_std: mean and population standard deviation over runs; between a run's evaluations accuracies lie on a straight
-- line, before the first and after the last they stay. label: as in search_about.
create or replace view trajectory as
with
score as materialized (
    select
        about.search,
        every.role,
        every.arch,
        every.accuracy
    from main.search_about as about
    inner join main.full_accuracy as every on every.space = about.space and every.dataset = about.dataset
),
moment as (
    select
        run.search,
        run.run,
        unnest(range(1, 151)) as moment,
        moment * coalesce(run.budget, run.seconds) / 150 as seconds
    from main.search_run as run
    where run.hp is not null
),
step as (
    select
        one.search,
        one.run,
        one.seconds,
        one.best,
        lead(one.seconds, 1, one.seconds) over (partition by one.search, one.run order by one.step) as next_seconds,
        lead(one.best, 1, one.best) over (partition by one.search, one.run order by one.step) as next_best
    from main.search_step as one
),
start as (
    select
        one.search,
        one.run,
        one.best
    from main.search_step as one
    where one.step = 0
),
placed as (
    select
        moment.search,
        moment.run,
        moment.moment,
        moment.seconds,
        coalesce(step.best, start.best) as best,
        coalesce(step.next_best, start.best) as next_best,
        case
            when step.next_seconds > step.seconds
                then (moment.seconds - step.seconds) / (step.next_seconds - step.seconds)
            else 0
        end as share
    from moment
    inner join start on start.search = moment.search and start.run = moment.run
    asof left join step
        on step.search = moment.search and step.run = moment.run and step.seconds <= moment.seconds
    union all
    select
        one.search,
        one.run,
        one.step as moment,
        one.seconds,
        one.best,
        one.best as next_best,
        0 as share
    from main.search_step as one
    inner join main.search_run as run on run.search = one.search and run.run = one.run
    where run.hp is null
),
begun as materialized (
    -- Of all three in one join the planner takes score by itself first: all pairs of architectures, 18 GB for all of tss.
    select
        placed.search,
        placed.moment,
        placed.seconds,
        placed.next_best,
        placed.share,
        mine.role,
        mine.accuracy
    from placed
    inner join score as mine on mine.search = placed.search and mine.arch = placed.best
),
judged as (
    select
        begun.search,
        begun.moment,
        begun.seconds,
        begun.role,
        begun.accuracy + (other.accuracy - begun.accuracy) * begun.share as accuracy
    from begun
    inner join score as other
        on
            other.search = begun.search
            and other.role = begun.role
            and other.arch = begun.next_best
)
select
    about.search,
    about.label,
    about.algorithm,
    about.space,
    about.dataset,
    about.hp,
    about.budget,
    judged.role,
    judged.moment,
    avg(judged.seconds) as seconds,
    avg(judged.accuracy) as accuracy,
    stddev_pop(judged.accuracy) as accuracy_std,
    count(*) as runs
from judged
inner join main.search_about as about on about.search = judged.search
group by all
