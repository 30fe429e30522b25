-- encoding: a row is a text that stands for an architecture. Key: space, arch, encoding.
-- encoding: index, string (the official one); of tss naslib, digits, genotype; of sss channels. The canonical string is not
-- there: `canonical` in the table arch has the index of the class that it names.
create or replace view encoding as
select
    encoded_arch.space,
    encoded_arch.arch,
    encoded_arch.encoding,
    encoded_arch.text
from main.encoded_arch
