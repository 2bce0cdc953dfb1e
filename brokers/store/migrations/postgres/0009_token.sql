-- A grant has no token until its code is redeemed: such rows need no place in the
-- index.

ALTER TABLE grants DROP CONSTRAINT grants_token_hash_key;
CREATE UNIQUE INDEX grants_token ON grants (token_hash) WHERE token_hash IS NOT NULL;
