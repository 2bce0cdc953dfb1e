-- Keys that sign tokens, sealed.
CREATE TABLE signing_keys (
    number BIGINT PRIMARY KEY,
    data   BYTEA NOT NULL
);
