-- discovered: a row is a topology that the README of NATS-Bench lists as found by a weight-sharing search.
-- Key: algorithm, dataset, run (of the three seeds, in its order; of DARTS-V2 on ImageNet16-120 it lists one).
-- Joins with full_accuracy and others by space, arch.
create or replace view discovered as
select
    found.algorithm,
    'tss' as space,
    found.dataset,
    found.run::integer as run,
    arch.arch,
    arch.arch_str
from (
    values
    ('darts-v1', 'cifar10', 0, 1835),
    ('darts-v1', 'cifar10', 1, 1835),
    ('darts-v1', 'cifar10', 2, 1835),
    ('darts-v1', 'cifar100', 0, 3521),
    ('darts-v1', 'cifar100', 1, 3521),
    ('darts-v1', 'cifar100', 2, 12830),
    ('darts-v1', 'ImageNet16-120', 0, 12686),
    ('darts-v1', 'ImageNet16-120', 1, 12686),
    ('darts-v1', 'ImageNet16-120', 2, 4771),
    ('darts-v2', 'cifar10', 0, 1835),
    ('darts-v2', 'cifar10', 1, 1835),
    ('darts-v2', 'cifar10', 2, 1835),
    ('darts-v2', 'cifar100', 0, 12669),
    ('darts-v2', 'cifar100', 1, 561),
    ('darts-v2', 'cifar100', 2, 2057),
    ('darts-v2', 'ImageNet16-120', 0, 1728),
    ('gdas', 'cifar10', 0, 3928),
    ('gdas', 'cifar10', 1, 138),
    ('gdas', 'cifar10', 2, 6168),
    ('gdas', 'cifar100', 0, 12218),
    ('gdas', 'cifar100', 1, 3203),
    ('gdas', 'cifar100', 2, 12940),
    ('gdas', 'ImageNet16-120', 0, 6960),
    ('gdas', 'ImageNet16-120', 1, 6960),
    ('gdas', 'ImageNet16-120', 2, 6960)
) as found (algorithm, dataset, run, arch)
inner join main.arch on arch.space = 'tss' and arch.arch = found.arch
