-- Two roles for PostgreSQL: eidbroker_owner owns the schema and changes it, eidbroker
-- works with it and can do nothing else. Run once in the database of the broker, as
-- its superuser; give both roles a way to log in as your site does.
--
-- The configuration names eidbroker. Before a new version is started:
--   eidbroker migrate --database "postgres://eidbroker_owner@db.example/broker?search_path=broker"
CREATE ROLE eidbroker_owner LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE;
CREATE ROLE eidbroker LOGIN NOSUPERUSER NOCREATEDB NOCREATEROLE NOINHERIT;
REVOKE CREATE ON SCHEMA public FROM PUBLIC;
CREATE SCHEMA broker AUTHORIZATION eidbroker_owner;
GRANT USAGE ON SCHEMA broker TO eidbroker;
ALTER DEFAULT PRIVILEGES FOR ROLE eidbroker_owner IN SCHEMA broker
    GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO eidbroker;
