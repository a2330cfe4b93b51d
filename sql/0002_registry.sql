-- The registry: what was ordered, what was made, who decided. Names, script lines and file names are in no
-- column here except sealed ones (AES-GCM under the subject's data key), so that destroying the key erases them.

CREATE DOMAIN memorial.sha256 AS text CHECK (VALUE ~ '^[0-9a-f]{64}$');

CREATE TABLE memorial.subject (
    subject_id  text PRIMARY KEY,                       -- a pseudonym: random, never derived from the person
    created_at  timestamptz NOT NULL DEFAULT clock_timestamp(),
    erased_at   timestamptz
);

CREATE TABLE memorial.orders (
    order_id         text PRIMARY KEY CHECK (order_id ~ '^[a-z0-9-]{3,64}$'),
    subject_id       text NOT NULL REFERENCES memorial.subject,
    state            text NOT NULL DEFAULT 'submitted' CHECK (state IN (
                         'submitted', 'running', 'in_review', 'delivered', 'refused', 'blocked', 'rejected',
                         'failed', 'frozen', 'cancelled', 'withdrawn', 'erased')),
    reason_code      text NOT NULL DEFAULT '',          -- machine word, e.g. quality.too_few_photos
    reason           text NOT NULL DEFAULT '',          -- one sentence without personal data
    purpose          text NOT NULL,
    language         text NOT NULL,
    jurisdictions    text[] NOT NULL,
    priority         smallint NOT NULL DEFAULT 0,
    promised         date,
    sealed_document  bytea,                             -- the order as given, names included; null once erased
    document_sha256  memorial.sha256 NOT NULL,
    script_sha256    memorial.sha256 NOT NULL,
    deliver          jsonb NOT NULL DEFAULT '{}',
    consent_id       text,
    run_id           text,
    film_uri         text,
    created_at       timestamptz NOT NULL DEFAULT clock_timestamp(),
    updated_at       timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX orders_by_state ON memorial.orders (state, priority DESC, promised NULLS LAST, created_at);
CREATE INDEX orders_by_subject ON memorial.orders (subject_id);

CREATE TABLE memorial.material (
    order_id     text NOT NULL REFERENCES memorial.orders,
    material_id  text NOT NULL,
    kind         text NOT NULL,
    uri          text NOT NULL,
    sha256       memorial.sha256 NOT NULL,
    size         bigint NOT NULL CHECK (size >= 0),
    media_type   text NOT NULL,
    sealed_name  bytea,                                 -- the family's own file name; null once erased
    PRIMARY KEY (order_id, material_id)
);

CREATE TABLE memorial.step_run (
    order_id        text NOT NULL REFERENCES memorial.orders,
    step            text NOT NULL,
    result_key      text NOT NULL,
    state           text NOT NULL DEFAULT 'running' CHECK (state IN ('running', 'done', 'failed')),
    code_version    text NOT NULL,
    params          jsonb NOT NULL DEFAULT '{}',
    inputs          jsonb NOT NULL DEFAULT '[]',        -- artifact references
    outputs         jsonb NOT NULL DEFAULT '[]',
    metrics         jsonb NOT NULL DEFAULT '{}',
    reason_code     text NOT NULL DEFAULT '',
    started_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    finished_at     timestamptz,
    attempts        integer NOT NULL DEFAULT 1,
    wall_s          double precision,
    peak_memory_mb  double precision,
    gpu             text NOT NULL DEFAULT '',
    gpu_minutes     double precision NOT NULL DEFAULT 0,
    UNIQUE (order_id, step, result_key)
);

CREATE TABLE memorial.review (
    order_id        text NOT NULL REFERENCES memorial.orders,
    review_id       text NOT NULL,
    subject_matter  text NOT NULL,                      -- what was judged: film, script, objection ...
    film_sha256     memorial.sha256,
    decision        text NOT NULL,
    reviewer        text NOT NULL,
    reason          text NOT NULL DEFAULT '',
    decided_at      timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (order_id, review_id)
);

CREATE TABLE memorial.delivery (
    order_id       text NOT NULL REFERENCES memorial.orders,
    delivery_id    text NOT NULL,
    film_sha256    memorial.sha256 NOT NULL,
    target         text NOT NULL,
    recipient_ref  text NOT NULL DEFAULT '',            -- keyed commitment, never an address
    delivered_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    revoked_at     timestamptz,
    PRIMARY KEY (order_id, delivery_id),
    UNIQUE (order_id, film_sha256, target)              -- the same film is never delivered twice to the same place
);

CREATE TABLE memorial.permit (
    permit_id        text PRIMARY KEY,
    order_id         text NOT NULL REFERENCES memorial.orders,
    consent_id       text NOT NULL,
    consent_version  integer NOT NULL,
    claims           jsonb NOT NULL,
    issued_at        timestamptz NOT NULL DEFAULT clock_timestamp(),
    expires_at       timestamptz NOT NULL,
    revoked_at       timestamptz
);
CREATE INDEX permit_by_order ON memorial.permit (order_id, issued_at);

CREATE TABLE memorial.key_release (
    permit_id  text NOT NULL REFERENCES memorial.permit,
    order_id   text NOT NULL REFERENCES memorial.orders,
    step       text NOT NULL,
    at         timestamptz NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX key_release_by_permit ON memorial.key_release (permit_id);
REVOKE UPDATE ON memorial.key_release, memorial.review FROM memorial_app;
