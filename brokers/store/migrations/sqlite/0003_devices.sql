-- Requests of devices (RFC 8628), and clients that are not in the configuration.

CREATE TABLE devices (
    code_hash  BLOB PRIMARY KEY,
    user_hash  BLOB NOT NULL UNIQUE,
    state      TEXT NOT NULL,
    polled_at  INTEGER NOT NULL,
    data       BLOB NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
CREATE INDEX devices_expiry ON devices (expires_at);

CREATE TABLE clients (
    id   TEXT PRIMARY KEY,
    data BLOB NOT NULL
) STRICT, WITHOUT ROWID;
