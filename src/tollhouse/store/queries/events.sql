-- name: claim_deliveries
-- Lease events that may go out now, of the sessions given or of any; an earlier one may hold back a later one.
update event e set lease_owner = $2, lease_until = clock_timestamp() + make_interval(secs => $3)
from (
    select w.project, w.id from event w join project p on p.name = w.project
    where w.state = 'waiting' and w.next_attempt_at <= $1
        and (w.lease_until is null or w.lease_until < clock_timestamp())
        and ($4::text[] is null or (w.project, w.session_id) in (select * from unnest($4::text[], $5::text[])))
        and p.webhook_url is not null and w.project <> all ($7::text[])
        and (p.settings ->> 'webhook_order' = 'none' or w.type = 'action_required' or not exists (
            select from event f
            where (f.project, f.session_id) = (w.project, w.session_id) and f.sequence < w.sequence
                and f.state = 'waiting'
                and (p.settings ->> 'webhook_order' = 'strict' or f.first_attempt_at is null
                    or f.first_attempt_at > $1 - interval '60 seconds')))
    order by w.next_attempt_at limit $6 for update of w skip locked
) due, project p
where (e.project, e.id) = (due.project, due.id) and p.name = e.project
returning e.project, e.id, e.session_id, e.type, e.sequence, e.body, e.attempts, e.first_attempt_at, e.next_attempt_at,
    e.signature, p.webhook_url, p.is_live, (p.settings ->> 'webhook_retry_window')::integer as window_seconds

-- name: finish_deliveries
-- Write down attempts and where their deliveries stand.
select finish_deliveries($1, $2, $3)

-- name: resend_event
-- Let an event go out again: same id and body, at once.
update event set state = 'waiting', next_attempt_at = $3, first_attempt_at = null, lease_owner = null, lease_until = null
where project = $1 and id = $2 returning session_id
