-- rank_agreement(pairs): one row, how alike two rankings are, given as a list of {'a': …, 'b': …}. archs: pairs, but for
-- those of which one value is null or NaN, which have no rank; infinite ones rank as the numbers that they are.
-- spearman: correlation of ranks, ties sharing their mean; kendall: tau-b.
-- Discordant pairs are counted bit by bit of the rank, as a merge sort would: n log n, not all pairs.
create or replace macro rank_agreement(pairs) as table
with
given as (select unnest(pairs) as one),
both_there as (
    select
        given.one.a as a,
        given.one.b as b
    from given
    where not isnan(given.one.a) and not isnan(given.one.b)
),
ranked as (
    select
        mean_rank(both_there.a, 0) as mean_rank_a,
        mean_rank(both_there.b, 0) as mean_rank_b,
        row_number() over (order by both_there.a, both_there.b) as place,
        dense_rank() over (order by both_there.b) as level
    from both_there
),
bits as (
    select
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
        (select coalesce(sum(n * (n - 1) / 2), 0) from (select count(*) as n from both_there group by a)) as in_a,
        (select coalesce(sum(n * (n - 1) / 2), 0) from (select count(*) as n from both_there group by b)) as in_b,
        (select coalesce(sum(n * (n - 1) / 2), 0) from (select count(*) as n from both_there group by a, b)) as in_both
),
total as (
    select
        count(*) as archs,
        count(*)::double * (count(*) - 1) / 2 as pairs,
        case
            when min(mean_rank_a) < max(mean_rank_a) and min(mean_rank_b) < max(mean_rank_b)
                then corr(mean_rank_a, mean_rank_b)
        end as spearman
    from ranked
)
select
    total.archs,
    total.spearman,
    (total.pairs - tied.in_a - tied.in_b + tied.in_both - 2 * discordant.pairs)
    / nullif(sqrt((total.pairs - tied.in_a) * (total.pairs - tied.in_b)), 0) as kendall
from total, tied, discordant
