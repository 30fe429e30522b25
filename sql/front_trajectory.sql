-- front_trajectory: a row is a moment of a search with several objectives: what the fronts of its runs are worth by then.
-- Key: search, role, moment. 150 moments, equally far apart, from 1/150 of the budget, in seconds. hypervolume, igd_plus: as in
-- multi_objective_result, means over runs with population standard deviations; a front counts from the end of the evaluation
-- that changed it, and before the first the hypervolume is 0, and igd_plus left out.
create or replace view front_trajectory as
with
entered as (
    select
        front.search,
        front.run,
        front.role,
        step.seconds,
        front.hypervolume,
        front.igd_plus
    from main.search_front as front
    inner join main.search_step as step
        on step.search = front.search and step.run = front.run and step.step = front.step
),
moment as (
    select
        run.search,
        run.run,
        role.role,
        unnest(range(1, 151)) as moment,
        moment * run.budget / 150 as seconds
    from main.search_run as run
    inner join (select distinct one.search, one.role from main.search_front as one) as role on role.search = run.search
),
held as (
    select
        moment.search,
        moment.role,
        moment.moment,
        moment.seconds,
        coalesce(entered.hypervolume, 0) as hypervolume,
        entered.igd_plus
    from moment
    asof left join entered
        on
            entered.search = moment.search
            and entered.run = moment.run
            and entered.role = moment.role
            and entered.seconds <= moment.seconds
),
objective as (
    select
        one.search,
        any_value(one.objectives) as objectives
    from main.search_front as one
    group by one.search
)
select
    held.search,
    about.label,
    about.algorithm,
    about.space,
    about.dataset,
    about.budget,
    objective.objectives,
    held.role,
    held.moment,
    avg(held.seconds) as seconds,
    avg(held.hypervolume) as hypervolume,
    stddev_pop(held.hypervolume) as hypervolume_std,
    avg(held.igd_plus) as igd_plus,
    stddev_pop(held.igd_plus) as igd_plus_std,
    count(*) as runs
from held
inner join main.search_about as about on about.search = held.search
inner join objective on objective.search = held.search
group by all
