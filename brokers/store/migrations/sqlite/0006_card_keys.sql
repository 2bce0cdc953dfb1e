-- Whose card has which key: the SHA-256 of the public key, and a hash of the holder
-- that only the key's certificate helps to undo.
CREATE TABLE card_keys (
    hash       BLOB PRIMARY KEY,
    holder     BLOB NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX card_keys_expiry ON card_keys (expires_at);
