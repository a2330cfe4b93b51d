-- The studio's settings as they were last written into the audit log, so that a change is noticed by whoever opens the
-- studio next. Keyed digests only: a setting may hold a password.

CREATE TABLE memorial.configuration (
    id           bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    fingerprint  text NOT NULL,      -- over all digests
    digests      jsonb NOT NULL,     -- setting -> HMAC-SHA256 of its value
    at           timestamptz NOT NULL DEFAULT clock_timestamp()
);
REVOKE UPDATE ON memorial.configuration FROM memorial_app;
