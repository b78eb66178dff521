-- name: why_cards_stay
-- For each of these cards the strongest reason why it must stay, or null: nothing can need it any more.
select wanted.project, wanted.token, coalesce(
    (select case
            when bool_or(p.phase not in ('succeeded', 'failed') or s.due_at is not null or exists (
                select from operation o where (o.project, o.session_id) = (p.project, p.session_id)
                    and o.state not in ('approved', 'declined', 'reversed'))) then 'unfinished'
            when bool_or(p.captured_minor > p.refunded_minor and s.updated_at > $4) then 'refundable'
            when bool_or(s.updated_at > $3 and exists (
                select from operation o where (o.project, o.session_id) = (p.project, p.session_id)
                    and o.state = 'reversed')) then 'in doubt'
            when bool_or(s.updated_at > $3) then 'recent' end
        from payment p join session s on (s.project, s.id) = (p.project, p.session_id)
        where (readable(p.card) ->> 'token') = wanted.token and (readable(p.card) ->> 'token') <> ''
            and p.project = wanted.project),
    (select 'unfinished' from session s
        where (readable(s.offer) -> 'card' ->> 'token') = wanted.token and s.offer is not null
            and s.project = wanted.project limit 1),
    (select 'token' from card_token t
        where (readable(t.card) ->> 'token') = wanted.token and t.project = wanted.project
            and (readable(t.card) -> 'expiry' ->> 'year' is null or make_date((readable(t.card) -> 'expiry' ->> 'year')::integer,
                (readable(t.card) -> 'expiry' ->> 'month')::integer, 1) + interval '1 month' > $3)
            and (case when t.used_at is null then t.created_at > $5 else t.used_at > $4 or exists (
                select from payment p where (readable(p.card) ->> 'token') = wanted.token
                    and (readable(p.card) ->> 'token') <> '' and p.project = wanted.project and p.created_at > $4) end)
        limit 1)) as why
from unnest($1::text[], $2::text[]) as wanted (project, token)

-- name: lock_sessions_of_cards
-- Hold the sessions that pay with these cards, so that nothing begins in them until this is decided.
select s.project, s.id from session s
where (s.project, s.id) in (
    select p.project, p.session_id from unnest($1::text[], $2::text[]) as wanted (project, token)
    join payment p on (readable(p.card) ->> 'token') = wanted.token and (readable(p.card) ->> 'token') <> ''
        and p.project = wanted.project)
order by s.project, s.id for update

-- name: let_cards_go
-- Take these cards out of their payments and tokens, and write down that the vault may erase them.
with wanted as (
    select * from unnest($1::text[], $2::text[]) as wanted (project, token)
), paid as (
    update payment p set card_fingerprint = null,
        card = (jsonb_set(readable(p.card), '{token}', '""') - 'fingerprint')::text
    from wanted
    where (readable(p.card) ->> 'token') = wanted.token and (readable(p.card) ->> 'token') <> ''
        and p.project = wanted.project
    returning p.project, p.id, p.session_id
), proven as (
    update authentication a set card_fingerprint = null from paid
    where (a.session_id, a.project) = (paid.session_id, paid.project) and a.payment_id = paid.id
), moved as (
    update session s set version = s.version + 1 from (select distinct project, session_id from paid) of
    where (s.project, s.id) = (of.project, of.session_id)
), ended as (
    update card_token t set used_at = null, created_at = least(t.created_at, $3) from wanted
    where (readable(t.card) ->> 'token') = wanted.token and t.project = wanted.project
)
insert into released_card (project, token) select project, token from wanted
on conflict (project, token) do update set released_at = clock_timestamp()

-- name: released_cards
-- Cards that were let go so long ago that no call from before can still be on its way.
select project, token from released_card
where released_at <= clock_timestamp() - make_interval(secs => $1) and (project, token) > ($2, $3)
order by project, token limit $4

-- name: newest_release_age
-- How many seconds ago a card was last let go; null when none waits.
select extract(epoch from clock_timestamp() - max(released_at))::float8 from released_card

-- name: forget_tokens_of_cards
-- Remove the tokens of cards that the vault has erased.
delete from card_token t using unnest($1::text[], $2::text[]) as gone (project, token)
where (readable(t.card) ->> 'token') = gone.token and t.project = gone.project and t.used_at is null

-- name: forget_released_cards
-- Remove cards from the list of those that the vault may erase: it has, or they are needed again.
delete from released_card r using unnest($1::text[], $2::text[]) as gone (project, token)
where (r.project, r.token) = (gone.project, gone.token)

-- name: delete_card_tokens
-- Remove tokens of cards that were not used in time, but none that was only just ended.
delete from card_token t where (t.project, t.token) in (
    select o.project, o.token from card_token o
    where o.used_at is null and o.created_at < $1 and ($2::text is null or o.project = $2)
        and not exists (select from released_card r where (r.project, r.token) = (o.project, readable(o.card) ->> 'token'))
    order by o.created_at limit $3)
    and t.used_at is null

-- name: clear_sealed_cvvs
-- Take sealed security codes out of tokens that were not used; their keys were erased before.
update card_token t set sealed_cvv = null where (t.project, t.token) in (
    select o.project, o.token from card_token o
    where o.sealed_cvv is not null and o.created_at < $1 and ($2::text is null or o.project = $2)
    order by o.created_at limit $3 for update skip locked)

-- name: delete_public_tokens
-- Remove public tokens whose time is over.
delete from public_token t where (t.project, t.id) in (
    select o.project, o.id from public_token o where o.created_at < $1 and ($2::text is null or o.project = $2)
    order by o.created_at limit $3)

-- name: delete_events
-- Remove events that nobody waits for, with every attempt to deliver them.
with gone as (
    delete from event e where (e.project, e.id) in (
        select o.project, o.id from event o
        where o.state <> 'waiting' and o.created_at < $1 and ($2::text is null or o.project = $2)
        order by o.created_at limit $3 for update skip locked)
        and e.state <> 'waiting'
    returning e.project, e.id
), attempts as (
    delete from delivery_attempt d using gone where (d.project, d.event_id) = (gone.project, gone.id)
)
select count(*) from gone

-- name: clear_answers
-- Take the kept answers out of idempotency keys: a repetition is refused from now on, not answered again.
update idempotency_key k set answer = null where (k.project, k.key) in (
    select o.project, o.key from idempotency_key o
    where o.answer is not null and o.at < $1 and ($2::text is null or o.project = $2)
    order by o.at limit $3)

-- name: personal_sessions
-- The next sessions whose personal data is old, finished or not.
select distinct on (created_at, project, id) created_at, project, id from (
    (select p.created_at, p.project, p.session_id as id from payment p
        where p.details not like '{"redacted"%' and p.created_at < $1 and ($2::text is null or p.project = $2)
            and (p.created_at, p.project, p.session_id) > ($3, $4, $5)
        order by p.created_at, p.project, p.session_id limit $6)
    union all
    (select s.created_at, s.project, s.id from session s
        where s.offer is not null and s.created_at < $1 and ($2::text is null or s.project = $2)
            and (s.created_at, s.project, s.id) > ($3, $4, $5)
        order by s.created_at, s.project, s.id limit $6)
) old order by created_at, project, id limit $6

-- name: lock_quiet_sessions
-- Hold those of these sessions that are finished and last changed before this; others, and those at work, are left.
select s.project, s.id from session s
join unnest($1::text[], $2::text[]) as wanted (project, id) using (project, id)
where s.status in ('accepted', 'cancelled') and s.due_at is null and s.updated_at < $3
    and not exists (select from operation o where (o.project, o.session_id) = (s.project, s.id)
        and o.state not in ('approved', 'declined', 'reversed'))
order by s.project, s.id for update of s skip locked

-- name: redact_sessions
-- Take what is known of the payer out of these sessions; amounts, references and the masked card stay.
with wanted as (
    select * from unnest($1::text[], $2::text[]) as wanted (project, id)
), paid as (
    update payment p set
        details = '{"redacted":true,"customer":' || jsonb_build_object('reference',
            coalesce($3, readable(p.details) -> 'customer' ->> 'reference', ''))::text || '}',
        card = (readable(p.card) - 'card_id')::text
    from wanted where (p.project, p.session_id) = (wanted.project, wanted.id)
), refunded as (
    update operation o set metadata = null from wanted
    where (o.project, o.session_id) = (wanted.project, wanted.id) and o.metadata is not null
), noted as (
    delete from note n using wanted
    where (n.project, n.session_id) = (wanted.project, wanted.id) and n.kind in ('request', 'threeds')
), announced as (
    delete from event e using wanted
    where (e.project, e.session_id) = (wanted.project, wanted.id) and e.state <> 'waiting'
    returning e.project, e.id
), attempts as (
    delete from delivery_attempt d using announced where (d.project, d.event_id) = (announced.project, announced.id)
)
update session s set offer = null, version = s.version + 1 from wanted
where (s.project, s.id) = (wanted.project, wanted.id)

-- name: clear_answers_of_sessions
-- Take the kept answers out of the idempotency keys of some sessions.
update idempotency_key k set answer = null from unnest($1::text[], $2::text[]) as wanted (project, id)
where (k.project, k.session_id) = (wanted.project, wanted.id) and k.answer is not null

-- name: sessions_of_customer
-- The sessions in which a merchant named this customer.
select p.project, p.session_id as id from payment p
where p.project = $1 and readable(p.details) -> 'customer' ->> 'reference' = $2
union select s.project, s.id from session s
where s.project = $1 and s.offer is not null and readable(s.offer) -> 'details' -> 'customer' ->> 'reference' = $2
order by project, id

-- name: cards_of_sessions
-- The cards that some sessions paid with.
select distinct p.project, readable(p.card) ->> 'token' as token from unnest($1::text[], $2::text[]) as wanted (project, id)
join payment p on (p.session_id, p.project) = (wanted.id, wanted.project) where (readable(p.card) ->> 'token') <> ''

-- name: card_of_token
-- The vault's card behind a token that a merchant has, by its hash.
select readable(card) ->> 'token' from card_token where project = $1 and token = $2

-- name: why_sessions_stay
-- Of some sessions those that are not finished.
select s.project, s.id, s.status from session s
join unnest($1::text[], $2::text[]) as wanted (project, id) using (project, id)
where s.status not in ('accepted', 'cancelled') or s.due_at is not null
    or exists (select from operation o where (o.project, o.session_id) = (s.project, s.id)
        and o.state not in ('approved', 'declined', 'reversed'))

-- name: count_card_tokens
-- How many tokens of cards go and how many stay.
select case when used_at is null and created_at < $1 then '' when used_at is null then 'young' else 'used' end as why,
    count(*), min(created_at) as oldest, max(created_at) as newest
from card_token where $2::text is null or project = $2 group by 1

-- name: count_sealed_cvvs
-- How many sealed security codes lie in tokens of cards.
select case when created_at < $1 then '' else 'young' end as why, count(*), min(created_at) as oldest,
    max(created_at) as newest
from card_token where sealed_cvv is not null and ($2::text is null or project = $2) group by 1

-- name: count_public_tokens
-- How many public tokens go and how many stay.
select case when created_at < $1 then '' else 'young' end as why, count(*), min(created_at) as oldest,
    max(created_at) as newest
from public_token where $2::text is null or project = $2 group by 1

-- name: count_events
-- How many events go and how many stay.
select case when state = 'waiting' then 'waiting' when created_at < $1 then '' else 'young' end as why, count(*),
    min(created_at) as oldest, max(created_at) as newest
from event where $2::text is null or project = $2 group by 1

-- name: count_answers
-- How many kept answers go and how many stay.
select case when at < $1 then '' else 'young' end as why, count(*), min(at) as oldest, max(at) as newest
from idempotency_key where answer is not null and ($2::text is null or project = $2) group by 1

-- name: count_personal
-- How many sessions hold personal data that goes, and how many stay.
select case when s.status not in ('accepted', 'cancelled') or s.due_at is not null or exists (
            select from operation o where (o.project, o.session_id) = (s.project, s.id)
                and o.state not in ('approved', 'declined', 'reversed')) then 'unfinished'
        when s.updated_at < $1 then '' else 'young' end as why,
    count(*), min(s.created_at) as oldest, max(s.created_at) as newest
from session s
where ($2::text is null or s.project = $2) and (s.offer is not null or exists (
    select from payment p where (p.session_id, p.project) = (s.id, s.project) and p.details not like '{"redacted"%'))
group by 1

-- name: count_books
-- How many sessions are in the books, and how many of them are older than the law asks for.
select case when created_at < $1 then 'over' else 'kept' end as why, count(*), min(created_at) as oldest,
    max(created_at) as newest
from session where $2::text is null or project = $2 group by 1

-- name: begin_purge
-- Write down that a run begins.
insert into purge_run (began_at) values ($1) on conflict do nothing

-- name: end_purge
-- Write down how many of each kind are gone.
update purge_run set ended_at = $2, gone = $3 where began_at = $1

-- name: last_purge
-- The last run that came to its end.
select began_at, ended_at, gone from purge_run where ended_at is not null order by began_at desc limit 1

-- name: try_purge_lock
-- Be the only one who purges, until the connection is let go; false when somebody is at it.
select pg_try_advisory_lock(hashtext('tollhouse purge'))

-- name: release_purge_lock
-- Let others purge.
select pg_advisory_unlock(hashtext('tollhouse purge'))
