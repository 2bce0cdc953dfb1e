-- What operators set and see while the broker works: outages ("outage/…") and bans
-- ("ban/…"), sealed.
CREATE TABLE office (
    id         TEXT COLLATE "C" PRIMARY KEY,
    data       BYTEA NOT NULL,
    expires_at BIGINT NOT NULL
);
CREATE INDEX office_expiry ON office (expires_at);

-- The times between two restorings of a backup, with when each was last seen.
CREATE TABLE epochs (
    number   BIGINT PRIMARY KEY,
    begun_at BIGINT NOT NULL,
    seen_at  BIGINT NOT NULL
);
INSERT INTO epochs (number, begun_at, seen_at) VALUES (1, 0, 0);
