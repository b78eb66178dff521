-- name: insert_public_token
-- Keep a public token by its hash.
insert into public_token (project, id, session_id, may_tokenize, options, created_at)
values ($1, $2, $3, $4, $5, $6)

-- name: find_public_token
-- A public token by its hash.
select project, id, session_id, may_tokenize, options, created_at, used_at from public_token where id = $1

-- name: exchange_token
-- Use a public token up for a card's token, both or neither; no row when it was used up already.
with used as (
    update public_token set used_at = $6
    where id = $1 and project = $2 and used_at is null returning project
)
insert into card_token (project, token, card, sealed_cvv, created_at)
select project, $3, $4, $5, $6 from used
returning token

-- name: insert_card_tokens
-- Keep tokens of cards by their hashes, all or none.
insert into card_token (project, token, card, created_at)
select * from unnest($1::text[], $2::text[], $3::text[], $4::timestamptz[])

-- name: find_card_token
-- A card's token of this project, by its hash.
select project, card, sealed_cvv, created_at, used_at from card_token where project = $1 and token = $2

-- name: take_card_token
-- Mark a card's token as used and take its security code out; how it was before.
update card_token now set used_at = coalesce(now.used_at, $3), sealed_cvv = null
from (select * from card_token where project = $1 and token = $2 for update) was
where (now.project, now.token) = (was.project, was.token)
returning was.project, was.card, was.sealed_cvv, was.created_at, was.used_at
