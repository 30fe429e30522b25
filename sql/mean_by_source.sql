-- mean_by_source: a row is an architecture's result after the last epoch on one split, over the seeds of one source.
-- Key: source, space, hp, arch, dataset, split. accuracy (percent): mean over seeds; seeds: number of runs, null of a published
-- mean.
-- Of a source's reduced and full runs the full ones count, of a published table's means and seeds of a split the seeds.
create or replace view mean_by_source as
select
    last_epoch.source,
    last_epoch.space,
    last_epoch.hp,
    last_epoch.arch,
    last_epoch.dataset,
    last_epoch.split,
    avg(last_epoch.accuracy) as accuracy,
    case when bool_or(is_mean(last_epoch.source, last_epoch.seed)) then null else count(*) end as seeds
from main.counted_final as last_epoch
where last_epoch.split != 'train'
group by all
