-- front(objectives, dataset, split, hp, space): a row is an architecture that no other beats: none is as good in all of two or
-- three objectives and better in one. Key: arch. Of equal architectures it is that of the lowest index. objectives: a list of
-- measures as in valued, accuracy among them or not; less is better, but of accuracy more, and behind a name stands what
-- shall be otherwise, as in ['accuracy', 'flops', 'zero_cost.nwot:max']. value_1, value_2, value_3: in the order of the
-- objectives, value_3 null where there are two; coverage: how many architectures of the space have all, as in '3 of 15,625'.
create or replace macro front(objectives, dataset, split, hp, space := 'tss') as table
with
every as (
    from valued(
        case
            when len(objectives) in (2, 3)
                then [objective_name(objectives[1]), objective_name(objectives[2]), objective_name(objectives[3])]
            else error('a front is of two or three objectives: name them as in [''accuracy'', ''flops'']')
        end,
        dataset, split, hp, space
    )
),
best as (
    from nondominated((
        select
            list({
                'id': every.arch,
                'a': objective_sign(objectives[1]) * every.value_1,
                'b': objective_sign(objectives[2]) * every.value_2,
                'c': coalesce(objective_sign(objectives[3]) * every.value_3, 0)
            })
        from every
    ))
)
select
    every.arch,
    every.value_1,
    every.value_2,
    every.value_3,
    names.arch_str,
    every.source,
    coverage_of((select count(*) from every), names.space) as coverage
from best
inner join every on every.arch = best.id
inner join main.arch as names on names.space = space and names.arch = every.arch
order by objective_sign(objectives[1]) * every.value_1, every.arch
