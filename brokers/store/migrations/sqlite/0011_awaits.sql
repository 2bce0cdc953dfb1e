-- Which answer a login awaits, and in which browser, as hashes, so that the answer is
-- taken up by one statement; and when it was. A login that departed before is taken up
-- as it was then.
ALTER TABLE transactions ADD COLUMN awaits BLOB;
ALTER TABLE transactions ADD COLUMN browser BLOB;
ALTER TABLE transactions ADD COLUMN taken_at INTEGER;
