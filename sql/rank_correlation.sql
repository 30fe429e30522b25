-- rank_correlation(dataset, hp_a, hp_b, split, space, dataset_b, split_b): one row, how two rankings of architectures by mean
-- final accuracy agree: of two schedules ('do 12 epochs predict 200?') or, with dataset_b or split_b, of two data sets or
-- splits. split: x-valid unless given, and ori-test where there is no x-valid (cifar10); split_b likewise: that of dataset_b if
-- there is one, else split.
-- archs, spearman, kendall: as in rank_agreement.
create or replace macro rank_correlation(dataset, hp_a, hp_b, split := null, space := 'tss', dataset_b := null, split_b := null) as table
with
result as (select measured.* from main.mean_final as measured where measured.space = space),
pair as (
    select
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
)
from rank_agreement((select list({'a': pair.a, 'b': pair.b}) from pair))
