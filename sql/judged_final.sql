-- judged_final: a row is a run's accuracy by which searches are judged: at full training, on one role's images.
-- Key: space, dataset, role, arch, seed. dataset, role: see judged_by; hp: the schedule that stands for full training, see
-- full_schedule. accuracy: percent.
create or replace view judged_final as
select
    last_epoch.space,
    role_of.dataset,
    role_of.role,
    last_epoch.hp,
    last_epoch.arch,
    last_epoch.seed,
    last_epoch.accuracy,
    last_epoch.source
from main.chosen_final as last_epoch
inner join main.judged_by as role_of on role_of.trained = last_epoch.dataset and role_of.split = last_epoch.split
inner join main.full_schedule as longest
    on
        longest.space = last_epoch.space
        and longest.dataset = role_of.dataset
        and longest.hp = last_epoch.hp
