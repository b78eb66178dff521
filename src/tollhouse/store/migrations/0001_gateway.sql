-- The gateway's books. Why it looks like this:
-- every key begins with the project, so that the schema can be spread by project; state rows hold the present, and
-- history is append-only with one row per committed change; constraints repeat the rules of the ground floor, so that
-- a bug of ours cannot write what the rules forbid; texts that are echoed to merchants are kept as text, unchanged.
-- No other index begins with the project: while a table has no statistics yet, the planner may take such an index for a
-- look-up by primary key and read the whole project.

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
create index session_recent on session (created_at);

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
create index payment_of_session on payment (session_id, project);

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
create index operation_of_session on operation (session_id, project);
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
    unique (session_id, project, sequence)
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

-- What a change asks for before anything of it is written: which version its session must have.
create type asked_change as (project text, session_id text, before_version integer, lease_seconds double precision);

-- Commits a group of changes in one round trip, all or none: a null when it did, else a word for each change, 'ok',
-- 'stale' (the session's version moved, or a new session exists) or 'key_taken', and nothing is written. The caller
-- puts a session and a key into a group only once. Rows come as arrays of the tables' own row types.
create function commit_changes(
    asked asked_change[], sessions session[], payments payment[], operations operation[], transfers transfer[],
    steps history[], notes note[], alarms alarm[], events event[], keys idempotency_key[]
) returns text[] language plpgsql as $$
declare
    verdicts text[];
    written integer;
begin
    with locked as (
        select s.project, s.id, s.version from unnest(asked) a
        join session s on (s.project, s.id) = (a.project, a.session_id)
        order by s.project, s.id for update of s
    )
    select array_agg(case
            when coalesce(locked.version, 0) <> a.before_version then 'stale'
            when exists (
                select from unnest(keys) k join idempotency_key used on (used.project, used.key) = (k.project, k.key)
                where (k.project, k.session_id) = (a.project, a.session_id)
            ) then 'key_taken'
            else 'ok' end order by a.ordinality)
        into verdicts
        from unnest(asked) with ordinality a
        left join locked on (locked.project, locked.id) = (a.project, a.session_id);
    if verdicts <> array_fill('ok'::text, array[cardinality(asked)]) then
        return verdicts;
    end if;

    insert into session as s
        select r.project, r.id, r.version, r.api_version, r.webhook_version, r.status, r.created_at, r.updated_at,
            r.finished_at, r.offer, r.offer_sealed_cvv, r.dropped, r.events_count, r.due_at, r.lease_owner,
            clock_timestamp() + make_interval(secs => asked[r.ordinality].lease_seconds)
        from unnest(sessions) with ordinality r where asked[r.ordinality].before_version = 0;
    update session s set version = r.version, status = r.status, updated_at = r.updated_at,
            finished_at = r.finished_at, offer = r.offer, offer_sealed_cvv = r.offer_sealed_cvv,
            dropped = r.dropped, events_count = r.events_count, due_at = r.due_at, lease_owner = r.lease_owner,
            lease_until = clock_timestamp() + make_interval(secs => asked[r.ordinality].lease_seconds)
        from unnest(sessions) with ordinality r
        where (s.project, s.id) = (r.project, r.id) and asked[r.ordinality].before_version > 0;
    insert into history select * from unnest(steps);
    if cardinality(payments) > 0 then
        insert into payment select * from unnest(payments)
            on conflict (project, id) do update set phase = excluded.phase, sealed_cvv = excluded.sealed_cvv,
                decision = excluded.decision, decision_deadline_at = excluded.decision_deadline_at,
                hold_deadline_at = excluded.hold_deadline_at, held_minor = excluded.held_minor,
                captured_minor = excluded.captured_minor, refunded_minor = excluded.refunded_minor,
                rrn = excluded.rrn, approval_code = excluded.approval_code, reason = excluded.reason,
                finished_at = excluded.finished_at
            where payment.session_id = excluded.session_id;
        get diagnostics written = row_count;
        if written <> cardinality(payments) then
            raise unique_violation using message = 'a payment of another session', constraint = 'payment_pkey';
        end if;
    end if;
    if cardinality(operations) > 0 then
        insert into operation select * from unnest(operations)
            on conflict (project, id) do update set state = excluded.state, rrn = excluded.rrn, stan = excluded.stan,
                terminal = excluded.terminal, transmitted_at = excluded.transmitted_at,
                attempts = excluded.attempts, submitted_at = excluded.submitted_at,
                next_attempt_at = excluded.next_attempt_at, unclear_since = excluded.unclear_since,
                is_stuck = excluded.is_stuck, response_code = excluded.response_code,
                approval_code = excluded.approval_code, reason = excluded.reason, finished_at = excluded.finished_at
            where operation.session_id = excluded.session_id;
        get diagnostics written = row_count;
        if written <> cardinality(operations) then
            raise unique_violation using message = 'an operation of another session', constraint = 'operation_pkey';
        end if;
    end if;
    if cardinality(transfers) > 0 then
        insert into transfer select * from unnest(transfers);
    end if;
    if cardinality(notes) > 0 then
        insert into note select * from unnest(notes);
    end if;
    if cardinality(alarms) > 0 then
        insert into alarm select * from unnest(alarms);
    end if;
    if cardinality(keys) > 0 then
        insert into idempotency_key select * from unnest(keys);
    end if;
    if cardinality(events) > 0 then
        insert into event
            select e.project, e.id, e.session_id, e.sequence, e.type, e.body, e.created_at,
                case when p.webhook_url is null then 'silent' else 'waiting' end, 0, null, e.created_at
            from unnest(events) e join project p on p.name = e.project;
    end if;
    return null;
end
$$;

-- Where a delivery stands after an attempt.
create type delivery_standing as (
    project text, id text, state text, attempts integer, first_attempt_at timestamptz, next_attempt_at timestamptz,
    signature text
);

-- Writes down attempts of webhooks, and where each delivery stands after them. A node that slept over its lease takes
-- nothing back: neither what another has done meanwhile nor the lease under which it does it.
create function finish_deliveries(made delivery_attempt[], standings delivery_standing[], node text) returns void
language sql as $$
    insert into delivery_attempt select * from unnest(made) on conflict do nothing;
    update event e set state = r.state, attempts = r.attempts, first_attempt_at = r.first_attempt_at,
            next_attempt_at = r.next_attempt_at, signature = r.signature, lease_owner = nullif(e.lease_owner, node),
            lease_until = case when e.lease_owner = node then null else e.lease_until end
        from unnest(standings) r
        where (e.project, e.id) = (r.project, r.id) and e.state = 'waiting'
            and (r.attempts > e.attempts or r.state = 'delivered');
$$;
