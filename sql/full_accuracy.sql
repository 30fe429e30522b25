-- full_accuracy: a row is an architecture's accuracy by which searches are judged: at full training, on one role's images.
-- Key: space, dataset, role, arch. dataset: as searched on: cifar10, cifar100, ImageNet16-120. role: valid (x-valid; of
-- cifar10 by the runs of cifar10-valid), test (x-test; of cifar10 ori-test) or both (ori-test, the two halves together, of
-- cifar100 and ImageNet16-120). hp: the longest schedule that the database has of a space and data set, one for all roles,
-- officially 200 (tss), 90 (sss).
-- accuracy (percent): mean over seeds; seeds: number of runs.
create or replace view full_accuracy as
with
role_of (trained, split, dataset, role) as (
    values
    ('cifar10-valid', 'x-valid', 'cifar10', 'valid'),
    ('cifar10', 'ori-test', 'cifar10', 'test'),
    ('cifar100', 'x-valid', 'cifar100', 'valid'),
    ('cifar100', 'x-test', 'cifar100', 'test'),
    ('cifar100', 'ori-test', 'cifar100', 'both'),
    ('ImageNet16-120', 'x-valid', 'ImageNet16-120', 'valid'),
    ('ImageNet16-120', 'x-test', 'ImageNet16-120', 'test'),
    ('ImageNet16-120', 'ori-test', 'ImageNet16-120', 'both')
),
named as (
    select
        result.space,
        result.hp,
        role_of.dataset,
        role_of.role,
        result.arch,
        result.accuracy,
        result.seeds,
        result.source
    from mean_final as result
    inner join role_of on role_of.trained = result.dataset and role_of.split = result.split
),
longest as (
    select
        named.space,
        named.dataset,
        max_by(named.hp, named.hp::integer) as hp
    from named
    group by named.space, named.dataset
)
select named.*
from named
inner join longest
    on
        longest.space = named.space
        and longest.dataset = named.dataset
        and longest.hp = named.hp
