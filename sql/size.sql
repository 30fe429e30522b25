-- size: a row is an architecture of sss, a layer a column. Key: arch.
-- layer_0 is the output channels of stem and first cell, layer_1 and layer_3 of the two reductions, layer_2 and layer_4 of
-- the second and third cell.
create or replace view size as
select
    arch.arch,
    arch.channels[1] as layer_0,
    arch.channels[2] as layer_1,
    arch.channels[3] as layer_2,
    arch.channels[4] as layer_3,
    arch.channels[5] as layer_4,
    arch.arch_str
from main.arch
where arch.space = 'sss'
