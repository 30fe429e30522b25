-- more_info(space, arch, dataset, hp, iepoch): one row with the keys of the official `get_more_info(is_random=False)` as
-- columns: means over the runs, at the last epoch unless iepoch (from 0) is given.
-- …-accuracy: percent; …-loss: nats; …-per-time: seconds of one epoch's pass; …-all-time: seconds of the passes of all epochs
-- up to iepoch. valid is x-valid; test is x-test, on CIFAR-10 ori-test; valtest is ori-test where x-test exists.
-- Null where the official dictionary lacks the key.
create or replace macro more_info(space, arch, dataset, hp, iepoch := null) as table
with
spent as (
    select
        cost.train_seconds,
        cost.x_valid_seconds,
        cost.x_test_seconds,
        cost.ori_test_seconds,
        run.epochs
    from chosen_cost as cost
    inner join chosen_seed as run
        on
            run.space = cost.space
            and run.hp = cost.hp
            and run.arch = cost.arch
            and run.dataset = cost.dataset
            and run.seed = cost.seed
    where cost.space = space and cost.block = arch // 1024 and run.block = cost.block and cost.arch = arch and cost.dataset = dataset and cost.hp = hp::varchar
),
seconds as (
    select
        count(*) as seeds,
        max(coalesce(iepoch, spent.epochs - 1)) + 1 as total,
        avg(spent.train_seconds) as train,
        avg(spent.x_valid_seconds) as x_valid,
        avg(spent.x_test_seconds) as x_test,
        avg(spent.ori_test_seconds) as ori_test
    from spent
),
measured as (
    select
        case
            when metric.split = 'train' then 'train'
            when metric.split = 'x-valid' then 'valid'
            when metric.split = 'x-test' or metric.dataset in ('cifar10', 'cifar10-valid') then 'test'
            else 'valtest'
        end as key,
        avg(metric.accuracy) as accuracy,
        avg(metric.loss) as loss,
        count(*) as seeds
    from chosen_metric as metric, seconds
    where
        metric.space = space
        and metric.block = arch // 1024
        and metric.arch = arch
        and metric.dataset = dataset
        and metric.hp = hp::varchar
        and metric.epoch = seconds.total - 1
    group by metric.split, metric.dataset
),
timed as (
    select
        measured.key,
        measured.accuracy,
        measured.loss,
        case measured.key
            when 'train' then seconds.train
            when 'valid' then seconds.x_valid
            when 'valtest' then seconds.ori_test
            else case when dataset in ('cifar10', 'cifar10-valid') then seconds.ori_test else seconds.x_test end
        end as per_time,
        seconds.total
    from measured, seconds
    -- the official mean is over all runs: a split that only some of them evaluated at this epoch has no key
    where measured.seeds = seconds.seeds
)
select
    max(loss) filter (where key = 'train') as "train-loss",
    max(accuracy) filter (where key = 'train') as "train-accuracy",
    max(per_time) filter (where key = 'train') as "train-per-time",
    max(per_time * total) filter (where key = 'train') as "train-all-time",
    max(loss) filter (where key = 'valid') as "valid-loss",
    max(accuracy) filter (where key = 'valid') as "valid-accuracy",
    max(per_time) filter (where key = 'valid') as "valid-per-time",
    max(per_time * total) filter (where key = 'valid') as "valid-all-time",
    max(loss) filter (where key = 'test') as "test-loss",
    max(accuracy) filter (where key = 'test') as "test-accuracy",
    max(per_time) filter (where key = 'test') as "test-per-time",
    max(per_time * total) filter (where key = 'test') as "test-all-time",
    max(loss) filter (where key = 'valtest') as "valtest-loss",
    max(accuracy) filter (where key = 'valtest') as "valtest-accuracy",
    max(per_time) filter (where key = 'valtest') as "valtest-per-time",
    max(per_time * total) filter (where key = 'valtest') as "valtest-all-time"
from timed
