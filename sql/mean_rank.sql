-- mean_rank(value, within): a scalar, the rank of a value among the rows of the same `within`, from 1 for the lowest; equal
-- values share the mean of theirs. It is a window: rows that a query filters out have no rank.
create or replace macro mean_rank(value, within) as (
    rank() over (partition by within order by value) + count(*) over (partition by within order by value)
) / 2
