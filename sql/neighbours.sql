-- neighbours(space, arch): a row is an architecture one edit away: one edge with another operation (tss: 24 of them), or
-- one layer with other channels (sss: 35). Key: arch. position: the edge or layer, from 0; new_value: what is there.
create or replace macro neighbours(space, arch) as table
with
here as (
    select
        home.space,
        coalesce(home.ops, home.channels::varchar[]) as parts
    from main.arch as home
    where home.space = space and home.arch = arch
),
other as (
    select
        names.arch,
        names.arch_str,
        list_filter(
            list_transform(
                range(1, len(here.parts) + 1),
                lambda n: {
                    'position': n - 1,
                    'new_value': coalesce(names.ops, names.channels::varchar[])[n],
                    'old_value': here.parts[n]
                }
            ),
            lambda edit: edit.new_value <> edit.old_value
        ) as edits
    from main.arch as names
    inner join here on here.space = names.space
)
select
    other.arch,
    other.edits[1].position as position,
    other.edits[1].new_value as new_value,
    other.arch_str
from other
where len(other.edits) = 1
order by other.arch
