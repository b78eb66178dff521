-- Ids of cards for merchants, and tokens of cards by their hash.
--
-- Why: the ids are made with a key of their own, which stays when the fingerprint key is rotated. The tokens of cards
-- are addressed by their hash as public tokens are: whoever reads the rows has no token, and how long a lookup takes
-- says nothing about how much of a guess was right.

ALTER TABLE vault.key
    DROP CONSTRAINT key_purpose_check,
    ADD CONSTRAINT key_purpose_check
        CHECK (purpose IN ('kek', 'fingerprint', 'idempotency', 'audit', 'root', 'card_id'));

UPDATE card_token SET token = encode(sha256(convert_to(token, 'UTF8')), 'hex');
