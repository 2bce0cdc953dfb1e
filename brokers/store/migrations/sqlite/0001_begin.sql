-- Times are Unix milliseconds. Blobs are the JSON of the records in package
-- brokers; only what a verb compares is a column.

CREATE TABLE transactions (
    id          TEXT PRIMARY KEY,
    state       TEXT NOT NULL,
    revision    INTEGER NOT NULL,
    relay_state TEXT UNIQUE,
    data        BLOB NOT NULL,
    expires_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX transactions_expiry ON transactions (expires_at);

-- One row from code to token: redeeming the code writes the token's hash into
-- the same row, and a replay marks that row as revoked.
CREATE TABLE grants (
    code_hash        BLOB PRIMARY KEY,
    code_expires_at  INTEGER NOT NULL,
    redeemed_at      INTEGER,
    token_hash       BLOB UNIQUE,
    token_expires_at INTEGER,
    revoked_at       INTEGER,
    data             BLOB NOT NULL,
    expires_at       INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX grants_expiry ON grants (expires_at);

CREATE TABLE assertions (
    hash       BLOB PRIMARY KEY,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX assertions_expiry ON assertions (expires_at);

CREATE TABLE sessions (
    cookie_hash BLOB PRIMARY KEY,
    data        BLOB NOT NULL,
    expires_at  INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX sessions_expiry ON sessions (expires_at);
