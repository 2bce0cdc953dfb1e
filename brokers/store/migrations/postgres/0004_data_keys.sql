-- The keys that seal records, each wrapped by a master key that is not here.
CREATE TABLE data_keys (
    id         BIGINT PRIMARY KEY,
    master     TEXT NOT NULL,
    wrapped    BYTEA NOT NULL,
    created_at BIGINT NOT NULL
);
