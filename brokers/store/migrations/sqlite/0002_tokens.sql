-- Tokens beyond the first, sessions with those who took part, pushed requests,
-- logout notices, and level receipts.

ALTER TABLE grants ADD COLUMN token_data BLOB;
ALTER TABLE grants ADD COLUMN session_id TEXT;
CREATE INDEX grants_session ON grants (session_id) WHERE session_id IS NOT NULL;

-- Access tokens that came from a refresh token.
CREATE TABLE access_tokens (
    hash       BLOB PRIMARY KEY,
    code_hash  BLOB NOT NULL REFERENCES grants (code_hash) ON DELETE CASCADE,
    data       BLOB NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX access_tokens_grant ON access_tokens (code_hash);
CREATE INDEX access_tokens_expiry ON access_tokens (expires_at);

-- A used refresh token stays as long as its grant, so that a second use is
-- noticed.
CREATE TABLE refresh_tokens (
    hash       BLOB PRIMARY KEY,
    code_hash  BLOB NOT NULL REFERENCES grants (code_hash) ON DELETE CASCADE,
    used_at    INTEGER,
    used_by    BLOB,
    next_hash  BLOB,
    data       BLOB NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX refresh_tokens_grant ON refresh_tokens (code_hash);

ALTER TABLE sessions ADD COLUMN id TEXT;
CREATE UNIQUE INDEX sessions_id ON sessions (id);

CREATE TABLE participants (
    session_id TEXT NOT NULL,
    client_id  TEXT NOT NULL,
    data       BLOB NOT NULL,
    expires_at INTEGER NOT NULL,
    PRIMARY KEY (session_id, client_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX participants_expiry ON participants (expires_at);

CREATE TABLE notices (
    id         INTEGER PRIMARY KEY AUTOINCREMENT,
    data       BLOB NOT NULL,
    attempts   INTEGER NOT NULL DEFAULT 0,
    due_at     INTEGER NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX notices_due ON notices (due_at);
CREATE INDEX notices_expiry ON notices (expires_at);

CREATE TABLE pushed_requests (
    hash       BLOB PRIMARY KEY,
    data       BLOB NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX pushed_requests_expiry ON pushed_requests (expires_at);

CREATE TABLE receipts (
    id         TEXT PRIMARY KEY,
    data       BLOB NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX receipts_expiry ON receipts (expires_at);
