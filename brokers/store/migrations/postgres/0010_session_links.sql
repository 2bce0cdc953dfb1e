-- By what an upstream names its sessions when they end there, under keyed hashes, and
-- which of our sessions came of them.
CREATE TABLE session_links (
    hash       BYTEA NOT NULL,
    session_id TEXT NOT NULL,
    expires_at BIGINT NOT NULL,
    PRIMARY KEY (hash, session_id)
);
CREATE INDEX session_links_session ON session_links (session_id);
CREATE INDEX session_links_expiry ON session_links (expires_at);
