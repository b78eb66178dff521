-- name: commit_changes
-- Commit a group of changes, all or none; nothing to say when it did, else a verdict each.
select commit_changes($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)

-- name: find_session
-- One session with its payments and operations, oldest first.
select s.*,
    array(select p from payment p where (p.project, p.session_id) = (s.project, s.id) order by p.created_at, p.id)
        as payments,
    array(select o from operation o where (o.project, o.session_id) = (s.project, s.id) order by o.planned_at, o.id)
        as operations
from session s where s.project = $1 and s.id = $2

-- name: find_change
-- Whether a change became true.
select exists (select from history where project = $1 and session_id = $2 and change_id = $3)

-- name: find_key
-- What an idempotency key was used for.
select path, body_hash, session_id, answer from idempotency_key where project = $1 and key = $2

-- name: find_operation
-- The operation that sent under these references.
select project, session_id, id from operation where rrn = $1 and stan = $2 and terminal = $3

-- name: claim_due
-- Lease sessions that are due and free; the version moves, so that whoever held them before cannot commit.
update session s set lease_owner = $2, lease_until = clock_timestamp() + make_interval(secs => $3), version = version + 1
from (
    select project, id from session
    where due_at <= $1 and (lease_until is null or lease_until < clock_timestamp())
    order by due_at limit $4 for update skip locked
) due
where (s.project, s.id) = (due.project, due.id)
returning s.project, s.id

-- name: insert_notes
-- Keep notes that came without a change.
insert into note (project, session_id, id, at, kind, data)
select * from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[], $5::text[], $6::text[])

-- name: live_cvv_slots
-- Which of these slots of security codes some row still names.
select split_part(sealed_cvv, '.', 2) as slot from payment
where sealed_cvv is not null and split_part(sealed_cvv, '.', 2) = any ($1::text[])
union select split_part(offer_sealed_cvv, '.', 2) from session
where offer_sealed_cvv is not null and split_part(offer_sealed_cvv, '.', 2) = any ($1::text[])
