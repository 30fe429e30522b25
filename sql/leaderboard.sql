-- leaderboard: a row is an architecture's place by mean accuracy after the last epoch, in its space, hp, data set and split.
-- Key: space, hp, dataset, split, arch. rank: 1 is best, equal accuracies share a rank.
create or replace view leaderboard as
with
ranked as (
    select
        result.*,
        rank() over (
            partition by result.space, result.hp, result.dataset, result.split
            order by result.accuracy desc
        ) as rank
    from mean_final as result
)
select
    ranked.space,
    ranked.hp,
    ranked.dataset,
    ranked.split,
    ranked.rank,
    ranked.arch,
    ranked.accuracy,
    ranked.accuracy_std,
    ranked.loss,
    ranked.seeds,
    ranked.source,
    arch.arch_str
from ranked
inner join arch on arch.space = ranked.space and arch.arch = ranked.arch
