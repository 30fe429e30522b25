-- curves: a row is a run at an epoch, with a column for each split's accuracy (percent) and loss (nats).
-- Key: space, hp, arch, dataset, seed, epoch. Null where a split was not evaluated at that epoch.
create or replace view curves as
select
    measured.source,
    measured.space,
    measured.hp,
    measured.arch,
    measured.dataset,
    measured.seed,
    measured.epoch,
    max(measured.accuracy) filter (where measured.split = 'train') as train_accuracy,
    max(measured.accuracy) filter (where measured.split = 'x-valid') as x_valid_accuracy,
    max(measured.accuracy) filter (where measured.split = 'x-test') as x_test_accuracy,
    max(measured.accuracy) filter (where measured.split = 'ori-test') as ori_test_accuracy,
    max(measured.loss) filter (where measured.split = 'train') as train_loss,
    max(measured.loss) filter (where measured.split = 'x-valid') as x_valid_loss,
    max(measured.loss) filter (where measured.split = 'x-test') as x_test_loss,
    max(measured.loss) filter (where measured.split = 'ori-test') as ori_test_loss
from main.chosen_metric as measured
group by
    measured.source,
    measured.space,
    measured.hp,
    measured.arch,
    measured.dataset,
    measured.seed,
    measured.epoch
