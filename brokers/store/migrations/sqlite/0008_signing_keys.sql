-- Keys that sign tokens, sealed.
CREATE TABLE signing_keys (
    number INTEGER PRIMARY KEY,
    data   BLOB NOT NULL
) STRICT;
