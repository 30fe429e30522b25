-- full_schedule: a row is the schedule that stands for full training of a space and data set. Key: space, dataset.
-- hp: the longest of those that cover at least half as many architectures as the one that covers most, one for all roles:
-- officially 200 (tss), 90 (sss). So a few long runs beside all architectures at a short schedule judge nothing.
-- dataset: as searched on (see judged_by). archs: how many it covers.
create or replace view full_schedule as
with
covered as (
    select
        result.space,
        role_of.dataset,
        result.hp,
        -- As count(distinct …), in a twentieth of its time.
        bit_count(bitstring_agg(result.arch, 0, last_arch())) as archs
    from main.chosen_final as result
    inner join main.judged_by as role_of on role_of.trained = result.dataset and role_of.split = result.split
    group by result.space, role_of.dataset, result.hp
),
compared as (
    select
        covered.*,
        max(covered.archs) over (partition by covered.space, covered.dataset) as most
    from covered
)
select
    compared.space,
    compared.dataset,
    max_by(compared.hp, compared.hp::integer) as hp,
    max_by(compared.archs, compared.hp::integer) as archs
from compared
where 2 * compared.archs >= compared.most
group by compared.space, compared.dataset
