-- rank_correlation(dataset, hp_a, hp_b, split, space, dataset_b, split_b): one row, how two rankings of architectures by mean
-- final accuracy agree: of two schedules ('do 12 epochs predict 200?') or, with dataset_b or split_b, of two data sets or
-- splits. split: x-valid unless given, and ori-test where there is no x-valid (cifar10); split_b likewise: that of dataset_b if
-- there is one, else split.
-- archs: architectures compared; spearman: correlation of ranks, ties sharing their mean; kendall: tau-b.
-- Discordant pairs are counted bit by bit of the rank, as a merge sort would: n log n, not all pairs.
create or replace macro rank_correlation(dataset, hp_a, hp_b, split := null, space := 'tss', dataset_b := null, split_b := null) as table
with
result as (select measured.* from mean_final as measured where measured.space = space),
pair as (
    select
        a.arch,
        a.accuracy as a,
        b.accuracy as b
    from result as a
    inner join result as b on b.arch = a.arch
    where
        a.hp = hp_a::varchar
        and a.dataset = dataset
        and a.split = coalesce(split, validation_split_of(dataset))
        and b.hp = hp_b::varchar
        and b.dataset = coalesce(dataset_b, dataset)
        and b.split = coalesce(
            split_b,
            case when dataset_b is null then split end,
            validation_split_of(coalesce(dataset_b, dataset))
        )
),
ranked as (
    select
        a,
        b,
        rank() over (order by a) + (count(*) over (partition by a) - 1) / 2 as mean_rank_a,
        rank() over (order by b) + (count(*) over (partition by b) - 1) / 2 as mean_rank_b,
        row_number() over (order by a, b) as place,
        dense_rank() over (order by b) as level
    from pair
),
bits as (
    select
        ranked.level >> (bit.range + 1) as upper_bits,
        (ranked.level >> bit.range) & 1 as is_one,
        sum((ranked.level >> bit.range) & 1) over (
            partition by bit.range, ranked.level >> (bit.range + 1)
            order by ranked.place
        ) as ones_before
    from ranked
    cross join range(20) as bit
),
discordant as (select coalesce(sum(ones_before) filter (where is_one = 0), 0)::double as pairs from bits),
tied as (
    select
        (select coalesce(sum(n * (n - 1) / 2), 0) from (select count(*) as n from pair group by a)) as in_a,
        (select coalesce(sum(n * (n - 1) / 2), 0) from (select count(*) as n from pair group by b)) as in_b,
        (select coalesce(sum(n * (n - 1) / 2), 0) from (select count(*) as n from pair group by a, b)) as in_both
),
total as (
    select
        count(*) as archs,
        count(*)::double * (count(*) - 1) / 2 as pairs,
        corr(mean_rank_a, mean_rank_b) as spearman
    from ranked
)
select
    total.archs,
    total.spearman,
    (total.pairs - tied.in_a - tied.in_b + tied.in_both - 2 * discordant.pairs)
    / nullif(sqrt((total.pairs - tied.in_a) * (total.pairs - tied.in_b)), 0) as kendall
from total, tied, discordant
