-- agreement(source_a, source_b, hp_b, results): a row is a split that two sources measured, and how they agree on it.
-- Key: space, hp, dataset, split. archs: architectures compared; spearman: correlation of their ranks, ties sharing their
-- mean (null where one source ranks nothing); mean_difference, mean_distance: of accuracy_a - accuracy_b and of its size,
-- in percentage points. Parameters are those of paired.
create or replace macro agreement(source_a, source_b, hp_b := null, results := 'mean_by_source') as table
with
pair as (from paired(source_a, source_b, hp_b := hp_b, results := results)),
ranked as (
    select
        pair.*,
        mean_rank(pair.accuracy_a, (pair.space, pair.hp, pair.dataset, pair.split)) as rank_a,
        mean_rank(pair.accuracy_b, (pair.space, pair.hp, pair.dataset, pair.split)) as rank_b
    from pair
)
select
    ranked.space,
    ranked.hp,
    ranked.dataset,
    ranked.split,
    count(*) as archs,
    case when min(rank_a) < max(rank_a) and min(rank_b) < max(rank_b) then corr(rank_a, rank_b) end as spearman,
    avg(accuracy_a - accuracy_b) as mean_difference,
    avg(abs(accuracy_a - accuracy_b)) as mean_distance
from ranked
group by ranked.space, ranked.hp, ranked.dataset, ranked.split
order by all
