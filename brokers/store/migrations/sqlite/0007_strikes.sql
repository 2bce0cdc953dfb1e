-- Wrong tries, under keyed hashes of who tried what.
CREATE TABLE strikes (
    hash       BLOB PRIMARY KEY,
    number     INTEGER NOT NULL,
    last_at    INTEGER NOT NULL,
    before_at  INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX strikes_last ON strikes (last_at);
CREATE INDEX strikes_expiry ON strikes (expires_at);
