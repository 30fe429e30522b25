-- objective_name(objective): the measure of an objective that is written MEASURE, MEASURE:min or MEASURE:max.
create or replace macro objective_name(objective) as regexp_replace(objective, ':(min|max)$', '')
