-- search_rank: a row is the mean rank of a label's search among all searches with a budget, at a moment of
-- search_regret. Key: space, dataset, role, label, moment. A block is a run's number on a data set: in it the runs of
-- that number are ranked by regret, 1 for the least; equal ones share the mean of their ranks. (Runs of a number have
-- nothing else in common.) Only blocks count in which every label is judged: `runs` blocks, of `searches` labels.
-- dataset: of a data set's blocks, or 'all': of those of all data sets, of the labels that are on each. mean_rank,
-- regret (percentage points): means over these blocks; area_rank, area: the same of the area up to the moment. Of
-- several searches of a label that of most runs counts; searches of other budgets are compared at the same share of
-- their own.
create or replace view search_rank as
from ranked_searches()
