-- objective_sign(objective): 1 where less of an objective is better, -1 where more is: what it says behind its measure
-- (MEASURE:min, MEASURE:max); where it says nothing, less, but of accuracy more.
create or replace macro objective_sign(objective) as
case
    when ends_with(objective, ':max') then -1
    when ends_with(objective, ':min') then 1
    when objective = 'accuracy' then -1
    else 1
end
