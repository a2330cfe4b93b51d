-- Erasure: what was promised, how far it got, and the signed receipt. Rows stay for ever and hold no personal data.
CREATE TABLE memorial.erasure (
    erasure_id    text PRIMARY KEY,
    subject_id    text NOT NULL REFERENCES memorial.subject,
    reason        text NOT NULL,
    requested_by  text NOT NULL,
    requested_at  timestamptz NOT NULL,
    receipt       bytea,                        -- RFC 8785 bytes; set once, when everything is gone
    signature     text,
    kid           text
);
-- One erasure at a time; a finished one may be followed by another when a restored backup brought something back.
CREATE UNIQUE INDEX erasure_open ON memorial.erasure (subject_id) WHERE receipt IS NULL;
CREATE INDEX erasure_by_subject ON memorial.erasure (subject_id, requested_at);

CREATE TABLE memorial.erasure_step (
    erasure_id  text NOT NULL REFERENCES memorial.erasure,
    step        text NOT NULL,
    counts      jsonb NOT NULL,
    done_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (erasure_id, step)
);
REVOKE UPDATE ON memorial.erasure_step FROM memorial_app;
