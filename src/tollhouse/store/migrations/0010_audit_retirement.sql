-- The old part of the audit log is taken out into a signed file and removed, after twelve months at the earliest (PCI
-- DSS 10.5.1).
--
-- Why it looks like this: of each chain only a beginning may go, and a signed row keeps the digest of its last link, so
-- that the rest is proven from there on. The trigger lets through exactly what such a row covers and what is old enough;
-- who may write that row, and signs it with another key, is found by `tollhouse audit verify`.

CREATE TABLE vault.audit_retirement (
    chain       text        NOT NULL,
    number      bigint      NOT NULL CHECK (number > 0),    -- the last link that went
    last        bigint      NOT NULL CHECK (last > 0),      -- and the last entry
    digest      bytea       NOT NULL CHECK (octet_length(digest) = 32),
    before      timestamptz NOT NULL,
    file_sha256 bytea       NOT NULL CHECK (octet_length(file_sha256) = 32),
    signature   bytea       NOT NULL CHECK (octet_length(signature) = 64),
    at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (chain, number)
);
CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON vault.audit_retirement
    FOR EACH STATEMENT EXECUTE FUNCTION vault.refuse_change();

CREATE FUNCTION vault.refuse_unretired() RETURNS trigger LANGUAGE plpgsql SET search_path = pg_catalog AS $$
DECLARE
    place bigint := CASE TG_TABLE_NAME WHEN 'audit_link' THEN OLD.number ELSE (to_jsonb(OLD) ->> 'link')::bigint END;
BEGIN
    IF OLD.at > clock_timestamp() - interval '12 months' OR NOT EXISTS (
        SELECT FROM vault.audit_retirement AS gone WHERE gone.chain = OLD.chain AND gone.number >= place
    ) THEN
        RAISE EXCEPTION 'the audit log can only be added to' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN OLD;
END
$$;

DROP TRIGGER append_only ON vault.audit_entry;
DROP TRIGGER append_only ON vault.audit_link;
CREATE TRIGGER append_only BEFORE UPDATE OR TRUNCATE ON vault.audit_entry
    FOR EACH STATEMENT EXECUTE FUNCTION vault.refuse_change();
CREATE TRIGGER append_only BEFORE UPDATE OR TRUNCATE ON vault.audit_link
    FOR EACH STATEMENT EXECUTE FUNCTION vault.refuse_change();
CREATE TRIGGER kept_long_enough BEFORE DELETE ON vault.audit_entry
    FOR EACH ROW EXECUTE FUNCTION vault.refuse_unretired();
CREATE TRIGGER kept_long_enough BEFORE DELETE ON vault.audit_link
    FOR EACH ROW EXECUTE FUNCTION vault.refuse_unretired();

REVOKE UPDATE, DELETE, TRUNCATE ON vault.audit_retirement FROM PUBLIC;
