-- name: commit_changes
-- Commit a group of changes, all or none; nothing to say when it did, else a verdict each.
select commit_changes($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)

-- name: find_session
-- One session with its payments and operations, oldest first.
select s.*,
    array(select p from payment p where (p.project, p.session_id) = (s.project, s.id) order by p.created_at, p.id)
        as payments,
    array(select o from operation o where (o.project, o.session_id) = (s.project, s.id) order by o.planned_at, o.id)
        as operations,
    array(select a from authentication a where (a.project, a.session_id) = (s.project, s.id)
        order by a.opened_at, a.id) as authentications
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

-- name: find_link
-- The payment that a payer's link belongs to.
select project, session_id, id from payment where action_link = $1

-- name: find_authentication
-- The session of an authentication.
select project, session_id from authentication where id = $1

-- name: low_value_use
-- How often a card went without authentication as low value since its payer was last authenticated.
select count(*)::integer as count, coalesce(sum(p.amount_minor), 0)::bigint as sum_minor from payment p
where p.card_fingerprint = $2 and p.project = $1 and p.exemption = 'low_value' and p.phase <> 'failed'
    and p.created_at > coalesce((select max(a.finished_at) from authentication a
        where a.card_fingerprint = $2 and a.project = $1 and a.result is not null
            and a.result::jsonb ->> 'status' = 'Y'), '-infinity')

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
union select split_part(sealed_cvv, '.', 2) from card_token
where sealed_cvv is not null and split_part(sealed_cvv, '.', 2) = any ($1::text[])
    and created_at > clock_timestamp() - make_interval(secs => $2)
