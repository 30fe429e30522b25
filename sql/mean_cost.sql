-- mean_cost: a row is what an architecture cost at one hp on one data set, as a mean over its runs.
-- Key: space, hp, arch, dataset. flops, params: millions; latency: seconds for 256 images; train_seconds: an epoch.
create or replace view mean_cost as
select
    spent.space,
    spent.hp,
    spent.arch,
    spent.dataset,
    avg(spent.flops) as flops,
    avg(spent.params) as params,
    avg(spent.latency) as latency,
    avg(spent.train_seconds) as train_seconds,
    count(*) as seeds
from chosen_cost as spent
group by spent.space, spent.hp, spent.arch, spent.dataset
