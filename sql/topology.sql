-- topology: a row is a cell of tss, an edge a column. Key: arch.
-- edge_1_0 is the operation on the edge to node 1 from node 0 (the cell's input); node 3 is the cell's output.
create or replace view topology as
select
    arch.arch,
    arch.ops[1] as edge_1_0,
    arch.ops[2] as edge_2_0,
    arch.ops[3] as edge_2_1,
    arch.ops[4] as edge_3_0,
    arch.ops[5] as edge_3_1,
    arch.ops[6] as edge_3_2,
    arch.arch_str,
    arch.canonical
from main.arch
where arch.space = 'tss'
