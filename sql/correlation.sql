-- correlation(measure, dataset, split, hp, top, space): one row, how a measure (as in the view measure) ranks architectures,
-- beside their mean final accuracy. archs: architectures that have both; spearman, kendall: as in rank_agreement.
-- top: the share of these of highest accuracy that is looked at (1, all, unless given; 0.1: the best tenth, rounded, with
-- all that equal its last). NaN is no value; -inf and stand-ins like -1e8 are numbers, and rank lowest.
create or replace macro correlation(measure, dataset, split, hp, top := 1.0, space := 'tss') as table
with
pair as (
    select
        found.value as a,
        result.accuracy as b,
        rank() over (order by result.accuracy desc) as place,
        count(*) over () as archs
    from main.mean_final as result
    inner join measured(measure) as found
        on found.space = result.space and found.arch = result.arch and found.dataset = result.dataset
    where
        result.space = space
        and result.hp = hp::varchar
        and result.dataset = dataset
        and result.split = split
        and not isnan(found.value)
        and not isnan(result.accuracy)
)
from rank_agreement(
    (select list({'a': pair.a, 'b': pair.b}) from pair where pair.place <= round(share_of(top) * pair.archs))
)
