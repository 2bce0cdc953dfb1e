-- A relay state names its login, so it needs no index.

ALTER TABLE transactions DROP COLUMN relay_state;
