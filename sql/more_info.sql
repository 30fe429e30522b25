-- more_info(space, arch, dataset, hp, iepoch): one row with the keys of the official `get_more_info(is_random=False)` as
-- columns: means over the runs, at the last epoch unless iepoch (from 0) is given.
-- …-accuracy: percent; …-loss: nats; …-per-time: seconds of one epoch's pass; …-all-time: seconds of the passes of all epochs
-- up to iepoch. valid is x-valid; test is x-test, and ori-test where there is no x-test (CIFAR-10); valtest is ori-test where x-test exists.
-- Null where the official dictionary lacks the key.
create or replace macro more_info(space, arch, dataset, hp, iepoch := null) as table
with
ended as (
    -- tabled: rows of a published table, which gives some splits by seed and others as means over seeds
    select
        max(run.epochs) - 1 as epoch,
        bool_and(run.form is null) as tabled
    from main.chosen_seed as run
    where
        run.space = space
        and run.block = arch // 1024
        and run.arch = arch
        and run.dataset = dataset
        and run.hp = hp::varchar
),
result as (
    select metric.*
    from main.chosen_at as metric, ended
    where
        metric.space = space
        and metric.block = arch // 1024
        and metric.arch = arch
        and metric.dataset = dataset
        and metric.hp = hp::varchar
        and metric.epoch = coalesce(iepoch, ended.epoch)
),
run as (
    select distinct
        result.source,
        result.seed,
        result.epoch
    from result
),
seconds as (
    select
        count(*) as seeds,
        max(run.epoch) + 1 as total,
        avg(cost.train_seconds) as train,
        avg(cost.x_valid_seconds) as x_valid,
        avg(cost.x_test_seconds) as x_test,
        avg(cost.ori_test_seconds) as ori_test
    from main.all_cost as cost
    inner join run on run.source = cost.source and run.seed = cost.seed
    where
        cost.space = space
        and cost.block = arch // 1024
        and cost.arch = arch
        and cost.dataset = dataset
        and cost.hp = hp::varchar
),
measured as (
    select
        case
            when result.split = 'train' then 'train'
            when result.split = 'x-valid' then 'valid'
            when result.split = 'x-test' or not is_halved(result.dataset) then 'test'
            else 'valtest'
        end as key,
        avg(result.accuracy) as accuracy,
        avg(result.loss) as loss,
        count(*) as seeds
    from result
    group by result.split, result.dataset
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
            else case when is_halved(dataset) then seconds.x_test else seconds.ori_test end
        end as per_time,
        seconds.total
    from measured, seconds, ended
    -- the official mean is over all runs: a split that only some of them evaluated at this epoch has no key
    where measured.seeds = seconds.seeds or ended.tabled
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
