-- search_regret: a row is a moment of a run of a search: how far what it holds is from the best of the space, at full
-- training. Key: search, run, role, moment. Moments: 12, of which the last is the budget and the first 1/100 of it,
-- about one training, so that each comes 1.52 times as late as the one before; without a budget the end of the run
-- stands for it. seconds: simulated, or of the device. arch: what the run holds, its best by validation among
-- the evaluations that are done by then; before the first is done, that one. accuracy, optimum (percent): of arch and
-- of the best architecture of the space on the role's images, see full_accuracy; regret: what is missing, in percentage
-- points. area: the area under the curve of regret over the logarithm of time, from the first moment to this one, by
-- trapezoids, divided by its width: a mean regret in which each factor of time weighs alike; null after a moment that
-- cannot be judged, which has no row. coverage: how many architectures optimum is the best of, as in '3 of 15,625'.
-- label, foremost: as in search_about.
create or replace view search_regret as
with
score as materialized (
    select
        every.space,
        every.dataset,
        every.role,
        every.arch,
        every.accuracy,
        max(every.accuracy) over (partition by every.space, every.dataset, every.role) as optimum,
        every.coverage
    from main.full_accuracy as every
    where not isnan(every.accuracy)
),
ending as (
    select
        run.search,
        run.run,
        coalesce(run.budget, run.seconds) as seconds
    from main.search_run as run
),
passed as (
    -- Written out, each step is looked at once: a fifth of the time that it takes to sort all steps for an asof join.
    select
        step.search,
        step.run,
        any_value(ending.seconds) as ending,
        min_by(step.best, step.step) as first_best,
        [
            max_by(step.best, step.step) filter (where step.seconds <= ending.seconds * pow(100, -1)),
            max_by(step.best, step.step) filter (where step.seconds <= ending.seconds * pow(100, -10 / 11)),
            max_by(step.best, step.step) filter (where step.seconds <= ending.seconds * pow(100, -9 / 11)),
            max_by(step.best, step.step) filter (where step.seconds <= ending.seconds * pow(100, -8 / 11)),
            max_by(step.best, step.step) filter (where step.seconds <= ending.seconds * pow(100, -7 / 11)),
            max_by(step.best, step.step) filter (where step.seconds <= ending.seconds * pow(100, -6 / 11)),
            max_by(step.best, step.step) filter (where step.seconds <= ending.seconds * pow(100, -5 / 11)),
            max_by(step.best, step.step) filter (where step.seconds <= ending.seconds * pow(100, -4 / 11)),
            max_by(step.best, step.step) filter (where step.seconds <= ending.seconds * pow(100, -3 / 11)),
            max_by(step.best, step.step) filter (where step.seconds <= ending.seconds * pow(100, -2 / 11)),
            max_by(step.best, step.step) filter (where step.seconds <= ending.seconds * pow(100, -1 / 11)),
            max_by(step.best, step.step) filter (where step.seconds <= ending.seconds)
        ] as best
    from main.search_step as step
    inner join ending on ending.search = step.search and ending.run = step.run
    group by step.search, step.run
),
held as materialized (
    select
        passed.search,
        passed.run,
        unnest(range(1, 13)) as moment,
        case moment when 12 then passed.ending else passed.ending * pow(100, -(12 - moment) / 11) end as seconds,
        coalesce(unnest(passed.best), passed.first_best) as arch
    from passed
),
judged as (
    select
        about.search,
        held.run,
        about.label,
        about.foremost,
        about.algorithm,
        about.space,
        about.dataset,
        about.budget,
        score.role,
        held.moment,
        held.seconds,
        held.arch,
        score.accuracy,
        score.optimum,
        score.optimum - score.accuracy as regret,
        score.coverage
    from held
    inner join main.search_about as about on about.search = held.search
    inner join score on score.space = about.space and score.dataset = about.dataset and score.arch = held.arch
)
select
    judged.*,
    case
        when count(*) over so_far != judged.moment then null
        when judged.moment = 1 then judged.regret
        else
            (sum(judged.regret) over so_far - (first_value(judged.regret) over so_far + judged.regret) / 2)
            / (judged.moment - 1)
    end as area
from judged
window so_far as (partition by judged.search, judged.run, judged.role order by judged.moment)
