-- 3-D Secure: authentications beside the operations of a session, the payer's link, card ranges of directory servers.
-- Why it looks like this: the functions that write a group take whole rows of the tables' own types, so that new columns
-- stand at the end of their tables and the function is made anew; the constraints repeat the ground floor's rules (an
-- authentication is used up by one authorization, at most one of a payment is open). No index begins with the project.

alter table payment
    add column threeds text not null default 'auto' check (threeds in ('always', 'auto', 'never')),
    add column exemption text,
    add column names_session_on_return boolean not null default true,
    add column action_link text,
    add column action_deadline_at timestamptz,
    add column card_fingerprint text,
    drop constraint cvv_gone_at_the_end,
    add constraint cvv_gone_at_the_end
        check (phase in ('routing', 'await_confirm', 'confirmed', 'await_action') or sealed_cvv is null),
    add constraint action_has_a_link check (phase <> 'await_action' or action_link is not null);
create unique index payment_by_link on payment (action_link) where action_link is not null;
create index payment_of_low_value on payment (card_fingerprint, project, created_at) where exemption = 'low_value';

create table authentication (
    project text not null,
    id text not null,
    session_id text not null,
    payment_id text not null,
    state text not null check (state in ('opened', 'asked', 'challenged', 'decoupled', 'finished', 'lapsed')),
    version text not null,
    wish text not null,
    opened_at timestamptz not null,
    asked_at timestamptz,
    ds_transaction_id text,
    acs_transaction_id text,
    acs_url text,
    result text,
    finished_at timestamptz,
    card_fingerprint text,
    primary key (project, id),
    foreign key (project, payment_id) references payment (project, id),
    constraint finished_has_a_result check (state <> 'finished' or result is not null)
);
create index authentication_of_session on authentication (session_id, project);
create unique index authentication_by_id on authentication (id);
create unique index one_open_authentication on authentication (payment_id, project)
    where state in ('opened', 'asked', 'challenged', 'decoupled');
create index authentication_proven on authentication (card_fingerprint, project, finished_at)
    where result is not null and card_fingerprint is not null;

alter table operation add column authentication_id text, add column exemption text;
create unique index authentication_used_once on operation (authentication_id, project)
    where authentication_id is not null;

create table card_range (
    directory text not null,
    first text not null,
    last text not null,
    versions text[] not null,
    method_url text,
    info text[] not null,
    primary key (directory, first, last)
);

create table card_range_state (
    directory text primary key,
    serial text,
    refreshed_at timestamptz not null
);

drop function commit_changes(
    asked_change[], session[], payment[], operation[], transfer[], history[], note[], alarm[], event[], idempotency_key[]
);

-- Commits a group of changes in one round trip, all or none: a null when it did, else a word for each change, 'ok',
-- 'stale' (the session's version moved, or a new session exists) or 'key_taken', and nothing is written. The caller
-- puts a session and a key into a group only once. Rows come as arrays of the tables' own row types.
create function commit_changes(
    asked asked_change[], sessions session[], payments payment[], operations operation[],
    authentications authentication[], transfers transfer[],
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
                finished_at = excluded.finished_at, action_link = excluded.action_link,
                action_deadline_at = excluded.action_deadline_at
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
                approval_code = excluded.approval_code, reason = excluded.reason, finished_at = excluded.finished_at,
                authentication_id = excluded.authentication_id, exemption = excluded.exemption
            where operation.session_id = excluded.session_id;
        get diagnostics written = row_count;
        if written <> cardinality(operations) then
            raise unique_violation using message = 'an operation of another session', constraint = 'operation_pkey';
        end if;
    end if;
    if cardinality(authentications) > 0 then
        insert into authentication select * from unnest(authentications)
            on conflict (project, id) do update set state = excluded.state, asked_at = excluded.asked_at,
                ds_transaction_id = excluded.ds_transaction_id, acs_transaction_id = excluded.acs_transaction_id,
                acs_url = excluded.acs_url, result = excluded.result, finished_at = excluded.finished_at
            where authentication.session_id = excluded.session_id;
        get diagnostics written = row_count;
        if written <> cardinality(authentications) then
            raise unique_violation
                using message = 'an authentication of another session', constraint = 'authentication_pkey';
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
