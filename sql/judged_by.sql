-- judged_by: a row is a split by which searches are judged. Key: dataset, role. Runs trained on `trained` are measured on `split`.
-- dataset: as searched on: cifar10, cifar100, ImageNet16-120. role: valid (x-valid; of cifar10 by the runs of cifar10-valid),
-- test (x-test; of cifar10 ori-test) or both (ori-test, the two halves together, of cifar100 and ImageNet16-120).
create or replace view judged_by as
select
    role_of.trained,
    role_of.split,
    role_of.dataset,
    role_of.role
from main.dataset_role as role_of
