-- name: find_ranges_state
-- Which serial number of a directory server's ranges is kept, and since when.
select serial, refreshed_at from card_range_state where directory = $1

-- name: list_card_ranges
-- All ranges of a directory server.
select first, last, versions, method_url, info from card_range where directory = $1

-- name: begin_card_ranges
-- The first state of a directory server's ranges; nothing when somebody else was first.
insert into card_range_state (directory, serial, refreshed_at) values ($1, $2, $3)
on conflict do nothing returning directory

-- name: renew_card_ranges
-- The next state of a directory server's ranges; nothing when the state is not the one that was read.
update card_range_state set serial = $2, refreshed_at = $3
where directory = $1 and serial is not distinct from $4 and refreshed_at = $5 returning directory

-- name: clear_card_ranges
-- Remove all ranges of a directory server.
delete from card_range where directory = $1

-- name: remove_card_ranges
-- Remove ranges by their bounds.
delete from card_range r using unnest($2::text[], $3::text[]) as gone (first, last)
where r.directory = $1 and r.first = gone.first and r.last = gone.last

-- name: put_card_ranges
-- Keep ranges, in the place of those that have the same bounds. Lists come as texts with blanks between.
insert into card_range (directory, first, last, versions, method_url, info)
select $1, put.first, put.last, string_to_array(put.versions, ' '), put.method_url, string_to_array(put.info, ' ')
from unnest($2::text[], $3::text[], $4::text[], $5::text[], $6::text[])
    as put (first, last, versions, method_url, info)
on conflict (directory, first, last) do update set
    versions = excluded.versions, method_url = excluded.method_url, info = excluded.info
