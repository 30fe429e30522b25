-- search_result: a row is what a search's runs found, judged at full training on one role's images (see full_accuracy).
-- Key: search, role. accuracy (percent): mean over runs; accuracy_std: population standard deviation over those runs
-- that can be judged, `judged` of all `runs` (the database may lack the accuracy of what the others found). A run with
-- a budget counts as the accuracy at the budget, or at its end if that is earlier, on the straight line through the
-- best architectures at its two evaluations that are nearest in time; one without a budget as that of the architecture it
-- found. label: as in search_about.
create or replace view search_result as
with
ended as (
    -- A search may end before its budget: such a run counts as it ended.
    select
        run.search,
        run.run,
        least(run.budget, run.seconds) as seconds
    from main.search_run as run
    where run.budget is not null
),
nearest as (
    select
        step.search,
        step.run,
        unnest(
            min_by(
                {'seconds': step.seconds - ended.seconds, 'best': step.best},
                abs(step.seconds - ended.seconds) + step.step * 1e-9, 2
            ),
            recursive := true
        )
    from main.search_step as step
    inner join ended on ended.search = step.search and ended.run = step.run
    group by step.search, step.run
),
point as (
    select
        nearest.search,
        nearest.run,
        nearest.seconds,
        nearest.best
    from nearest
    union all
    select
        found.search,
        found.run,
        0 as seconds,
        found.arch as best
    from main.search_run as found
    where found.budget is null
),
asked as (
    select distinct
        about.space,
        point.best as arch
    from point
    inner join main.search_about as about on about.search = point.search
),
score as (
    -- The rows of full_accuracy of these architectures, without making those of all.
    select
        run.space,
        run.hp,
        run.dataset,
        run.role,
        run.arch,
        avg(run.accuracy) as accuracy
    from main.judged_final as run
    inner join asked on asked.space = run.space and asked.arch = run.arch
    group by run.space, run.hp, run.dataset, run.role, run.arch
),
judged as (
    select
        point.search,
        point.run,
        score.hp,
        score.role,
        -- Where the straight line through two points is at the budget; a single point is level.
        coalesce(regr_intercept(score.accuracy, point.seconds), avg(score.accuracy)) as accuracy
    from point
    inner join main.search_about as about on about.search = point.search
    inner join score
        on
            score.space = about.space
            and score.dataset = about.dataset
            and score.arch = point.best
    group by all
)
select
    about.search,
    about.label,
    about.algorithm,
    about.space,
    about.dataset,
    judged.hp,
    judged.role,
    avg(judged.accuracy) as accuracy,
    stddev_pop(judged.accuracy) as accuracy_std,
    count(*) as judged,
    about.runs,
    about.budget,
    about.steps,
    about.seconds
from judged
inner join main.search_about as about on about.search = judged.search
group by all
