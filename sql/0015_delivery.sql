-- Delivery: where a film was put, the links that hand it out, and what was handed out.
--   delivery          one film at one place; `place`, `objects` and `consent_version` say what, where, under which consent
--   delivery_link     one link for one recipient; only hashes of its token and its code are here
--   delivery_download one hand-over: a link that was used, or an archive that was made, with its signed receipt
-- No name and no address: `recipient_ref` is a commitment under the subject's key and turns into noise with it.

ALTER TABLE memorial.delivery
    ADD COLUMN place            text NOT NULL DEFAULT '',
    ADD COLUMN objects          jsonb NOT NULL DEFAULT '[]',
    ADD COLUMN consent_version  integer NOT NULL DEFAULT 0;

CREATE TABLE memorial.delivery_link (
    link_id            text PRIMARY KEY CHECK (link_id ~ '^lnk-[0-9a-f]{16}$'),
    order_id           text NOT NULL,
    delivery_id        text NOT NULL,
    token_hash         bytea NOT NULL UNIQUE CHECK (octet_length(token_hash) = 32),
    code_salt          bytea NOT NULL CHECK (octet_length(code_salt) = 16),
    code_hash          bytea NOT NULL CHECK (octet_length(code_hash) = 32),
    recipient_ref      memorial.sha256 NOT NULL,
    downloads_allowed  integer NOT NULL CHECK (downloads_allowed >= 1),
    downloads_used     integer NOT NULL DEFAULT 0,
    wrong_codes        integer NOT NULL DEFAULT 0,
    wait_until         timestamptz,                     -- no code is looked at before, after wrong ones
    issued_at          timestamptz NOT NULL DEFAULT clock_timestamp(),
    issued_by          text NOT NULL,
    expires_at         timestamptz NOT NULL,
    seen_at            timestamptz NOT NULL DEFAULT clock_timestamp(),  -- latest time seen: a clock set back revives nothing
    refused_code       text NOT NULL DEFAULT '',        -- the last refusal written to the audit log, and when:
    refused_at         timestamptz,                     -- the same one is not written again within the hour
    revoked_at         timestamptz,
    revoke_reason      text NOT NULL DEFAULT '',
    CHECK (downloads_used BETWEEN 0 AND downloads_allowed),
    FOREIGN KEY (order_id, delivery_id) REFERENCES memorial.delivery
);
CREATE INDEX delivery_link_by_order ON memorial.delivery_link (order_id, issued_at);

CREATE TABLE memorial.delivery_download (
    receipt_id     text PRIMARY KEY,
    order_id       text NOT NULL REFERENCES memorial.orders,
    link_id        text REFERENCES memorial.delivery_link,  -- null: an archive
    at             timestamptz NOT NULL DEFAULT clock_timestamp(),
    receipt        bytea NOT NULL,                      -- RFC 8785 bytes
    kid            text NOT NULL,
    signature      text NOT NULL CHECK (signature ~ '^[0-9a-f]{128}$'),
    -- the embedded default serves the file itself, for one ticket; all null where a bucket does
    ticket_hash    bytea UNIQUE CHECK (octet_length(ticket_hash) = 32),
    ticket_until   timestamptz,
    file_identity  text,
    bytes_left     bigint CHECK (bytes_left >= 0),
    bytes_sent     bigint NOT NULL DEFAULT 0,
    completed_at   timestamptz
);
CREATE INDEX delivery_download_by_order ON memorial.delivery_download (order_id, at);
CREATE INDEX delivery_download_by_link ON memorial.delivery_download (link_id);

-- What was signed, for whom a link is and when it was issued never change.
REVOKE UPDATE ON memorial.delivery_link, memorial.delivery_download FROM memorial_app;
GRANT UPDATE (downloads_used, wrong_codes, wait_until, seen_at, refused_code, refused_at, revoked_at, revoke_reason)
    ON memorial.delivery_link TO memorial_app;
GRANT UPDATE (ticket_until, bytes_left, bytes_sent, completed_at) ON memorial.delivery_download TO memorial_app;
