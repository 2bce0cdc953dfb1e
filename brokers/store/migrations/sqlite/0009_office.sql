-- What operators set and see while the broker works: outages ("outage/…") and bans
-- ("ban/…"), sealed.
CREATE TABLE office (
    id         TEXT NOT NULL UNIQUE,
    data       BLOB NOT NULL,
    expires_at INTEGER NOT NULL
) STRICT;
CREATE INDEX office_expiry ON office (expires_at);

-- The times between two restorings of a backup, with when each was last seen.
CREATE TABLE epochs (
    number   INTEGER PRIMARY KEY,
    begun_at INTEGER NOT NULL,
    seen_at  INTEGER NOT NULL
) STRICT;
INSERT INTO epochs (number, begun_at, seen_at) VALUES (1, 0, 0);
