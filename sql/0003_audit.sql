-- The audit log. docs/audit-format.md says what every byte means.
--   event       what happened, written in the transaction of the act itself; in no particular order
--   leaf        the order of the log: entry `seq` is event `event_id`; written by the single sequencer
--   batch       up to which transaction the sequencer has come
--   node        hashes of complete 256-, 65536-, ... leaf subtrees: a cache that makes proofs quick
--   checkpoint  signed tree heads
--   anchor      where each checkpoint was put outside this database
-- Triggers and grants stop the application and honest mistakes. They do not stop a superuser: that is what the
-- checkpoints outside are for.

CREATE TABLE audit.event (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    xid          xid8 NOT NULL DEFAULT pg_current_xact_id(),
    recorded_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    body         bytea NOT NULL CHECK (octet_length(body) BETWEEN 2 AND 65536),  -- RFC 8785 bytes
    leaf         bytea NOT NULL GENERATED ALWAYS AS (sha256('\x00'::bytea || body)) STORED  -- RFC 9162, 2.1.1
);
CREATE INDEX event_by_xid ON audit.event (xid);
ALTER TABLE audit.event ALTER COLUMN body SET STORAGE MAIN;  -- hashed on every read: keep it in the row

CREATE TABLE audit.leaf (
    seq       bigint PRIMARY KEY CHECK (seq >= 0),
    event_id  bigint NOT NULL UNIQUE,
    leaf      bytea NOT NULL CHECK (octet_length(leaf) = 32)
);

CREATE TABLE audit.batch (
    first_seq  bigint NOT NULL CHECK (first_seq >= 0),
    count      bigint NOT NULL CHECK (count > 0),
    upto_xid   xid8 NOT NULL,      -- every transaction below this one is in the log or was rolled back
    at         timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (first_seq)
);

CREATE TABLE audit.node (
    level  smallint NOT NULL CHECK (level >= 1),  -- a node of level l covers 256^l leaves
    idx    bigint NOT NULL,
    hash   bytea NOT NULL CHECK (octet_length(hash) = 32),
    PRIMARY KEY (level, idx)
);

CREATE TABLE audit.checkpoint (
    size    bigint PRIMARY KEY CHECK (size >= 0),
    origin  text NOT NULL,
    root    bytea NOT NULL CHECK (octet_length(root) = 32),
    note    text NOT NULL,         -- C2SP signed note
    at      timestamptz NOT NULL DEFAULT clock_timestamp()
);

CREATE TABLE audit.anchor (
    size     bigint NOT NULL,
    target   text NOT NULL,        -- directory:..., s3:..., rfc3161:...
    receipt  bytea,                -- e.g. the time-stamp token
    place    text NOT NULL DEFAULT '',
    at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (size, target)
);

GRANT INSERT (body) ON audit.event TO memorial_app;   -- nothing else: no reading, so no RETURNING either
GRANT SELECT ON audit.event TO memorial_sequencer, memorial_auditor;
GRANT INSERT (body) ON audit.event TO memorial_sequencer;
GRANT SELECT, INSERT ON audit.leaf, audit.batch, audit.node, audit.checkpoint, audit.anchor TO memorial_sequencer;
GRANT SELECT ON audit.leaf, audit.batch, audit.node, audit.checkpoint, audit.anchor TO memorial_auditor;

CREATE FUNCTION audit.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit log is append-only: % on %.% refused', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;

DO $$
DECLARE
    kept text;
BEGIN
    FOREACH kept IN ARRAY ARRAY['event', 'leaf', 'batch', 'node', 'checkpoint', 'anchor'] LOOP
        EXECUTE format('CREATE TRIGGER keep_rows BEFORE UPDATE OR DELETE ON audit.%I'
                       ' FOR EACH ROW EXECUTE FUNCTION audit.refuse_change()', kept);
        EXECUTE format('CREATE TRIGGER keep_table BEFORE TRUNCATE ON audit.%I'
                       ' FOR EACH STATEMENT EXECUTE FUNCTION audit.refuse_change()', kept);
        -- ALWAYS: session_replication_role = replica skips ordinary triggers
        EXECUTE format('ALTER TABLE audit.%I ENABLE ALWAYS TRIGGER keep_rows', kept);
        EXECUTE format('ALTER TABLE audit.%I ENABLE ALWAYS TRIGGER keep_table', kept);
    END LOOP;
END $$;
