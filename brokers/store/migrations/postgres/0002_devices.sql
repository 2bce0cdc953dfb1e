-- Requests of devices (RFC 8628), and clients that are not in the configuration.

CREATE TABLE devices (
    code_hash  BYTEA PRIMARY KEY,
    user_hash  BYTEA NOT NULL UNIQUE,
    state      TEXT NOT NULL,
    polled_at  BIGINT NOT NULL,
    data       BYTEA NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX devices_expiry ON devices (expires_at);

CREATE TABLE clients (
    id   TEXT PRIMARY KEY,
    data BYTEA NOT NULL
);
