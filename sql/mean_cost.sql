-- mean_cost: a row is what an architecture cost at one hp on one data set, as a mean over its runs.
-- Key: space, hp, arch, dataset. flops, params: millions; latency: seconds for 256 images; train_seconds: an epoch.
-- Equal values are their own mean: a sum of three and a division would miss it by a rounding, and make two architectures of
-- the same FLOPs differ. FLOPs and parameters of runs that record none (published tables) are the formula's (arch_cost).
create or replace view mean_cost as
with
recorded as (
    select
        spent.space,
        spent.hp,
        spent.arch,
        spent.dataset,
        case when min(spent.flops) = max(spent.flops) then min(spent.flops) else avg(spent.flops) end
            as flops,
        case when min(spent.params) = max(spent.params) then min(spent.params) else avg(spent.params) end
            as params,
        case when min(spent.latency) = max(spent.latency) then min(spent.latency) else avg(spent.latency) end
            as latency,
        case when min(spent.train_seconds) = max(spent.train_seconds) then min(spent.train_seconds) else avg(spent.train_seconds) end
            as train_seconds,
        count(*) as seeds,
        any_value(spent.source) as source
    from main.chosen_cost as spent
    group by spent.space, spent.hp, spent.arch, spent.dataset
)
select
    recorded.space,
    recorded.hp,
    recorded.arch,
    recorded.dataset,
    coalesce(recorded.flops, formula.flops) as flops,
    coalesce(recorded.params, formula.params) as params,
    recorded.latency,
    recorded.train_seconds,
    recorded.seeds,
    recorded.source
from recorded
left join main.arch_cost as formula
    on
        formula.space = recorded.space
        and formula.arch = recorded.arch
        and formula.dataset = recorded.dataset
