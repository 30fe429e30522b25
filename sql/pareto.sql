-- pareto(dataset, split, hp, cost, space): a row is an architecture that no other beats in both mean accuracy and cost.
-- Key: arch. cost is 'flops', 'params' (millions), 'latency' (seconds for 256 images) or 'train_seconds' (an epoch), as in
-- mean_cost, or any other measure (as in the view measure), of which less is better; front has two or three objectives of any
-- kind. coverage: how many architectures of the space have both, as in '3 of 15,625'.
create or replace macro pareto(dataset, split, hp, cost, space := 'tss') as table
select
    best.arch,
    best.value_2 as cost,
    best.value_1 as accuracy,
    best.arch_str,
    best.source,
    best.coverage
from front(['accuracy', cost], dataset, split, hp, space := space) as best
order by best.value_2
