-- The link gate's own role. It answers strangers, so it sees links and what they hand out, and of an order only whose
-- pseudonym it is, its state and its consent's history as signed. No sealed column, no material, no step, no record.
--   memorial_gate   reads and uses links, stores hand-overs, says in the audit log what happened at a link

RESET ROLE;  -- roles are made by the login that migrates, as in 0001
DO $$
BEGIN
    BEGIN
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'memorial_gate') THEN
            CREATE ROLE memorial_gate NOLOGIN NOINHERIT;
        END IF;
    EXCEPTION WHEN duplicate_object OR unique_violation THEN
        NULL;  -- another database of this server is making it right now
    END;
    GRANT memorial_gate TO CURRENT_USER;
END $$;
SET LOCAL ROLE memorial_owner;

GRANT USAGE ON SCHEMA memorial, audit TO memorial_gate;

GRANT SELECT ON memorial.delivery_link TO memorial_gate;
GRANT UPDATE (downloads_used, wrong_codes, wait_until, seen_at, refused_code, refused_at)
    ON memorial.delivery_link TO memorial_gate;  -- not revoked_at: it reopens nothing and closes nothing
GRANT SELECT (order_id, delivery_id, film_sha256, target, place, objects, consent_version, revoked_at)
    ON memorial.delivery TO memorial_gate;
GRANT SELECT (order_id, subject_id, state, consent_id) ON memorial.orders TO memorial_gate;
GRANT SELECT (order_id, seq, body, signature, kid) ON memorial.consent_event TO memorial_gate;
GRANT INSERT (receipt_id, order_id, link_id, receipt, kid, signature, ticket_hash, ticket_until, file_identity,
    bytes_left) ON memorial.delivery_download TO memorial_gate;
GRANT SELECT (order_id, link_id, ticket_hash, ticket_until, file_identity, bytes_left, bytes_sent, completed_at),
    UPDATE (ticket_until, bytes_left, bytes_sent, completed_at) ON memorial.delivery_download TO memorial_gate;

-- Its words in the audit log: two kinds of entry, in the name of a link that exists, about that link's order.
CREATE FUNCTION audit.append_from_gate(entry bytea) RETURNS void
    LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp AS $$
DECLARE
    said jsonb := convert_from(entry, 'UTF8')::jsonb;
BEGIN
    IF coalesce(said->>'type', '') NOT IN ('film.downloaded', 'link.refused')
        OR said#>>'{actor,kind}' IS DISTINCT FROM 'family'
        OR said#>>'{actor,id}' IS DISTINCT FROM said#>>'{data,link}'
        OR NOT EXISTS (SELECT FROM memorial.delivery_link l JOIN memorial.orders o USING (order_id)
                       WHERE l.link_id = said#>>'{data,link}' AND l.order_id = said->>'order'
                       AND o.subject_id = said->>'subject') THEN
        RAISE EXCEPTION 'the gate may not say this in the audit log' USING ERRCODE = 'insufficient_privilege';
    END IF;
    INSERT INTO audit.event (body) VALUES (entry);
END $$;
REVOKE ALL ON FUNCTION audit.append_from_gate(bytea) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION audit.append_from_gate(bytea) TO memorial_gate;

-- Whoever holds the gate's role cannot pretend that an archive was handed over, or that a film was by another's link.
CREATE FUNCTION memorial.gate_hands_out_links() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF current_user NOT IN ('memorial_app', 'memorial_owner') AND NOT EXISTS (
        SELECT FROM memorial.delivery_link WHERE link_id = NEW.link_id AND order_id = NEW.order_id
    ) THEN
        RAISE EXCEPTION 'the gate hands out by links of the order only' USING ERRCODE = 'insufficient_privilege';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER by_links_only BEFORE INSERT ON memorial.delivery_download
    FOR EACH ROW EXECUTE FUNCTION memorial.gate_hands_out_links();
