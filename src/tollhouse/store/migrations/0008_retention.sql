-- What is kept no longer than it is needed.
--
-- Why these indexes: the vault's cards are walked one after the other, and each asks who still needs it; what has an age
-- is found by its age, and what was redacted already is no longer in the index. None is on a column that changes while
-- a payment lives, and none begins with the project. Why released_card: the gateway's rows and the vault's are never
-- changed together. A card is first let go by the gateway, in the same statement order as a commit of the session, and
-- is erased by the vault a moment later, when no call that took it before can still be on its way; whoever dies in
-- between leaves the row for the next run. Why readable: JSON may name the character NUL, which merchants may send and
-- jsonb refuses; where our rows are searched nothing hangs on it. Why purge_run: several nodes, one run a day; and the proof that it runs.

create function readable(kept text) returns jsonb language sql immutable strict parallel safe as $$
    select case when strpos(kept, '\u0000') = 0 then kept::jsonb
        else regexp_replace(kept, '(?<!\\)((\\\\)*)\\u0000', '\1', 'g')::jsonb end
$$;

create index payment_of_card on payment ((readable(card) ->> 'token')) where (readable(card) ->> 'token') <> '';
create index payment_unredacted on payment (created_at) where details not like '{"redacted"%';
create index session_of_card on session ((readable(offer) -> 'card' ->> 'token')) where offer is not null;
create index session_offered on session (created_at) where offer is not null;
create index card_token_of_card on card_token ((readable(card) ->> 'token'));
create index card_token_unused on card_token (created_at) where used_at is null;
create index public_token_by_age on public_token (created_at);
create index event_by_age on event (created_at);
create index key_with_answer on idempotency_key (at) where answer is not null;

create table released_card (
    project text not null,
    token text not null,
    released_at timestamptz not null default clock_timestamp(),
    primary key (project, token)
);

create table purge_run (
    began_at timestamptz primary key,
    ended_at timestamptz,
    gone text not null default '{}'
);
