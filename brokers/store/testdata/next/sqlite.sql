-- What a next version may look like, for the tests: columns, a table and an index that
-- the programs of this one know nothing of.
ALTER TABLE transactions ADD COLUMN novelty BLOB;
ALTER TABLE grants ADD COLUMN novelty INTEGER NOT NULL DEFAULT 7;
ALTER TABLE sessions ADD COLUMN novelty TEXT;
ALTER TABLE refresh_tokens ADD COLUMN novelty TEXT DEFAULT 'none';
CREATE TABLE novelties (
    id   INTEGER PRIMARY KEY,
    data BLOB NOT NULL
) STRICT;
CREATE INDEX sessions_novelty ON sessions (novelty);
