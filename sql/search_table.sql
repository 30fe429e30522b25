-- search_table: a row is an algorithm, or what to hold it against, as in Table 4 of NATS-Bench.
-- Key: space, label. Accuracies in percent at full training as text, mean ± population standard deviation over several runs; valid,
-- test and both are the roles of full_accuracy. Of several searches of a label on a data set the one of most runs counts.
-- Where only some runs can be judged, or only some architectures of the space are there, it says how many: (5 of 50).
-- coverage: the same of the column that has the fewest, for every row but a single architecture's.
-- Rows to hold against: ResNet (tss: the cell that is a residual block), largest (sss: 64:64:64:64:64), optimal (the best of
-- the space in each column by itself) and mean of the space.
create or replace view search_table as
select
    every.space,
    every.label,
    every.runs_of_row as runs,
    every.* exclude (space, label, part, runs_of_row, coverage),
    every.coverage
from main.search_columns as every
order by every.space desc, every.part, every.label
