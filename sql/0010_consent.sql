-- Consent: records and what happened to them. Both are append-only; nothing is ever updated, the state is derived.
--   consent_record  one signed version; the body is sealed under the subject's key, the skeleton stays readable
--   consent_event   the signed, hash-chained history; `fence` is the fencing token every permit carries
--   consent_action  what the watch has already carried out, so that it does nothing twice
-- The columns beside `body` repeat what `body` says, for queries; only the signed bytes count.

CREATE TABLE memorial.consent_record (
    order_id     text NOT NULL REFERENCES memorial.orders,
    version      integer NOT NULL CHECK (version >= 1),
    consent_id   text NOT NULL,
    subject_id   text NOT NULL REFERENCES memorial.subject,
    sealed_body  bytea NOT NULL,
    body_sha256  memorial.sha256 NOT NULL,      -- a commitment: the body contains 32 random bytes
    skeleton     bytea NOT NULL,
    signature    text NOT NULL CHECK (signature ~ '^[0-9a-f]{128}$'),
    kid          text NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (order_id, version)
);
CREATE INDEX consent_record_by_subject ON memorial.consent_record (subject_id);

CREATE TABLE memorial.consent_event (
    order_id       text NOT NULL REFERENCES memorial.orders,
    seq            integer NOT NULL CHECK (seq >= 1),
    event_id       text NOT NULL UNIQUE,
    version        integer NOT NULL,
    fence          integer NOT NULL,
    type           text NOT NULL,
    at             timestamptz NOT NULL,
    body           bytea NOT NULL,
    signature      text NOT NULL CHECK (signature ~ '^[0-9a-f]{128}$'),
    kid            text NOT NULL,
    sealed_detail  bytea,                       -- what was said in words, under the subject's key
    recorded_at    timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (order_id, seq)
);

CREATE TABLE memorial.consent_action (
    order_id  text NOT NULL REFERENCES memorial.orders,
    fence     integer NOT NULL,
    kind      text NOT NULL,
    done_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (order_id, fence, kind)
);

REVOKE UPDATE ON memorial.consent_record, memorial.consent_event, memorial.consent_action FROM memorial_app;

CREATE FUNCTION memorial.refuse_consent_change() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'consent is append-only: % on %.% refused', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $$;

CREATE FUNCTION memorial.next_consent_event() RETURNS trigger LANGUAGE plpgsql AS $$
DECLARE
    last record;
BEGIN
    SELECT seq, fence, version INTO last FROM memorial.consent_event
        WHERE order_id = NEW.order_id ORDER BY seq DESC LIMIT 1;
    IF NEW.seq <> coalesce(last.seq, 0) + 1 OR NEW.fence < coalesce(last.fence, 0)
        OR NEW.version NOT BETWEEN coalesce(last.version, 1) AND coalesce(last.version, 0) + 1 THEN
        RAISE EXCEPTION 'consent events of an order follow each other without a gap'
            USING ERRCODE = 'serialization_failure';
    END IF;
    RETURN NEW;
END $$;

CREATE FUNCTION memorial.next_consent_record() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF NEW.version <> 1 + (SELECT count(*) FROM memorial.consent_record WHERE order_id = NEW.order_id) THEN
        RAISE EXCEPTION 'consent versions of an order follow each other without a gap'
            USING ERRCODE = 'serialization_failure';
    END IF;
    RETURN NEW;
END $$;

CREATE TRIGGER next_row BEFORE INSERT ON memorial.consent_event
    FOR EACH ROW EXECUTE FUNCTION memorial.next_consent_event();
CREATE TRIGGER next_row BEFORE INSERT ON memorial.consent_record
    FOR EACH ROW EXECUTE FUNCTION memorial.next_consent_record();

DO $$
DECLARE
    kept text;
BEGIN
    FOREACH kept IN ARRAY ARRAY['consent_record', 'consent_event', 'consent_action'] LOOP
        EXECUTE format('CREATE TRIGGER keep_rows BEFORE UPDATE OR DELETE ON memorial.%I'
                       ' FOR EACH ROW EXECUTE FUNCTION memorial.refuse_consent_change()', kept);
        EXECUTE format('CREATE TRIGGER keep_table BEFORE TRUNCATE ON memorial.%I'
                       ' FOR EACH STATEMENT EXECUTE FUNCTION memorial.refuse_consent_change()', kept);
        EXECUTE format('ALTER TABLE memorial.%I ENABLE ALWAYS TRIGGER keep_rows', kept);
        EXECUTE format('ALTER TABLE memorial.%I ENABLE ALWAYS TRIGGER keep_table', kept);
    END LOOP;
END $$;
