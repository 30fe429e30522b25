-- mean_final: a row is an architecture's result after the last epoch on one split, over its seeds.
-- Key: space, hp, arch, dataset, split. accuracy (percent) and loss (nats) are means over seeds;
-- accuracy_std: sample standard deviation over seeds (null for one seed); seeds: number of runs, all of one source
-- (see runs); null where a published table says the mean and not of how many.
create or replace view mean_final as
select
    last_epoch.space,
    last_epoch.hp,
    last_epoch.arch,
    last_epoch.dataset,
    last_epoch.split,
    avg(last_epoch.accuracy) as accuracy,
    stddev_samp(last_epoch.accuracy) as accuracy_std,
    avg(last_epoch.loss) as loss,
    case when bool_or(is_mean(last_epoch.source, last_epoch.seed)) then null else count(*) end as seeds,
    any_value(last_epoch.source) as source
from main.chosen_final as last_epoch
group by last_epoch.space, last_epoch.hp, last_epoch.arch, last_epoch.dataset, last_epoch.split
