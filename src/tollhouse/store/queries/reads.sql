-- name: projects_of_session
-- Which projects have a session of this id: one look into each project's index.
select p.name from project p where exists (select from session s where (s.project, s.id) = (p.name, $1)) order by p.name

-- name: projects_of_event
-- Which projects have an event of this id: one look into each project's index.
select p.name from project p where exists (select from event e where (e.project, e.id) = (p.name, $1)) order by p.name

-- name: list_sessions
-- The newest sessions of one project or of every project, with their payments and operations.
select n.*,
    array(select p from payment p where (p.project, p.session_id) = (n.project, n.id) order by p.created_at, p.id)
        as payments,
    array(select o from operation o where (o.project, o.session_id) = (n.project, n.id) order by o.planned_at, o.id)
        as operations,
    array(select a from authentication a where (a.project, a.session_id) = (n.project, n.id)
        order by a.opened_at, a.id) as authentications
from (
    select s.* from project p cross join lateral (
        select * from session s where s.project = p.name and ($2::text is null or s.status = $2)
        order by s.created_at desc, s.id desc limit $3
    ) s
    where $1::text is null or p.name = $1
    order by s.created_at desc, s.id desc limit $3
) n
order by n.created_at desc, n.id desc

-- name: list_lives
-- Sessions of a project after an id (or one of them), each with everything that happened to it.
select s.*,
    array(select p from payment p where (p.project, p.session_id) = (s.project, s.id) order by p.created_at, p.id)
        as payments,
    array(select o from operation o where (o.project, o.session_id) = (s.project, s.id) order by o.planned_at, o.id)
        as operations,
    array(select a from authentication a where (a.project, a.session_id) = (s.project, s.id)
        order by a.opened_at, a.id) as authentications,
    array(select h from history h where (h.project, h.session_id) = (s.project, s.id) order by h.version, h.change_id)
        as history,
    array(select n from note n where (n.project, n.session_id) = (s.project, s.id) order by n.at, n.id) as notes,
    array(select a from alarm a where (a.project, a.session_id) = (s.project, s.id) order by a.at, a.subject) as alarms,
    array(select t from operation o
        join transfer t on t.project = o.project and t.id in (o.id || '-1', o.id || '-2')
        where (o.project, o.session_id) = (s.project, s.id) order by t.at, t.id) as transfers,
    array(select row(e.project, e.session_id, e.id, e.type, e.sequence, e.created_at, e.state, e.next_attempt_at)
        from event e where (e.project, e.session_id) = (s.project, s.id) order by e.sequence) as events,
    array(select d from event e join delivery_attempt d on (d.project, d.event_id) = (e.project, e.id)
        where (e.project, e.session_id) = (s.project, s.id) order by d.event_id, d.number) as deliveries
from session s
where s.project = $1 and ($2::text is null or s.id = $2) and s.id > $3 order by s.id limit $4

-- name: list_events
-- The newest events of one project or of every project, without their bodies.
select n.*, array(select d from delivery_attempt d where (d.project, d.event_id) = (n.project, n.id) order by d.number)
    as deliveries
from (
    select e.project, e.session_id, e.id, e.type, e.sequence, e.created_at, e.state, e.next_attempt_at
    from project p join event e on e.project = p.name
    where ($1::text is null or p.name = $1) and ($2::text is null or e.session_id = $2)
        and ($3::text is null or e.state = $3)
    order by e.created_at desc, e.session_id, e.sequence desc limit $4
) n
order by n.created_at desc, n.session_id, n.sequence desc

-- name: find_event
-- One event with its body and every attempt to deliver it.
select e.project, e.session_id, e.id, e.type, e.sequence, e.created_at, e.state, e.next_attempt_at, e.body,
    array(select d from delivery_attempt d where (d.project, d.event_id) = (e.project, e.id) order by d.number)
        as deliveries
from event e where (e.project, e.id) = ($1, $2)

-- name: projects_with_rows
-- Every project, also one that only its sessions still name.
select name, (select count(*) from session s where s.project = name) as sessions
from (select name from project union select project from session) every order by name

-- name: stray_transfers
-- Transfers of a project that no operation has caused, or that are not named after theirs.
select t.id, t.operation_id, t.session_id from transfer t
where t.project = $1 and (t.id not in (t.operation_id || '-1', t.operation_id || '-2') or not exists (
    select from operation o where (o.project, o.id, o.session_id) = (t.project, t.operation_id, t.session_id)))
order by t.id

-- name: list_used_keys
-- Idempotency keys of a project after one, each with what was written in the instant it was used up.
select k.key, k.path, k.session_id,
    exists (select from session s where (s.project, s.id) = (k.project, k.session_id)) as has_session,
    (select count(*) from history h where (h.project, h.session_id, h.at) = (k.project, k.session_id, k.at)) as changes,
    (select count(*) from payment p where (p.project, p.session_id) = (k.project, k.session_id)) as payments,
    (select count(*) from operation o where (o.project, o.session_id, o.planned_at) = (k.project, k.session_id, k.at)
        and o.kind <> 'reversal') as operations
from idempotency_key k where k.project = $1 and k.key > $2 order by k.key limit $3

-- name: shared_creations
-- Sessions of a project that more than one idempotency key claims to have created, and keys that stand twice.
select session_id as name, count(*) as times from idempotency_key
where project = $1 and path ~ '/session/(create|init/payment)$' group by session_id having count(*) > 1
union all
select 'key ' || key, count(*) from idempotency_key where project = $1 group by key having count(*) > 1

-- name: find_by_rrn
-- The project and session of the operation that has this RRN as its own.
select project, session_id from operation where rrn = $1 and kind <> 'reversal'
