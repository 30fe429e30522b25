-- nondominated(points): a row is a point that no other beats, given as a list of {'id': …, 'a': …, 'b': …, 'c': …} of which
-- less is better: none is as good in all three and better in one. Key: id; of equal points that of the lowest id. c is one
-- number throughout where there are two objectives. Points of which a value is null or NaN are left out.
-- In order of a, b, c and id only an earlier point can beat another, by b and c. First those go that the earlier point of
-- least places in b and c beats: most of them. Of the rest, earlier means that the places, in binary, first differ in a bit
-- that is 0 in one and 1 in the other: bit by bit, n log² n, never all pairs.
create or replace macro nondominated(points) as table
with
given as (select unnest(points) as one),
ranked as (
    select
        given.one.id as id,
        given.one.b as b,
        given.one.c as c,
        row_number() over (order by given.one.a, given.one.b, given.one.c, given.one.id) as place,
        rank() over (order by given.one.b) + rank() over (order by given.one.c) as places
    from given
    where not isnan(given.one.a) and not isnan(given.one.b) and not isnan(given.one.c)
),
measured_by_best as (
    select
        ranked.*,
        arg_min({'b': ranked.b, 'c': ranked.c}, ranked.places) over (
            order by ranked.place
            rows between unbounded preceding and 1 preceding
        ) as best
    from ranked
),
left_over as (
    select
        rest.id,
        rest.b,
        rest.c,
        row_number() over (order by rest.place) - 1 as place,
        count(*) over () as points_in_all
    from measured_by_best as rest
    where rest.best is null or rest.best.b > rest.b or rest.best.c > rest.c
),
halved as (
    select
        left_over.id,
        left_over.b,
        left_over.c,
        bit.range as bit,
        left_over.place >> (bit.range + 1) as pair,
        (left_over.place >> bit.range) & 1 as half
    from left_over
    cross join range(20) as bit
    where left_over.points_in_all > 1 << bit.range
),
compared as (
    select
        halved.id,
        halved.half = 1
        and halved.c >= min(case when halved.half = 0 then halved.c end) over (
            partition by halved.bit, halved.pair
            order by halved.b, halved.half
            rows between unbounded preceding and current row
        ) as is_beaten
    from halved
)
select left_over.id
from left_over
anti join (select compared.id from compared where compared.is_beaten) as beaten on beaten.id = left_over.id
