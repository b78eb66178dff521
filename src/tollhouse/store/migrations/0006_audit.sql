-- The audit log (PCI DSS 10): who did what, when, from where, and how it ended.
--
-- Why it looks like this: each process has a chain of its own, so that nodes never wait for each other; a link covers
-- the entries of one commit, so that a thousand entries cost one digest. Entries and links are only ever added: a
-- trigger refuses everybody, the owner of the tables too. He can take the trigger away; what he changes then is found by
-- `tollhouse audit verify`. Checkpoints are entries; the key that signs them lies as the other keys do.

ALTER TABLE vault.key
    DROP CONSTRAINT key_purpose_check,
    ADD CONSTRAINT key_purpose_check CHECK (purpose IN ('kek', 'fingerprint', 'idempotency', 'audit', 'root'));

CREATE TABLE vault.audit_entry (
    chain   text        NOT NULL,
    number  bigint      NOT NULL CHECK (number > 0),
    link    bigint      NOT NULL CHECK (link > 0),
    at      timestamptz NOT NULL,
    what    text        NOT NULL,
    outcome text        NOT NULL CHECK (outcome IN ('granted', 'done', 'refused', 'failed')),
    subject text        NOT NULL,
    who     text        NOT NULL,
    origin  text        NOT NULL,
    details text        NOT NULL,
    PRIMARY KEY (chain, number)
);

CREATE TABLE vault.audit_link (
    chain   text        NOT NULL,
    number  bigint      NOT NULL CHECK (number > 0),
    last    bigint      NOT NULL,
    acts    integer     NOT NULL,           -- how many of its entries are no checkpoints
    at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    digest  bytea       NOT NULL CHECK (octet_length(digest) = 32),
    PRIMARY KEY (chain, number)
);
CREATE INDEX audit_link_recent ON vault.audit_link (at) WHERE acts > 0;
CREATE INDEX audit_checkpoint ON vault.audit_entry (at) WHERE what = 'audit.checkpoint';

CREATE FUNCTION vault.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log can only be added to' USING ERRCODE = 'insufficient_privilege';
END
$$;
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON vault.audit_entry
    FOR EACH STATEMENT EXECUTE FUNCTION vault.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON vault.audit_link
    FOR EACH STATEMENT EXECUTE FUNCTION vault.refuse_change();
REVOKE UPDATE, DELETE, TRUNCATE ON vault.audit_entry, vault.audit_link FROM PUBLIC;
