-- attached_name(measure): the name of a measure, null for one that only archives record; an error if there is none.
create or replace macro attached_name(measure) as
    known_measure(case when measure not in ('accuracy', 'latency', 'train_seconds') then measure end)
