-- Wrong tries, under keyed hashes of who tried what.
CREATE TABLE strikes (
    hash       BYTEA PRIMARY KEY,
    number     BIGINT NOT NULL,
    last_at    BIGINT NOT NULL,
    before_at  BIGINT NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX strikes_last ON strikes (last_at);
CREATE INDEX strikes_expiry ON strikes (expires_at);
