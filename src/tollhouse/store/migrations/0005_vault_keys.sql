-- Keys that change while everything runs.
--
-- Why these columns: kind says who keeps a version (a file, an HSM, a key server, the memory of unlocked processes), so
-- that a process with another setting is refused. held is the key itself, sealed under the current key-encryption key
-- (held_version names its version), or under the joined key of the custodians: for keys that no file holds. parts is
-- into how many components the joined key was split. A version is current while it is the newest that is not retired;
-- retired_at stops writing under it, at once and for every process (each INSERT of cards looks here); destroyed_at says
-- that its keyholder has forgotten it. Rows are never deleted: a version number is never used twice.

ALTER TABLE vault.key
    DROP CONSTRAINT key_purpose_check,
    ADD CONSTRAINT key_purpose_check CHECK (purpose IN ('kek', 'fingerprint', 'idempotency', 'root')),
    ADD COLUMN kind text NOT NULL DEFAULT 'file' CHECK (kind IN ('file', 'pkcs11', 'transit', 'components')),
    ADD COLUMN held bytea,
    ADD COLUMN held_version integer,
    ADD COLUMN parts integer CHECK (parts BETWEEN 2 AND 9),
    ADD COLUMN retired_at timestamptz,
    ADD COLUMN destroyed_at timestamptz,
    ADD CONSTRAINT destroyed_after_retired CHECK (destroyed_at IS NULL OR retired_at IS NOT NULL);
ALTER TABLE vault.key ALTER COLUMN kind DROP DEFAULT;
