-- Which answer a login awaits, and in which browser, as hashes, so that the answer is
-- taken up by one statement; and when it was. A login that departed before is taken up
-- as it was then.
ALTER TABLE transactions ADD COLUMN awaits BYTEA;
ALTER TABLE transactions ADD COLUMN browser BYTEA;
ALTER TABLE transactions ADD COLUMN taken_at BIGINT;
