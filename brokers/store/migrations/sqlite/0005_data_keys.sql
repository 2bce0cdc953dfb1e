-- The keys that seal records, each wrapped by a master key that is not here.
CREATE TABLE data_keys (
    id         INTEGER PRIMARY KEY,
    master     TEXT NOT NULL,
    wrapped    BLOB NOT NULL,
    created_at INTEGER NOT NULL
) STRICT;
