-- The gateway's books. Why it looks like this:
-- every key begins with the project, so that the schema can be spread by project; state rows hold the present, and
-- history is append-only with one row per committed change; constraints repeat the rules of the ground floor, so that
-- a bug of ours cannot write what the rules forbid; texts that are echoed to merchants are kept as text, unchanged.

create table project (
    name text primary key,
    is_live boolean not null,
    is_disabled boolean not null default false,
    settings jsonb not null,
    webhook_url text,
    sealed_secrets bytea not null,          -- webhook keys, readable by the vault's keys only
    webhook_public_pem text not null,
    webhook_public_ed25519 text not null,
    created_at timestamptz not null
);

create table project_key (
    project text not null references project (name),
    id text not null,
    pem text not null,
    added_at timestamptz not null,
    retired_at timestamptz,
    primary key (project, id)
);

create table session (
    project text not null,
    id text not null,
    version integer not null,
    api_version smallint not null,
    webhook_version smallint,
    status text not null check (status in ('created', 'in_progress', 'accepted', 'cancelled', 'error')),
    created_at timestamptz not null,
    updated_at timestamptz not null,
    finished_at timestamptz,
    offer text,
    offer_sealed_cvv text,
    dropped text,
    events_count integer not null,
    due_at timestamptz,
    lease_owner text,
    lease_until timestamptz,                -- on the database's clock
    primary key (project, id)
);
create index session_due on session (due_at) where due_at is not null;
create index session_with_cvv on session (created_at) where offer_sealed_cvv is not null;
create index session_recent on session (project, created_at);

create table payment (
    project text not null,
    id text not null,
    session_id text not null,
    phase text not null,
    amount_minor bigint not null check (amount_minor between 1 and 999999999999),
    currency text not null check (currency ~ '^[a-z]{3}$'),
    card text not null,
    details text not null,
    acquirer text,
    is_two_stage boolean not null,
    shows_fees boolean not null,
    hold_seconds integer not null,
    hold_expiry text not null,
    sealed_cvv text,                        -- ciphertext; its key never enters this database
    decision text check (decision in ('confirmed', 'cancelled', 'timed_out')),
    decision_deadline_at timestamptz,
    hold_deadline_at timestamptz,
    held_minor bigint not null,
    captured_minor bigint not null,
    refunded_minor bigint not null,
    rrn text,
    approval_code text,
    reason text,
    created_at timestamptz not null,
    finished_at timestamptz,
    primary key (project, id),
    foreign key (project, session_id) references session (project, id),
    constraint held_as_asked check (held_minor in (0, amount_minor)),
    constraint captured_within_held check (captured_minor between 0 and held_minor),
    constraint refunded_within_captured check (refunded_minor between 0 and captured_minor),
    constraint failed_has_reason check (phase <> 'failed' or reason is not null),
    constraint cvv_gone_at_the_end check (phase in ('routing', 'await_confirm', 'confirmed') or sealed_cvv is null)
);
create index payment_with_cvv on payment (created_at) where sealed_cvv is not null;
create index payment_of_session on payment (project, session_id);

create table operation (
    project text not null,
    id text not null,
    session_id text not null,
    payment_id text not null,
    kind text not null check (kind in ('sale', 'authorization', 'capture', 'refund', 'reversal')),
    state text not null
        check (state in ('planned', 'submitted', 'reversing', 'approved', 'declined', 'reversed')),
    amount_minor bigint not null check (amount_minor between 1 and 999999999999),
    target_id text,
    rrn text,
    stan text,
    terminal text,
    transmitted_at timestamptz,
    attempts integer not null,
    planned_at timestamptz not null,
    submitted_at timestamptz,
    next_attempt_at timestamptz,
    unclear_since timestamptz,
    is_stuck boolean not null,
    response_code text,
    approval_code text,
    reason text,
    finished_at timestamptz,
    metadata text,
    primary key (project, id),
    foreign key (project, payment_id) references payment (project, id),
    constraint submitted_has_references check (state in ('planned', 'declined') or rrn is not null)
);
create index operation_of_session on operation (project, session_id);
create unique index one_live_charge on operation (project, payment_id)
    where kind in ('sale', 'authorization') and state not in ('declined', 'reversed');
create unique index one_live_capture on operation (project, payment_id)
    where kind = 'capture' and state not in ('declined', 'reversed');
create unique index rrn_names_one_operation on operation (rrn) where rrn is not null and kind <> 'reversal';
create index operation_by_references on operation (rrn, stan) where rrn is not null;

create table transfer (
    project text not null,
    id text not null,
    session_id text not null,
    operation_id text not null,
    phase text not null check (phase in ('pending', 'posted', 'voided')),
    debit text not null,
    credit text not null,
    amount_minor bigint not null check (amount_minor > 0),
    currency text not null,
    resolves_id text,
    at timestamptz not null,
    primary key (project, id),
    foreign key (project, operation_id) references operation (project, id),
    constraint two_accounts check (debit <> credit)
);
create unique index pending_resolved_once on transfer (project, resolves_id) where resolves_id is not null;

create table history (
    project text not null,
    session_id text not null,
    change_id text not null,
    version integer not null,
    at timestamptz not null,
    node text not null,
    steps jsonb not null,
    primary key (project, session_id, change_id)
);

create table note (
    project text not null,
    session_id text not null,
    id text not null,
    at timestamptz not null,
    kind text not null,
    data text not null,
    primary key (project, session_id, id)
);

create table alarm (
    project text not null,
    session_id text not null,
    change_id text not null,
    subject text not null,
    what text not null,
    at timestamptz not null,
    primary key (project, session_id, change_id, subject)
);

create table idempotency_key (
    project text not null,
    key text not null,
    path text not null,
    body_hash bytea not null,
    session_id text not null,
    answer text,
    at timestamptz not null,
    primary key (project, key)
);

create table event (
    project text not null,
    id text not null,
    session_id text not null,
    sequence integer not null,
    type text not null check (type in
        ('ready_to_confirm', 'ready_to_capture', 'action_required', 'payment_finished', 'payment_refunded')),
    body text not null,
    created_at timestamptz not null,
    state text not null check (state in ('waiting', 'delivered', 'abandoned', 'silent')),
    attempts integer not null default 0,
    first_attempt_at timestamptz,
    next_attempt_at timestamptz,
    signature text,
    lease_owner text,
    lease_until timestamptz,
    primary key (project, id),
    unique (project, session_id, sequence)
);
create index event_waiting on event (next_attempt_at) where state = 'waiting';

create table delivery_attempt (
    project text not null,
    event_id text not null,
    number integer not null,
    at timestamptz not null,
    status integer,
    error text,
    excerpt text not null,
    duration_ms integer not null,
    primary key (project, event_id, number)
);

-- Commits a group of changes in one round trip. Each is accepted or refused alone: 'ok', 'stale' (the session's
-- version moved, or a new session exists), 'key_taken'. The caller puts a session and a key into a group only once, and
-- names the sections that occur, so that a statement nobody needs is not run.
create function commit_changes(changes jsonb, sections text[]) returns text[] language plpgsql as $$
declare
    statuses text[];
    accepted jsonb[];
begin
    with asked as (
        select * from rows from (jsonb_to_recordset(changes)
            as (project text, session_id text, before_version integer)) with ordinality
            as c (project, session_id, before_version, place)
    ), locked as (
        select s.project, s.id, s.version from asked join session s on (s.project, s.id) = (asked.project, asked.session_id)
        order by s.project, s.id for update of s
    )
    select array_agg(
            case when coalesce(locked.version, 0) = asked.before_version then 'ok' else 'stale' end order by place)
        into statuses
        from asked left join locked on (locked.project, locked.id) = (asked.project, asked.session_id);

    if 'claim' = any (sections) then
        with claims as (
            select k.project, k.key, k.path, k.body_hash, k.session_id, k.answer, k.at, c.place
            from jsonb_array_elements(changes) with ordinality as c (doc, place),
                jsonb_populate_record(null::idempotency_key, c.doc -> 'claim') k
            where c.doc ? 'claim' and statuses[c.place] = 'ok'
        ), taken as (
            insert into idempotency_key (project, key, path, body_hash, session_id, answer, at)
            select project, key, path, body_hash, session_id, answer, at from claims order by project, key
            on conflict do nothing returning project, key
        )
        select array_agg(case
                when statuses[c.place] <> 'ok' then statuses[c.place]
                when claims.place is not null and taken.key is null then 'key_taken'
                else 'ok' end order by c.place)
            into statuses
            from generate_subscripts(statuses, 1) as c (place)
            left join claims using (place) left join taken using (project, key);
    end if;

    select array_agg(c.doc) into accepted
        from jsonb_array_elements(changes) with ordinality as c (doc, place) where statuses[c.place] = 'ok';
    if accepted is null then
        return statuses;
    end if;

    if 'new' = any (sections) then
        insert into session
            select r.project, r.id, r.version, r.api_version, r.webhook_version, r.status, r.created_at, r.updated_at, r.finished_at, r.offer,
                r.offer_sealed_cvv, r.dropped, r.events_count, r.due_at, r.lease_owner,
                clock_timestamp() + make_interval(secs => (a.doc ->> 'lease_seconds')::double precision)
            from unnest(accepted) as a (doc), jsonb_populate_record(null::session, a.doc -> 'session') r
            where (a.doc ->> 'before_version')::integer = 0;
    end if;
    if 'known' = any (sections) then
        update session s set version = r.version, status = r.status, updated_at = r.updated_at,
                finished_at = r.finished_at, offer = r.offer, offer_sealed_cvv = r.offer_sealed_cvv,
                dropped = r.dropped, events_count = r.events_count, due_at = r.due_at, lease_owner = r.lease_owner,
                lease_until = clock_timestamp() + make_interval(secs => (a.doc ->> 'lease_seconds')::double precision)
            from unnest(accepted) as a (doc), jsonb_populate_record(null::session, a.doc -> 'session') r
            where (s.project, s.id) = (r.project, r.id) and (a.doc ->> 'before_version')::integer > 0;
    end if;
    if 'payments' = any (sections) then
        insert into payment
            select r.* from unnest(accepted) as a (doc), jsonb_populate_recordset(null::payment, a.doc -> 'payments') r
            on conflict (project, id) do update set phase = excluded.phase, sealed_cvv = excluded.sealed_cvv,
                decision = excluded.decision, decision_deadline_at = excluded.decision_deadline_at,
                hold_deadline_at = excluded.hold_deadline_at, held_minor = excluded.held_minor,
                captured_minor = excluded.captured_minor, refunded_minor = excluded.refunded_minor,
                rrn = excluded.rrn, approval_code = excluded.approval_code, reason = excluded.reason,
                finished_at = excluded.finished_at;
    end if;
    if 'operations' = any (sections) then
        insert into operation
            select r.* from unnest(accepted) as a (doc),
                jsonb_populate_recordset(null::operation, a.doc -> 'operations') r
            on conflict (project, id) do update set state = excluded.state, rrn = excluded.rrn, stan = excluded.stan,
                terminal = excluded.terminal, transmitted_at = excluded.transmitted_at,
                attempts = excluded.attempts, submitted_at = excluded.submitted_at,
                next_attempt_at = excluded.next_attempt_at, unclear_since = excluded.unclear_since,
                is_stuck = excluded.is_stuck, response_code = excluded.response_code,
                approval_code = excluded.approval_code, reason = excluded.reason, finished_at = excluded.finished_at;
    end if;
    if 'transfers' = any (sections) then
        insert into transfer select r.* from unnest(accepted) as a (doc),
            jsonb_populate_recordset(null::transfer, a.doc -> 'transfers') r;
    end if;
    if 'notes' = any (sections) then
        insert into note select r.* from unnest(accepted) as a (doc),
            jsonb_populate_recordset(null::note, a.doc -> 'notes') r;
    end if;
    if 'alarms' = any (sections) then
        insert into alarm select r.* from unnest(accepted) as a (doc),
            jsonb_populate_recordset(null::alarm, a.doc -> 'alarms') r;
    end if;
    if 'events' = any (sections) then
        insert into event (project, id, session_id, sequence, type, body, created_at, next_attempt_at, state)
            select r.project, r.id, r.session_id, r.sequence, r.type, r.body, r.created_at, r.created_at,
                case when p.webhook_url is null then 'silent' else 'waiting' end
            from unnest(accepted) as a (doc), jsonb_populate_recordset(null::event, a.doc -> 'events') r
            join project p on p.name = r.project;
    end if;
    insert into history select r.* from unnest(accepted) as a (doc),
        jsonb_populate_record(null::history, a.doc -> 'history') r;
    return statuses;
end
$$;

-- Writes down attempts of webhooks, and where each delivery stands after them.
create function finish_deliveries(deliveries jsonb) returns void language sql as $$
    insert into delivery_attempt
        select r.* from jsonb_array_elements(deliveries) as d (doc),
            jsonb_populate_record(null::delivery_attempt, d.doc -> 'attempt') r
        on conflict do nothing;
    update event e set state = r.state, attempts = r.attempts, first_attempt_at = r.first_attempt_at,
            next_attempt_at = r.next_attempt_at, signature = r.signature, lease_owner = null, lease_until = null
        from jsonb_array_elements(deliveries) as d (doc), jsonb_populate_record(null::event, d.doc -> 'event') r
        where (e.project, e.id) = (r.project, r.id) and e.state <> 'delivered';
$$;
