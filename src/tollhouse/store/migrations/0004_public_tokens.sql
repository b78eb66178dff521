-- The payment form: public tokens, kept by their hash only, the tokens of cards that browsers gave us, and the name
-- that payers are shown. Why it looks like this: whoever reads these rows can open no form and pay with no card of
-- another project; a public token is used up and a card's token made in one statement, so that neither is without
-- the other.

alter table payment add column merchant_name text;

create table public_token (
    project text not null references project (name),
    id text not null check (length(id) = 64),
    session_id text,
    may_tokenize boolean not null,
    options text not null,
    created_at timestamptz not null,
    used_at timestamptz,
    primary key (project, id),
    constraint opens_something check (session_id is not null or may_tokenize)
);
create unique index public_token_by_id on public_token (id);

create table card_token (
    project text not null references project (name),
    token text not null,
    card text not null,
    sealed_cvv text,
    created_at timestamptz not null,
    used_at timestamptz,
    primary key (project, token)
);
create index card_token_with_cvv on card_token (created_at) where sealed_cvv is not null;
