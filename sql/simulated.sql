-- simulated(space, dataset, hp, epoch): a row is a training run as a search sees it when it asks at an epoch (from 0).
-- Key: source, arch, seed. accuracy (percent) is that of x-valid; seconds: training up to that epoch, and one pass over x-valid.
-- An epoch's seconds come from the same architecture's other schedules where this one has none (an epoch lasts the same in
-- all); a pass whose seconds are known nowhere counts nothing.
create or replace macro simulated(space, dataset, hp, epoch) as table
with
known as (
    select
        cost.arch,
        avg(cost.train_seconds) as train_seconds,
        avg(cost.x_valid_seconds) as x_valid_seconds
    from main.chosen_cost as cost
    where cost.space = space and cost.dataset = dataset
    group by cost.arch
),
spent as (
    select
        run.source,
        run.arch,
        run.seed,
        coalesce(run.train_seconds, known.train_seconds) as train_seconds,
        coalesce(run.x_valid_seconds, known.x_valid_seconds, 0) as x_valid_seconds
    from main.all_cost as run
    left join known on known.arch = run.arch
    where run.space = space and run.hp = hp::varchar and run.dataset = dataset
),
measured as (
    select
        result.source,
        result.arch,
        result.seed,
        result.accuracy
    from main.chosen_at as result
    where
        result.space = space
        and result.hp = hp::varchar
        and result.dataset = dataset
        and result.split = 'x-valid'
        and result.epoch = epoch
)
select
    measured.source,
    measured.arch,
    measured.seed,
    measured.accuracy,
    spent.train_seconds * (epoch + 1) + spent.x_valid_seconds as seconds
from measured
inner join spent on spent.source = measured.source and spent.arch = measured.arch and spent.seed = measured.seed
