-- multi_objective_result: a row is a run of a search with several objectives, and what its front is worth, judged at full
-- training on one role's images. Key: search, run, role. hypervolume: the share that the front dominates of the box from the
-- best to the worst value of each objective in the space (ideal, reference in search_front); of_exact: that share of what the
-- exact front of the space dominates; igd_plus: IGD+ to that front, in the box; size: architectures on the front; coverage:
-- how many architectures of the space the run evaluated, as in '97 of 15,625'. steps, seconds: as in search_run.
create or replace view multi_objective_result as
with
ended as (
    select
        entered.search,
        entered.run,
        entered.role,
        any_value(entered.objectives) as objectives,
        any_value(entered.exact_hypervolume) as exact_hypervolume,
        max_by(
            {'hypervolume': entered.hypervolume, 'igd_plus': entered.igd_plus, 'size': entered.size}, entered.step
        ) as last_front
    from main.search_front as entered
    group by entered.search, entered.run, entered.role
),
evaluated as (
    select
        step.search,
        step.run,
        count(distinct step.arch) as archs
    from main.search_step as step
    group by step.search, step.run
)
select
    ended.search,
    about.label,
    about.algorithm,
    about.space,
    about.dataset,
    ended.objectives,
    ended.run,
    ended.role,
    ended.last_front.hypervolume,
    ended.last_front.hypervolume / nullif(ended.exact_hypervolume, 0) as of_exact,
    ended.last_front.igd_plus,
    ended.last_front.size,
    coverage_of(evaluated.archs, about.space) as coverage,
    one.steps,
    one.seconds
from ended
inner join main.search_about as about on about.search = ended.search
inner join main.search_run as one on one.search = ended.search and one.run = ended.run
inner join evaluated on evaluated.search = ended.search and evaluated.run = ended.run
