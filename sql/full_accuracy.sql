-- full_accuracy: a row is an architecture's accuracy by which searches are judged: at full training, on one role's images.
-- Key: space, dataset, role, arch. dataset, role: see judged_by; hp: the schedule that stands for full training, see full_schedule.
-- accuracy (percent): mean over seeds; seeds: number of runs. coverage: how many architectures of the space have the role's
-- accuracy, as in '3 of 15,625'.
create or replace view full_accuracy as
with
named as (
    select
        last_epoch.space,
        last_epoch.hp,
        role_of.dataset,
        role_of.role,
        last_epoch.arch,
        avg(last_epoch.accuracy) as accuracy,
        count(*) as seeds,
        any_value(last_epoch.source) as source
    from chosen_final as last_epoch
    inner join judged_by as role_of on role_of.trained = last_epoch.dataset and role_of.split = last_epoch.split
    inner join full_schedule as longest
        on
            longest.space = last_epoch.space
            and longest.dataset = role_of.dataset
            and longest.hp = last_epoch.hp
    group by last_epoch.space, last_epoch.hp, role_of.dataset, role_of.role, last_epoch.arch
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
