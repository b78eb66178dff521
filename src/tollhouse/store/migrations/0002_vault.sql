-- The vault: cards, readable by nobody who has only the database.
--
-- Why a schema of its own: nothing outside src/tollhouse/vault reads or writes it, so that a database role of its own
-- and a process of its own can have it later without moving a row. No foreign key leads in or out for the same reason.
--
-- Why these columns: pan_sealed and expiry_sealed lie under a data key of the row (AES-256-GCM, nonce first); data_key
-- is that key, wrapped under version key_version of a key-encryption key that is not in this database. bin, last4 and
-- brand are what may be shown (PCI DSS 3.4.1). The fingerprint is keyed (PCI DSS 3.5.1.1); it has no index until
-- something looks a card up by it, because each payment would pay for one. A CVV is never here, not even sealed under
-- a key of this database: its key lies in a file that is overwritten when the authorization leaves.

CREATE SCHEMA vault;

CREATE TABLE vault.card (
    project       text        NOT NULL CHECK (project <> ''),
    token         text        NOT NULL CHECK (token <> ''),
    key_version   integer     NOT NULL CHECK (key_version > 0),
    data_key      bytea       NOT NULL CHECK (octet_length(data_key) >= 32),
    pan_sealed    bytea       NOT NULL CHECK (octet_length(pan_sealed) BETWEEN 40 AND 47),
    expiry_sealed bytea       NOT NULL CHECK (octet_length(expiry_sealed) = 32),
    fingerprint   text        NOT NULL,
    bin           text        NOT NULL CHECK (bin ~ '^[0-9]{6}$'),
    last4         text        NOT NULL CHECK (last4 ~ '^[0-9]{4}$'),
    brand         text,
    created_at    timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (project, token)
);

-- One row per version of each key that ever sealed something here, with a value that identifies the key (an HMAC under
-- it). Why: a home with other keys than those of this database must be refused when it starts, not found out when the
-- first saved card does not open.
CREATE TABLE vault.key (
    purpose     text        NOT NULL CHECK (purpose IN ('kek', 'fingerprint', 'idempotency')),
    version     integer     NOT NULL CHECK (version > 0),
    check_value bytea       NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (purpose, version)
);
