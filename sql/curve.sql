-- curve(space, arch, dataset, hp): a row is an epoch of one run; a column a split, as in the view curves.
-- Key: seed, epoch.
create or replace macro curve(space, arch, dataset, hp) as table
select
    measured.seed,
    measured.epoch,
    max(measured.accuracy) filter (where measured.split = 'train') as train_accuracy,
    max(measured.accuracy) filter (where measured.split = 'x-valid') as x_valid_accuracy,
    max(measured.accuracy) filter (where measured.split = 'x-test') as x_test_accuracy,
    max(measured.accuracy) filter (where measured.split = 'ori-test') as ori_test_accuracy,
    max(measured.loss) filter (where measured.split = 'train') as train_loss,
    max(measured.loss) filter (where measured.split = 'x-valid') as x_valid_loss,
    max(measured.loss) filter (where measured.split = 'x-test') as x_test_loss,
    max(measured.loss) filter (where measured.split = 'ori-test') as ori_test_loss,
    any_value(measured.source) as source
from main.chosen_metric as measured
where
    measured.space = space
    and measured.block = arch // 1024
    and measured.arch = arch
    and measured.dataset = dataset
    and measured.hp = hp::varchar
group by measured.seed, measured.epoch
order by measured.seed, measured.epoch
