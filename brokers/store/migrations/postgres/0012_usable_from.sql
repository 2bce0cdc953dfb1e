-- usable from 12
-- Which programs may use the database: those whose schema has at least the number of the
-- newest row's usable_from. From here on, a program may be one version older than the
-- database.
ALTER TABLE schema_version ADD COLUMN usable_from BIGINT;
