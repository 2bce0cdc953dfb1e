-- Times are Unix milliseconds. Blobs are the JSON of the records in package
-- brokers; only what a verb compares is a column.

CREATE TABLE transactions (
    id          TEXT PRIMARY KEY,
    state       TEXT NOT NULL,
    revision    BIGINT NOT NULL,
    relay_state TEXT UNIQUE,
    data        BYTEA NOT NULL,
    expires_at  BIGINT NOT NULL
);
CREATE INDEX transactions_expiry ON transactions (expires_at);

-- One row from code to token: redeeming the code writes the token's hash into
-- the same row, and a replay marks that row as revoked.
CREATE TABLE grants (
    code_hash        BYTEA PRIMARY KEY,
    code_expires_at  BIGINT NOT NULL,
    redeemed_at      BIGINT,
    token_hash       BYTEA UNIQUE,
    token_expires_at BIGINT,
    token_data       BYTEA,
    session_id       TEXT,
    revoked_at       BIGINT,
    data             BYTEA NOT NULL,
    expires_at       BIGINT NOT NULL
);
CREATE INDEX grants_expiry ON grants (expires_at);

CREATE TABLE assertions (
    hash       BYTEA PRIMARY KEY,
    expires_at BIGINT NOT NULL
);
CREATE INDEX assertions_expiry ON assertions (expires_at);

CREATE TABLE sessions (
    cookie_hash BYTEA PRIMARY KEY,
    id          TEXT UNIQUE,
    data        BYTEA NOT NULL,
    expires_at  BIGINT NOT NULL
);
CREATE INDEX sessions_expiry ON sessions (expires_at);
-- Tokens beyond the first, sessions with those who took part, pushed requests,
-- logout notices, and level receipts.

CREATE INDEX grants_session ON grants (session_id) WHERE session_id IS NOT NULL;

-- Access tokens that came from a refresh token.
CREATE TABLE access_tokens (
    hash       BYTEA PRIMARY KEY,
    code_hash  BYTEA NOT NULL REFERENCES grants (code_hash) ON DELETE CASCADE,
    data       BYTEA NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX access_tokens_grant ON access_tokens (code_hash);
CREATE INDEX access_tokens_expiry ON access_tokens (expires_at);

-- A used refresh token stays as long as its grant, so that a second use is
-- noticed.
CREATE TABLE refresh_tokens (
    hash       BYTEA PRIMARY KEY,
    code_hash  BYTEA NOT NULL REFERENCES grants (code_hash) ON DELETE CASCADE,
    used_at    BIGINT,
    used_by    BYTEA,
    next_hash  BYTEA,
    data       BYTEA NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX refresh_tokens_grant ON refresh_tokens (code_hash);

CREATE TABLE participants (
    session_id TEXT NOT NULL,
    client_id  TEXT NOT NULL,
    data       BYTEA NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (session_id, client_id)
);
CREATE INDEX participants_expiry ON participants (expires_at);

CREATE TABLE notices (
    id         BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    data       BYTEA NOT NULL,
    attempts   BIGINT NOT NULL DEFAULT 0,
    due_at     BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX notices_due ON notices (due_at);
CREATE INDEX notices_expiry ON notices (expires_at);

CREATE TABLE pushed_requests (
    hash       BYTEA PRIMARY KEY,
    data       BYTEA NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX pushed_requests_expiry ON pushed_requests (expires_at);

CREATE TABLE receipts (
    id         TEXT PRIMARY KEY,
    data       BYTEA NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX receipts_expiry ON receipts (expires_at);
