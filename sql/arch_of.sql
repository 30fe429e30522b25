-- arch_of(space, text, encoding): of each row's text the index of the architecture that it stands for, null if it is none.
-- encoding as in the view encoding; null, as it is unless given: any that texts of this kind are known to have. It is an error where these
-- give different architectures, as for bare digits ('403143'), which are naslib or digits.
create or replace macro arch_of(space, text, encoding := null) as (
    case
        when
            regexp_full_match(text, '0|[1-9][0-9]{0,8}')
            and try_cast(text as integer) < archs_of(space)
            and (encoding is null or encoding = 'index')
            then try_cast(text as integer)
        else arch_numbered(
            space,
            list_transform(
                [numbers_of(space, text, encoding)],
                lambda numbers: case
                    when len(numbers) > 1
                        then error(
                            format('{} may stand for several architectures of {}: name the encoding, as in ', text, space)
                            || 'arch_of(space, text, encoding := ''naslib'')'
                        )
                    else numbers[1]
                end
            )[1]
        )
    end
)
