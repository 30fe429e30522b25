-- runs: a row is a training run, with its cost, its schedule and its data set.
-- Key: space, hp, arch, dataset, seed. Of each (space, hp, arch, dataset) the runs of one source: official records,
-- NAS-Bench-201's, HPOBench's, one's own by name, regenerated ones, published tables, reduced runs (of fewer images or epochs),
-- synthetic rows.
-- train_all_seconds: seconds of training over all epochs. flops, params: as recorded; in millions.
create or replace view runs as
with
run as (select * from main.chosen_seed),
spent as (select * from main.chosen_cost),
image as (
    select
        trained.dataset,
        trained.classes,
        trained.image_size,
        trained.images as train_images
    from main.dataset as trained
    where trained.split = 'train'
)
select
    run.source,
    run.space,
    run.hp,
    run.arch,
    run.dataset,
    run.seed,
    run.epochs,
    spent.flops,
    spent.params,
    spent.latency,
    spent.train_seconds,
    spent.x_valid_seconds,
    spent.x_test_seconds,
    spent.ori_test_seconds,
    spent.train_seconds * run.epochs as train_all_seconds,
    image.classes,
    image.image_size,
    image.train_images,
    run.file,
    run.weights
from run
inner join spent
    on
        spent.space = run.space
        and spent.hp = run.hp
        and spent.arch = run.arch
        and spent.dataset = run.dataset
        and spent.seed = run.seed
left join image on image.dataset = run.dataset
