-- usable from 12
-- Which programs may use the database: those whose schema has at least the number of the
-- newest row's usable_from. From here on, a program may be one version older than the
-- database, whose version is still the user_version.
CREATE TABLE schema_version (
    version     INTEGER PRIMARY KEY,
    usable_from INTEGER NOT NULL
) STRICT;
