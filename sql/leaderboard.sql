-- leaderboard: a row is an architecture's place by mean accuracy after the last epoch, in its space, hp, data set and split.
-- Key: space, hp, dataset, split, arch. rank: 1 is best, equal accuracies share a rank, NaN is last. coverage: how many
-- architectures of the space have a place, as in '3 of 15,625'.
create or replace view leaderboard as
with
ranked as (
    select
        result.*,
        rank() over (
            partition by result.space, result.hp, result.dataset, result.split
            order by nullif(result.accuracy, 'nan'::double) desc nulls last
        ) as rank,
        count(*) over (
            partition by result.space, result.hp, result.dataset, result.split
            order by nullif(result.accuracy, 'nan'::double) desc nulls last
            rows between unbounded preceding and unbounded following
        ) as archs
    from main.mean_final as result
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
    arch.arch_str,
    coverage_of(ranked.archs, ranked.space) as coverage
from ranked
inner join main.arch on arch.space = ranked.space and arch.arch = ranked.arch
