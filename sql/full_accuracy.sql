-- full_accuracy: a row is an architecture's accuracy by which searches are judged: at full training, on one role's images.
-- Key: space, dataset, role, arch. dataset, role, hp: see judged_final, whose mean it is.
-- accuracy (percent): mean over seeds; seeds: number of runs, null of a published mean.
-- coverage: how many architectures of the space have the role's accuracy, as in '3 of 15,625'.
create or replace view full_accuracy as
with
named as (
    select
        run.space,
        run.hp,
        run.dataset,
        run.role,
        run.arch,
        avg(run.accuracy) as accuracy,
        case when bool_or(is_mean(run.source, run.seed)) then null else count(*) end as seeds,
        any_value(run.source) as source
    from main.judged_final as run
    group by run.space, run.hp, run.dataset, run.role, run.arch
),
counted as (
    -- DuckDB 1.4 keeps no window in a macro's argument.
    select
        named.*,
        count(*) over (partition by named.space, named.dataset, named.role) as archs
    from named
)
select
    counted.* exclude (archs),
    coverage_of(counted.archs, counted.space) as coverage
from counted
