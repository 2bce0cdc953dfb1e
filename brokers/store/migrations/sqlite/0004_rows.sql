-- Rows with a record are too long for tables without rowid, which would split
-- each over several pages. A relay state names its login, so it needs no column;
-- logins under way begin again.

DROP TABLE transactions;
CREATE TABLE transactions (
    id         TEXT NOT NULL UNIQUE,
    state      TEXT NOT NULL,
    revision   INTEGER NOT NULL,
    data       BLOB NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX transactions_expiry ON transactions (expires_at);

CREATE TABLE new_grants (
    code_hash        BLOB NOT NULL UNIQUE,
    code_expires_at  INTEGER NOT NULL,
    redeemed_at      INTEGER,
    token_hash       BLOB,
    token_expires_at INTEGER,
    token_data       BLOB,
    session_id       TEXT,
    revoked_at       INTEGER,
    data             BLOB NOT NULL,
    expires_at       INTEGER NOT NULL
) STRICT;
INSERT INTO new_grants SELECT code_hash, code_expires_at, redeemed_at, token_hash, token_expires_at, token_data, session_id, revoked_at, data, expires_at
    FROM grants ORDER BY expires_at;

CREATE TABLE new_access_tokens (
    hash       BLOB PRIMARY KEY,
    code_hash  BLOB NOT NULL REFERENCES new_grants (code_hash) ON DELETE CASCADE,
    data       BLOB NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO new_access_tokens SELECT hash, code_hash, data, expires_at FROM access_tokens;

CREATE TABLE new_refresh_tokens (
    hash       BLOB PRIMARY KEY,
    code_hash  BLOB NOT NULL REFERENCES new_grants (code_hash) ON DELETE CASCADE,
    used_at    INTEGER,
    used_by    BLOB,
    next_hash  BLOB,
    data       BLOB NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
INSERT INTO new_refresh_tokens SELECT hash, code_hash, used_at, used_by, next_hash, data, expires_at FROM refresh_tokens;

DROP TABLE access_tokens;
DROP TABLE refresh_tokens;
DROP TABLE grants;
ALTER TABLE new_grants RENAME TO grants;
ALTER TABLE new_access_tokens RENAME TO access_tokens;
ALTER TABLE new_refresh_tokens RENAME TO refresh_tokens;
CREATE UNIQUE INDEX grants_token ON grants (token_hash) WHERE token_hash IS NOT NULL;
CREATE INDEX grants_session ON grants (session_id) WHERE session_id IS NOT NULL;
CREATE INDEX grants_expiry ON grants (expires_at);
CREATE INDEX access_tokens_grant ON access_tokens (code_hash);
CREATE INDEX access_tokens_expiry ON access_tokens (expires_at);
CREATE INDEX refresh_tokens_grant ON refresh_tokens (code_hash);

CREATE TABLE new_sessions (
    cookie_hash BLOB NOT NULL UNIQUE,
    id          TEXT UNIQUE,
    data        BLOB NOT NULL,
    expires_at  INTEGER NOT NULL
) STRICT;
INSERT INTO new_sessions SELECT cookie_hash, id, data, expires_at FROM sessions ORDER BY expires_at;
DROP TABLE sessions;
ALTER TABLE new_sessions RENAME TO sessions;
CREATE INDEX sessions_expiry ON sessions (expires_at);
