-- Roles and schemas. Runs as the login that migrates (it must be allowed to make roles); everything after this
-- file runs as memorial_owner. Nobody logs in as one of these roles: a login is made a member of what it may be.
--   memorial_owner      owns every table; used by migrations only
--   memorial_app        the control plane: reads and writes the registry, may only insert into the audit log
--   memorial_sequencer  orders audit entries, stores checkpoints
--   memorial_auditor    reads everything, writes nothing
-- In production: one login per process, each a member of exactly one role, and no superuser for people.

DO $$
DECLARE
    wanted text;
BEGIN
    FOREACH wanted IN ARRAY ARRAY['memorial_owner', 'memorial_app', 'memorial_sequencer', 'memorial_auditor'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = wanted) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN NOINHERIT', wanted);
            END IF;
        EXCEPTION WHEN duplicate_object OR unique_violation THEN
            NULL;  -- roles belong to the whole server: a second database may be making them right now
        END;
        EXECUTE format('GRANT %I TO CURRENT_USER', wanted);
    END LOOP;
END $$;

ALTER SCHEMA memorial OWNER TO memorial_owner;
ALTER TABLE memorial.migration OWNER TO memorial_owner;
CREATE SCHEMA audit AUTHORIZATION memorial_owner;

REVOKE ALL ON SCHEMA public FROM PUBLIC;
REVOKE ALL ON SCHEMA memorial, audit FROM PUBLIC;
GRANT USAGE ON SCHEMA memorial, audit TO memorial_app, memorial_auditor, memorial_sequencer;
GRANT SELECT ON memorial.migration TO memorial_app, memorial_auditor;

-- Whatever a later migration puts into the registry, the application may read, add and change, never delete.
ALTER DEFAULT PRIVILEGES FOR ROLE memorial_owner IN SCHEMA memorial
    GRANT SELECT, INSERT, UPDATE ON TABLES TO memorial_app;
ALTER DEFAULT PRIVILEGES FOR ROLE memorial_owner IN SCHEMA memorial
    GRANT USAGE ON SEQUENCES TO memorial_app;
ALTER DEFAULT PRIVILEGES FOR ROLE memorial_owner IN SCHEMA memorial
    GRANT SELECT ON TABLES TO memorial_auditor;
