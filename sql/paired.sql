-- paired(source_a, source_b, hp_b, results): a row is an architecture that two sources measured on the same split.
-- Key: space, hp, dataset, split, arch. accuracy_a, accuracy_b: percent, each a mean over the source's seeds.
-- hp is that of source_a; source_b is taken at hp_b, at the same hp unless given.
-- results: the view or table to take them from, of the columns of mean_by_source.
create or replace macro paired(source_a, source_b, hp_b := null, results := 'mean_by_source') as table
with
a as (select result.* from (from query_table(results)) as result where result.source = source_a),
b as (select result.* from (from query_table(results)) as result where result.source = source_b)
select
    a.space,
    a.hp,
    a.dataset,
    a.split,
    a.arch,
    a.accuracy as accuracy_a,
    b.accuracy as accuracy_b
from a
inner join b
    on
        b.space = a.space
        and b.dataset = a.dataset
        and b.split = a.split
        and b.arch = a.arch
        and b.hp = coalesce(hp_b::varchar, a.hp)
